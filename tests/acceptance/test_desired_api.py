"""The desired state as an agent pulls it, and what its reports do: over real Git, real builds, and real passes."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from httpx import Response

from reconciler.model.agent import StatusReport
from reconciler.model.change import Change
from reconciler.model.observation import PushBody
from reconciler.model.policy import PolicyState, ScalingPolicySpec
from reconciler.report.health import apply_health, health_message
from reconciler.steps.serving import desired_of
from support.fleets import FleetRepo, boutique, fleet_yaml, git, new_fleet, policy
from support.replay import CLUSTER, NOW, write_csv
from support.served import Served, serving
from support.small import deployment, root_files

ROOT = "clusters/prod"
SLEEP = """\
apiVersion: trimtab.dev/v1alpha1
kind: ActionConfig
metadata: {name: sleep}
spec:
  scope: global
  action: namespaceTurndown
  config: {enabled: true, filter: 'namespace:"app"', maintenanceWindow: "* 9-11 * * *"}
"""


def fleet(home: Path, cluster: str = f"{{name: prod, path: {ROOT}}}", **files: str) -> FleetRepo:
    base = {
        "trimtab.yaml": fleet_yaml(cluster),
        **root_files(ROOT, namespace="app"),
    }
    return new_fleet(home, base | files)


def registered(
    served: Served, cluster: str = "prod", organization: str = "acme", platform: Any = "kubernetes"
) -> tuple[str, dict[str, str]]:
    """An agent as registering makes it, and the header with its token."""
    agent = served.server.stores.agents.register(
        organization=organization,
        platform=platform,
        name=cluster,
        hostname=f"{organization}-1",
        version="1.0",
        cluster=cluster,
        host_pool="",
        observed_as=cluster,
        at=served.clock(),
    )
    token = served.server.tokens.for_agent(agent.id, organization, served.clock())
    return agent.id, {"Authorization": f"Bearer {token}"}


def pull(served: Served, agent: tuple[str, dict[str, str]], **headers: str) -> Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return served.client.get(f"/api/v1/agents/{agent[0]}/scaling/desired", headers=agent[1] | names)


def told(answer: Response) -> dict[str, Any]:
    """The entries of an answer by kind and name; whole objects pass the published schemas."""
    assert answer.status_code == 200, answer.text
    found = answer.json()["manifests"]
    for one in found:
        if one["metadata"]["annotations"]["trimtab.dev/owns"] == "object":
            kubernetes_validate.validate(one, "1.32", strict=True)
    return {f"{one['kind']} {one['metadata']['namespace']}/{one['metadata']['name']}": one for one in found}


def live(served: Served, target: str = "app/web", **fields: Any) -> str:
    """A policy made through the API's store; its id."""
    given = {"name": target, "runtime": "kubernetes", "target_ref": target, "cpu_target_percent": 70, "dry_run": False}
    spec = ScalingPolicySpec.model_validate({**given, "min_replicas": 2, "max_replicas": 6, **fields})
    return served.server.stores.policies.create("acme", spec, served.clock()).id


def changed(served: Served, path: str, text: str) -> None:
    """A person's commit, and the steward's look at it."""
    repo = REPOS[served.server.settings.fleet]
    repo.pull()
    repo.write(path, text)
    repo.commit()
    served.steward.ask(served.steward.read).result(timeout=60)


REPOS: dict[str, FleetRepo] = {}


@contextmanager
def committed(home: Path, database_url: str = "") -> Iterator[Served]:
    repo = fleet(home)
    REPOS[str(repo.bare)] = repo
    with serving(home, repo, database_url=database_url) as served:
        live(served)
        served.reconcile()
        yield served


@pytest.fixture
def prod(tmp_path: Path) -> Iterator[Served]:
    """A cluster with one Deployment and one live policy that has been committed."""
    with committed(tmp_path) as served:
        yield served


@pytest.fixture
def stored(tmp_path: Path, database_url: str) -> Iterator[Served]:
    """The same, on each database."""
    with committed(tmp_path, database_url) as served:
        yield served


def head(served: Served) -> str:
    return REPOS[served.server.settings.fleet].head()


# --- pulling --------------------------------------------------------------------------------------------------------


