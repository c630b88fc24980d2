"""Action configs over HTTP: the document's requests as they are printed, every refusal, and what becomes of a config."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.serve import open_server
from reconciler.model.action import StoredAction
from reconciler.settings import Settings
from support.fleets import RIGHTSIZE, FleetRepo, fleet_yaml, new_fleet
from support.replay import NOW
from support.served import Served, serving
from support.small import root_files

PROD_ID = "c1a2b3c4-d5e6-7890-abcd-ef1234567890"
PROFILE = {
    "source": "API",
    "scope": "local",
    "name": "my-rightsizing-action",
    "action": "containerRequestRightSizing",
    "config": {
        "cpu": True,
        "enabled": True,
        "exclusionWindow": "",
        "filter": 'namespace:"production"',
        "maintenanceWindow": "* 23 * * *",
        "memory": True,
        "profile": "Development",
        "rightSizingWindow": "48h",
    },
}
PARAMETERS = {
    "source": "API",
    "scope": "global",
    "name": "custom-rightsizing",
    "action": "containerRequestRightSizing",
    "config": {
        "cpu": True,
        "enabled": True,
        "filter": 'namespace:"staging"',
        "memory": True,
        "rightSizingWindow": "7d",
        "algorithmCPU": "max",
        "algorithmRAM": "max",
        "quantileCPU": 0.95,
        "quantileRAM": 0.95,
        "targetUtilizationCPU": 0.8,
        "targetUtilizationRAM": 0.8,
        "minRecCPUMillicores": 10,
        "minRecRAMBytes": 10485760,
        "maintenanceWindow": "0 2 * * 0",
        "exclusionWindow": "",
    },
}
SHOWN = ["id", "source", "scope", "cluster", "name", "action", "config"]
SLEEP = {"namespace": "shop", "maintenanceWindow": "* * * * *"}


def one_fleet(home: Path) -> FleetRepo:
    clusters = f"{{name: prod, id: {PROD_ID}, path: clusters/prod}}", "{name: dev, path: clusters/dev}"
    profiles = "  profiles: {Frugal: {targetUtilizationCPU: 0.9}}\n"
    files = {**root_files(), **root_files("clusters/dev"), "actions/rightsize.yaml": RIGHTSIZE}
    return new_fleet(home, {"trimtab.yaml": fleet_yaml(*clusters, extra=profiles), **files})


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> FleetRepo:
    """acme's fleet, which no test of this module changes."""
    return one_fleet(tmp_path_factory.mktemp("acme"))


@pytest.fixture
def served(repo: FleetRepo, tmp_path: Path, database_url: str) -> Iterator[Served]:
    with serving(tmp_path, repo, database_url=database_url) as running:
        yield running


