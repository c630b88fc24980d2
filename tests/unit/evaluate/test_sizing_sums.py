"""What containers ask for together: said on each change that takes part, and on nothing else."""

from reconciler.evaluate.sizing_sums import ClusterLimits, with_sums_said
from reconciler.model.inventory import LimitRangeItem, Quota
from reconciler.model.quantity import GIB, MIB
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import (
    RESOURCES,
    Container,
    ObjectRef,
    Resource,
    Resources,
    Source,
    Workload,
    WorkloadKey,
)


def sized(
    name: str,
    *containers: Container,
    changes: tuple[Resource, ...] = RESOURCES,
    replicas: int = 1,
    namespace: str = "shop",
    why: str = "as used",
    pod_cpu: int | None = None,
) -> list[ContainerRecommendation]:
    """A workload whose containers are to have the resources that are given; now they have 1m and 1 MiB."""
    workload = Workload(
        key=WorkloadKey(cluster="prod", namespace=namespace, kind="Deployment", name=name),
        ref=ObjectRef(api_version="apps/v1", kind="Deployment", name=name),
        root="clusters/prod",
        source=Source(path="web.yaml"),
        containers=containers,
        pod_cpu_request=pod_cpu,
    )
    return [
        ContainerRecommendation(
            workload=workload,
            container=one.name,
            current=Resources(cpu_request=1, memory_request=MIB),
            recommended=one.resources,
            changes=changes,
            replicas=replicas,
            why=dict.fromkeys(RESOURCES, why),
        )
        for one in containers
    ]


def container(name: str = "server", role: str = "main", **amounts: int) -> Container:
    return Container.model_validate({"name": name, "role": role, "resources": Resources(**amounts)})


def quota(**hard: str) -> Quota:
    ref = ObjectRef(api_version="v1", kind="ResourceQuota", name="q")
    named = {key.replace("_", "."): value for key, value in hard.items()}
    return Quota(namespace="shop", name="q", ref=ref, hard=named, source=Source(path="q.yaml"))


def told(found: list[ContainerRecommendation], **limits: object) -> list[str]:
    """What is said of CPU beside what was said before."""
    said = with_sums_said(found, {"prod": ClusterLimits(**limits)})  # type: ignore[arg-type]
    return [one.why["cpu"].removeprefix("as used").removeprefix("; ") for one in said]


def test_replicas_count_and_all_workloads_of_the_namespace() -> None:
    found = [
        *sized("web", container(cpu_request=500), replicas=3),
        *sized("api", container(cpu_request=501)),
        *sized("elsewhere", container(cpu_request=9000), namespace="other"),
    ]
    assert told(found, quotas=[quota(requests_cpu="2001m")]) == ["", "", ""]
    words = "with the replicas of today, the namespace would request 2001m together, above requests.cpu 2 of ResourceQuota q"
    assert told(found, quotas=[quota(requests_cpu="2")]) == [words, words, ""]


def test_both_spellings_of_a_quota_and_both_resources_and_limits() -> None:
    found = sized("web", container(cpu_request=3000, memory_request=3 * GIB, memory_limit=5 * GIB))
    limits = {"prod": ClusterLimits(quotas=[quota(cpu="2", memory="2Gi", limits_memory="4Gi")])}
    (one,) = with_sums_said(found, limits)
    assert one.why["cpu"].endswith("would request 3 together, above cpu 2 of ResourceQuota q")
    assert "would request 3Gi together, above memory 2Gi of" in one.why["memory"]
    assert "would have limits of 5Gi together, above limits.memory 4Gi of" in one.why["memory"]


def test_what_is_not_changed_counts_as_it_is_and_nothing_is_said_of_it() -> None:
    found = [
        *sized("web", container(cpu_request=5000), changes=()),
        *sized("api", container(cpu_request=2000)),
    ]
    assert told(found, quotas=[quota(requests_cpu="2001m")]) == ["", ""]
    assert told(found, quotas=[quota(requests_cpu="2")])[0] == ""
    assert "2001m together" in told(found, quotas=[quota(requests_cpu="2")])[1]


def test_what_was_said_of_the_workload_alone_is_not_said_again() -> None:
    alone = "3 for 1 replica is above requests.cpu 2 of ResourceQuota q"
    (one,) = with_sums_said(
        sized("web", container(cpu_request=3000), why=alone), {"prod": ClusterLimits(quotas=[quota(requests_cpu="2")])}
    )
    assert one.why["cpu"] == alone


def test_init_containers_run_before_the_others_and_sidecars_beside_them() -> None:
    pod = (container("setup", "init", cpu_request=3000), container("a", cpu_request=1500), container("b", "sidecar"))
    assert told(sized("web", *pod), largest_node=(3000, GIB)) == ["", "", ""]
    beside = (*pod, container("c", "sidecar", cpu_request=1501))
    words = "the pod would request 3001m, above 3 that the largest node has"
    assert told(sized("web", *beside), largest_node=(3000, GIB)) == [words] * 4


def test_a_pods_own_request_is_what_counts() -> None:
    pod = (container("a", cpu_request=1500), container("b", cpu_request=1500))
    assert told(sized("web", *pod, pod_cpu=4000), largest_node=(3500, GIB))[0].startswith(
        "the pod would request 4, above"
    )
    assert told(sized("web", *pod, pod_cpu=3200), largest_node=(3500, GIB)) == ["", ""]


def test_limit_ranges_for_pods_bind_pods_of_several_containers() -> None:
    pod = (container("a", cpu_request=400, cpu_limit=800), container("b", cpu_request=400, cpu_limit=800))
    item = LimitRangeItem(namespace="shop", name="pods", type="Pod", max_cpu=1500, min_cpu=900)
    most = "the pod would have 1600m of CPU, above the maximum 1500m for pods of LimitRange pods"
    least = "the pod would request 800m, below the minimum 900m for pods of LimitRange pods"
    assert told(sized("web", *pod), limit_ranges=[item]) == [f"{most}; {least}"] * 2
    assert told(sized("web", pod[0]), limit_ranges=[item]) == [""], "one container is clamped, and that is said"
    elsewhere = item.model_copy(update={"namespace": "other"})
    assert told(sized("web", *pod), limit_ranges=[elsewhere]) == ["", ""]


def test_without_any_limits_all_stays_as_it_is() -> None:
    found = sized("web", container(cpu_request=10**9), container("b", cpu_request=10**9))
    assert with_sums_said(found, {}) == tuple(found)


def test_who_asks_for_less_is_not_told_of_a_quota_that_others_pass() -> None:
    raised, falling = sized("web", container(cpu_request=900)), sized("api", container(cpu_request=200))
    falling = [one.model_copy(update={"current": Resources(cpu_request=500)}) for one in falling]
    said = with_sums_said([*raised, *falling], {"prod": ClusterLimits(quotas=[quota(requests_cpu="1")])})
    assert ["ResourceQuota q" in one.why["cpu"] for one in said] == [True, True]
    assert ["cpu" in one.notes for one in said] == [True, False]
    assert said[0].notes["cpu"][-1] in said[0].why["cpu"]