def test_an_agent_is_told_what_the_branch_says(prod: Served) -> None:
    agent = registered(prod)
    answer = pull(prod, agent)
    body = answer.json()
    assert (body["revision"], body["cluster"]) == (head(prod), "prod")
    assert list(told(answer)) == ["HorizontalPodAutoscaler app/web"]
    hpa = body["manifests"][0]
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (2, 6)
    repo = REPOS[prod.server.settings.fleet]
    (built,) = [one for one in repo.build(ROOT) if one["kind"] == "HorizontalPodAutoscaler"]
    hpa["metadata"]["annotations"].pop("trimtab.dev/owns")
    assert hpa == built
    # One root: the id of its tree.
    assert answer.headers["etag"] == f'"{git(repo.bare, "rev-parse", f"main:{ROOT}")}"'


def test_the_same_state_is_told_by_its_etag(prod: Served) -> None:
    agent = registered(prod)
    etag = pull(prod, agent).headers["etag"]
    for names in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = pull(prod, agent, if_none_match=names)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert pull(prod, agent, if_none_match='"other"').status_code == 200


def test_the_etag_changes_with_the_cluster_and_with_nothing_else(prod: Served) -> None:
    agent = registered(prod)
    etag = pull(prod, agent).headers["etag"]
    changed(prod, "README.md", "Ours\n")
    elsewhere = pull(prod, agent, if_none_match=etag)
    assert elsewhere.status_code == 304
    assert elsewhere.headers["trimtab-revision"] == head(prod)
    changed(prod, f"{ROOT}/apps/web.yaml", deployment(namespace="app") + "# Reviewed.\n")
    here = pull(prod, agent, if_none_match=etag)
    assert here.status_code == 200
    assert here.json()["revision"] == head(prod)


def test_a_partial_object_has_just_our_fields_and_the_uid_that_was_pushed(stored: Served) -> None:
    agent = registered(stored)
    changed(stored, "actions/sleep.yaml", SLEEP)
    stored.reconcile()
    before = pull(stored, agent)
    down = {"replicas": 0}
    owns = {"trimtab.dev/owns": "fields"}
    partial = told(before)["Deployment app/web"]
    assert partial == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "app", "annotations": owns},
        "spec": down,
    }
    workload = {"namespace": "app", "kind": "Deployment", "name": "web", "uid": "u-1"}
    push = PushBody.model_validate({"timestamp": NOW, "workloads": [workload]})
    assert stored.server.stores.record_push(push, "prod", agent[0])
    stored.server.nudge([])
    after = pull(stored, agent, if_none_match=before.headers["etag"])
    assert told(after)["Deployment app/web"]["metadata"]["uid"] == "u-1"
    assert after.headers["etag"].startswith(before.headers["etag"][:-1] + "-")
    assert pull(stored, agent, if_none_match=after.headers["etag"]).status_code == 304


def test_right_sized_requests_are_told_and_whole_deployments_never(tmp_path: Path) -> None:
    files = {"policies/frontend.yaml": policy("frontend", "default/frontend", minReplicas=2, maxReplicas=8)}
    repo = boutique(tmp_path, files=files)
    usage = write_csv(tmp_path / "usage.csv")
    with serving(tmp_path, repo) as served:
        database = served.settings.database
        repo.env["TRIMTAB_DATABASE_URL"] = database
        repo.trimtab("usage", "import", str(usage), code=0)
        served.reconcile()
        found = told(pull(served, registered(served, CLUSTER)))
    built = {f"{one['kind']} default/{one['metadata']['name']}": one for one in repo.build("clusters/boutique-prod")}
    deployments = {key: one for key, one in found.items() if key.startswith("Deployment")}
    assert len(deployments) > 5
    assert "HorizontalPodAutoscaler default/frontend" in found
    for key, one in deployments.items():
        assert set(one["spec"]) == {"template"}
        for container in one["spec"]["template"]["spec"]["containers"]:
            assert set(container) == {"name", "resources"}
            whole = built[key]["spec"]["template"]["spec"]["containers"]
            sizes = next(c["resources"] for c in whole if c["name"] == container["name"])
            for bound, values in container["resources"].items():
                assert values == {name: str(sizes[bound][name]) for name in values}


def test_names_and_namespaces_are_those_of_the_build(tmp_path: Path) -> None:
    files = {
        f"{ROOT}/kustomization.yaml": "resources: [team]\ncomponents: [trimtab]\n",
        f"{ROOT}/team/kustomization.yaml": "resources: [../apps]\nnamePrefix: eu-\nnamespace: team\n",
        "policies/web.yaml": policy("web", "team/eu-web"),
        "actions/sleep.yaml": SLEEP.replace('namespace:"app"', 'namespace:"team"'),
    }
    repo = fleet(tmp_path, **files)
    with serving(tmp_path, repo) as served:
        served.reconcile()
        assert sorted(told(pull(served, registered(served)))) == [
            "Deployment team/eu-web",
            "HorizontalPodAutoscaler team/eu-web",
        ]