@pytest.fixture(scope="module")
def shared(repo: FleetRepo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """For what is refused, and for tests that clean up."""
    with serving(tmp_path_factory.mktemp("shared"), repo) as running:
        yield running


def data(answer: Any, code: int = 200) -> Any:
    """What a success carries."""
    assert answer.status_code == code, answer.text
    body = answer.json()
    assert set(body) == {"code", "data"} and body["code"] == code
    return body["data"]


def message(answer: Any, code: int = 400) -> str:
    """What an error says."""
    assert answer.status_code == code, answer.text
    body = answer.json()
    assert (set(body), body["code"], body["status"]) == ({"code", "status", "message"}, code, "error")
    return str(body["message"])


def make(served: Served, config: dict[str, Any] | None = None, **fields: Any) -> Any:
    served.clock.forward(seconds=1)
    body = {"scope": "global", "action": "rightsizing", "config": config or {"profile": "Production"}, **fields}
    return data(served.client.post("/action/config", json=body))


def listed(served: Served, headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = data(served.client.get("/action/configs", headers=headers))
    return found


def test_actions_are_enabled(shared: Served) -> None:
    assert shared.client.get("/action/enabled").json() == {"code": 200, "data": True}


def test_the_documents_requests_as_they_are_printed(served: Served) -> None:
    client = served.client
    for request in (PROFILE, PARAMETERS):
        made = data(client.post("/action/config", json=request))
        assert list(made) == SHOWN
        assert UUID(made["id"]).version == 4
        assert made == {**request, "id": made["id"], "cluster": "all"}
        assert list(made["config"]) == list(request["config"])
        assert data(client.get("/action/config", params={"id": made["id"]})) == made
        served.clock.forward(seconds=1)
    declared, first, second = listed(served)
    assert (declared["source"], declared["name"], declared["cluster"]) == ("helm", "rightsize", "all")
    assert declared["config"]["profile"] == "Production"
    assert [first["name"], second["name"]] == ["my-rightsizing-action", "custom-rightsizing"]
    updated = data(client.post("/action/config", json={**first, "scope": "global", "name": "nightly"}))
    assert updated == {**first, "scope": "global", "name": "nightly"}
    assert listed(served) == [declared, updated, second]
    assert client.delete("/action/config", params={"id": first["id"]}).json() == {"code": 200, "data": None}
    assert listed(served) == [declared, second]
    for ask in (client.get, client.delete):
        assert first["id"] in message(ask("/action/config", params={"id": first["id"]}), 404)


def test_a_config_is_echoed_as_it_was_sent_under_its_old_names_too(served: Served) -> None:
    config = {"targetRAMUtilization": 0.7, "cpu": None, "minRecRAMBytes": 20971520, "actionConfigName": "old hands"}
    made = make(served, config, action="rightsizing")
    assert made["action"] == "containerRequestRightSizing"
    assert made["name"] == "old hands"
    assert list(made["config"].items()) == list(config.items())
    served.reconcile()
    state = served.steward.watch.state
    assert state is not None
    (read,) = (action for action in state.actions if action.source == "API")
    assert (read.sizing.target_utilization_ram, read.sizing.cpu) == (0.7, True)


def test_a_config_means_the_same_in_git_and_through_the_api(served: Served) -> None:
    (declared,) = listed(served)
    make(served, declared["config"], name=declared["name"])
    served.reconcile()
    state = served.steward.watch.state
    assert state is not None
    in_git, made = (action.model_dump(exclude={"id", "source", "path"}) for action in state.actions)
    assert made == in_git


def test_a_name_that_is_left_out_is_made_up_and_kept(served: Served) -> None:
    made = make(served, SLEEP, action="namespaceTurndown", name="", id="")
    assert made["name"] == f"turndown-{made['id'][:8]}"
    again = data(
        served.client.post("/action/config", json={k: v for k, v in made.items() if k not in ("name", "source")})
    )
    assert again == made


def test_a_cluster_is_named_or_identified_and_answered_by_name(served: Served) -> None:
    for given in ({"cluster": "prod"}, {"cluster": PROD_ID}, {"config": {"profile": "Frugal", "cluster": PROD_ID}}):
        made = make(served, scope="cluster", **given)
        assert (made["scope"], made["cluster"]) == ("cluster", "prod")
    assert make(served, cluster="all")["cluster"] == "all"


def test_the_profile_wins_over_individual_parameters(served: Served) -> None:
    make(served, {"profile": "Development", "targetUtilizationCPU": 0.3, "quantileCPU": 0, "minRecCPUMillicores": 25.0})
    served.reconcile()
    state = served.steward.watch.state
    assert state is not None
    sizing = state.actions[-1].sizing
    assert (sizing.profile, sizing.target_utilization_cpu, sizing.min_cpu_millicores) == ("Development", 0.8, 10)


def test_a_floor_is_a_number_and_rounded_up(served: Served) -> None:
    made = make(served, {"minRecCPUMillicores": 10.5, "minRecRAMBytes": 1e8})
    assert made["config"] == {"minRecCPUMillicores": 10.5, "minRecRAMBytes": 1e8}
    served.reconcile()
    state = served.steward.watch.state
    assert state is not None
    assert (state.actions[-1].sizing.min_cpu_millicores, state.actions[-1].sizing.min_ram_bytes) == (11, 100_000_000)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"source": "helm"}, "source: helm configs are declared in Git"),
        ({"source": "git"}, "source: must be API, or left out"),
        ({"source": 5}, "source: must be API"),
        ({"scope": None}, "scope: must be"),
        ({"scope": "region"}, "scope: must be 'global', 'cluster' or 'local'"),
        ({"scope": "cluster"}, "cluster: is needed with the scope cluster"),
        ({"scope": "cluster", "cluster": ""}, "cluster: is needed"),
        ({"scope": "cluster", "cluster": "moon"}, "cluster: there is no cluster 'moon'; there are: dev, prod"),
        ({"scope": "local", "cluster": "prod"}, "cluster: the scope local means all clusters"),
        ({"name": "system"}, "name: the name system is reserved"),
        ({"name": "SYSTEM"}, "name: the name SYSTEM is reserved"),
        ({"name": "two\nlines"}, "name: must be one line of text"),
        ({"name": 7}, "name: must be a valid string"),
        ({"action": None}, "action: must be"),
        ({"action": "clusterTurndown"}, "action: must be 'containerRequestRightSizing'"),
        ({"config": None}, "config: must be"),
        ({"config": []}, "config: must be"),
        ({"colour": "red"}, "colour: is not a field of this request"),
        ({"id": 5}, "id: must be a valid string"),
        ({"id": "a\x00b"}, "id: must be one line"),
    ],
)
def test_what_is_wrong_beside_the_config_is_a_400_that_names_it(
    shared: Served, fields: dict[str, Any], words: str
) -> None:
    body = {"scope": "global", "name": "n", "action": "rightsizing", "config": {"profile": "Production"}, **fields}
    assert message(shared.client.post("/action/config", json=body)).startswith(words)


