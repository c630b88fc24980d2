"""What holds for every quota: it never goes below what is in use, nor below what a rollout needs."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.evaluate.quota import KEYS, quota_proposals
from reconciler.evaluate.quota_demand import surge_pods
from reconciler.model.action import ActionConfig
from reconciler.model.inventory import Quota, RootState
from reconciler.model.observation import Observation
from reconciler.model.quantity import MIB, canonical, format_cpu, format_memory, parse_cpu, parse_memory
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import ObjectRef, Resources, Source, Workload
from support.declared import NOW, ROOT, container, landed, observation, state, workload

ACTION = ActionConfig(id="a", name="quotas", action="resourceQuotaRightSizing")
REF = ObjectRef(api_version="v1", kind="ResourceQuota", name="compute", namespace="shop")
cores = st.integers(1, 20_000)
sizes = st.integers(1, 20_000).map(lambda mib: mib * MIB + 1)


def amount(key: str, text: str) -> int:
    return parse_cpu(text) if KEYS[key][0] == "cpu" else parse_memory(text)


@st.composite
def quantities(draw: st.DrawFn) -> dict[str, str]:
    return {key: format_cpu(draw(cores)) if KEYS[key][0] == "cpu" else format_memory(draw(sizes)) for key in KEYS}


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    sized = container(
        cpu_request=draw(cores), cpu_limit=draw(cores), memory_request=draw(sizes), memory_limit=draw(sizes)
    )
    kind = draw(st.sampled_from(["Deployment", "StatefulSet", "DaemonSet", "CronJob"]))
    surge = draw(st.sampled_from([None, "0", "3", "50%"]))
    name = f"w{draw(st.integers(0, 10**6))}"
    return workload(name, sized, kind=kind, replicas=draw(st.integers(0, 20)), max_surge=surge)


@st.composite
def situations(
    draw: st.DrawFn,
) -> tuple[RootState, dict[str, Observation], list[ContainerRecommendation], dict[str, str]]:
    found = draw(st.lists(workloads(), max_size=3, unique_by=lambda w: w.key.name))
    used = draw(quantities())
    quota = Quota(namespace="shop", name="compute", ref=REF, hard=draw(quantities()), source=Source(path=ROOT))
    statuses = [
        {"namespace": "shop", "kind": w.key.kind, "name": w.key.name, "replicas": n, "readyReplicas": n}
        for w in found
        for n in [draw(st.integers(0, 20))]
    ]
    advice = [
        ContainerRecommendation(
            workload=w,
            container="server",
            current=w.containers[0].resources,
            recommended=Resources(cpu_request=draw(cores), memory_request=draw(sizes)),
            changes=("cpu", "memory"),
        )
        for w in found
        if draw(st.booleans())
    ]
    seen = observation(quotas=({"namespace": "shop", "name": "compute", "used": used},), workloads=tuple(statuses))
    return state(*found, quotas=(quota,)), seen, advice, used


def decide(root: RootState, seen: dict[str, Observation], advice: Any) -> Any:
    return quota_proposals(ACTION, [root], now=NOW, observations=seen, recommendations=advice)


@settings(max_examples=120, deadline=None)
@given(situations())
def test_what_is_written_covers_use_and_rollout_and_is_canonical(
    situation: tuple[RootState, dict[str, Observation], list[ContainerRecommendation], dict[str, str]],
) -> None:
    root, seen, advice, used = situation
    running = {(s.kind, s.name): s.replicas for s in next(iter(seen.values())).workloads}
    for proposal in decide(root, seen, advice).proposals:
        for edit in proposal.edits:
            key = edit.field.partition("/")[2]
            resource, bound = KEYS[key]
            assert edit.new == canonical(edit.new)
            hard = amount(key, edit.new)
            assert hard % (100 if resource == "cpu" else 64 * MIB) == 0
            surge = sum(
                surge_pods(w, running[w.key.kind, w.key.name])
                * (
                    (w.containers[0].resources.request if bound == "requests" else w.containers[0].resources.limit)(
                        resource
                    )
                    or 0
                )
                for w in root.inventory.workloads
            )
            assert hard >= amount(key, used[key]) + surge
            assert proposal.takes_capacity == (hard < amount(key, root.inventory.quotas[0].hard[key]))


@settings(max_examples=60, deadline=None)
@given(situations())
def test_once_landed_there_is_nothing_more_to_do(
    situation: tuple[RootState, dict[str, Observation], list[ContainerRecommendation], dict[str, str]],
) -> None:
    root, seen, advice, used = situation
    after = landed(root, *decide(root, seen, advice).proposals)
    assert decide(after, seen, advice).proposals == ()
    # What stands after a pass always holds what is in use.
    files = list(after.overlay.values())
    for key, text in root.inventory.quotas[0].hard.items():
        standing = files[0].values.get(f"hard/{key}", text) if files else text
        assert amount(key, standing) >= amount(key, used[key])
