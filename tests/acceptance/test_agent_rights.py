"""The rights that the install manifests give to the agent are those that it uses: none is missing, none is too many."""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml

from reconciler.agent.kubernetes.cluster import ObjectKey
from reconciler.agent.kubernetes.running import run
from reconciler.agent.options import KubernetesOptions
from support.kube_applying import World, fields, hpa, web, world
from support.kube_double import KubeDouble, kube_double
from support.kube_double_http import Asked
from support.linked import link_to
from support.served import serving
from support.small import small_fleet

SYSTEM = Path(__file__).resolve().parents[2] / "example-repo/clusters/demo/trimtab-system"

CUSTOM = (
    ("argoproj.io/v1alpha1", "Rollout", "rollouts"),
    ("argoproj.io/v1alpha1", "Application", "applications"),
    ("keda.sh/v1alpha1", "ScaledObject", "scaledobjects"),
    ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "kustomizations"),
)
Right = tuple[str, str, str]
"""API group, resource, verb."""


def granted(file: str) -> set[Right]:
    """The rights in a file's roles."""
    roles = [one for one in yaml.safe_load_all((SYSTEM / file).read_text()) if "rules" in one]
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(requests: Iterable[Asked]) -> set[Right]:
    """The rights that requests need. What server-side apply makes needs `create`, too; discovery is everybody's."""
    found = set()
    for asked in requests:
        if not asked.kind:
            continue
        group, resource = _resource(asked.path)
        found.add((group, resource, "patch" if asked.verb == "apply" else asked.verb))
        if asked.verb == "apply" and asked.status == 201:
            found.add((group, resource, "create"))
    return found


def _resource(path: str) -> tuple[str, str]:
    first, *rest = path.strip("/").split("/")
    group, rest = ("", rest[1:]) if first == "api" else (rest[0], rest[2:])
    return group, rest[2] if rest[0] == "namespaces" and len(rest) > 2 else rest[0]


def _install(double: KubeDouble) -> None:
    for api_version, kind, plural in CUSTOM:
        double.install(api_version, kind, plural)
    double.install("karpenter.sh/v1", "NodePool", "nodepools", namespaced=False)


def test_it_may_look_at_just_what_it_looks_at(tmp_path: Path) -> None:
    with serving(tmp_path, small_fleet(tmp_path / "acme")) as served, kube_double() as double:
        _install(double)
        options = KubernetesOptions(cluster="prod", kubeconfig=str(double.kubeconfig))
        link = link_to(served, cluster="prod")
        run(link, options, stop=threading.Event(), clock=served.clock, say=structlog.get_logger("test"), once=True)
        looked = used(one for one in double.requests if one.verb == "list")
    with world() as by_others:
        _install(by_others.double)
        by_others.round(
            roots=[{"path": f"clusters/{sync}", "namespace": "x", "sync": sync} for sync in ("argocd", "flux")]
        )
        looked |= {right for right in used(by_others.double.requests) if right[2] == "list"}
    assert looked == granted("agent-read.yaml")


@pytest.fixture
def cluster() -> Iterator[World]:
    with world() as made:
        _install(made.double)
        yield made


def _ours() -> list[dict[str, Any]]:
    """A field of an object of each kind that Trimtab writes, and an HPA."""
    cron = fields("CronJob", "batch/v1", "report", suspend=True)
    quota = fields("ResourceQuota", "v1", "compute", hard={"requests.cpu": "4"})
    pool = fields("NodePool", "karpenter.sh/v1", "default", limits={"cpu": "64"})
    del pool["metadata"]["namespace"]
    replicas = [
        fields(kind, version, name, replicas=0)
        for kind, version, name in (
            ("Deployment", "apps/v1", "web"),
            ("StatefulSet", "apps/v1", "db"),
            ("Rollout", "argoproj.io/v1alpha1", "canary"),
        )
    ]
    sized = {"spec": {"containers": [{"name": "server", "resources": {"requests": {"cpu": "50m"}}}]}}
    return [hpa(), cron, quota, pool, *replicas, fields("DaemonSet", "apps/v1", "logs", template=sized)]


def _people_have(double: KubeDouble) -> None:
    pods = web()["spec"]["template"]
    labels = {"matchLabels": pods["metadata"]["labels"]}
    job = {"spec": {"template": {"spec": {**pods["spec"], "restartPolicy": "Never"}}}}
    for kind, version, name, spec in (
        ("Deployment", "apps/v1", "web", {"replicas": 3, "selector": labels, "template": pods}),
        ("StatefulSet", "apps/v1", "db", {"replicas": 3, "serviceName": "db", "selector": labels, "template": pods}),
        ("DaemonSet", "apps/v1", "logs", {"selector": labels, "template": pods}),
        ("Rollout", "argoproj.io/v1alpha1", "canary", {"replicas": 3, "selector": labels, "template": pods}),
        ("CronJob", "batch/v1", "report", {"schedule": "0 * * * *", "suspend": False, "jobTemplate": job}),
        ("ResourceQuota", "v1", "compute", {"hard": {"requests.cpu": "8"}}),
        ("NodePool", "karpenter.sh/v1", "default", {"limits": {"cpu": "32"}}),
    ):
        metadata = {"name": name} if kind == "NodePool" else {"name": name, "namespace": "shop"}
        double.put({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}, manager="kubectl")


def test_it_may_change_just_what_it_changes(cluster: World) -> None:
    _people_have(cluster.double)
    ours = _ours()
    cluster.double.requests.clear()
    cluster.round(*ours)
    assert {one.status for one in cluster.told.reports[-1][1]} == {"applied"}, cluster.told.reports[-1]
    cluster.told.git = {("Deployment", "web"): {"spec.replicas": 3}, ("CronJob", "report"): {"spec.suspend": False}}
    cluster.round(revision="b" * 40)
    cluster.round(revision="b" * 40)
    assert cluster.cluster.get(ObjectKey("autoscaling/v2", "HorizontalPodAutoscaler", "shop", "web")) is None
    assert cluster.live()["spec"]["replicas"] == 3
    changed = {right for right in used(cluster.double.requests) if right[2] != "list"}
    assert changed == granted("agent-apply.yaml")
