"""/healthz, /readyz and /metrics, and fleet repos that claim the same cluster, on both databases."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from api.app import create_app
from api.serve import open_server
from api.server import Server
from reconciler.errors import TrimtabError
from reconciler.model.agent import Command, DockerScale
from reconciler.model.log import DecisionRow
from reconciler.settings import Settings
from support.fleets import FleetRepo, git
from support.served import SetClock, serving
from support.small import small_fleet

WAIT = 60.0


def values(client: TestClient) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample of /metrics, by name and the values of its labels."""
    answer = client.get("/metrics", headers={"X-API-Key": ""})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}


@contextmanager
def several(home: Path, *fleets: FleetRepo, database_url: str = "") -> Iterator[tuple[Server, TestClient]]:
    """A server with passes, which come when somebody wakes them."""
    settings = Settings(
        fleet=",".join(str(fleet.bare) for fleet in fleets),
        database_url=SecretStr(database_url),
        state_dir=home / "server",
    )
    with open_server(settings, interval=3600, clock=SetClock()) as server:
        for steward in server.stewards:
            steward.ask(lambda _house: None).exception(WAIT)
        yield server, TestClient(create_app(server))


def test_metrics_say_what_the_database_knows(tmp_path: Path, database_url: str) -> None:
    repo = small_fleet(tmp_path / "one", organization="acme-secret-name")
    with serving(tmp_path, repo, database_url=database_url) as served:
        stores, now = served.server.stores, served.clock()
        agent, _ = served.agent()
        rows = [
            DecisionRow(policy_id=f"scp_{n}", ts=now, runtime="kubernetes", action="dry_run", dry_run=True)
            for n in range(1500)
        ]
        before = values(served.client)
        stores.log.append_once("x", rows)
        command = Command(
            id="c1",
            agent_id=agent,
            policy_id="scp_1",
            payload=DockerScale(host_pool="p", group="g", replicas=2, from_replicas=1),
            issued_at=now,
            expires_at=now,
        )
        stores.commands.issue([command, command.model_copy(update={"id": "c2"})])
        stores.commands.answer(agent, "c1", "succeeded", "", now)
        shown = values(served.client)
        assert before["trimtab_decisions_total", ("dry_run",)] == 0
        assert shown["trimtab_decisions_total", ("dry_run",)] == 1500
        assert shown["trimtab_commands_total", ("succeeded",)] == 1
        assert shown["trimtab_commands_total", ("failed",)] == 0
        assert shown["trimtab_agents", ("connected",)] == 1
        assert shown["trimtab_changes_held", ()] == 0
        assert shown["trimtab_database_up", ()] == 1
        served.clock.forward(seconds=120)
        stores.log.append_once("x", rows[:7])
        stores.commands.answer(agent, "c2", "failed", "", now)
        stores.agents.delete("acme", agent)
        later = values(served.client)
        assert later["trimtab_decisions_total", ("dry_run",)] == 1507
        assert later["trimtab_commands_total", ("succeeded",)] == 1, "a counter does not fall"
        assert not any(later["trimtab_agents", (status,)] for status in ("connected", "stale", "disconnected"))
        text = served.client.get("/metrics").text
        assert "acme" not in text
        assert str(repo.bare) not in text
        assert re.search(r'^trimtab_build_info\{version="\d', text, re.MULTILINE)


def test_passes_commits_and_pushes_that_came_too_late_are_counted(tmp_path: Path) -> None:
    repo = small_fleet(tmp_path / "one")
    hook = repo.bare / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        "#!/bin/sh\n"
        "unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES\n"
        f"[ -e {tmp_path}/once ] && exit 0\ntouch {tmp_path}/once\n"
        "new=$(git -c user.name=P -c user.email=p@example.com commit-tree -p main -m person 'main^{tree}')\n"
        "git update-ref refs/heads/main $new\n"
    )
    hook.chmod(0o755)
    with several(tmp_path, repo) as (server, client):
        server.stewards[0].ask(lambda _house: None).result(WAIT)
        shown = values(client)
        assert shown["trimtab_passes_total", ("committed",)] == 1
        assert shown["trimtab_commits_total", ()] == 1
        assert shown["trimtab_push_retries_total", ()] == 1
        assert shown["trimtab_pass_stage_seconds_count", ("evaluate",)] == 1
        assert shown["trimtab_decisions_total", ("apply",)] == 1
        hook.unlink()
        repo.bare.rename(tmp_path / "away.git")
        server.stewards[0].wake()
        server.stewards[0].ask(lambda _house: None).exception(WAIT)
        assert values(client)["trimtab_passes_total", ("failed",)] == 1
    assert "person" in git(tmp_path / "away.git", "log", "--format=%s", "main")


def test_readyz_is_503_until_every_fleet_repo_was_read_and_while_it_stops(tmp_path: Path) -> None:
    here, away = small_fleet(tmp_path / "one"), small_fleet(tmp_path / "two", cluster="stage")
    away.bare.rename(tmp_path / "away.git")
    with several(tmp_path, here, away) as (server, client):
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert body["status"] == "unavailable"
        assert [reason.startswith("fleet repo 2 of 2: there is no directory") for reason in body["reasons"]] == [True]
        (tmp_path / "away.git").rename(away.bare)
        server.stewards[1].wake()
        while server.stewards[1].watch.fleet is None:
            server.stewards[1].ask(lambda _house: None).exception(WAIT)
        assert client.get("/readyz").json() == {"status": "ok"}
        server.closing.set()
        assert client.get("/readyz").json()["reasons"] == ["the server is stopping"]
        assert client.get("/healthz").json() == {"status": "ok"}


