"""What a build with our component may differ in: exactly the values that our files ask for."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.model.machine_file import MachineFile
from reconciler.model.workload import ObjectRef
from reconciler.render.verify import check_build

Object = dict[str, Any]
DEPLOYMENT = ObjectRef(api_version="apps/v1", kind="Deployment", name="web", namespace="shop")
ROLLOUT = ObjectRef(api_version="argoproj.io/v1alpha1", kind="Rollout", name="roll")
CRONJOB = ObjectRef(api_version="batch/v1", kind="CronJob", name="night", namespace="shop")
QUOTA = ObjectRef(api_version="v1", kind="ResourceQuota", name="team", namespace="shop")
POOL = ObjectRef(api_version="karpenter.sh/v1", kind="NodePool", name="general")
NAMESPACE = ObjectRef(api_version="v1", kind="Namespace", name="shop")

FILES = {
    "t/shop/requests-deployment-web.yaml": MachineFile(
        form="requests",
        target=DEPLOYMENT,
        values={
            "containers/server/requests/cpu": "2",
            "containers/server/limits/memory": "96Mi",
            "initContainers/init/requests/cpu": "10m",
        },
    ),
    "t/shop/hpa-web.yaml": MachineFile(
        form="hpa", target=DEPLOYMENT, values={"minReplicas": "2", "maxReplicas": "9", "policy": "P"}
    ),
    "t/handover/shop/replicas-deployment-web.yaml": MachineFile(
        form="replicas", target=DEPLOYMENT, values={"replicas": "null"}
    ),
    "t/shop/quota-team.yaml": MachineFile(form="quota", target=QUOTA, values={"hard/requests.cpu": "4"}),
    "t/nodepools/limits-general.yaml": MachineFile(form="nodepool", target=POOL, values={"limits/cpu": "64"}),
    "t/roll/requests-rollout-roll.yaml": MachineFile(
        form="requests", target=ROLLOUT, values={"containers/server/requests/cpu": "50m"}
    ),
}


def meta(ref: ObjectRef, **spec: Any) -> Object:
    namespace = {"namespace": ref.namespace} if ref.namespace else {}
    return {
        "apiVersion": ref.api_version,
        "kind": ref.kind,
        "metadata": {"name": ref.name, **namespace},
        "spec": spec,
    }


def pod(containers: list[Object], **more: Any) -> Object:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers, **more}}


def people() -> list[Object]:
    server = {"name": "server", "image": "web", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
    return [
        meta(
            DEPLOYMENT,
            replicas=3,
            template=pod([{"name": "proxy", "image": "envoy"}, server], initContainers=[{"name": "init", "image": "i"}]),
        ),
        meta(ROLLOUT, template=pod([{"name": "server", "image": "r"}])),
        meta(CRONJOB, suspend=False),
        meta(QUOTA, hard={"requests.cpu": "8", "pods": "20"}),
        meta(POOL, limits={"cpu": 32}),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"ports": [80]}},
    ]  # fmt: skip


def find(objects: list[Object], kind: str) -> Object:
    return next(item for item in objects if item["kind"] == kind)


def container(objects: list[Object], name: str, kind: str = "Deployment", role: str = "containers") -> Object:
    return next(item for item in find(objects, kind)["spec"]["template"]["spec"][role] if item["name"] == name)


def built() -> list[Object]:
    """The build in which every file of :data:`FILES` has done what it says."""
    objects = copy.deepcopy(people())
    container(objects, "server")["resources"] = {
        "requests": {"cpu": 2, "memory": "64Mi"},
        "limits": {"memory": "96Mi"},
    }
    container(objects, "init", role="initContainers")["resources"] = {"requests": {"cpu": "10m"}}
    container(objects, "server", "Rollout")["resources"] = {"requests": {"cpu": "50m"}}
    del find(objects, "Deployment")["spec"]["replicas"]
    find(objects, "ResourceQuota")["spec"]["hard"]["requests.cpu"] = "4"
    find(objects, "NodePool")["spec"]["limits"]["cpu"] = "64"
    hpa = ObjectRef(api_version="autoscaling/v2", kind="HorizontalPodAutoscaler", name="web", namespace="shop")
    return [*objects, meta(hpa, minReplicas=2, maxReplicas=9, scaleTargetRef={"kind": "Deployment", "name": "web"})]


def test_a_build_that_did_what_the_files_say_has_no_problem() -> None:
    assert check_build(people(), built(), FILES) == ()


def test_without_files_the_build_must_be_the_same() -> None:
    assert check_build(people(), people(), {}) == ()


Change = Callable[[list[Object]], object]


@pytest.mark.parametrize(
    ("spoil", "path", "message"),
    [
        (
            lambda o: container(o, "server")["resources"]["requests"].update(cpu="100m"),
            "t/shop/requests-deployment-web.yaml",
            "Deployment shop/web: spec.template.spec.containers.server.resources.requests.cpu is shadowed: "
            "the build has 100m, not 2",
        ),
        (
            lambda o: container(o, "server").pop("resources"),
            "t/shop/requests-deployment-web.yaml",
            "is shadowed: the build has nothing there, not 96Mi",
        ),
        (
            lambda o: find(o, "Deployment")["spec"].update(replicas=3),
            "t/handover/shop/replicas-deployment-web.yaml",
            "spec.replicas is shadowed: the build has 3, not nothing there",
        ),
        (
            lambda o: find(o, "NodePool")["spec"]["limits"].update(cpu="32"),
            "t/nodepools/limits-general.yaml",
            "NodePool general: spec.limits.cpu is shadowed",
        ),
        (
            lambda o: find(o, "HorizontalPodAutoscaler")["spec"].update(maxReplicas=3),
            "t/shop/hpa-web.yaml",
            "spec.maxReplicas is shadowed: the build has 3",
        ),
        (
            lambda o: find(o, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(name="canary-web"),
            "t/shop/hpa-web.yaml",
            "goes astray: it is for web, and the build points it at canary-web",
        ),
        (lambda o: o.pop(), "t/shop/hpa-web.yaml", "HorizontalPodAutoscaler shop/web is not in the build"),
        (
            lambda o: o.remove(find(o, "ResourceQuota")),
            "t/shop/quota-team.yaml",
            "no target: ResourceQuota shop/team is not in the root",
        ),
        (
            lambda o: container(o, "proxy").update(image="other"),
            "",
            "Deployment shop/web: spec.template.spec.containers.proxy.image differs, and no file of ours asked for it",
        ),
        (
            lambda o: container(o, "server")["resources"]["requests"].pop("memory"),
            "",
            "containers.server.resources.requests.memory differs",
        ),
        (
            lambda o: container(o, "server", "Rollout").pop("image"),
            "",
            "Rollout roll: spec.template.spec.containers.server.image differs",
        ),
        (
            lambda o: find(o, "Service")["spec"]["ports"].append(81),
            "",
            "Service shop/web: spec.ports.1 differs",
        ),
        (
            lambda o: find(o, "Deployment")["spec"]["template"]["spec"]["containers"].reverse(),
            "",
            "Deployment shop/web: spec.template.spec.containers differs",
        ),
        (lambda o: o.remove(find(o, "Service")), "", "Service shop/web goes away with our component"),
        (
            lambda o: o.append(meta(ObjectRef(api_version="v1", kind="ConfigMap", name="x"))),
            "",
            "ConfigMap x comes with our component, but no file of ours declares it",
        ),
    ],
)  # fmt: skip
def test_what_differs_is_named(spoil: Change, path: str, message: str) -> None:
    objects = built()
    spoil(objects)
    problems = check_build(people(), objects, FILES)
    assert [problem.path for problem in problems if message in problem.message] == [path]
    assert len(problems) <= 3


def test_a_container_that_is_gone_has_no_target_and_its_ghost_is_named() -> None:
    before, after = people(), built()
    for objects in (before, after):
        container(objects, "server")["name"] = "renamed"
    find(after, "Deployment")["spec"]["template"]["spec"]["containers"].append(
        {"name": "server", "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "96Mi"}}}
    )
    container(after, "renamed")["resources"] = container(before, "renamed")["resources"]
    messages = [problem.message for problem in check_build(before, after, FILES)]
    assert "no target: Deployment shop/web has no container server" in messages


def test_a_persons_own_hpa_is_a_conflict() -> None:
    objects = [*people(), find(built(), "HorizontalPodAutoscaler")]
    assert any("a person's own" in problem.message for problem in check_build(objects, built(), FILES))


def test_a_turndown_wins_over_a_handover() -> None:
    down = MachineFile(
        form="turndown",
        target=NAMESPACE,
        values={"apps/v1|Deployment|shop|web": "replicas=0", "batch/v1|CronJob|shop|night": "suspend=true"},
    )
    objects = built()
    find(objects, "Deployment")["spec"]["replicas"] = 0
    find(objects, "CronJob")["spec"]["suspend"] = True
    files = {**FILES, "t/shop/turndown/turndown.yaml": down}
    assert check_build(people(), objects, files) == ()
    find(objects, "CronJob")["spec"]["suspend"] = False
    (problem,) = check_build(people(), objects, files)
    assert problem.path == "t/shop/turndown/turndown.yaml"
    assert "CronJob shop/night: spec.suspend is shadowed" in problem.message
