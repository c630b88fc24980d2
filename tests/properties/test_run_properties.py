"""Whatever is recorded and completed, and in which order: counts add up, and pages hold everything once."""

import itertools
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from reconciler.model.run import RunAction
from reconciler.store.runs import RunStore
from support.ran import action, done, run

START = datetime(2026, 6, 17, tzinfo=UTC)
CLUSTERS = ("prod", "dev")
numbers = itertools.count()

steps = st.lists(
    st.tuples(
        st.booleans(),  # record, or complete
        st.integers(0, 2),  # which run
        st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(CLUSTERS)), max_size=4, unique=True),
        st.integers(0, 6),  # when, in hours
        st.booleans(),  # failed
    ),
    max_size=14,
)
shared = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass
class Told:
    """A plain account of what was told: the runs that were recorded, and what became of each action."""

    organization: str = field(default_factory=lambda: f"org-{next(numbers)}")
    starts: dict[str, datetime] = field(default_factory=dict)
    actions: dict[str, RunAction] = field(default_factory=dict)

    def tell(
        self, store: RunStore, record: bool, which: int, names: list[tuple[str, str]], hour: int, failed: bool
    ) -> None:
        at = START + timedelta(hours=hour)
        of = run(str(which), at, organization=self.organization)
        named = [action(of, name, cluster=cluster) for name, cluster in names]
        if record:
            store.record(of, named)
            self.starts[of.id] = min(at, self.starts.get(of.id, at))
            self.actions |= {one.id: one for one in named if one.id not in self.actions}
            return
        ended = [done(one, at, *(["no"] if failed else [])) for one in named]
        new = {one.id: one for one in ended if one.id in self.actions and self.actions[one.id].completed_at is None}
        assert store.complete(ended) == len(new)
        self.actions |= new


@given(steps, st.integers(0, 7), st.integers(0, 7), st.sampled_from([None, *itertools.combinations(CLUSTERS, 1)]))
@shared
def test_counts_always_add_up(
    engine: Engine, story: list[tuple[bool, int, list[tuple[str, str]], int, bool]], begin: int, length: int,
    clusters: tuple[str, ...] | None,
) -> None:  # fmt: skip
    store, told = RunStore(engine), Told()
    for step in story:
        told.tell(store, *step)
    since = START + timedelta(hours=begin)
    until = since + timedelta(hours=length)
    total, runs = store.runs(told.organization, since=since, until=until, clusters=clusters)
    expected = {}
    for run_id, start in told.starts.items():
        mine = [a for a in told.actions.values() if a.run_id == run_id and (clusters is None or a.cluster in clusters)]
        ends = [a.completed_at for a in mine if a.completed_at is not None]
        end = max(ends) if len(ends) == len(mine) and ends else None
        if mine and start < until and (len(ends) < len(mine) or start >= since or (end is not None and end >= since)):
            expected[run_id] = (start, end, Counter(a.outcome for a in mine))
    found = {
        one.id: (one.start, one.end, +Counter(success=one.success, failure=one.failure, pending=one.pending))
        for one in runs
    }
    assert total == len(runs) and found == expected
    assert all(one.recommended == one.success + one.failure + one.pending > 0 for one in runs)
    assert [one.start for one in runs] == sorted((one.start for one in runs), reverse=True)


@given(steps, st.integers(1, 5))
@shared
def test_pages_hold_everything_once(
    engine: Engine, story: list[tuple[bool, int, list[tuple[str, str]], int, bool]], size: int
) -> None:
    store, told = RunStore(engine), Told()
    for step in story:
        told.tell(store, *step)
    ever = {"since": START - timedelta(days=1), "until": START + timedelta(days=9)}
    whole = store.completed(told.organization, **ever, clusters=None)
    all_runs = store.runs(told.organization, **ever)
    completed = {one.id for one in told.actions.values() if one.completed_at is not None}
    assert {one.id for one in whole[1]} == completed and whole[0] == len(completed)
    for of_actions, total in ((True, whole[0]), (False, all_runs[0])):
        pages = []
        for offset in range(0, total + size, size):
            if of_actions:
                number, page = store.completed(told.organization, **ever, clusters=None, limit=size, offset=offset)
            else:
                number, page = store.runs(told.organization, **ever, limit=size, offset=offset)
            assert number == total, "the total is that before paging"
            pages += page
        assert pages == list(whole[1] if of_actions else all_runs[1])
