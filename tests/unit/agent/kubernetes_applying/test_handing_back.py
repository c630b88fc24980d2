"""What Trimtab lets go of goes back to what people say, and nothing falls to a default on the way."""

from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.agent.kubernetes.cluster import ObjectKey
from reconciler.errors import RetryLater
from support.kube_applying import HPA, INVENTORY, WEB, World, cpu_of, fields, hpa, requests, web, world

CPU = "spec.template.spec.containers.server.resources.requests.cpu"
QUOTA = ObjectKey("v1", "ResourceQuota", "shop", "quota")
CRON = ObjectKey("batch/v1", "CronJob", "shop", "nightly")


@pytest.fixture
def one() -> Iterator[World]:
    with world() as made:
        made.double.apply(web(), manager="kubectl")
        made.told.git["Deployment", "web"] = {CPU: "100m", "spec.replicas": 3}
        yield made


def test_a_cpu_request_goes_back_to_the_persons_value(one: World) -> None:
    one.round(requests("250m"))
    outcome = one.round()
    live = one.live()
    assert cpu_of(live) == "100m"
    assert outcome.objects == () and outcome.complete
    assert one.double.owners("Deployment", "shop", "web", "spec", "template", "spec", "containers") >= {"kubectl"}
    assert not _owned_by(one, "trimtab")
    assert [asked["paths"] for asked in one.told.asked if asked["kind"] == "Deployment"]


def test_fields_that_stay_stay_while_another_goes_back(one: World) -> None:
    one.round(requests("250m", replicas=0))
    one.round(requests("250m"))
    live = one.live()
    assert cpu_of(live) == "250m" and live["spec"]["replicas"] == 3
    one.round()
    assert cpu_of(one.live()) == "100m" and one.live()["spec"]["replicas"] == 3


def test_a_value_that_git_says_anyway_is_co_owned_before_it_is_let_go_of(one: World) -> None:
    one.round(requests("250m", replicas=5))
    one.told.git["Deployment", "web"] = {CPU: "250m", "spec.replicas": 5}
    one.round()
    live = one.live()
    assert cpu_of(live) == "250m" and live["spec"]["replicas"] == 5


def test_what_was_handed_back_before_does_not_stand_in_the_way_later(one: World) -> None:
    one.round(requests("250m"))
    one.told.git["Deployment", "web"] = {CPU: "250m"}
    one.round()
    for later, left in (({CPU: "100m"}, "100m"), ({CPU: "250m"}, "250m"), ({}, None)):
        one.round(requests("250m"))
        one.told.git["Deployment", "web"] = later
        one.round()
        assert cpu_of(one.live()) == left


def test_a_value_that_git_does_not_have_goes_with_trimtabs_and_replicas_stay(one: World) -> None:
    one.double.drop("Deployment", "shop", "web")
    one.double.apply(web(replicas=None), manager="kubectl")
    one.double.edit("Deployment", "shop", "web", {"spec": {"replicas": 4}}, manager="kube-controller-manager")
    one.told.git["Deployment", "web"] = {}
    one.round(requests("250m", replicas=6))
    one.round()
    live = one.live()
    assert cpu_of(live) is None and live["spec"]["replicas"] == 6


def test_a_workload_that_git_does_not_have_any_more_keeps_everything_as_it_is(one: World) -> None:
    one.round(requests("250m", replicas=6))
    one.told.git.clear()
    one.round()
    assert cpu_of(one.live()) == "250m" and one.live()["spec"]["replicas"] == 6


def test_waking_gives_what_git_says_else_what_there_was_before(one: World) -> None:
    one.round(fields(replicas=0))
    assert one.live()["spec"]["replicas"] == 0
    one.round()
    assert one.live()["spec"]["replicas"] == 3
    one.double.edit("Deployment", "shop", "web", {"spec": {"replicas": 7}}, manager="kubectl-scale")
    one.told.git["Deployment", "web"] = {}
    one.round(fields(replicas=0))
    one.restarted()
    one.round()
    assert one.live()["spec"]["replicas"] == 7


def test_a_workload_under_an_hpa_wakes_and_the_hpa_decides_from_there(one: World) -> None:
    one.round(hpa())
    one.round(hpa(), fields(replicas=0))
    one.round(hpa())
    assert one.live()["spec"]["replicas"] == 3
    one.double.edit(
        "Deployment", "shop", "web", {"spec": {"replicas": 8}}, manager="kube-controller-manager", subresource="scale"
    )
    one.round(hpa())
    assert one.live()["spec"]["replicas"] == 8