@pytest.mark.parametrize("missing", ["scope", "action", "config"])
def test_what_is_needed_is_asked_for(shared: Served, missing: str) -> None:
    body = {k: v for k, v in PROFILE.items() if k != missing}
    assert message(shared.client.post("/action/config", json=body)) == f"{missing}: is needed"
    assert listed(shared)[1:] == []


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"profile": ""}, "config.profile: either a profile or individual parameters are needed; one of Development"),
        ({"profile": "Producton"}, "config.profile: there is no profile named Producton; did you mean Production?"),
        ({"profile": "zzz"}, "config.profile: there is no profile named zzz; known here: Development, Frugal"),
        ({"profile": 5}, "config.profile: must be a valid string"),
        ({"enabled": "yes"}, "config.enabled: must be a valid boolean"),
        ({"cpu": 1}, "config.cpu: must be a valid boolean"),
        ({"memory": "true"}, "config.memory: must be a valid boolean"),
        ({"quantileCPU": 1.5}, "config.quantileCPU: must be less than or equal to 1"),
        ({"quantileCPU": -0.1}, "config.quantileCPU: must be greater than or equal to 0"),
        ({"quantileRAM": "0.95"}, "config.quantileRAM: must be a valid number"),
        ({"targetUtilizationCPU": 0}, "config.targetUtilizationCPU: must be greater than 0"),
        ({"targetUtilizationRAM": 80}, "config.targetUtilizationRAM: must be less than or equal to 1"),
        ({"targetRAMUtilization": 2}, "config.targetRAMUtilization: must be less than or equal to 1"),
        ({"algorithmCPU": "median"}, "config.algorithmCPU: must be 'max', 'quantile'"),
        ({"algorithmRAM": 5}, "config.algorithmRAM: must be 'max'"),
        ({"minRecCPUMillicores": -1}, "config.minRecCPUMillicores: must be greater than or equal to 0"),
        ({"minRecCPUMillicores": "10"}, "config.minRecCPUMillicores: must be a valid integer"),
        ({"minRecRAMBytes": 10**30}, "config.minRecRAMBytes: must be less than or equal to"),
        ({"filter": f'namespace:"{"a" * 1_000_000}"'}, "config.filter: column 4097: "),
        ({"filter": "(" * 10_000 + 'namespace:"a"' + ")" * 10_000}, "config.filter: column 4097: "),
        ({"filter": "(" * 2_000 + 'namespace:"a"' + ")" * 2_000}, "config.filter: column "),
        ({"rightSizingWindow": "fortnight"}, "config.rightSizingWindow: 'fortnight' is not a duration such as"),
        ({"rightSizingWindow": 48}, "config.rightSizingWindow: write a duration such as"),
        ({"rightSizingWindow": "0d"}, "config.rightSizingWindow: '0d' is not a duration between"),
        ({"maintenanceWindow": "* 23 * *"}, "config.maintenanceWindow: "),
        ({"maintenanceWindow": "0 0 2 * * 0"}, "config.maintenanceWindow: "),
        ({"maintenanceWindow": "@daily"}, "config.maintenanceWindow: "),
        ({"maintenanceWindow": "* 25 * * *"}, "config.maintenanceWindow: "),
        ({"maintenanceWindow": 5}, "config.maintenanceWindow"),
        ({"exclusionWindow": "never"}, "config.exclusionWindow: "),
        ({"exclusionWindow": ["* 2 * * *", "* 2 * *"]}, "config.exclusionWindow.1: "),
        ({"exclusionWindow": {"cron": "* 2 * * *", "timezone": "Mars"}}, "config.exclusionWindow.timezone: 'Mars'"),
        ({"filter": 'namespace:"shop'}, "config.filter: column 11: the value that starts here is never closed"),
        ({"filter": 'nmespace:"shop"'}, "config.filter: column 1: unknown field 'nmespace'; did you mean namespace?"),
        (
            {"filter": 'namespace:"a" + node:"b" | node:"c"'},
            "config.filter: column 26: + and | are mixed without parentheses",
        ),
        ({"filter": None, "fliter": ""}, "config.fliter: unknown field; did you mean filter?"),
        ({"fliter": None}, "config.fliter: unknown field"),
        ({"cluster": "prod"}, "config.cluster: the scope global means all clusters"),
        ({"actionConfigName": "system"}, "name: the name system is reserved"),
        ({"actionConfigName": "a\tb"}, "config.actionConfigName: must be one line"),
        ({"namespaces": ["shop"]}, "config.namespaces: unknown field"),
    ],
)
def test_what_is_wrong_in_the_config_is_a_400_that_names_the_field(
    shared: Served, config: dict[str, Any], words: str
) -> None:
    given = {"profile": "Production", **config}
    body = {"scope": "global", "action": "containerRequestRightSizing", "config": given}
    assert message(shared.client.post("/action/config", json=body)).startswith(words)
    assert listed(shared)[1:] == []


