"""What is committed comes true in a cluster, and the server can prove it: Git, passes, the agent, and an API server double."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog
import yaml

from reconciler.agent.kubernetes.running import run
from reconciler.agent.link import Away, Link
from reconciler.agent.options import KubernetesOptions
from support.fleets import FleetRepo, fleet_yaml, new_fleet, policy
from support.kube_double import KubeDouble, kube_double
from support.linked import link_to
from support.served import Served, serving
from support.small import ROOT, deployment, root_files

SLEEP = """\
apiVersion: trimtab.dev/v1alpha1
kind: ActionConfig
metadata: {name: sleep}
spec:
  scope: global
  action: namespaceTurndown
  config: {enabled: true, filter: 'namespace:"app"', maintenanceWindow: "* 20-23 * * *"}
"""


@dataclass
class Whole:
    """A fleet repo, its server, a cluster, and the cluster's agent."""

    repo: FleetRepo
    served: Served
    double: KubeDouble
    link: Link

    def agent(self) -> None:
        """One round of an agent that has just started."""
        options = KubernetesOptions(cluster="prod", kubeconfig=str(self.double.kubeconfig))
        say = structlog.get_logger("test")
        run(self.link, options, stop=threading.Event(), clock=self.served.clock, say=say, once=True)
        self.served.server.flush()

    def people_apply(self) -> None:
        """What people's own pipeline does: the root without our component."""
        for name in ("web", "api"):
            self.double.apply(yaml.safe_load(_deployment(name)), manager="kubectl")

    def policy(self) -> dict[str, Any]:
        (found,) = self.served.client.get("/api/v1/scaling/policies").json()
        return dict(found)

    def replicas(self, name: str = "web") -> int:
        found = self.double.get("Deployment", "app", name)
        assert found is not None
        return int(found["spec"]["replicas"])

    def commit(self, *remove: str, **files: str) -> None:
        """A person's commit, and a pass over it."""
        self.repo.pull()
        for path in remove:
            (self.repo.work / path).unlink()
        for path, text in files.items():
            self.repo.write(path, text)
        self.repo.commit()
        self.served.reconcile()


def _deployment(name: str) -> str:
    return deployment(name, "app").replace("spec:\n  selector", "spec:\n  replicas: 3\n  selector", 1)


@dataclass
class ByArgo:
    """A cluster whose root Argo CD brings about: the agent only looks."""

    whole: Whole

    def says(self, revision: str, *, sync: str = "Synced", health: str = "Healthy") -> dict[str, Any]:
        """The policy as the server shows it once the agent has seen an Application in that state."""
        application = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": "prod", "namespace": "argocd"},
            "spec": {"source": {"repoURL": str(self.whole.repo.bare), "path": f"./{ROOT}/"}},
            "status": {"sync": {"status": sync, "revision": revision}, "health": {"status": health}},
        }
        self.whole.double.put(application)
        self.whole.agent()
        return self.whole.policy()


@pytest.fixture(scope="module")
def argo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ByArgo]:
    home = tmp_path_factory.mktemp("argo")
    root = f"{{path: {ROOT}, sync: argocd}}"
    files = {
        "trimtab.yaml": fleet_yaml(f"{{name: prod, roots: [{root}]}}"),
        **root_files(ROOT, namespace="app"),
        "policies/web.yaml": policy("web", "app/web", minReplicas=2, maxReplicas=6),
    }
    repo = new_fleet(home / "acme", files)
    with serving(home, repo) as served, kube_double() as double:
        double.install("argoproj.io/v1alpha1", "Application", "applications")
        served.reconcile()
        yield ByArgo(Whole(repo, served, double, link_to(served, cluster="prod")))