def test_a_person_who_hands_replicas_over_to_the_hpa_does_not_drop_the_workload(one: World) -> None:
    one.round(hpa())
    one.double.apply(web(replicas=None), manager="kubectl")
    assert one.live()["spec"]["replicas"] == 3
    one.clock.forward(minutes=11)
    one.round(hpa())
    assert one.live()["spec"]["replicas"] == 3


def test_replicas_that_an_hpa_scales_are_not_written_when_trimtab_lets_go(one: World) -> None:
    one.round(hpa(), fields(replicas=6))
    one.round(hpa())
    assert one.live()["spec"]["replicas"] == 6


def test_quotas_and_cron_jobs_go_back(one: World) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "quota", "namespace": "shop"}}
    one.double.apply({**quota, "spec": {"hard": {"requests.cpu": "8", "pods": "50"}}}, manager="kubectl")
    one.double.apply(cron(), manager="kubectl")
    one.told.git["ResourceQuota", "quota"] = {"spec.hard.requests.cpu": "8"}
    one.told.git["CronJob", "nightly"] = {}
    smaller = fields("ResourceQuota", "v1", "quota", hard={"requests.cpu": "4"})
    asleep = fields("CronJob", "batch/v1", "nightly", suspend=True)
    assert {each.status for each in one.round(smaller, asleep).objects} == {"applied"}
    assert one.live(QUOTA)["spec"]["hard"] == {"requests.cpu": "4", "pods": "50"}
    assert one.live(CRON)["spec"]["suspend"] is True
    one.round()
    assert one.live(QUOTA)["spec"]["hard"] == {"requests.cpu": "8", "pods": "50"}
    assert not one.live(CRON)["spec"].get("suspend")


def test_a_node_pool_goes_back_by_merge_patch(one: World) -> None:
    one.double.install("karpenter.sh/v1", "NodePool", "nodepools", namespaced=False)
    pool = {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "general"}}
    one.double.apply({**pool, "spec": {"limits": {"cpu": "20", "memory": "80Gi"}}}, manager="kubectl")
    one.told.git["NodePool", "general"] = {"spec.limits.cpu": "20"}
    more = fields("NodePool", "karpenter.sh/v1", "general", limits={"cpu": "40"})
    del more["metadata"]["namespace"]
    one.round(more)
    key = ObjectKey("karpenter.sh/v1", "NodePool", "", "general")
    assert one.live(key)["spec"]["limits"] == {"cpu": "40", "memory": "80Gi"}
    one.round()
    assert one.live(key)["spec"]["limits"] == {"cpu": "20", "memory": "80Gi"}


def test_a_server_that_is_away_puts_it_off_and_everything_else_goes_on(one: World) -> None:
    one.round(requests("250m"))
    one.told.away = RetryLater("the server is away", after_seconds=1)
    one.double.apply(web(name="api"), manager="kubectl")
    api = requests("300m")
    api["metadata"]["name"] = "api"
    outcome = one.applier.step(_desired(api), one.seen())
    assert not outcome.complete
    api_live = one.double.get("Deployment", "shop", "api")
    assert api_live is not None and cpu_of(api_live) == "300m"
    assert cpu_of(one.live()) == "250m"
    one.told.away = None
    one.round(api)
    assert cpu_of(one.live()) == "100m"


def test_objects_that_git_no_longer_has_are_deleted_only_where_they_are_trimtabs(one: World) -> None:
    theirs = hpa(name="theirs")
    theirs["metadata"]["annotations"] = {}
    one.double.put(theirs, manager="kubectl")
    one.round(hpa(), hpa(name="theirs"), hpa(name="anew"), hpa(name="stays"))
    made = one.double.get("HorizontalPodAutoscaler", "shop", "anew")
    assert made is not None
    one.double.drop("HorizontalPodAutoscaler", "shop", "anew")
    one.double.apply(hpa(name="anew"), manager="trimtab")  # a copy, with all that marks ours, and a uid of its own
    one.round(hpa(name="stays"))
    left = {each["metadata"]["name"] for each in one.double.all("HorizontalPodAutoscaler")}
    assert left == {"theirs", "anew", "stays"}
    assert one.live()["spec"]["replicas"] == 3


