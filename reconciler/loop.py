"""The order of the stages: observe → evaluate → gate → render → commit → actuate → report. The one module that knows it.

A pass is worked out on values (:func:`_work_out`), then landed. When the branch has moved in between, the whole pass is
worked out again on the new head: decisions keep their ids, a person's edit to the same value has won by then.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

from reconciler.errors import RetryLater, TrimtabError
from reconciler.model.plan import Pass
from reconciler.model.state import FleetState
from reconciler.steps import (
    actuating,
    catching_up,
    deciding,
    evaluating,
    guarding,
    landing,
    lxc_actuating,
    lxc_resting,
    policy_states,
    proofs,
    proving,
    recommending,
    resting,
    runs,
    taking_back,
    undoing,
)
from reconciler.steps.evaluating import Recommended
from reconciler.steps.house import House, Timings
from reconciler.steps.scene import keep, read_fleet_of, read_scene, reread
from reconciler.steps.undoing import Undone
from reconciler.steps.view import View

LEASE_SECONDS = 600.0
"""How long a pass waits for another process on the same fleet repo and branch."""

OnWait = Callable[[str], None]


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for cyclic garbage within. A pass over a large fleet makes millions of values that hold no cycles; to walk
    them again and again took half of its time. What stays of them is kept out of the collector's sight afterwards, too,
    until :func:`forever` lets it look at everything between two passes.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()


def plan(house: House) -> Pass:
    """What :func:`reconcile` would commit now, and what is held. Writes nothing to Git."""
    with _uncollected():
        timings = Timings(house.step)
        head = _fetch(house, timings)
        return _work_out(house, head, timings).noting(guarding.foresee(house, head)).found


def reconcile(house: House, *, on_wait: OnWait | None = None, wait_seconds: float = LEASE_SECONDS) -> Pass:
    """One pass: commit and push what may be committed now.

    :raises Stalled: when a person must act first.  :raises RetryLater: when the remote is away, or the branch moves on
        faster than ten tries, or another process holds the lease for too long.
    """
    with house.lease(wait_seconds=wait_seconds, on_wait=on_wait):
        for attempt in landing.attempts():
            with attempt, _uncollected():
                landing.say_retry(house, attempt)
                return _attempt(house)
    raise AssertionError("unreachable: attempts() ends by returning or raising")


def _attempt(house: House) -> Pass:
    timings = Timings(house.step)
    # Before anything is read: what is recorded from here on is for the next pass.
    inputs = resting.inputs_version(house)
    guarded = guarding.guard(house, _fetch(house, timings))
    head = guarded.head
    if (rested := resting.unchanged(house, head, timings)) and lxc_resting.stands(house, head):
        actuating.actuate_again(house, head)
        taking_back.take_back(house, lxc_actuating.actuate_again(house, head))
        return rested
    worked = _work_out(house, head, timings).noting(guarded.notes)
    with timings.stage("record"):
        deciding.record(house, worked)
        runs.record(house, worked)
    with timings.stage("commit"):
        worked = landing.land(house, worked)
    with timings.stage("report"):
        found = landing.report(house, worked)
        keep(house, worked.scene)
    with timings.stage("actuate"):
        landed = landing.head_of(worked)
        actuating.actuate(house, worked.scene.state, worked.view, head=landed)
        taking_back.take_back(house, lxc_actuating.actuate(house, worked.scene.state, worked.view, head=landed))
    with timings.stage("report"):
        proofs.prove_newest(house, worked.scene.state.fleet.clusters)
        policy_states.keep_states(house, worked)
        recommending.keep_recommendations(house, worked)
        lxc_resting.keep(house, worked.scene, worked.outlooks)
    return resting.remember(house, lxc_actuating.told(house, found), worked.scene, inputs)


def _fetch(house: House, timings: Timings) -> str:
    with timings.stage("fetch"):
        head = house.repository.fetch()
        catching_up.catch_up(house, head)
    return head


def _work_out(house: House, head: str, timings: Timings) -> deciding.Worked:
    """One pass without side effects on Git: what is ready, what is held, what is blocked."""
    with timings.stage("observe"):
        scene = read_scene(house, View(house.repository.tree(head)), house.now())
    worked = deciding.begin(house, scene, timings)
    for phase in (evaluating.policies_phase, evaluating.actions_phase):
        with timings.stage("evaluate"):
            evaluated = phase(house, worked.scene)
        with timings.stage("gate"):
            worked = deciding.judge(worked, evaluated)
        with timings.stage("render"):
            worked = deciding.draft(house, worked)
        with timings.stage("prove"):
            worked = proving.prove(house, worked)
        with timings.stage("observe"):
            worked = worked.on(reread(house, worked.scene, worked.view))
    return worked


def look(house: House, commit: str = "") -> FleetState:
    """The configuration at the head of the branch now, or at a commit that the clone has, with the policies made through
    the API; nothing is decided.

    :raises Stalled: when trimtab.yaml cannot be used, or names another branch.
    """
    view = View(house.repository.tree(commit or house.repository.fetch()))
    return read_fleet_of(house, view)


def recommend(
    house: House, *, filter_text: str = "", window: str | None = None, profile: str | None = None
) -> Recommended:
    """Recommendations for every container that matches, whatever the actions say about committing them."""
    timings = Timings(house.step)
    with _uncollected():
        head = _fetch(house, timings)
        with timings.stage("observe"):
            scene = read_scene(house, View(house.repository.tree(head)), house.now())
        with timings.stage("evaluate"):
            return evaluating.recommend(house, scene, filter_text=filter_text, window=window, profile=profile)


def rollback(
    house: House,
    target: str,
    *,
    force: bool = False,
    wait_seconds: float = LEASE_SECONDS,
    on_wait: OnWait | None = None,
) -> Undone:
    """Put back what a commit of ours changed, by value (DESIGN §4). ``wait_seconds``: for another process on the branch.

    :raises NothingToRollBack: when there is no standing commit of that policy, or no such commit of ours.
    """
    with house.lease(wait_seconds=wait_seconds, on_wait=on_wait):
        for attempt in landing.attempts():
            with attempt:
                landing.say_retry(house, attempt)
                head = _fetch(house, Timings(house.step))
                scene = read_scene(house, View(house.repository.tree(head)), house.now())
                undone = undoing.undo(house, scene, target, force=force)
                catching_up.catch_up(house, undone.commit)
                actuating.actuate_at(house, undone.commit)
                lxc_actuating.actuate_at(house, undone.commit)
                return undone
    raise AssertionError("unreachable: attempts() ends by returning or raising")


def forever(
    house: House, *, interval: float, stop: Event, on_wait: OnWait | None = None, on_error: Callable[[Exception], None]
) -> Iterator[Pass]:
    """Passes every ``interval`` seconds until ``stop`` is set; a failed pass is told to ``on_error`` and tried again.

    The commit in hand is finished before it ends.
    """
    while not stop.is_set():
        pause = interval
        try:
            found = reconcile(house, on_wait=on_wait)
            yield found
            if "evaluate" in found.seconds:  # not a pass that rested
                gc.unfreeze()
                gc.collect()
        except RetryLater as error:
            pause = max(error.after_seconds, 1.0)
            on_error(error)
        except TrimtabError as error:
            on_error(error)
        stop.wait(pause)