def test_what_argo_cd_brings_about_is_applied_once_its_application_proves_the_commit(argo: ByArgo) -> None:
    first, *_, newest = reversed(argo.whole.repo.log())
    assert argo.says(first)["applyHealth"] != "applied"
    assert argo.says(newest)["applyHealth"] == "applied"
    assert not [each for each in argo.whole.double.requests if each.method != "GET"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    home = tmp_path_factory.mktemp("whole")
    files = {
        "trimtab.yaml": fleet_yaml(f"{{name: prod, path: {ROOT}}}"),
        **root_files(ROOT, "web", "api", namespace="app"),
        **{f"{ROOT}/apps/{name}.yaml": _deployment(name) for name in ("web", "api")},
        "policies/web.yaml": policy("web", "app/web", minReplicas=2, maxReplicas=6, handOver=True),
    }
    repo = new_fleet(home / "acme", files)
    with serving(home, repo) as served, kube_double() as double:
        double.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "trimtab-system"}})
        one = Whole(repo, served, double, link_to(served, cluster="prod"))
        one.people_apply()
        served.reconcile()
        one.agent()
        yield one


def test_a_committed_hpa_is_applied_and_the_policy_says_so(whole: Whole) -> None:
    hpa = whole.double.get("HorizontalPodAutoscaler", "app", "web")
    assert hpa is not None and (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (2, 6)
    assert whole.policy()["applyHealth"] == "applied"


def test_a_person_may_hand_replicas_over_without_a_dip(whole: Whole) -> None:
    whole.served.reconcile()
    handed = yaml.safe_load(_deployment("web"))
    del handed["spec"]["replicas"]
    whole.double.apply(handed, manager="kubectl")
    assert whole.replicas() == 3


def test_somebodys_change_is_shown_as_drift_and_put_right(whole: Whole) -> None:
    whole.double.edit("HorizontalPodAutoscaler", "app", "web", {"spec": {"maxReplicas": 40}}, manager="kubectl-edit")
    whole.agent()
    assert whole.policy()["applyHealth"] == "drifted"
    hpa = whole.double.get("HorizontalPodAutoscaler", "app", "web")
    assert hpa is not None and hpa["spec"]["maxReplicas"] == 6
    whole.agent()
    assert whole.policy()["applyHealth"] == "applied"


def test_a_namespace_that_sleeps_wakes_with_what_git_says(whole: Whole) -> None:
    whole.commit(**{"actions/sleep.yaml": SLEEP})
    whole.served.clock.now = whole.served.clock.now.replace(hour=21)
    whole.agent()
    whole.served.reconcile()
    whole.agent()
    assert (whole.replicas("api"), whole.replicas("web")) == (0, 0)
    whole.served.clock.forward(hours=4)
    whole.agent()
    whole.served.reconcile()
    whole.agent()
    assert (whole.replicas("api"), whole.replicas("web")) == (3, 3)
    live = whole.double.get("Deployment", "app", "api")
    assert live is not None
    assert not [each for each in live["metadata"]["managedFields"] if each["manager"] == "trimtab"]


def test_a_root_that_does_not_build_takes_nothing_away(whole: Whole) -> None:
    whole.repo.pull()
    broken = whole.repo.work / ROOT / "apps" / "kustomization.yaml"
    good = broken.read_text()
    whole.repo.write(f"{ROOT}/apps/kustomization.yaml", good.replace("web.yaml", "gone.yaml"))
    whole.repo.commit()
    whole.served.steward.ask(whole.served.steward.read).result(timeout=60)
    with pytest.raises(Away, match="build"):
        whole.agent()
    assert whole.double.get("HorizontalPodAutoscaler", "app", "web") is not None
    whole.repo.write(f"{ROOT}/apps/kustomization.yaml", good)
    whole.repo.commit()
    whole.served.steward.ask(whole.served.steward.read).result(timeout=60)
    whole.agent()


def test_an_hpa_whose_policy_is_gone_goes_too(whole: Whole) -> None:
    whole.commit("policies/web.yaml", "actions/sleep.yaml")
    whole.agent()
    assert whole.double.get("HorizontalPodAutoscaler", "app", "web") is None
    assert whole.replicas() == 3