def test_a_namespace_or_a_crd_is_never_deleted(one: World) -> None:
    one.double.install("apiextensions.k8s.io/v1", "CustomResourceDefinition", "crds", namespaced=False)
    annotations = {"trimtab.dev/owns": "object"}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "made", "annotations": annotations}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com", "annotations": annotations},
        "spec": {"group": "example.com"},
    }
    one.round(space, definition)
    one.round()
    assert one.double.get("Namespace", "", "made") is not None
    assert one.double.get("CustomResourceDefinition", "", "widgets.example.com") is not None
    assert not one.double.asked("delete")


def test_what_was_co_owned_before_stays_when_more_is_let_go_of(one: World) -> None:
    one.told.git["Deployment", "web"] = {CPU: "250m", "spec.replicas": 5}
    one.round(requests("250m", replicas=5))
    one.round(fields(replicas=5))
    one.round()
    assert cpu_of(one.live()) == "250m" and one.live()["spec"]["replicas"] == 5


def test_an_autoscaler_that_is_quicker_than_the_hand_over_wins(one: World) -> None:
    class Racing:
        """A cluster whose autoscaler scales right before the first write of ``trimtab-handback``."""

        scaled = False

        def __getattr__(self, name: str) -> Any:
            return getattr(one.cluster, name)

        def apply(self, manifest: Any, **how: Any) -> Any:
            if how["manager"] == "trimtab-handback" and not self.scaled:
                self.scaled = True
                scaler = {"manager": "kube-controller-manager", "subresource": "scale"}
                one.double.edit("Deployment", "shop", "web", {"spec": {"replicas": 8}}, **scaler)
            return one.cluster.apply(manifest, **how)

    one.restarted(Racing())
    assert {each.status for each in one.round(hpa()).objects} == {"applied"}
    assert one.live()["spec"]["replicas"] == 8


def test_a_hand_back_that_is_refused_is_told_and_not_hammered(one: World) -> None:
    one.round(requests("250m"))
    one.double.fail("patch", "Deployment", 403, times=None, message="deployments is forbidden for trimtab")
    (told,) = one.round().objects
    assert told.status == "failed" and "forbidden" in told.message
    one.double.requests.clear()
    one.round()
    assert {each.verb for each in one.double.requests} == {"list"}
    one.double.heal()
    one.clock.forward(minutes=1)
    assert one.round().objects == () and cpu_of(one.live()) == "100m"


def test_a_root_that_goes_over_to_argo_cd_is_left_as_it_is_and_forgotten(one: World) -> None:
    one.round(requests("250m"), hpa())
    argo = ({"path": "clusters/prod", "namespace": "default", "sync": "argocd"},)
    one.double.install("argoproj.io/v1alpha1", "Application", "applications")
    one.round(roots=argo)
    assert one.cluster.get(HPA) is not None and cpu_of(one.live()) == "250m"
    assert not one.double.asked("delete") and not one.told.asked
    one.restarted()
    one.round()
    assert one.cluster.get(HPA) is not None


def test_of_several_roots_only_what_went_over_is_left_as_it_is(one: World) -> None:
    one.double.install("argoproj.io/v1alpha1", "Application", "applications")

    def roots(second: str) -> tuple[dict[str, str], ...]:
        return (
            {"path": "clusters/prod/a", "namespace": "default", "sync": "agent"},
            {"path": "clusters/prod/b", "namespace": "default", "sync": second},
        )

    one.round(hpa(name="a"), hpa(name="b"), roots=roots("agent"))
    one.round(hpa(name="a"), roots=roots("argocd"))
    assert one.double.get("HorizontalPodAutoscaler", "shop", "b") is not None
    one.round(roots=roots("argocd"))
    assert [each["metadata"]["name"] for each in one.double.all("HorizontalPodAutoscaler")] == ["b"]


def test_a_cluster_of_argo_cd_gets_no_inventory(one: World) -> None:
    argo = ({"path": "clusters/prod", "namespace": "default", "sync": "argocd"},)
    one.round(roots=argo)
    assert one.cluster.get(INVENTORY) is None and not one.writes()


def cron() -> dict[str, object]:
    containers = [{"name": "job", "image": "job:1"}]
    template = {"spec": {"template": {"spec": {"containers": containers, "restartPolicy": "Never"}}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "nightly", "namespace": "shop"},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": template},
    }


def _desired(*manifests: dict[str, object]):  # type: ignore[no-untyped-def]
    from reconciler.agent.link import Desired

    return Desired("a" * 40, "prod", tuple(manifests), (), "", True)


def _owned_by(one: World, manager: str) -> list[object]:
    entries = one.live(WEB)["metadata"].get("managedFields", [])
    return [each for each in entries if each["manager"] == manager]