@pytest.mark.parametrize("sync", ["argocd", "flux"])
def test_where_something_else_syncs_there_is_nothing_to_apply(tmp_path: Path, sync: str) -> None:
    roots = f"{{name: prod, roots: [{{path: {ROOT}, sync: {sync}}}]}}"
    repo = fleet(tmp_path, roots, **{"policies/web.yaml": policy("web", "app/web")})
    with serving(tmp_path, repo) as served:
        served.reconcile()
        assert repo.files(f"{ROOT}/trimtab/app")
        answer = pull(served, registered(served))
        assert (answer.status_code, answer.json()["manifests"]) == (200, [])
        assert answer.json()["revision"] == repo.head()


def test_values_that_are_handed_over_to_an_hpa_are_nobodys(tmp_path: Path) -> None:
    web = deployment(namespace="app").replace("spec:\n  selector", "spec:\n  replicas: 3\n  selector", 1)
    files = {f"{ROOT}/apps/web.yaml": web, "policies/web.yaml": policy("web", "app/web", handOver=True)}
    repo = fleet(tmp_path, **files)
    with serving(tmp_path, repo) as served:
        served.reconcile()
        served.reconcile()
        assert any("handover/app" in path for path in repo.files())
        assert list(told(pull(served, registered(served)))) == ["HorizontalPodAutoscaler app/web"]


def test_a_root_of_helm_values_has_nothing_of_ours_and_is_not_built(tmp_path: Path) -> None:
    roots = f"{{name: prod, roots: [{{path: {ROOT}}}, {{path: charts/shop, write: helmValues}}]}}"
    chart = {
        "charts/shop/templates/web.yaml": "spec: {{ .Values.spec | toYaml }}\n",
        "charts/shop/values.yaml": "a: 1\n",
    }
    repo = fleet(tmp_path, roots, **chart, **{"policies/web.yaml": policy("web", "app/web")})
    with serving(tmp_path, repo) as served:
        served.reconcile()
        assert list(told(pull(served, registered(served)))) == ["HorizontalPodAutoscaler app/web"]


# --- what cannot be told --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        (f"{ROOT}/apps/kustomization.yaml", "resources: [web.yaml, gone.yaml]\n", "gone.yaml"),
        (f"{ROOT}/kustomization.yaml", "resources: [apps\n", "kustomization.yaml"),
        (f"{ROOT}/apps/web.yaml", deployment(namespace="app") + "---\n" + deployment(namespace="app"), "web"),
    ],
)
def test_a_root_that_does_not_build_is_a_503_and_never_an_empty_list(
    prod: Served, path: str, text: str, words: str
) -> None:
    agent = registered(prod)
    etag = pull(prod, agent).headers["etag"]
    good = REPOS[prod.server.settings.fleet].show(path)
    changed(prod, path, text)
    for _ in range(2):
        answer = pull(prod, agent, if_none_match=etag)
        assert answer.status_code == 503
        assert ROOT in answer.json()["error"]
        assert words in answer.json()["error"]
    changed(prod, path, good + "\n")
    assert "HorizontalPodAutoscaler app/web" in told(pull(prod, agent))


def test_without_kustomize_the_server_says_so(prod: Served) -> None:
    def read(house: Any) -> None:
        builder, house.builder = house.builder, None
        try:
            desired_of(house, prod.server.clusters("acme")[0], house.repository.head)
        finally:
            house.builder = builder

    with pytest.raises(Exception, match="neither kustomize nor kubectl"):
        prod.steward.ask(read).result(timeout=60)


def test_a_cluster_that_nobody_declares_is_a_404_that_says_what_to_do(prod: Served) -> None:
    for agent in (
        registered(prod, "staging"),
        registered(prod, "prod", "other"),
        registered(prod, "web", "acme", "docker"),
    ):
        answer = pull(prod, agent)
        assert answer.status_code == 404
        assert post(prod, agent, head(prod)).status_code == 404
    assert "trimtab.yaml" in pull(prod, registered(prod, "staging")).json()["error"]


def test_only_the_agent_itself_is_told(prod: Served) -> None:
    mine, other = registered(prod), registered(prod, "prod", "other")
    path = f"/api/v1/agents/{mine[0]}/scaling/desired"
    assert prod.client.get(path, headers=other[1]).status_code == 403
    assert prod.client.get(path).status_code == 401  # a key, whatever its scopes
    prod.clock.forward(hours=2)
    assert prod.client.get(path, headers=mine[1]).status_code == 401