@pytest.mark.parametrize("config", [{}, {"cpu": True, "filter": ""}, {"profile": None}])
def test_neither_a_profile_nor_parameters_is_a_400(shared: Served, config: dict[str, Any]) -> None:
    body = {"scope": "global", "action": "containerRequestRightSizing", "config": config}
    assert message(shared.client.post("/action/config", json=body)).startswith("config.profile: either a profile or")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"namespace": "shop"}, "config.maintenanceWindow: a turndown needs a maintenance window"),
        ({"namespace": "shop", "maintenanceWindow": ""}, "config.maintenanceWindow: a turndown needs"),
        ({"maintenanceWindow": "* 20 * * *"}, "config.namespaces: a turndown must say which namespaces"),
        ({**SLEEP, "profile": "Production"}, "config.profile: unknown field"),
        ({**SLEEP, "namespace": "default"}, "config.namespace: default is never turned down: the cluster needs it"),
        ({**SLEEP, "namespaces": ["dev", "kube-system"]}, "config.namespaces: kube-system is never turned down"),
    ],
)
def test_a_turndown_needs_a_window_and_namespaces(shared: Served, config: dict[str, Any], words: str) -> None:
    body = {"scope": "global", "action": "namespaceTurndown", "config": config}
    assert message(shared.client.post("/action/config", json=body)).startswith(words)


