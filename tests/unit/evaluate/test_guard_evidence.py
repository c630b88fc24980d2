"""What speaks against a change: more incidents after it than before it, of what it made smaller."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.evaluate.guard import Span, evidence, smaller_of
from reconciler.model.change import Change, Decision, Proposal, Subject, ValueEdit
from reconciler.model.guard import Incident
from reconciler.model.workload import ObjectRef, WorkloadKey

AT = datetime(2026, 6, 17, 10, 0, tzinfo=UTC)
WEB = WorkloadKey(cluster="prod", namespace="prod", kind="Deployment", name="checkout-api")
REF = ObjectRef(api_version="apps/v1", kind="Deployment", name="checkout-api")
PATH = "clusters/prod/trimtab/prod/requests-deployment-checkout-api.yaml"
ALL = ("oomKill", "crashLoop", "throttling")


def edit(at_field: str, old: str | None, new: str | None, **more: Any) -> ValueEdit:
    given: dict[str, Any] = {"path": PATH, "form": "requests", "target": REF, "field": f"containers/server/{at_field}"}
    return ValueEdit.model_validate({**given, "old": old, "new": new, **more})


def change(*edits: ValueEdit, kind: str = "requests") -> Change:
    given = {"kind": kind, "subject": Subject(kind="action", id="a", name="a"), "cluster": "prod", "reason": ""}
    proposal = Proposal.model_validate({**given, "root": "clusters/prod", "namespace": "prod", "edits": edits})
    return Change(id="c", group="g", decisions=(Decision(id="d", at=AT, proposal=proposal),))


def at(minutes: float, pod: str = "p1", container: str = "server", **counts: int) -> Incident:
    when = AT + timedelta(minutes=minutes)
    return Incident.model_validate({"at": when, "workload": WEB, "container": container, "pod": pod, **counts})


def said(made: Change, *incidents: Incident, revert_on: tuple[str, ...] = ALL, stands: bool = True) -> str:
    """The evidence half an hour after the change came into force at 10:00."""
    before = tuple(one for one in incidents if one.at < AT)
    after = tuple(one for one in incidents if one.at >= AT)
    span = Span(AT, AT + timedelta(minutes=30))
    return evidence(
        smaller_of(made), span, before=before, after=after, revert_on=revert_on, stands=lambda _edit: stands
    )


LESS_MEMORY = change(edit("requests/memory", "1Gi", "400Mi"), edit("limits/memory", None, "400Mi", was="1Gi"))
LESS_CPU = change(edit("requests/cpu", None, "100m", was="500m"), edit("limits/cpu", "1", "200m"))


def test_the_evidence_says_what_happened_when_and_after_what() -> None:
    assert said(LESS_MEMORY, at(2, oom_kills=2, restarts=2), at(9, "p2", oom_kills=1, restarts=1)) == (
        "3 OOM kills of prod/checkout-api server between 10:02 and 10:09 UTC, after its memory limit went 1Gi → 400Mi"
    )
    assert said(LESS_MEMORY, at(-20, oom_kills=1), at(2, oom_kills=1), at(2.5, oom_kills=1)) == (
        "2 OOM kills of prod/checkout-api server at 10:02 UTC (1 in the 30 minutes before), "
        "after its memory limit went 1Gi → 400Mi"
    )
    new_limit = change(edit("limits/memory", None, "400Mi"))
    assert said(new_limit, at(2, oom_kills=1)).endswith("at 10:02 UTC, after its memory limit was set to 400Mi")


@pytest.mark.parametrize(
    "incidents",
    [
        (at(-1, oom_kills=2), at(1, oom_kills=2)),
        (at(-29, oom_kills=2), at(29, oom_kills=1)),
        (at(1, container="sidecar", oom_kills=5),),
        (at(31, oom_kills=5),),
        (at(1, restarts=2),),
        (at(1, restarts=5, oom_kills=0), at(-1, restarts=5)),
        (at(1, "p1", restarts=2), at(1, "p2", restarts=2)),
        (at(1, throttled=1),),
    ],
    ids=["as before", "less than before", "another container", "too late", "two restarts", "as many crashes before",
         "two pods once or twice", "throttled without a CPU limit of ours"],
)  # fmt: skip
def test_what_says_nothing_against_a_change(incidents: tuple[Incident, ...]) -> None:
    assert said(LESS_MEMORY, *incidents) == ""


def test_what_is_longer_ago_than_the_change_is_old_does_not_count() -> None:
    assert said(LESS_MEMORY, at(-31, oom_kills=9), at(1, oom_kills=1)).startswith("1 OOM kill of")


@pytest.mark.parametrize(
    "made",
    [
        change(edit("requests/memory", "400Mi", "1Gi"), edit("limits/memory", "400Mi", "1Gi")),
        change(edit("requests/memory", None, "400Mi")),
        change(edit("limits/memory", "1Gi", None)),
        change(edit("requests/memory", "1Gi", "400Mi"), kind="rollback"),
        change(edit("limits/memory", "1Gi", "1024Mi")),
    ],
    ids=["raised", "a first request", "no limit any more", "a rollback", "the same"],
)
def test_what_made_nothing_smaller_is_not_to_blame(made: Change) -> None:
    assert said(made, at(1, oom_kills=3, restarts=9)) == ""


def test_only_memory_is_blamed_for_oom_kills_and_any_size_for_crashes() -> None:
    assert said(LESS_CPU, at(1, oom_kills=3, restarts=3)) == ""
    crashed = [at(minute, restarts=1) for minute in (1, 2, 3)]
    words = "3 restarts of prod/checkout-api server between 10:01 and 10:03 UTC, after its CPU limit went 1 → 200m"
    assert said(LESS_CPU, *crashed) == words
    assert said(LESS_CPU, *crashed, revert_on=("oomKill",)) == ""
    assert (
        said(LESS_MEMORY, *(at(minute, restarts=1, oom_kills=1) for minute in (1, 2, 3)), revert_on=("crashLoop",))
        == ""
    )


def test_throttling_is_for_those_whose_cpu_limit_went_down() -> None:
    assert said(LESS_CPU, at(3, throttled=1)) == (
        "prod/checkout-api server was throttled again and again at 10:03 UTC, after its CPU limit went 1 → 200m"
    )
    assert said(LESS_CPU, at(-3, throttled=1), at(3, throttled=1)) == ""
    assert said(change(edit("requests/cpu", "1", "200m")), at(3, throttled=1)) == ""


def test_a_value_that_was_changed_since_is_not_to_blame() -> None:
    assert said(LESS_MEMORY, at(1, oom_kills=3), stands=False) == ""


def test_values_in_people_s_own_manifests_count_alike() -> None:
    field = "spec/template/spec/containers/server/resources/limits/memory"
    target = REF.model_copy(update={"namespace": "prod"})
    made = change(edit("", "1Gi", "400Mi", form="source", field=field, target=target, path="clusters/prod/web.yaml"))
    assert said(made, at(1, oom_kills=1)).startswith("1 OOM kill of prod/checkout-api server at 10:01 UTC")
    assert smaller_of(change(edit("", "3", "1", form="source", field="spec/replicas", target=target))) == ()


def test_several_containers_are_counted() -> None:
    both = change(
        edit("limits/memory", "1Gi", "400Mi"), edit("", "1Gi", "1Mi", field="initContainers/proxy/limits/memory")
    )
    found = said(both, at(1, oom_kills=1), at(2, container="proxy", oom_kills=1))
    assert found.endswith("; and 1 more like it")
