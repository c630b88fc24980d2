"""What holds for every recommendation, whatever the usage, the people's values and the cluster's bounds."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.evaluate.sizing import SizingContext, proposals, recommend
from reconciler.model.action import SizingParameters
from reconciler.model.change import Proposal, Subject
from reconciler.model.fleet import Root
from reconciler.model.inventory import Inventory, LimitRangeItem, RootState
from reconciler.model.machine_file import MachineFile
from reconciler.model.observation import OomRecord, SeriesKey, UsageSummary
from reconciler.model.quantity import GIB, MIB, canonical, parse_cpu, parse_memory
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

NOW = datetime(2026, 6, 16, 10, tzinfo=UTC)
KEY = WorkloadKey(cluster="prod", namespace="shop", kind="Deployment", name="web")
REF = ObjectRef(api_version="apps/v1", kind="Deployment", name="web", namespace="shop")
ROOT = Root(path="clusters/prod")
NAMES = ("setup", "proxy", "server")
EXAMPLES = settings(max_examples=150, deadline=None)

cores = st.floats(0, 64, allow_nan=False)
sizes = st.floats(0, 64 * GIB, allow_nan=False)
millicores = st.integers(1, 32000)
mebibytes = st.integers(1, 65536).map(lambda n: n * MIB)
odd_bytes = st.one_of(mebibytes, st.integers(MIB, 64 * GIB))


@st.composite
def resources(draw: st.DrawFn) -> Resources:
    """Requests and limits as a person may write them: any of them may be absent, a limit is not below its request."""
    values: dict[str, int | None] = {}
    for name, amounts in (("cpu", millicores), ("memory", odd_bytes)):
        request, limit = draw(st.none() | amounts), draw(st.none() | amounts)
        if request is not None and limit is not None:
            request, limit = min(request, limit), max(request, limit)
        values |= {f"{name}_request": request, f"{name}_limit": limit}
    return Resources.model_validate(values)


@st.composite
def limit_ranges(draw: st.DrawFn) -> tuple[LimitRangeItem, ...]:
    """At most one LimitRange that the API server would accept: min ≤ default request ≤ default ≤ max, ratio ≥ 1."""
    if draw(st.booleans()):
        return ()
    cpu = sorted(draw(st.lists(millicores, min_size=4, max_size=4)))
    memory = sorted(draw(st.lists(odd_bytes, min_size=4, max_size=4)))
    values: dict[str, object] = {"namespace": "shop", "name": "bounds"}
    for name, figures in (("cpu", cpu), ("memory", memory)):
        fields = (f"min_{name}", f"default_request_{name}", f"default_{name}", f"max_{name}")
        values |= {field: figure for field, figure in zip(fields, figures, strict=True) if draw(st.booleans())}
    return (LimitRangeItem.model_validate(values),)


ratios = st.none() | st.floats(1, 20).map(lambda ratio: round(ratio, 2))


@st.composite
def parameters(draw: st.DrawFn) -> SizingParameters:
    utilization = st.sampled_from([0.3, 0.5, 0.65, 0.8, 1.0])
    return SizingParameters(
        target_utilization_cpu=draw(utilization),
        target_utilization_ram=draw(utilization),
        min_cpu_millicores=draw(st.integers(0, 200)),
        min_ram_bytes=draw(st.integers(0, 200 * MIB)),
        min_change_percent=draw(st.sampled_from([0.0, 10.0, 25.0])),
        keep_limit_ratio=draw(st.booleans()),
    )


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    return Workload(
        key=KEY,
        ref=REF,
        root=ROOT.path,
        source=Source(path="clusters/prod/apps/web.yaml"),
        containers=(
            Container(name="setup", role="init", resources=draw(resources())),
            Container(name="proxy", role="sidecar", resources=draw(resources())),
            Container(name="server", resources=draw(resources())),
        ),
        replicas=draw(st.none() | st.integers(0, 50)),
    )


def summary(value: float, peak: float = 0) -> UsageSummary:
    return UsageSummary(
        samples=1000,
        maximum=max(value, peak),
        average=value,
        base={"max": value},
        first=NOW - timedelta(days=14),
        last=NOW,
    )


@st.composite
def usages(draw: st.DrawFn) -> dict[SeriesKey, UsageSummary]:
    found = {}
    for name in NAMES:
        for resource, values in (("cpu", cores), ("memory", sizes)):
            key = SeriesKey.model_validate({"workload": KEY, "container": name, "resource": resource})
            found[key] = summary(draw(values), draw(values))
    return found


oom_records = st.dictionaries(
    st.sampled_from(NAMES), st.tuples(st.integers(0, 5), st.integers(MIB, 32 * GIB)), max_size=3
).map(
    lambda kills: {
        (KEY, name): OomRecord(workload=KEY, container=name, oom_kills=count, peak_bytes=peak)
        for name, (count, peak) in kills.items()
    }
)


@st.composite
def contexts(draw: st.DrawFn, *, bounded: bool = True) -> SizingContext:
    node = st.none() | st.tuples(st.integers(100, 64000), st.integers(64 * MIB, 256 * GIB))
    return SizingContext(
        now=NOW,
        params=draw(parameters()),
        usage=draw(usages()),
        ooms=draw(oom_records),
        limit_ranges=draw(limit_ranges()) if bounded else (),
        largest_node=draw(node) if bounded else None,
        hpa_files=draw(st.sampled_from([{}, {KEY: hpa("70%")}])),
        policy_cpu_percent=draw(st.sampled_from([{}, {KEY: 62.5}])),
        replicas=draw(st.sampled_from([{}, {KEY: 4}])),
    )


def hpa(target: str) -> MachineFile:
    return MachineFile(form="hpa", target=REF, values={"metrics/cpu": target, "maxReplicas": "5"})


def with_(context: SizingContext, **changes: object) -> SizingContext:
    fields = {name: getattr(context, name) for name in SizingContext.__dataclass_fields__}
    return SizingContext(**{**fields, **changes})


def proposed(
    found: tuple[ContainerRecommendation, ...], context: SizingContext, overlay: Mapping[str, MachineFile]
) -> tuple[Proposal, ...]:
    state = RootState(inventory=Inventory(cluster="prod", root=ROOT.path, wired=True), overlay=dict(overlay))
    subject = Subject(kind="action", id="a1", name="nightly")
    return proposals(found, subject=subject, root_state=state, root=ROOT, context=context)


def changed(found: tuple[ContainerRecommendation, ...]) -> list[tuple[ContainerRecommendation, Resource]]:
    return [(one, resource) for one in found for resource in one.changes]


@EXAMPLES
@given(workloads(), contexts(bounded=False))
def test_never_below_the_floor_or_what_oom_history_demands(subject: Workload, context: SizingContext) -> None:
    for one, resource in changed(recommend(subject, context)):
        request = one.recommended.request(resource)
        assert request is not None
        floor = context.params.min_cpu_millicores if resource == "cpu" else context.params.min_ram_bytes
        assert request >= floor
        oom = context.ooms.get((KEY, one.container))
        if resource == "memory" and oom is not None and oom.oom_kills:
            assert request >= oom.peak_bytes + 100 * MIB
            assert request * 5 >= oom.peak_bytes * 6


@EXAMPLES
@given(workloads(), contexts(bounded=False))
def test_never_below_use_over_target_utilization(subject: Workload, context: SizingContext) -> None:
    for one, resource in changed(recommend(subject, context)):
        base = one.usage[resource].base["max"] * (1000 if resource == "cpu" else 1)
        params = context.params
        utilization = params.target_utilization_cpu if resource == "cpu" else params.target_utilization_ram
        request = one.recommended.request(resource)
        assert request is not None
        assert request * (1 + 1e-8) >= base / utilization


@EXAMPLES
@given(workloads(), contexts(), ratios, ratios)
def test_limits_hold_their_requests_and_the_cluster_accepts_both(
    subject: Workload, context: SizingContext, ratio_cpu: float | None, ratio_memory: float | None
) -> None:
    ranges = tuple(
        one.model_copy(update={"ratio_cpu": ratio_cpu, "ratio_memory": ratio_memory}) for one in context.limit_ranges
    )
    for one, resource in changed(recommend(subject, with_(context, limit_ranges=ranges))):
        request, limit = one.recommended.request(resource), one.recommended.limit(resource)
        container = subject.container(one.container)
        assert request is not None
        assert container is not None
        assert (limit is None) == (container.resources.limit(resource) is None)
        assert limit is None or limit >= request
        node = context.node(resource)
        assert node is None or request <= node
        for bounds in ranges:
            accepted(bounds, resource, request, limit, node)


def accepted(bounds: LimitRangeItem, resource: Resource, request: int, limit: int | None, node: int | None) -> None:
    """The rules of the LimitRange admission, on what a new pod would have."""
    least, most = getattr(bounds, f"min_{resource}"), getattr(bounds, f"max_{resource}")
    default, ratio = getattr(bounds, f"default_{resource}"), getattr(bounds, f"ratio_{resource}")
    effective = limit if limit is not None else (most if default is None else default)
    assert most is None or request <= most
    assert least is None or request >= least or (node is not None and node < least + MIB)
    assert effective is None or effective >= request
    assert most is None or effective is None or effective <= most
    if ratio is not None and effective is not None and (node is None or request < node // MIB * MIB):
        step = 1 if resource == "cpu" else MIB
        fits = effective <= request * Fraction(ratio)
        # Where rounding up by one step would pass the ceiling, the ceiling's own value is all that is left.
        assert fits or request + step > min(one for one in (most, effective) if one is not None)


@EXAMPLES
@given(workloads(), contexts(), st.sampled_from(NAMES), st.sampled_from(RESOURCES), st.floats(1, 10))
def test_more_use_never_gives_less(
    subject: Workload, context: SizingContext, name: str, resource: Resource, factor: float
) -> None:
    key = SeriesKey(workload=KEY, container=name, resource=resource)
    before = context.usage[key]
    more = summary(before.base["max"] * factor, before.maximum * factor)
    first = {one.container: one for one in recommend(subject, context)}[name]
    second = {one.container: one for one in recommend(subject, with_(context, usage={**context.usage, key: more}))}[
        name
    ]
    assert (second.recommended.request(resource) or 0) >= (first.recommended.request(resource) or 0)


@EXAMPLES
@given(workloads(), contexts(), st.randoms(use_true_random=False))
def test_order_does_not_matter(subject: Workload, context: SizingContext, random: object) -> None:
    def shuffled(values: list[object]) -> list[object]:
        random.shuffle(values)  # type: ignore[attr-defined]
        return values

    turned = subject.model_copy(update={"containers": tuple(shuffled(list(subject.containers)))})
    mixed = with_(
        context,
        usage=dict(shuffled(list(context.usage.items()))),  # type: ignore[call-overload]
        limit_ranges=tuple(shuffled(list(context.limit_ranges))),
    )
    straight = {one.container: one.model_dump(exclude={"workload"}) for one in recommend(subject, context)}
    assert {one.container: one.model_dump(exclude={"workload"}) for one in recommend(turned, mixed)} == straight


@EXAMPLES
@given(workloads(), contexts())
def test_what_is_applied_is_not_proposed_again(subject: Workload, context: SizingContext) -> None:
    overlay: dict[str, MachineFile] = {}
    for proposal in proposed(recommend(subject, context), context, overlay):
        for edit in proposal.edits:
            standing = overlay.get(edit.path, context.hpa_files.get(KEY) if edit.form == "hpa" else None)
            values = dict(standing.values) if standing is not None else {}
            assert values.get(edit.field) == edit.old
            assert edit.new is not None
            values[edit.field] = edit.new
            form = "hpa" if edit.form == "hpa" else "requests"
            overlay[edit.path] = MachineFile(form=form, target=edit.target, values=values)
    files = {file.form: file for file in overlay.values()}
    later = with_(
        context,
        requests_files={KEY: files["requests"]} if "requests" in files else {},
        hpa_files={KEY: files["hpa"]} if "hpa" in files else context.hpa_files,
    )
    found = recommend(subject, later)
    assert not changed(found)
    assert proposed(found, later, overlay) == ()


@EXAMPLES
@given(workloads(), contexts())
def test_every_written_quantity_is_canonical_and_says_the_value(subject: Workload, context: SizingContext) -> None:
    found = recommend(subject, context)
    by_name = {one.container: one for one in found}
    for proposal in proposed(found, context, {}):
        for edit in proposal.edits:
            assert edit.new is not None
            assert canonical(edit.new) == edit.new
            if edit.form == "requests":
                _, name, bound, resource = edit.field.split("/")
                recommended = by_name[name].recommended
                read = parse_cpu if resource == "cpu" else parse_memory
                value = getattr(recommended, f"{resource}_{bound.removesuffix('s')}")
                assert read(edit.new) == value


@EXAMPLES
@given(workloads(), contexts())
def test_a_resource_without_a_change_keeps_both_its_values_or_hardly_moves(
    subject: Workload, context: SizingContext
) -> None:
    for one in recommend(subject, context):
        for resource in RESOURCES:
            assert one.why[resource]
            if resource not in one.changes and "under the minimum change" not in one.why[resource]:
                assert one.recommended.request(resource) == one.current.request(resource)
                assert one.recommended.limit(resource) == one.current.limit(resource)
