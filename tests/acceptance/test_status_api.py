"""GET /api/v1/status and /api/v1/windows, and that the command line prints the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.serve import open_server
from reconciler import loop
from reconciler.settings import Settings
from reconciler.steps.house import House
from support.fleets import FleetRepo, fleet_yaml, new_fleet, policy
from support.git_remotes import served as git_served
from support.served import Served, SetClock, serving
from support.small import root_files

FREEZE = (
    "  windows:\n    exclusion: [{cron: '0 0 20 12 *', duration: 14d, timezone: Europe/Berlin, name: holiday freeze}]\n"
)
DECEMBER = {"from": "2026-12-01T00:00:00Z", "to": "2027-01-31T00:00:00Z"}


def fleet(home: Path) -> FleetRepo:
    files = {
        "trimtab.yaml": fleet_yaml(
            "{name: prod, id: prod-id, path: clusters/prod, windows: {maintenance: ['* 22-23 * * 1-5']}}",
            "{name: dev, path: clusters/dev}",
            extra=FREEZE,
        ),
        "policies/front.yaml": policy("front", "shop/web", cluster="prod"),
        "policies/dev.yaml": policy("dev", "shop/web", cluster="dev", approvalRequired=True),
        "policies/lost.yaml": policy("lost", "shop/nobody", cluster="dev"),
    }
    for cluster in ("prod", "dev"):
        files |= root_files(f"clusters/{cluster}")
    return new_fleet(home, files)


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> FleetRepo:
    return fleet(tmp_path_factory.mktemp("fleet"))


@pytest.fixture(scope="module")
def served(repo: FleetRepo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("server"), repo) as served:
        served.reconcile()
        yield served


def get(served: Served, path: str, headers: dict[str, str] | None = None, **query: str) -> Any:
    answer = served.client.get(f"/api/v1/{path}", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_status_shows_fleets_with_revision_what_is_held_and_agents(served: Served, repo: FleetRepo) -> None:
    for name in ("prod", "dev", "gone"):
        served.agent(name, cluster="prod" if name == "gone" else name)
        served.clock.forward(seconds=100)
    served.clock.forward(seconds=30)
    found = get(served, "status")
    (one,) = found["fleets"]
    assert (one["name"], one["url"], one["branch"]) == ("acme", str(repo.bare), "main")
    assert one["revision"] == repo.head()
    held = {change["subject"]: change for change in one["held"]}
    assert held["front"]["until"] == "2026-06-17T22:00:00+00:00"
    assert "* 22-23 * * 1-5" in held["front"]["reason"]
    assert (held["dev"]["reason"], held["dev"]["until"]) == ("needs approval", None)
    assert found["heldChanges"] == 2
    assert found["agents"] == {"connected": 0, "stale": 2, "disconnected": 1}
    assert found["errors"] == []
    assert {change["id"] for change in one["held"]} == {c["id"] for c in get(served, "changes", state="held")["items"]}


def test_a_key_for_one_cluster_sees_only_what_is_about_it(served: Served) -> None:
    found = get(served, "status", served.key("changes:read", clusters=("dev",)))
    assert [change["cluster"] for change in found["fleets"][0]["held"]] == ["dev"]
    assert found["heldChanges"] == 1
    nothing = get(served, "status", served.key("changes:read", organization="other"))
    assert nothing == {
        "fleets": [],
        "agents": {"connected": 0, "stale": 0, "disconnected": 0},
        "heldChanges": 0,
        "errors": [],
    }
    assert served.client.get("/api/v1/status", headers=served.key("scaling:read")).status_code == 403


def test_the_newest_pass_and_its_error_are_shown(tmp_path: Path) -> None:
    repo = fleet(tmp_path / "home")
    settings = Settings(fleet=str(repo.bare), state_dir=tmp_path / "server")
    clock = SetClock()
    with open_server(settings, interval=3600, clock=clock) as server:
        secret, _ = server.stores.keys.create("acme", "test", ("changes:read",), (), clock())
        client = TestClient(create_app(server), headers={"Authorization": f"Bearer {secret}"})
        (steward,) = server.stewards

        def after_a_pass() -> Any:
            """What is done between passes is done when the pass in hand is over."""
            steward.ask(lambda house: house.name).result(timeout=60)
            return client.get("/api/v1/status").json()["fleets"][0]

        one = after_a_pass()
        assert one["lastPass"]["at"] == clock().isoformat()
        assert (one["lastPass"]["commits"], one["lastPass"]["held"]) == (0, 2)
        assert one["lastPass"]["problems"] == 1
        assert "shop/nobody" in one["problems"][0]["message"]
        assert one["error"] == ""
        repo.write("trimtab.yaml", "spec: [")
        repo.commit("Break")
        steward.wake()
        broken = after_a_pass()
        assert "trimtab.yaml" in broken["error"]
        assert len(broken["held"]) == 2, "what was known before stays"
        (error,) = client.get("/api/v1/status").json()["errors"]
        assert error["fleet"] == str(repo.bare)
        assert error["error"] == broken["error"]


def test_the_command_line_prints_what_the_api_answers(served: Served, repo: FleetRepo, tmp_path: Path) -> None:
    repo.env["TRIMTAB_STATE_DIR"] = str(served.settings.state_dir)
    now = served.clock().isoformat()
    theirs, ours = get(served, "status"), repo.at("status", "--json", now=now, code=0).json()
    for name in ("agents", "heldChanges", "errors"):
        assert ours[name] == theirs[name]
    (one,), (other,) = ours["fleets"], theirs["fleets"]
    assert one.keys() == other.keys()
    for name in ("name", "url", "branch", "revision", "error"):
        assert one[name] == other[name]
    told = [[(c["summary"], c["reason"], c["until"]) for c in fleet["held"]] for fleet in (one, other)]
    assert sorted(told[0]) == sorted(told[1])
    calendar = repo.at("windows", "--json", "--from", DECEMBER["from"], "--to", DECEMBER["to"], now=now, code=0).json()
    assert calendar == get(served, "windows", **DECEMBER)
    text = repo.at("status", now=now, code=0).out
    assert "2 stale, 1 disconnected" in text


def test_windows_show_stretches_and_what_comes_next(served: Served, repo: FleetRepo) -> None:
    found = get(served, "windows", **DECEMBER)
    freeze = [span for span in found["spans"] if span["kind"] == "exclusion"]
    assert freeze == [
        {
            "fleet": str(repo.bare),
            "start": "2026-12-19T23:00:00+00:00",
            "end": "2027-01-02T23:00:00+00:00",
            "kind": "exclusion",
            "source": "fleet",
            "cron": "0 0 20 12 *",
            "durationSeconds": 14 * 86400,
            "timezone": "Europe/Berlin",
            "name": "holiday freeze",
        }
    ]
    coming = {window["source"]: window for window in found["windows"]}
    assert coming["fleet"]["opens"] == "2026-12-19T23:00:00+00:00"
    assert coming["cluster prod"]["open"] is False
    assert coming["cluster prod"]["opens"] == "2026-06-17T22:00:00+00:00"
    week = get(served, "windows")
    assert week["from"] == served.clock().isoformat()
    assert {span["source"] for span in week["spans"]} == {"cluster prod"}
    assert len(week["spans"]) == 5


def test_windows_of_one_cluster(served: Served) -> None:
    def sources(headers: dict[str, str] | None = None, **query: str) -> set[str]:
        return {window["source"] for window in get(served, "windows", headers, **query)["windows"]}

    assert sources() == {"fleet", "cluster prod"}
    assert sources(cluster="dev") == {"fleet"}
    assert sources(cluster="prod-id") == {"fleet", "cluster prod"}
    dev_only = served.key("changes:read", clusters=("dev",))
    assert sources(dev_only) == {"fleet"}
    assert sources(dev_only, cluster="prod") == set()
    assert sources(served.key("changes:read", organization="other")) == set()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-06-17T00:00:00"}, "from"),
        ({"to": "2026-06-17"}, "to"),
        ({"from": "2026-06-17T00:00:00Z", "to": "2026-06-17T00:00:00Z"}, "to"),
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-06-01T00:00:00Z"}, "to"),
        ({"from": "9999-12-31T00:00:00Z"}, "from"),
        ({"from": "0001-01-01T00:00:00+14:00"}, "from"),
    ],
)
def test_instants_that_cannot_be_used_are_refused(served: Served, query: dict[str, str], field: str) -> None:
    answer = served.client.get("/api/v1/windows", params=query)
    assert answer.status_code == 400, answer.text
    assert answer.json()["field"] == field


def test_a_password_in_the_url_is_never_shown(tmp_path: Path) -> None:
    fleet(tmp_path / "home")
    with git_served(tmp_path / "home", username="pat", password="hunter2-secret") as remote:
        url = remote.url.replace("://", "://pat:hunter2-secret@") + "/fleet.git"
        settings = Settings(fleet=url, state_dir=tmp_path / "server")
        clock = SetClock()
        with open_server(settings, interval=3600, passes=False, clock=clock) as server:
            (steward,) = server.stewards

            def look(house: House) -> None:
                loop.reconcile(house)
                steward.read(house)

            steward.ask(look).result(timeout=60)
            secret, _ = server.stores.keys.create("acme", "test", ("changes:read",), (), clock())
            client = TestClient(create_app(server), headers={"Authorization": f"Bearer {secret}"})
            for path in ("status", "changes", "windows"):
                answer = client.get(f"/api/v1/{path}").text
                assert "hunter2" not in answer
                assert f"{remote.url}/fleet.git" in answer
