"""What is kept of runs: nothing twice, nothing completed is undone, and counts that are counted."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, event

from reconciler.model.run import Run, RunAction
from reconciler.store.runs import RunStore
from support.ran import action, done, run

START = datetime(2026, 6, 17, 23, tzinfo=UTC)
EVER = {"since": START - timedelta(days=999), "until": START + timedelta(days=999)}


def minutes(number: float) -> datetime:
    return START + timedelta(minutes=number)


def only(store: RunStore) -> Run:
    total, runs = store.runs("acme", **EVER)
    assert total == len(runs) == 1
    return runs[0]


@pytest.fixture
def store(engine: Engine) -> RunStore:
    return RunStore(engine)


def test_a_pending_action_comes_back_as_it_was_recorded(store: RunStore) -> None:
    of = run("one", START)
    web = action(of, "web", parameters={"namespace": "shop", "targetCPURequest": "500m"})
    api = action(of, "api", created_at=web.created_at - timedelta(seconds=1))
    store.record(of, [web, api])
    assert store.pending("acme") == (api, web), "the oldest first"
    assert store.pending("other") == ()
    assert store.completed("acme", **EVER, clusters=None) == (0, ())


def test_recording_again_renews_what_is_pending_and_leaves_what_is_done(store: RunStore) -> None:
    of = run("one", START)
    web, api = action(of, "web"), action(of, "api")
    store.record(of, [web, api])
    assert store.complete([done(web, minutes(9))]) == 1
    newer = {"parameters": {"targetCPURequest": "250m"}}
    later = {"created_at": minutes(30)}
    again = [one.model_copy(update=newer | later) for one in (web, api)]
    store.record(run("one", minutes(10)), again)
    assert store.pending("acme") == (api.model_copy(update=newer),), "it was created when it was first seen"
    assert store.completed("acme", **EVER, clusters=None) == (1, (done(web, minutes(9)),))
    assert only(store).start == START
    store.record(run("one", minutes(-10)), again)
    assert only(store).start == minutes(-10)


def test_another_change_is_another_try(store: RunStore) -> None:
    of = run("one", START)
    store.record(of, [failed := action(of, "web"), succeeded := action(of, "api")])
    store.complete([done(failed, minutes(9), "quota exceeded"), done(succeeded, minutes(9))])
    left = [one.model_copy(update={"change_id": ""}) for one in (failed, succeeded)]
    store.record(of, left)
    assert only(store).pending == 0, "what no change carries is not tried"
    held = [one.model_copy(update={"change_id": "newer", "errors": ("held",)}) for one in (failed, succeeded)]
    store.record(of, held)
    assert store.pending("acme") == (held[0],), "what was done is not forgotten over what may never come"
    ready = [one.model_copy(update={"errors": ()}) for one in held]
    store.record(of, ready)
    assert {(one.id, one.change_id, one.errors) for one in store.pending("acme")} == {
        (one.id, "newer", ()) for one in ready
    }
    assert only(store).recommended == 2 and store.completed("acme", **EVER) == (0, ())


def test_runs_in_which_nothing_happened_for_long_are_forgotten(store: RunStore) -> None:
    old, long, new = run("old", START), run("long", START), run("new", minutes(50))
    names = ("web", "api")
    for one in (old, long, new):
        store.record(one, [action(one, name, created_at=one.start) for name in names])
    store.complete([done(action(old, name, created_at=START), minutes(5)) for name in names])
    store.complete([done(action(long, "web", created_at=START), minutes(45))])
    assert store.forget(minutes(5)) == 0
    assert store.forget(minutes(30)) == 1
    _, kept = store.runs("acme", **EVER)
    assert {(one.id, one.recommended) for one in kept} == {(long.id, 2), (new.id, 2)}, "a run is kept whole"
    assert store.completed("acme", **EVER)[0] == 1
    assert store.forget(minutes(999)) == 2 and store.pending("acme") == ()


def test_a_run_keeps_the_actions_that_are_not_named_again(store: RunStore) -> None:
    of = run("one", START)
    store.record(of, [action(of, "web")])
    store.record(of, [action(of, "api")])
    store.record(of, [])
    assert only(store).recommended == 2


def test_completing_twice_is_completing_once(store: RunStore) -> None:
    of = run("one", START)
    store.record(of, [web := action(of, "web"), api := action(of, "api")])
    failed = done(web, minutes(2), "quota exceeded", "try less")
    assert store.complete([failed]) == 1
    assert store.complete([done(web, minutes(5)), done(api, minutes(5))]) == 1
    _, found = store.completed("acme", **EVER, clusters=None)
    assert found == (done(api, minutes(5)), failed)
    assert store.complete([done(action(of, "unknown"), minutes(5))]) == 0
    assert store.complete([]) == 0


def test_what_is_not_completed_is_not_written_as_if_it_were(store: RunStore) -> None:
    of = run("one", START)
    store.record(of, [web := action(of, "web")])
    for unfinished in (web, done(web, START).model_copy(update={"completed_at": None})):
        with pytest.raises(ValueError, match=web.id):
            store.complete([unfinished])
    assert store.pending("acme") == (web,)


def test_thousands_are_completed_at_once(store: RunStore) -> None:
    of = run("one", START)
    many = [action(of, f"c{n}") for n in range(2500)]
    store.record(of, many)
    assert store.complete([done(one, minutes(1)) for one in many]) == 2500
    assert store.pending("acme") == ()
    assert only(store).success == 2500


def test_a_run_ends_when_nothing_is_pending(store: RunStore) -> None:
    of = run("one", START)
    store.record(of, [a := action(of, "a"), b := action(of, "b"), c := action(of, "c")])
    pending = only(store)
    assert (pending.status, pending.end, pending.recommended, pending.pending) == ("pending", None, 3, 3)
    store.complete([done(a, minutes(9)), done(b, minutes(3), "no")])
    going_on = only(store)
    assert (going_on.success, going_on.failure, going_on.pending, going_on.end) == (1, 1, 1, None)
    store.complete([done(c, minutes(7))])
    ended = only(store)
    assert (ended.status, ended.end, ended.recommended, ended.success, ended.failure) == (
        "completed", minutes(9), 3, 2, 1,
    )  # fmt: skip


def test_a_run_is_in_every_window_that_has_a_part_of_it(store: RunStore) -> None:
    of = run("one", START)
    store.record(of, [a := action(of, "a"), action(of, "b")])
    store.complete([done(a, minutes(10))])

    def seen(since: float, until: float) -> bool:
        total, runs = store.runs("acme", since=minutes(since), until=minutes(until))
        assert total == len(runs)
        return total == 1

    assert seen(-5, 1) and seen(0, 1) and seen(5, 6) and seen(5000, 6000), "it goes on while one is pending"
    assert not seen(-5, 0)
    store.complete([done(action(of, "b"), minutes(20))])
    assert seen(-5, 1) and seen(12, 15) and seen(20, 21) and seen(-5, 99)
    assert not seen(-5, 0) and not seen(21, 30)


def test_runs_and_actions_come_newest_first_by_organization(store: RunStore) -> None:
    runs = [run(f"r{n}", minutes(n)) for n in range(3)]
    for n, of in enumerate(runs):
        store.record(of, [one := action(of, "web")])
        store.complete([done(one, minutes(100 - n))])
    theirs = run("r", START, organization="globex")
    store.record(theirs, [done(action(theirs, "web"), START)])
    assert [one.id for one in store.runs("acme", **EVER)[1]] == [of.id for of in reversed(runs)]
    assert [one.run_id for one in store.completed("acme", **EVER, clusters=None)[1]] == [of.id for of in runs]
    assert store.runs("acme", **EVER, run_id=runs[1].id)[1][0].id == runs[1].id
    assert store.runs("acme", **EVER, run_id=theirs.id) == (0, ()), "another organization's"
    assert store.runs("globex", **EVER)[0] == store.completed("globex", **EVER, clusters=None)[0] == 1


def several(store: RunStore) -> tuple[RunAction, RunAction, RunAction]:
    """A success in prod, and a failure and a pending turndown in dev; all of one run."""
    of = run("one", START)
    web, api = action(of, "web"), action(of, "api", cluster="dev")
    night = action(of, "night", cluster="dev", action="namespaceTurndown")
    store.record(of, [web, api, night])
    store.complete([web := done(web, minutes(1)), api := done(api, minutes(2), "no")])
    return web, api, night


def test_completed_actions_are_narrowed(store: RunStore) -> None:
    web, api, night = several(store)

    def ids(clusters: set[str] | None = None, **narrow: str) -> list[str]:
        total, found = store.completed("acme", **EVER, clusters=clusters, **narrow)
        assert total == len(found)
        return [one.id for one in found]

    assert ids() == [api.id, web.id]
    assert ids(outcome="failure") == [api.id] and ids(outcome="success") == [web.id]
    assert ids(cluster="prod") == [web.id] and ids(cluster="nowhere") == []
    assert ids(action="namespaceTurndown") == []
    assert ids({"dev"}) == [api.id] and ids({"dev"}, cluster="prod") == [] and ids(set()) == []
    store.complete([done(night, minutes(3))])
    assert ids(action="namespaceTurndown") == [night.id]
    in_time = store.completed("acme", since=minutes(2), until=minutes(3), clusters=None)
    assert in_time[0] == 1 and in_time[1][0].id == api.id, "since is within, until is not"


def test_of_a_run_only_what_is_in_the_clusters_that_may_be_seen_is_counted(store: RunStore) -> None:
    several(store)
    _, (prod,) = store.runs("acme", **EVER, clusters={"prod"})
    assert (prod.recommended, prod.success, prod.status, prod.end) == (1, 1, "completed", minutes(1))
    _, (dev,) = store.runs("acme", **EVER, clusters={"dev"})
    assert (dev.recommended, dev.failure, dev.pending, dev.end) == (2, 1, 1, None)
    assert store.runs("acme", **EVER, clusters={"elsewhere"}) == (0, ())
    assert store.runs("acme", since=minutes(50), until=minutes(60), clusters={"prod"}) == (0, ())
    assert store.runs("acme", since=minutes(50), until=minutes(60), clusters={"dev"})[0] == 1


def test_completed_actions_are_numbered_by_cluster(store: RunStore) -> None:
    several(store)
    assert store.processed("acme") == {"prod": 1, "dev": 1}
    assert store.processed("globex") == {}


def test_any_number_of_runs_takes_three_queries(store: RunStore, engine: Engine) -> None:
    for n in range(20):
        of = run(f"r{n}", minutes(n))
        store.record(of, [action(of, "web"), action(of, "api")])
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _cur, statement, *_: asked.append(statement))
    total, runs = store.runs("acme", **EVER, limit=15)
    assert (total, len(runs)) == (20, 15) and len([q for q in asked if q.startswith("SELECT")]) == 3
