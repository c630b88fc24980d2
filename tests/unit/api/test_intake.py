"""Pushes on their way to the store: what happens to them when the database is away, and when the server stops."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import tenacity
from fastapi import FastAPI
from httpx import Response
from pydantic import SecretStr
from sqlalchemy import event

from api.agents.intake import Intake
from reconciler.bootstrap import open_stores
from reconciler.errors import RetryLater
from reconciler.settings import Settings
from support.served import Served, serving

Agent = tuple[str, dict[str, str]]


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, database_url=database_url) as opened:
        yield opened


def push(served: Served, agent: Agent, number: int = 0, **body: Any) -> Response:
    """One push with one node; the next number is a second later."""
    at = (served.clock() - timedelta(hours=1) + timedelta(seconds=number)).isoformat()
    given = {"timestamp": at, "nodes": [{"name": f"n{number}"}]} | body
    return served.client.post(f"/api/v1/agents/{agent[0]}/push", json=given, headers=agent[1])


def node(served: Served, cluster: str = "acme/prod") -> list[str]:
    return [one.name for one in served.server.stores.observations.newest(cluster).nodes]


def the_intake(served: Served, **limits: int) -> Intake:
    """The application's intake; with limits, a new one in its place."""
    assert isinstance(served.client.app, FastAPI)
    state = served.client.app.state
    if limits:
        state.intake = Intake(served.server, **limits)
    assert isinstance(state.intake, Intake)
    return state.intake


@contextmanager
def database_away(served: Served) -> Iterator[None]:
    def away(*_: object) -> None:
        raise RetryLater("the database is away", after_seconds=0.01)

    event.listen(served.server.stores.engine, "before_cursor_execute", away)
    yield
    event.remove(served.server.stores.engine, "before_cursor_execute", away)


def test_what_was_answered_while_the_database_was_away_is_stored_when_it_is_back(served: Served) -> None:
    agent = served.agent("prod")
    assert push(served, agent, 0).status_code == 200
    assert the_intake(served).flush()
    with database_away(served):
        assert [push(served, agent, number).status_code for number in (1, 2)] == [200, 200]
        assert not the_intake(served).flush(timeout=0.1)
    assert the_intake(served).flush()
    assert node(served) == ["n2"]


def test_agents_that_are_known_push_on_while_the_database_is_away_for_minutes(served: Served) -> None:
    agent, gone = served.agent("prod"), served.agent("gone")
    for known in (agent, gone):
        assert push(served, known, 0).status_code == 200
    assert the_intake(served).flush()
    assert served.server.stores.agents.delete("acme", gone[0])
    with database_away(served):
        served.clock.forward(minutes=10)
        assert push(served, agent, 1).status_code == 200
        assert push(served, (agent[0], {"Authorization": "Bearer nonsense"}), 2).status_code == 401
        served.clock.forward(minutes=6)
        assert push(served, agent, 3).status_code == 503
    assert the_intake(served).flush()
    assert node(served) == ["n1"]
    assert push(served, gone, 4).status_code == 401


def test_a_full_buffer_asks_agents_to_come_again(served: Served) -> None:
    intake = the_intake(served, most_pushes=2)
    agent = served.agent("prod")
    assert push(served, agent, 0).status_code == 200
    assert intake.flush()
    with database_away(served):
        assert [push(served, agent, number).status_code for number in (1, 2)] == [200, 200]
        refused = push(served, agent, 3)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert "again" in refused.json()["error"]
    assert intake.flush()
    assert push(served, agent, 3).status_code == 200
    assert intake.flush()
    assert node(served) == ["n3"]


def test_the_buffer_is_bounded_in_bytes_too(served: Served) -> None:
    the_intake(served, most_bytes=1000)
    agent = served.agent("prod")
    assert push(served, agent, 0, nodes=[{"name": "n" * 200}] * 10).status_code == 503
    assert push(served, agent, 0).status_code == 200


def test_a_server_that_stops_takes_no_more_and_stores_what_it_took(tmp_path: Path, database_url: str) -> None:
    with serving(tmp_path, database_url=database_url) as served:
        agents = [served.agent(f"prod-{number}") for number in range(20)]
        for number, agent in enumerate(agents):
            assert push(served, agent, number).status_code == 200
    late = push(served, agents[0], 99)
    assert late.status_code == 503
    assert "Retry-After" in late.headers
    stores = open_stores(Settings(fleet="", database_url=SecretStr(database_url), state_dir=tmp_path / "server"))
    found = [[one.name for one in stores.observations.newest(f"acme/prod-{number}").nodes] for number in range(20)]
    assert found == [[f"n{number}"] for number in range(20)]
    seen = {agent.last_seen for agent in stores.agents.list("acme")}
    assert seen == {served.clock()}
    stores.engine.dispose()


def test_pushes_are_written_without_anybody_asking(served: Served) -> None:
    push(served, served.agent("prod"))
    for attempt in tenacity.Retrying(stop=tenacity.stop_after_delay(20), wait=tenacity.wait_fixed(0.05), reraise=True):
        with attempt:
            assert node(served) == ["n0"]