def test_readyz_says_that_the_database_is_away_without_its_password(tmp_path: Path) -> None:
    repo = small_fleet(tmp_path / "one")
    file = tmp_path / "db" / "trimtab.db"
    with several(tmp_path, repo, database_url=f"sqlite:///{file}") as (server, client):
        assert client.get("/readyz").status_code == 200
        server.stewards[0].stop(WAIT)
        server.stores.engine.dispose()
        file.parent.rename(tmp_path / "gone")
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "cannot be opened" in answer.json()["reasons"][0]
        assert values(client)["trimtab_database_up", ()] == 0
        (tmp_path / "gone").rename(file.parent)
        assert values(client)["trimtab_database_up", ()] == 1


def test_operations_are_public_and_documented(tmp_path: Path) -> None:
    with several(tmp_path) as (_, client):
        document = client.get("/openapi.json").json()
        for path in ("/healthz", "/readyz", "/metrics"):
            operation = document["paths"][path]["get"]
            assert operation["tags"] == ["Operations"]
            assert operation["summary"]
            assert "security" not in operation
        assert "503" in document["paths"]["/readyz"]["get"]["responses"]


def test_a_cluster_that_two_fleet_repos_declare_stays_with_the_first(tmp_path: Path, database_url: str) -> None:
    first = small_fleet(tmp_path / "one", organization="acme")
    second = small_fleet(tmp_path / "two", organization="other")
    with several(tmp_path, first, second, database_url=database_url) as (server, client):
        kept, refused = server.stewards
        refused.wake()  # it may have been quicker than the first one
        refused.ask(lambda _house: None).exception(WAIT)
        assert kept.watch.fleet is not None
        assert refused.watch.fleet is None
        assert "the cluster prod is declared by two fleet repos" in refused.watch.error
        assert str(first.bare) not in refused.watch.error
        assert refused.watch.refused == "other"
        assert server.of("other") == ()
        assert server.cluster("other", "prod") is None
        assert (
            client.get("/readyz").json()["reasons"][0].startswith("fleet repo 2 of 2: the cluster prod is declared by")
        )
        theirs, _ = server.stores.keys.create("other", "x", ("changes:read",), (), server.clock())
        ours, _ = server.stores.keys.create("acme", "x", ("changes:read",), (), server.clock())
        shown = client.get("/api/v1/status", headers={"X-API-Key": theirs}).json()["fleets"]
        assert [(fleet["name"], fleet["error"]) for fleet in shown] == [("other", refused.watch.error)]
        shown = client.get("/api/v1/status", headers={"X-API-Key": ours}).json()["fleets"]
        assert [(fleet["name"], fleet["error"]) for fleet in shown] == [("acme", "")]
        head = second.head()
        second.pull()
        second.write("trimtab.yaml", (second.work / "trimtab.yaml").read_text().replace("name: prod", "name: stage"))
        second.commit()
        refused.wake()
        while refused.watch.fleet is None:
            refused.ask(lambda _house: None).exception(WAIT)
        assert second.head() != head
        assert client.get("/readyz").status_code == 200
        assert [cluster.name for cluster in server.clusters("other")] == ["stage"]


def test_what_a_fleet_repo_declared_stands_while_it_is_away(tmp_path: Path) -> None:
    first = small_fleet(tmp_path / "one", organization="acme")
    second = small_fleet(tmp_path / "two", organization="other")
    with several(tmp_path, first) as (server, _):
        assert server.of("acme")
    first.bare.rename(tmp_path / "away.git")
    untouched = second.head()
    with several(tmp_path, first, second) as (server, _):
        assert isinstance(server.stewards[1].ask(lambda house: house.name).exception(WAIT), TrimtabError | None)
        assert "declared by two fleet repos" in server.stewards[1].watch.error
    assert second.head() == untouched


def test_a_cluster_that_the_first_one_declares_later_is_lost_by_the_second(tmp_path: Path) -> None:
    first = small_fleet(tmp_path / "one", organization="acme", cluster="stage")
    second = small_fleet(tmp_path / "two", organization="other")
    with several(tmp_path, first, second) as (server, _):
        assert server.of("other")
        first.pull()
        first.write("trimtab.yaml", (first.work / "trimtab.yaml").read_text().replace("name: stage", "name: prod"))
        first.commit()
        server.stewards[0].wake()
        server.stewards[0].ask(lambda _house: None).result(WAIT)
        server.stewards[1].ask(lambda _house: None).exception(WAIT)
        assert server.of("other") == ()
        assert "declared by two" in server.stewards[1].watch.error


@pytest.mark.parametrize("count", [2])
def test_one_fleet_repo_given_twice_is_one(tmp_path: Path, count: int) -> None:
    repo = small_fleet(tmp_path / "one")
    with several(tmp_path, *[repo] * count) as (server, client):
        assert len(server.stewards) == 1
        assert client.get("/readyz").status_code == 200
