"""One container, one resource: what usage asks for, when it is worth a change, and what people are told."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from reconciler.evaluate.sizing import SizingContext, recommend
from reconciler.model.action import SizingParameters
from reconciler.model.change import Refusal
from reconciler.model.inventory import Quota
from reconciler.model.machine_file import MachineFile
from reconciler.model.observation import OomRecord, SeriesKey, UsageSummary
from reconciler.model.quantity import MIB
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import Container, ObjectRef, Resources, Source, Workload, WorkloadKey

NOW = datetime(2026, 6, 16, 10, tzinfo=UTC)
KEY = WorkloadKey(cluster="prod", namespace="shop", kind="Deployment", name="web")
REF = ObjectRef(api_version="apps/v1", kind="Deployment", name="web", namespace="shop")
PATH = "clusters/prod/trimtab/shop/requests-deployment-web.yaml"


def workload(*containers: Container, kind: str = "Deployment", replicas: int | None = 3) -> Workload:
    return Workload(
        key=KEY.model_copy(update={"kind": kind}),
        ref=REF.model_copy(update={"kind": kind}),
        root="clusters/prod",
        source=Source(path="clusters/prod/apps/web.yaml", line=7),
        containers=containers or (server(),),
        replicas=replicas,
    )


def server(
    cpu: int | None = 100, memory: int | None = 512, cpu_limit: int | None = None, memory_limit: int | None = None
) -> Container:
    """Millicores and MiB."""
    return Container(
        name="server",
        resources=Resources(
            cpu_request=cpu,
            memory_request=memory and memory * MIB,
            cpu_limit=cpu_limit,
            memory_limit=memory_limit and memory_limit * MIB,
        ),
    )


def used(maximum: float, *, samples: int = 4032, days: float = 14, **base: float) -> UsageSummary:
    return UsageSummary(
        samples=samples,
        maximum=maximum,
        average=maximum / 2,
        base={"max": maximum, **base},
        first=NOW - timedelta(days=days),
        last=NOW,
    )


def usage(
    subject: Workload, *, cpu: UsageSummary | None = None, memory: UsageSummary | None = None, container: str = "server"
) -> dict[SeriesKey, UsageSummary]:
    found = {}
    if cpu is not None:
        found[SeriesKey(workload=subject.key, container=container, resource="cpu")] = cpu
    if memory is not None:
        found[SeriesKey(workload=subject.key, container=container, resource="memory")] = memory
    return found


def only(subject: Workload, /, **context: object) -> ContainerRecommendation:
    (found,) = recommend(subject, SizingContext(now=NOW, **context))  # type: ignore[arg-type]
    return found


def test_the_figures_are_in_the_reason() -> None:
    web = workload()
    found = only(web, usage=usage(web, cpu=used(0.182), memory=used(212.4 * MIB)))
    assert found.recommended == Resources(cpu_request=280, memory_request=327 * MIB)
    assert found.changes == ("cpu", "memory")
    assert found.why == {
        "cpu": "max 0.182 cores over 14 d ÷ 0.65 = 280m; 100m → 280m",
        "memory": "max 212.4 MiB over 14 d ÷ 0.65 = 327Mi; 512Mi → 327Mi",
    }


@pytest.mark.parametrize(
    ("algorithm", "word", "millicores"),
    [
        ("max", "max", 800),
        ("quantile", "p95", 200),
        ("quantileOfAverages", "p95 of averages", 100),
        ("quantileOfMaxes", "p95 of maxima", 400),
    ],
)
def test_each_algorithm_reads_its_own_base(algorithm: str, word: str, millicores: int) -> None:
    web = workload(server(cpu=10))
    summary = used(0.4, quantile=0.1, quantileOfAverages=0.05, quantileOfMaxes=0.2)
    params = SizingParameters.model_validate({"algorithm_cpu": algorithm, "target_utilization_cpu": 0.5})
    found = only(web, params=params, usage=usage(web, cpu=summary))
    assert found.recommended.cpu_request == millicores
    assert found.why["cpu"].startswith(f"{word} ")


def test_a_base_that_the_history_lacks_is_named() -> None:
    web = workload()
    params = SizingParameters(algorithm_cpu="quantileOfMaxes", quantile_cpu=0.999)
    found = only(web, params=params, usage=usage(web, cpu=used(0.4)))
    assert found.why["cpu"] == "the history has no p99.9 of maxima"
    assert found.changes == ()


@pytest.mark.parametrize("tenths", range(1, 200))
def test_binary_noise_adds_no_millicore(tenths: int) -> None:
    web = workload(server(cpu=None))
    found = only(
        web,
        params=SizingParameters(target_utilization_cpu=0.5, min_cpu_millicores=1),
        usage=usage(web, cpu=used(tenths / 10)),
    )
    assert found.recommended.cpu_request == tenths * 200


def test_too_few_samples_stop_one_resource_only() -> None:
    web = workload()
    found = only(web, usage=usage(web, cpu=used(0.182, samples=42), memory=used(200 * MIB)))
    assert found.why["cpu"] == "only 42 samples of 100"
    assert found.changes == ("memory",)
    assert found.recommended.cpu_request == 100
    assert found.samples == 42


def test_no_usage_is_said() -> None:
    found = only(workload())
    assert found.why == {"cpu": "no usage seen", "memory": "no usage seen"}
    assert found.recommended == found.current
    assert found.risk == "high"


def test_a_resource_that_the_action_does_not_size_is_left_alone() -> None:
    web = workload()
    found = only(
        web,
        params=SizingParameters(memory=False),
        action="nightly",
        usage=usage(web, cpu=used(0.182), memory=used(9 * MIB)),
    )
    assert found.changes == ("cpu",)
    assert found.why["memory"] == "left alone: action nightly does not size memory"


def test_stale_usage_is_said() -> None:
    web = workload()
    old = used(0.182).model_copy(update={"last": NOW - timedelta(days=5)})
    assert "the newest sample is 5 d old" in only(web, usage=usage(web, cpu=old)).why["cpu"]


def test_a_small_change_is_shown_and_not_proposed() -> None:
    web = workload(server(cpu=300, cpu_limit=600))
    found = only(web, usage=usage(web, cpu=used(0.182)))
    assert found.changes == ()
    assert found.saving_monthly == 0
    assert (found.recommended.cpu_request, found.recommended.cpu_limit) == (280, 560)
    assert found.why["cpu"].endswith("300m → 280m is under the minimum change of 10 %")


def test_exactly_the_minimum_change_counts() -> None:
    web = workload(server(cpu=400))
    params = SizingParameters(target_utilization_cpu=1.0)
    assert only(web, params=params, usage=usage(web, cpu=used(0.36))).changes == ("cpu",)
    assert only(web, params=params, usage=usage(web, cpu=used(0.361))).changes == ()


def test_a_request_that_no_one_set_is_a_change() -> None:
    web = workload(server(cpu=None, memory=None))
    found = only(web, usage=usage(web, cpu=used(0.182)))
    assert found.changes == ("cpu",)
    assert found.why["cpu"].endswith("none → 280m")


def test_a_limit_alone_is_the_request_as_the_api_server_fills_it_in() -> None:
    web = workload(server(cpu=None, cpu_limit=500))
    found = only(web, usage=usage(web, cpu=used(0.182)))
    assert found.current.cpu_request == 500
    assert (found.recommended.cpu_request, found.recommended.cpu_limit) == (280, 280)


def test_the_overlay_is_what_runs_and_peoples_ratio_is_kept() -> None:
    web = workload(server(cpu=300, cpu_limit=1000))
    ours = MachineFile(
        form="requests",
        target=REF,
        values={"containers/server/requests/cpu": "200m", "containers/server/limits/cpu": "667m"},
    )
    found = only(web, requests_files={KEY: ours}, usage=usage(web, cpu=used(0.065)))
    assert (found.current.cpu_request, found.current.cpu_limit) == (200, 667)
    assert (found.recommended.cpu_request, found.recommended.cpu_limit) == (100, 334)


def test_a_limit_that_a_person_took_away_goes_from_the_overlay_too() -> None:
    web = workload(server(cpu=300))
    ours = MachineFile(
        form="requests",
        target=REF,
        values={"containers/server/requests/cpu": "280m", "containers/server/limits/cpu": "560m"},
    )
    found = only(web, requests_files={KEY: ours}, usage=usage(web, cpu=used(0.1815)))
    assert found.changes == ("cpu",)
    assert found.recommended.cpu_limit is None
    assert "the manifest has no limit any more" in found.why["cpu"]


def test_a_persons_new_limit_below_our_request_is_mended() -> None:
    web = workload(server(cpu=100, cpu_limit=200))
    ours = MachineFile(form="requests", target=REF, values={"containers/server/requests/cpu": "280m"})
    found = only(web, requests_files={KEY: ours}, usage=usage(web, cpu=used(0.182)))
    assert found.changes == ("cpu",)
    assert (found.recommended.cpu_request, found.recommended.cpu_limit) == (280, 560)


def test_an_overlay_value_that_is_no_quantity_is_written_over() -> None:
    web = workload()
    ours = MachineFile(form="requests", target=REF, values={"containers/server/requests/cpu": "lots"})
    found = only(web, requests_files={KEY: ours}, usage=usage(web, cpu=used(0.182)))
    assert (found.current.cpu_request, found.recommended.cpu_request) == (100, 280)


def test_an_oom_kill_raises_memory_however_small_the_change() -> None:
    web = workload(server(memory=590))
    oom = OomRecord(workload=KEY, container="server", oom_kills=2, restarts=5, peak_bytes=500 * MIB)
    found = only(web, ooms={(KEY, "server"): oom}, usage=usage(web, memory=used(200 * MIB)))
    assert found.recommended.memory_request == 600 * MIB
    assert found.changes == ("memory",)
    assert "raised to 600Mi after 2 OOM kills at 500.0 MiB" in found.why["memory"]
    assert found.notes == {"memory": ("raised to 600Mi after 2 OOM kills at 500.0 MiB",)}
    assert (found.oom_kills, found.restarts, found.risk) == (2, 5, "high")


def test_a_kill_without_a_peak_counts_from_the_limit() -> None:
    web = workload(server(memory=256, memory_limit=512))
    oom = OomRecord(workload=KEY, container="server", oom_kills=1)
    found = only(web, ooms={(KEY, "server"): oom}, usage=usage(web, memory=used(200 * MIB)))
    assert found.recommended.memory_request == 615 * MIB


def test_restarts_without_a_kill_raise_nothing() -> None:
    web = workload()
    crash = OomRecord(workload=KEY, container="server", restarts=9, peak_bytes=500 * MIB)
    found = only(web, ooms={(KEY, "server"): crash}, usage=usage(web, memory=used(130 * MIB)))
    assert found.recommended.memory_request == 200 * MIB
    assert (found.risk, found.restarts) == ("medium", 9)


@pytest.mark.parametrize(
    ("days", "memory", "risk"), [(2.9, 512, "high"), (6.9, 10, "medium"), (14, 512, "medium"), (14, 10, "low")]
)
def test_risk(days: float, memory: int, risk: str) -> None:
    web = workload(server(memory=memory))
    found = only(web, usage=usage(web, cpu=used(0.182, days=days), memory=used(130 * MIB, days=days)))
    assert found.risk == risk


def test_saving_counts_observed_replicas_before_the_manifests() -> None:
    web = workload(server(cpu=500))
    summary = usage(web, cpu=used(0.182))
    assert only(web, usage=summary).saving_monthly == Decimal("15.2302")
    assert only(web, usage=summary, replicas={KEY: 6}).saving_monthly == Decimal("30.4604")
    assert only(web.model_copy(update={"replicas": None}), usage=summary).saving_monthly == Decimal("5.0767")


@pytest.mark.parametrize(
    ("kind", "observed", "counted"), [("DaemonSet", 5, 5), ("DaemonSet", None, 1), ("CronJob", 4, 1)]
)
def test_replicas_by_kind(kind: str, observed: int | None, counted: int) -> None:
    web = workload(kind=kind)
    found = only(web, replicas={web.key: observed} if observed else {}, usage=usage(web, cpu=used(0.182)))
    assert found.replicas == counted


def test_init_and_sidecar_containers_are_sized_and_only_the_sidecar_costs() -> None:
    resources = Resources(cpu_request=1000)
    web = workload(
        Container(name="migrate", role="init", resources=resources),
        Container(name="proxy", role="sidecar", resources=resources),
        replicas=1,
    )
    both = usage(web, cpu=used(0.182), container="migrate") | usage(web, cpu=used(0.182), container="proxy")
    migrate, proxy = recommend(web, SizingContext(now=NOW, usage=both))
    assert migrate.recommended.cpu_request == proxy.recommended.cpu_request == 280
    assert migrate.saving_monthly == 0
    assert proxy.saving_monthly > 0


def test_only_the_containers_that_the_action_covers() -> None:
    web = workload(Container(name="a"), Container(name="b"))
    assert [one.container for one in recommend(web, SizingContext(now=NOW), containers={"b"})] == ["b"]


@pytest.mark.parametrize(("kind", "word"), [("Job", "Job cannot be changed"), ("Pod", "bare Pod cannot be changed")])
def test_what_cannot_be_changed_says_so(kind: str, word: str) -> None:
    web = workload(kind=kind)
    found = only(web, usage=usage(web, cpu=used(0.182)))
    assert found.changes == ("cpu",)
    assert word in found.why["cpu"]


def refusal(field: str, value: str) -> Refusal:
    return Refusal(subject="a1", path=PATH, field=field, value=value, at=NOW, by="ann", commit="0123456789abcdef")


def test_a_refused_request_stays_and_its_limit_with_it() -> None:
    web = workload(server(cpu=100, cpu_limit=200))
    found = only(
        web,
        subject="a1",
        refusals=(refusal("containers/server/requests/cpu", "300m"),),
        usage=usage(web, cpu=used(0.182)),
    )
    assert found.changes == ()
    assert (found.recommended.cpu_request, found.recommended.cpu_limit) == (100, 200)
    assert found.saving_monthly == 0
    assert found.why["cpu"].endswith(
        "100m → 280m, refused by ann in commit 0123456 on 2026-06-16; proposed again when it differs by 20 %"
    )


def test_a_refused_limit_holds_its_request() -> None:
    web = workload(server(cpu=100, cpu_limit=200))
    refusals = (refusal("containers/server/limits/cpu", "560m"),)
    found = only(web, subject="a1", refusals=refusals, usage=usage(web, cpu=used(0.182)))
    assert found.changes == ()
    assert "limit refused by ann" in found.why["cpu"]


def test_the_refusal_of_another_action_does_not_count() -> None:
    web = workload()
    refusals = (refusal("containers/server/requests/cpu", "280m"),)
    assert only(web, subject="a2", refusals=refusals, usage=usage(web, cpu=used(0.182))).changes == ("cpu",)


def test_a_quota_that_would_be_exceeded_is_said_and_not_clamped_to() -> None:
    web = workload(replicas=12)
    quota = Quota(
        namespace="shop",
        name="team",
        ref=ObjectRef(api_version="v1", kind="ResourceQuota", name="team"),
        hard={"requests.cpu": "3"},
        source=Source(path="quota.yaml"),
    )
    found = only(web, quotas=(quota,), usage=usage(web, cpu=used(0.182)))
    assert found.recommended.cpu_request == 280
    assert found.why["cpu"].endswith("3360m for 12 replicas is above requests.cpu 3 of ResourceQuota team")
    assert found.notes == {"cpu": ("3360m for 12 replicas is above requests.cpu 3 of ResourceQuota team",)}
    fewer = web.model_copy(update={"replicas": 10})
    assert "Quota" not in only(fewer, quotas=(quota,), usage=usage(web, cpu=used(0.182))).why["cpu"]