@pytest.mark.parametrize("field", ["maintenanceWindow", "exclusionWindow"])
@pytest.mark.parametrize("windows", [["* 23 * * *"] * 101, "||".join(["* 23 * * *"] * 50_000)])
def test_more_windows_than_a_pass_can_look_at_are_refused(shared: Served, field: str, windows: object) -> None:
    body = {"scope": "global", "action": "rightsizing", "config": {"profile": "Production", field: windows}}
    assert message(shared.client.post("/action/config", json=body)).startswith(f"config.{field}: ")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b'{"scope": "global", "action": "rightsizing", "config": {"quantileCPU": NaN}}',
        b'{"scope": "global", "action": "rightsizing", "config": {"targetUtilizationCPU": Infinity}}',
        b'{"scope": "global", "action": "rightsizing", "name": "\\ud800", "config": {"profile": "Production"}}',
        b'{"scope": "global", "action": "rightsizing", "config": {"profile": "\\ud800"}}',
        b'{"scope": "global", "action": "rightsizing", "config": {"profile": "Production", "\\ud800": null}}',
        b'{"scope": "global", "action": "rightsizing", "config": {"profile": ' + b"[" * 900 + b"]" * 900 + b"}}",
    ],
)
def test_nothing_that_is_sent_breaks_the_server(shared: Served, body: bytes) -> None:
    answer = shared.client.post("/action/config", content=body, headers={"Content-Type": "application/json"})
    assert message(answer)


def test_the_id_is_needed_and_must_be_one(shared: Served) -> None:
    for ask in (shared.client.get, shared.client.delete):
        assert message(ask("/action/config")) == "id: is needed"
        assert message(ask("/action/config", params={"id": ""})).startswith("id: ")
        assert message(ask("/action/config", params={"id": "550e8400-e29b-41d4-a716-446655440000"}), 404)
    body = {**PROFILE, "id": "550e8400-e29b-41d4-a716-446655440000"}
    assert "550e8400" in message(shared.client.post("/action/config", json=body), 404)


def test_what_git_declares_is_changed_in_git(shared: Served) -> None:
    (declared,) = listed(shared)
    body = {**declared, "source": "API"}
    for answer in (
        shared.client.post("/action/config", json=body),
        shared.client.delete("/action/config", params={"id": declared["id"]}),
    ):
        assert "actions/rightsize.yaml" in message(answer) and "source helm" in message(answer)
    assert data(shared.client.get("/action/config", params={"id": declared["id"]})) == declared


def test_what_is_of_scope_local_is_not_deleted(served: Served) -> None:
    made = make(served, scope="local")
    assert "scope local" in message(served.client.delete("/action/config", params={"id": made["id"]}))
    data(served.client.post("/action/config", json={**made, "scope": "global"}))
    data(served.client.delete("/action/config", params={"id": made["id"]}))
    assert [config["source"] for config in listed(served)] == ["helm"]


def test_a_key_of_some_clusters_writes_for_them_only(served: Served) -> None:
    everywhere, dev = make(served), make(served, scope="cluster", cluster="dev")
    by_name = served.key("actions:write", clusters=("prod",))
    by_id = served.key("actions:write", clusters=(PROD_ID,))
    mine = {"scope": "cluster", "cluster": "prod", "action": "rightsizing", "config": {"profile": "Production"}}
    for key in (by_name, by_id):
        made = data(served.client.post("/action/config", json=mine, headers=key))
        assert [c["id"] for c in listed(served, key)][1:] == [everywhere["id"], made["id"]]
        refused = [
            served.client.post("/action/config", json={**mine, "cluster": "dev"}, headers=key),
            served.client.post("/action/config", json={**mine, "scope": "global", "cluster": "all"}, headers=key),
            served.client.post("/action/config", json={**mine, "id": everywhere["id"]}, headers=key),
            served.client.delete("/action/config", params={"id": everywhere["id"]}, headers=key),
        ]
        assert all("limited" in message(answer, 403) for answer in refused)
        for ask in (served.client.get, served.client.delete):
            assert message(ask("/action/config", params={"id": dev["id"]}, headers=key), 404)
        data(served.client.delete("/action/config", params={"id": made["id"]}, headers=key))
    assert [c["id"] for c in listed(served)][1:] == [everywhere["id"], dev["id"]]


def test_scopes_and_organizations_are_kept_apart(served: Served) -> None:
    made = make(served)
    reader, stranger = served.key("actions:read"), served.key("admin", organization="globex")
    assert len(listed(served, reader)) == 2
    assert message(served.client.post("/action/config", json=PROFILE, headers=reader), 403)
    assert message(served.client.get("/action/configs", headers={"Authorization": "Bearer tt_live_x"}), 401)
    assert listed(served, stranger) == []
    assert message(served.client.get("/action/config", params={"id": made["id"]}, headers=stranger), 404)
    assert message(served.client.post("/action/config", json={**PROFILE, "id": made["id"]}, headers=stranger), 404)
    assert "globex has no fleet repo" in message(served.client.post("/action/config", json=PROFILE, headers=stranger))


