"""The request's id is on every answer, in every error and on every line of log; one line is written for each request."""

import re
from collections.abc import Iterator

import pytest
import structlog
from fastapi.testclient import TestClient

from api.middleware import Answered
from support.probes import client_of, probed
from support.served import Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("ids")) as running:
        yield running


@pytest.fixture(scope="module")
def client(served: Served) -> TestClient:
    return client_of(served.server)


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as captured:
        yield captured


def test_an_id_that_can_be_logged_is_taken_over(client: TestClient) -> None:
    answer = client.get("/nowhere", headers={"X-Request-Id": "build-42/step:3"})
    assert answer.headers["X-Request-Id"] == answer.json()["requestId"] == "build-42/step:3"


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "new\tline", "caf\u00e9"])
def test_any_other_is_replaced(client: TestClient, given: str) -> None:
    answer = client.get("/nowhere", headers={"X-Request-Id": given.encode("latin-1")})
    assert re.fullmatch("req_[0-9A-Z]{26}", answer.headers["X-Request-Id"])
    assert answer.json()["requestId"] == answer.headers["X-Request-Id"]


def test_two_requests_have_two_ids(client: TestClient) -> None:
    assert client.get("/nowhere").json()["requestId"] != client.get("/nowhere").json()["requestId"]


def test_an_answer_that_is_no_error_has_it_too(client: TestClient) -> None:
    assert client.get("/probe/limited", headers={"X-Request-Id": "mine"}).headers["X-Request-Id"] == "mine"


def test_the_log_has_one_line_with_who_asked_for_what(
    served: Served, client: TestClient, lines: list[dict[str, object]]
) -> None:
    key = served.key("scaling:read")
    who = client.get("/probe/who?secret=hunter2", headers=key | {"X-Request-Id": "mine"}).json()
    (line,) = [entry for entry in lines if entry["event"] == "request"]
    assert (line["method"], line["route"], line["status"], line["request_id"]) == ("GET", "/probe/who", 200, "mine")
    assert (line["organization"], line["principal"]) == ("acme", who["id"])
    assert isinstance(line["ms"], float)
    assert "hunter2" not in str(lines) and key["Authorization"].split()[1] not in str(lines)


def test_an_agent_is_named_by_its_id_and_the_route_by_its_template(
    served: Served, client: TestClient, lines: list[dict[str, object]]
) -> None:
    agent = served.server.stores.agents.register(
        organization="acme", platform="docker", name="a", hostname="h", version="1", cluster="", host_pool="p",
        observed_as="p", at=served.clock(),
    )  # fmt: skip
    token = served.server.tokens.for_agent(agent.id, "acme", served.clock())
    assert client.get(f"/probe/agents/{agent.id}", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    (line,) = [entry for entry in lines if entry["event"] == "request"]
    assert (line["route"], line["principal"]) == ("/probe/agents/{agent_id}", agent.id)
    assert line["log_level"] == "debug", "a thousand agents would drown the rest"
    assert token not in str(lines)
    client.get("/probe/agents/agent_other", headers={"Authorization": f"Bearer {token}"})
    assert (lines[-1]["status"], lines[-1]["log_level"]) == (403, "info")


def test_a_defect_is_in_the_log_with_the_same_id_and_not_in_the_answer(
    client: TestClient, lines: list[dict[str, object]]
) -> None:
    answer = client.get("/probe/fails/defect", headers={"X-Request-Id": "mine", "X-API-Key": "tt_live_not_to_be_seen"})
    assert answer.status_code == 500
    assert answer.json()["requestId"] == answer.headers["X-Request-Id"] == "mine"
    assert "hunter2" not in answer.text
    failed = next(entry for entry in lines if entry["event"] == "request failed")
    assert failed["request_id"] == "mine" and "hunter2" in str(failed["exception"])
    assert "tt_live_not_to_be_seen" not in str(lines), "the log must not show the variables of a frame"


def test_whoever_counts_requests_hears_of_each(served: Served) -> None:
    heard: list[Answered] = []
    client = TestClient(probed(served.server, tell=heard.append))
    client.get("/probe/limited?limit=5")
    client.get("/nowhere")
    assert [(one.method, one.route, one.status) for one in heard] == [("GET", "/probe/limited", 200), ("GET", "", 404)]
    assert all(one.seconds >= 0 for one in heard)


def test_head_is_answered_as_get_without_the_body(
    served: Served, client: TestClient, lines: list[dict[str, object]]
) -> None:
    asked, got = client.head("/healthz"), client.get("/healthz")
    assert (asked.status_code, asked.content) == (200, b"")
    assert asked.headers["Content-Length"] == got.headers["Content-Length"] == str(len(got.content))
    listed = client.head("/api/v1/scaling/policies", headers=served.key("scaling:read"))
    assert (listed.status_code, listed.content) == (200, b"")
    assert client.head("/api/v1/scaling/policies").status_code == 401
    assert client.head("/api/v1/agents/register").status_code == 405
    found = [(entry["method"], entry["route"]) for entry in lines if entry["event"] == "request"]
    assert ("HEAD", "/api/v1/scaling/policies") in found
