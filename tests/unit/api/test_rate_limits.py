"""So many requests a minute for each key, user and agent; and few failed attempts from one address."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from api.errors import TooManyRequests
from api.limits import Limits, Windows
from reconciler.errors import InputError
from support.probes import client_of
from support.served import Served, SetClock, serving


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("rates")) as running:
        yield running


@pytest.fixture
def client(served: Served) -> TestClient:
    """Three requests a minute."""
    settings = served.settings.model_copy(update={"rate_limit": "3/minute"})
    return client_of(replace(served.server, settings=settings))


def test_one_too_many_waits_for_the_next_minute_and_others_do_not(served: Served, client: TestClient) -> None:
    mine, other = served.key("scaling:read"), served.key("scaling:read")
    assert [client.get("/probe/who", headers=mine).status_code for _ in range(3)] == [200] * 3
    served.clock.forward(seconds=20)
    refused = client.get("/probe/who", headers=mine)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "40")
    assert refused.json()["error"] == "too many requests (the limit is 3 per 1 minute): try again in 40 seconds"
    assert refused.json()["requestId"] == refused.headers["X-Request-Id"]
    assert client.get("/probe/who", headers=other).status_code == 200
    served.clock.forward(seconds=40)
    assert client.get("/probe/who", headers=mine).status_code == 200


def test_requests_without_the_scope_count_too(served: Served, client: TestClient) -> None:
    key = served.key("scaling:read")
    statuses = [client.post("/probe/who", headers=key, json={}).status_code for _ in range(4)]
    assert statuses == [403, 403, 403, 429]


def test_each_agent_has_its_own_count(served: Served, client: TestClient) -> None:
    for name in ("a", "b"):
        agent = served.server.stores.agents.register(
            organization="acme", platform="docker", name=name, hostname="h", version="1", cluster="", host_pool="p",
            observed_as="p", at=served.clock(),
        )  # fmt: skip
        token = served.server.tokens.for_agent(agent.id, "acme", served.clock())
        asked = [client.get(f"/probe/agents/{agent.id}", headers={"X-API-Key": token}) for _ in range(4)]
        assert [answer.status_code for answer in asked] == [200, 200, 200, 429]


def test_keys_cannot_be_guessed(served: Served, client: TestClient) -> None:
    good = served.key("scaling:read")
    assert client.get("/probe/who", headers=good).status_code == 200
    guesses = [client.get("/probe/who", headers={"X-API-Key": f"tt_live_{n:032}"}).status_code for n in range(62)]
    assert guesses == [401] * 60 + [429] * 2
    unseen = served.key("scaling:read")
    assert client.get("/probe/who", headers=unseen).status_code == 429, "a guess that is right does not come in either"
    served.clock.forward(seconds=10)
    assert client.get("/probe/who", headers=good).status_code == 200, "who was let in before is not kept out by others"
    served.clock.forward(seconds=51)
    assert client.get("/probe/who", headers=unseen).status_code == 200


def test_agents_whose_tokens_have_expired_all_at_once_are_told_to_register(served: Served, client: TestClient) -> None:
    tokens = [served.server.tokens.for_agent(f"agent_{n}", "acme", served.clock()) for n in range(70)]
    served.clock.forward(hours=2)
    asked = [client.get(f"/probe/agents/agent_{n}", headers={"X-API-Key": token}) for n, token in enumerate(tokens)]
    assert {answer.status_code for answer in asked} == {401}


def test_what_needs_no_credentials_is_not_limited(client: TestClient) -> None:
    assert {client.get("/probe/limited").status_code for _ in range(100)} == {200}


def test_a_limit_that_cannot_be_read_is_named_at_the_start() -> None:
    with pytest.raises(InputError, match="TRIMTAB_RATE_LIMIT: 'often' is not a rate limit"):
        Limits("often", SetClock())
    with pytest.raises(InputError, match="TRIMTAB_RECOMMENDATIONS_RATE_LIMIT: 'rarely' is not a rate limit"):
        Limits("1/minute", SetClock(), {"recommendations": "rarely"})


def test_a_family_with_a_limit_of_its_own_counts_for_itself() -> None:
    limits = Limits("2/minute", SetClock(), {"few": "1/minute", "same": "2/minute"})
    for family in ("few", "same", "same", "other", ""):
        limits.count("key", "a", family)
    for family in ("few", "same", "other", ""):
        with pytest.raises(TooManyRequests):
            limits.count("key", "a", family)
    limits.count("key", "b", "few")


def test_counters_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.limits._MOST_COUNTERS", 100)
    clock = SetClock()
    limits = Limits("1/minute", clock)
    windows = Windows(clock)
    for number in range(1000):
        windows.incr(f"k{number}", 60)
        limits.count("key", str(number))
    assert windows.reset() <= 100
    with pytest.raises(TooManyRequests):
        limits.count("key", "999")


def test_counters_start_again_when_the_clock_is_set_back() -> None:
    clock = SetClock()
    limits = Limits("1/minute", clock)
    limits.count("key", "a")
    clock.forward(hours=-1)
    limits.count("key", "a")
    with pytest.raises(TooManyRequests) as refused:
        limits.count("key", "a")
    assert refused.value.headers["Retry-After"] == "60"