def test_while_no_fleet_repo_can_be_read_nothing_is_taken(tmp_path: Path) -> None:
    broken = new_fleet(tmp_path, {"trimtab.yaml": "kind: Fleet\n"})
    settings = Settings(fleet=str(broken.bare), state_dir=tmp_path / "server")
    with open_server(settings, interval=3600, passes=False) as server:
        key, _ = server.stores.keys.create("acme", "all", ("admin",), (), NOW)
        client = TestClient(create_app(server), headers={"X-API-Key": key}, raise_server_exceptions=False)
        answer = client.post("/action/config", json=PROFILE)
        assert "could not be read yet" in message(answer, 500)
        assert int(answer.headers["Retry-After"]) > 0
        assert data(client.get("/action/configs")) == []


# --- what becomes of it ---------------------------------------------------------------------------------------------


def usage(home: Path, now: datetime) -> Path:
    """Three days of a container that uses half a core and 40 MiB, where 100m and 64Mi are requested."""
    file = home / "usage.csv"
    with file.open("w", newline="") as handle:
        out = csv.writer(handle)
        out.writerow(["timestamp", "cluster", "namespace", "kind", "name", "container", "cpu_cores", "memory_bytes"])
        for k in range(3 * 96):
            stamp = (now - timedelta(minutes=15 * k)).strftime("%Y-%m-%dT%H:%M:%SZ")
            out.writerow([stamp, "prod", "shop", "Deployment", "web", "server", 0.4, 40 * 2**20])
    return file


@pytest.fixture
def live(tmp_path: Path, database_url: str) -> Iterator[tuple[Served, FleetRepo]]:
    """A fleet of its own, without declared actions."""
    declared = fleet_yaml("{name: prod, path: clusters/prod}")
    own = new_fleet(tmp_path / "own", {"trimtab.yaml": declared, **root_files()})
    with serving(tmp_path, own, database_url=database_url) as running:
        own.env["TRIMTAB_DATABASE_URL"] = database_url
        yield running, own


def test_a_config_outlives_the_server_and_another_process_plans_by_it(
    live: tuple[Served, FleetRepo], tmp_path: Path, database_url: str
) -> None:
    served, repo = live
    made = make(served, {"profile": "Development", "rightSizingWindow": "48h", "maintenanceWindow": "* 23 * * *"})
    with serving(tmp_path / "again", repo, database_url=database_url) as restarted:
        assert listed(restarted) == [made]
    night = datetime(2026, 6, 17, 23, 10, tzinfo=UTC)
    repo.trimtab("usage", "import", str(usage(tmp_path, night)), code=0)
    held = repo.at("plan", now="2026-06-17T22:59:00Z", code=0)
    assert "action" in held.text and "23 * * *" in held.text
    planned = repo.at("plan", now="2026-06-17T23:10:00Z", code=2)
    assert "requests-deployment-web.yaml" in planned.text and "500m" in planned.text
    repo.at("reconcile", "--once", now="2026-06-17T23:10:00Z", code=0)
    assert f"Trimtab-Action: {made['id']}" in repo.log("%B", "-1")
    assert "500m" in repo.show("clusters/prod/trimtab/shop/requests-deployment-web.yaml")


def test_a_namespace_that_a_config_turned_down_comes_up_when_the_config_is_deleted(
    live: tuple[Served, FleetRepo],
) -> None:
    served, repo = live
    made = make(served, SLEEP, action="namespaceTurndown", name="sleep")
    served.reconcile()
    file = "clusters/prod/trimtab/shop/turndown/turndown.yaml"
    assert "replicas: 0" in repo.show(file)
    repo.env.pop("TRIMTAB_DATABASE_URL")
    elsewhere = repo.at("plan", code=0)
    assert f"action {made['id']} is not in this database" in elsewhere.text
    data(served.client.delete("/action/config", params={"id": made["id"]}))
    served.reconcile()
    assert file not in repo.files()


