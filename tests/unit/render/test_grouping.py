"""What shares a commit, in which order, and under which branch name."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.change import Change, Decision, Proposal, Subject
from reconciler.render.grouping import group_changes

AT = datetime(2026, 6, 16, tzinfo=UTC)
ACTION = Subject(kind="action", id="act-1", name="nightly", run="R1")
POLICY = Subject(kind="policy", id="POL1", name="web")
numbers = count()


def decision(**fields: object) -> Decision:
    values = {"kind": "requests", "subject": ACTION, "cluster": "prod", "root": "r", "namespace": "shop"}
    values |= {"workload": "web", "edits": (), "reason": "because"}
    return Decision(id=f"D{next(numbers):04}", at=AT, proposal=Proposal.model_validate(values | fields))


def grouped(decisions: list[Decision], *keys: str) -> tuple[Change, ...]:
    ids: Iterator[int] = count()
    return group_changes(decisions, keys or ("cluster", "kind"), new_id=lambda: f"C{next(ids)}")  # type: ignore[arg-type]


def test_one_commit_per_action_cluster_and_kind() -> None:
    decisions = [decision(workload="a"), decision(workload="b"), decision(cluster="dev"), decision(kind="quota")]
    assert [(c.group, len(c.decisions)) for c in grouped(decisions)] == [
        ("action-nightly--dev--requests", 1),
        ("action-nightly--prod--requests", 2),
        ("action-nightly--prod--quota", 1),
    ]


def test_subjects_are_never_mixed() -> None:
    changes = grouped([decision(), decision(subject=POLICY), decision(subject=ACTION)], "cluster")
    assert sorted(change.subject.name for change in changes) == ["nightly", "web"]


@pytest.mark.parametrize(("keys", "expected"), [(("cluster",), 1), (("namespace",), 2), (("workload",), 3)])
def test_group_by_splits(keys: tuple[str, ...], expected: int) -> None:
    decisions = [decision(), decision(workload="api"), decision(namespace="pay", workload="api2", kind="hpa")]
    assert len(grouped(decisions, *keys)) == expected


def test_what_must_land_apart_does_even_when_kinds_are_mixed() -> None:
    kinds = ["requests", "hpa", "nodepool", "quota", "turndown", "turnup", "stale", "handover"]
    changes = grouped([decision(kind=kind) for kind in kinds], "cluster")
    assert [[d.proposal.kind for d in change.decisions] for change in changes] == [
        ["stale"],
        ["hpa", "nodepool", "quota", "requests"],
        ["handover"],
        ["turndown"],
        ["turnup"],
    ]


def test_changes_come_in_the_order_in_which_they_are_safe() -> None:
    kinds = ["turnup", "turndown", "quota", "requests", "nodepool", "handover", "hpa", "stale"]
    assert [change.kind for change in grouped([decision(kind=kind) for kind in kinds])] == list(reversed(kinds))


def test_each_rollback_is_alone() -> None:
    decisions = [decision(kind="rollback", reverts="a" * 40), decision(kind="rollback", reverts="b" * 40)]
    first, second = grouped(decisions)
    assert first.group != second.group


def test_a_policy_that_needs_approval_has_one_branch_named_after_it() -> None:
    decisions = [
        decision(kind=kind, subject=POLICY, approval_required=True, namespace=name)
        for kind, name in (("hpa", "a"), ("nodepool", "b"))
    ]
    (change,) = grouped(decisions, "cluster", "kind", "namespace")
    assert change.group == "pol1"


names = st.sampled_from(["web", "Web", "a--b", "a", "b", "x" * 80, "x" * 81, "é", "", "..", "a/b"])
proposals = st.builds(
    lambda kind, subject, cluster, namespace, workload: decision(
        kind=kind, subject=subject, cluster=cluster, namespace=namespace, workload=workload
    ),
    st.sampled_from(["requests", "hpa", "stale", "turnup"]),
    st.builds(lambda kind, name: Subject(kind=kind, id=name, name=name), st.sampled_from(["policy", "action"]), names),
    names,
    names,
    names,
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(proposals, max_size=12), st.permutations(["cluster", "kind", "namespace", "workload"]), st.integers(0, 4)
)
def test_nothing_is_lost_and_every_group_has_a_name_of_its_own(
    decisions: list[Decision], keys: list[str], number: int
) -> None:
    changes = grouped(decisions, *keys[:number]) if number else grouped(decisions, "cluster")
    assert sorted(d.id for change in changes for d in change.decisions) == sorted(d.id for d in decisions)
    slugs = [change.group for change in changes]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,59}", slug) for slug in slugs)
    again = grouped(list(reversed(decisions)), *(keys[:number] or ["cluster"]))
    assert [change.group for change in again] == slugs