def test_a_pull_is_a_sign_of_life(prod: Served) -> None:
    agent = registered(prod)
    prod.clock.forward(seconds=100)
    pull(prod, agent)
    prod.server.flush_heard()
    (found,) = prod.server.stores.agents.list("acme")
    assert found.last_seen == prod.clock()


# --- reporting ------------------------------------------------------------------------------------------------------


def said(status: str, kind: str = "HorizontalPodAutoscaler", name: str = "web", **more: str) -> dict[str, str]:
    given = {"apiVersion": "autoscaling/v2", "kind": kind, "namespace": "app", "name": name, "status": status}
    return given | {"message": f"{name} is {status}"} | more


def post(
    served: Served, agent: tuple[str, dict[str, str]], revision: str, *objects: Mapping[str, str | None]
) -> Response:
    body = {"revision": revision, "objects": list(objects)}
    return served.client.post(f"/api/v1/agents/{agent[0]}/scaling/status", json=body, headers=agent[1])


def report(
    served: Served, agent: tuple[str, dict[str, str]], revision: str, *objects: Mapping[str, str | None]
) -> None:
    """A report that was taken, and gone through: the steward answers in order."""
    answer = post(served, agent, revision, *objects)
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    served.steward.ask(lambda _house: None).result(timeout=60)


def newest(served: Served) -> Change:
    return served.server.stores.changes.list(served.steward.watch.url)[0]


def change(served: Served) -> tuple[str, str]:
    """State and failure of the newest change."""
    return newest(served).state, newest(served).failure


def health(served: Served) -> tuple[str, str]:
    (made,) = served.server.stores.policies.of("acme")
    commit = served.server.stores.changes.list(served.steward.watch.url)[-1].commit
    state = PolicyState(
        policy_id=made.id, cluster="prod", objects=("HorizontalPodAutoscaler app/web",), revision=commit
    )
    told = served.server.stores.reports.newest("prod")
    return apply_health(made.as_policy(), state, told), health_message(made.as_policy(), state, told)


def test_a_change_is_applied_once_its_commit_is_reported(stored: Served) -> None:
    agent = registered(stored)
    before = REPOS[stored.server.settings.fleet].log("%H", "-2")[1]
    report(stored, agent, before)
    assert change(stored) == ("committed", "")
    assert health(stored)[0] == "pending"
    changed(stored, "README.md", "A later commit\n")
    report(stored, agent, head(stored), said("applied"))
    assert change(stored) == ("applied", "")
    assert health(stored) == ("applied", "")


def test_a_failed_object_fails_the_change_until_it_is_applied(stored: Served) -> None:
    agent = registered(stored)
    report(stored, agent, head(stored), said("failed", message="quota exceeded"), said("failed", name="other"))
    assert change(stored) == ("failed", "HorizontalPodAutoscaler web: quota exceeded")
    assert health(stored) == ("failed", "HorizontalPodAutoscaler app/web: quota exceeded")
    report(stored, agent, head(stored), said("applied"))
    assert change(stored) == ("applied", "")
    assert health(stored) == ("applied", "")


def test_drift_shows_on_the_policy_and_does_not_undo_the_proof(prod: Served) -> None:
    agent = registered(prod)
    report(prod, agent, head(prod), said("applied"))
    report(prod, agent, head(prod), said("drifted"))
    assert change(prod) == ("applied", "")
    assert health(prod) == ("drifted", "HorizontalPodAutoscaler app/web: web is drifted")


def test_a_change_of_two_clusters_is_applied_when_both_have_reported_it(tmp_path: Path) -> None:
    other = "clusters/other"
    base = {
        "trimtab.yaml": fleet_yaml(
            f"{{name: prod, path: {ROOT}}}",
            f"{{name: other, path: {other}}}",
            extra="  delivery: {groupBy: [kind]}\n",
        ),
        **root_files(other, namespace="app"),
        "actions/sleep.yaml": SLEEP,
    }
    repo = fleet(tmp_path, **base)
    with serving(tmp_path, repo) as served:
        served.reconcile()
        served.reconcile()
        down = said("applied", kind="Deployment")
        assert len({d.proposal.cluster for d in newest(served).decisions}) == 2
        report(served, registered(served), repo.head(), down)
        assert newest(served).state == "committed"
        report(served, registered(served, "other"), repo.head(), down | {"status": "failed"})
        assert newest(served).state == "failed"
        report(served, registered(served, "other"), repo.head(), down)
        assert newest(served).state == "applied"