def test_a_window_that_passes_would_miss_is_warned_about(live: tuple[Served, FleetRepo]) -> None:
    served, repo = live
    data(served.client.post("/action/config", json=PARAMETERS))
    ran = repo.trimtab("doctor", "--json")
    (warned,) = (f for f in ran.json() if "`0 2 * * 0`" in f["message"])
    assert warned["mark"] == "warning" and "action custom-rightsizing" in warned["message"]
    assert "open for only 1m at a time" in repo.at("windows", code=0).text
    served.reconcile()
    (shown,) = served.client.get("/api/v1/windows").json()["windows"]
    assert shown["source"] == "action custom-rightsizing" and "`* 2 * * 0`" in shown["warning"]


def test_a_config_that_cannot_be_used_any_more_is_a_problem_by_name(live: tuple[Served, FleetRepo]) -> None:
    served, repo = live
    made = make(served, SLEEP, action="namespaceTurndown", name="sleep", scope="cluster", cluster="prod")
    served.reconcile()
    file = "clusters/prod/trimtab/shop/turndown/turndown.yaml"
    assert file in repo.files()
    now, store = served.clock(), served.server.stores.action_configs
    store.create(
        StoredAction(
            id="00000000-0000-4000-8000-000000000001", organization="acme", scope="global", name="thrifty",
            action="containerRequestRightSizing", config={"profile": "Gone"}, created_at=now, updated_at=now,
        )
    )  # fmt: skip
    repo.pull()
    repo.write("trimtab.yaml", (repo.work / "trimtab.yaml").read_text().replace("name: prod,", "name: prod-2,"))
    repo.commit("Another name for the cluster")
    told = [str(p["message"]) for p in repo.trimtab("doctor", "--json").json() if p["mark"] == "failed"]
    assert any(t.startswith("action thrifty: config.profile: there is no profile named Gone") for t in told), told
    assert any(t.startswith("action sleep: cluster: there is no cluster prod in trimtab.yaml") for t in told), told
    served.reconcile()
    assert file in repo.files(), "nothing is concluded from configs that cannot be read"
    data(served.client.post("/action/config", json={**made, "cluster": "prod-2", "source": "API"}))
    assert message(served.client.post("/action/config", json={**made, "source": "API"})).startswith("cluster: ")


def test_with_two_fleet_repos_a_config_must_be_good_for_each_that_it_is_about(tmp_path: Path) -> None:
    frugal = "  profiles: {Frugal: {targetUtilizationCPU: 0.9}}\n"
    first = new_fleet(
        tmp_path / "one",
        {"trimtab.yaml": fleet_yaml("{name: prod, path: clusters/prod}", extra=frugal), **root_files()},
    )
    second = new_fleet(
        tmp_path / "two",
        {
            "trimtab.yaml": fleet_yaml("{name: dev, path: clusters/dev}"),
            **root_files("clusters/dev"),
            "actions/rightsize.yaml": RIGHTSIZE.replace("scope: global", "scope: local"),
        },
    )
    with serving(tmp_path, first, second) as served:
        (declared,) = listed(served, served.key("actions:read", clusters=("dev",)))
        stranger = served.key("actions:read", clusters=("prod",))
        assert listed(served, stranger) == [], "all clusters of the other fleet repo are none of the key's"
        assert message(served.client.get("/action/config", params={"id": declared["id"]}, headers=stranger), 404)
        make(served, {"profile": "Frugal"}, scope="cluster", cluster="prod")
        for fields in ({"scope": "global"}, {"scope": "cluster", "cluster": "dev"}):
            body = {"action": "rightsizing", "config": {"profile": "Frugal"}, **fields}
            assert message(served.client.post("/action/config", json=body)).startswith("config.profile: there is no")
        make(served, SLEEP, action="namespaceTurndown", scope="cluster", cluster="dev")
        served.reconcile()
        found = [steward.watch.state for steward in served.server.stewards]
        assert [[a.action for a in state.actions] for state in found if state] == [
            ["containerRequestRightSizing"],
            ["containerRequestRightSizing", "namespaceTurndown"],
        ]
        assert all(state is not None and state.problems == () for state in found)
        assert not first.files("clusters/prod/trimtab/shop") and second.files("clusters/dev/trimtab/shop/turndown")