def test_somebody_elses_failure_is_not_the_changes(prod: Served) -> None:
    report(prod, registered(prod), head(prod), said("failed", namespace="elsewhere"), said("applied"))
    assert change(prod) == ("applied", "")


def test_a_revision_that_nobody_knows_is_taken_and_proves_nothing(prod: Served) -> None:
    report(prod, registered(prod), "f" * 40, said("applied"))
    assert change(prod) == ("committed", "")
    assert prod.server.stores.reports.newest("prod") is not None
    assert health(prod)[0] == "pending"


def test_a_turndown_that_the_cluster_refuses_has_failed(prod: Served) -> None:
    agent = registered(prod)
    report(prod, agent, head(prod), said("applied"))
    changed(prod, "actions/sleep.yaml", SLEEP)
    prod.clock.forward(seconds=1)  # two passes in one instant have changes in any order
    prod.reconcile()
    report(prod, agent, head(prod), said("applied"), said("failed", kind="Deployment", message="admission denied"))
    assert change(prod) == ("failed", "Deployment web: admission denied")


def test_a_report_starts_no_git_process_once_the_history_is_known(
    prod: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    agent, revision = registered(prod), head(prod)
    report(prod, agent, revision, said("failed"))
    assert change(prod)[0] == "failed"
    monkeypatch.setenv("PATH", str(tmp_path))
    prod.clock.forward(minutes=5)
    report(prod, agent, revision, said("applied"))
    assert change(prod)[0] == "applied"


def test_a_pull_that_finds_its_answer_ready_waits_for_no_pass(prod: Served) -> None:
    agent = registered(prod)
    etag = pull(prod, agent).headers["etag"]
    over = threading.Event()
    prod.steward.ask(lambda _house: over.wait(60))
    try:
        assert pull(prod, agent, if_none_match=etag).status_code == 304
        prod.server.nudge([])
        assert pull(prod, agent, if_none_match=etag).status_code == 304
    finally:
        over.set()


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("revision", {"revision": "main", "objects": []}),
        ("revision", {"revision": "A" * 40, "objects": []}),
        ("revision", {"objects": []}),
        ("objects", {"revision": "a" * 40}),
        ("objects", {"revision": "a" * 40, "objects": [said("applied")] * 10_001}),
        ("objects.0.status", {"revision": "a" * 40, "objects": [said("done")]}),
        ("objects.0.name", {"revision": "a" * 40, "objects": [said("applied", name="../etc")]}),
        ("objects.0.name", {"revision": "a" * 40, "objects": [said("applied", name="")]}),
        ("objects.0.name", {"revision": "a" * 40, "objects": [said("applied", name="x" * 300)]}),
        ("objects.0.namespace", {"revision": "a" * 40, "objects": [said("applied", namespace="a/b")]}),
        ("objects.0.kind", {"revision": "a" * 40, "objects": [said("applied", kind="H P A")]}),
        ("objects.0.apiVersion", {"revision": "a" * 40, "objects": [said("applied", apiVersion="v 1")]}),
    ],
)
def test_a_report_that_makes_no_sense_is_a_400_that_names_the_field(
    serve_once: Served, field: str, body: dict[str, Any]
) -> None:
    agent = registered(serve_once)
    path = f"/api/v1/agents/{agent[0]}/scaling/status"
    answer = serve_once.client.post(path, json=body, headers=agent[1])
    assert answer.status_code == 400
    assert answer.json()["field"] == field
    assert serve_once.server.stores.reports.newest("prod") is None


@pytest.fixture(scope="module")
def serve_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("served")
    with serving(home, fleet(home)) as served:
        yield served


def test_long_messages_are_cut_and_unknown_fields_are_let_be(prod: Served) -> None:
    agent = registered(prod)
    report(prod, agent, head(prod), said("drifted", message="x" * 10_000, since="yesterday"))
    kept = prod.server.stores.reports.newest("prod")
    assert isinstance(kept, StatusReport)
    assert len(kept.objects[0].message) == 4096
    cluster_scoped = {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "name": "general", "status": "applied"}
    report(prod, agent, head(prod), cluster_scoped, {**cluster_scoped, "namespace": None, "message": None})
    assert kept.at == prod.clock()


def test_an_answer_is_json_that_sorts_the_same_each_time(prod: Served) -> None:
    agent = registered(prod)
    first = pull(prod, agent)
    assert first.headers["content-type"] == "application/json"
    assert json.dumps(first.json(), ensure_ascii=False, separators=(",", ":")).encode() == first.content
    assert pull(prod, agent).content == first.content
