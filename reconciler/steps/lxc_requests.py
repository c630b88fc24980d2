"""What people ask for LXC containers, in Git: the commit that comes before the call, and what is said once it has come out.

Runs in the steward's thread, like everything that writes a fleet repo; Proxmox VE is called elsewhere, in between.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reconciler.errors import HeldByWindow, Stalled, TrimtabError
from reconciler.gate.verdict import rollback_verdict
from reconciler.manifests.lxc_container import fields_of, parse, path_for
from reconciler.model.change import Change, Decision, Proposal, ProposalKind, Subject, ValueEdit
from reconciler.model.fleet import Fleet
from reconciler.model.log import DecisionRow, LogAction
from reconciler.model.lxc_container import LXCContainer
from reconciler.render.files import apply_edits
from reconciler.render.message import commit_message
from reconciler.report.passes import instant
from reconciler.steps import landing
from reconciler.steps.catching_up import catch_up
from reconciler.steps.deciding import new_id
from reconciler.steps.decision_log import log_changes
from reconciler.steps.house import House
from reconciler.steps.scene import read_fleet_of
from reconciler.steps.templates_at import templates_at
from reconciler.steps.view import View

LEASE_SECONDS = 30.0

Values = Callable[[LXCContainer | None], Mapping[str, str]]
"""From a container's file, None where it has none, to the fields that are to change, by the names of
:mod:`reconciler.manifests.lxc_container`. None of them: the file stays as it is, and none is made."""


@dataclass(frozen=True)
class Wish:
    """What somebody asks for one container.

    ``now``: what Proxmox VE says it is; the file is made whole from it where there is none. ``values`` None = the file goes
    away. ``reason``: who asked for what, in words. ``new``: there is no such container yet.
    """

    now: LXCContainer
    values: Values | None
    reason: str
    new: bool = False


def commit(house: House, wish: Wish) -> tuple[Change, ...]:
    """Commit and push what is asked for; nothing when Git says so already. A container that has no file yet gets one as it
    is in a commit of its own before, so that to undo what was asked for gives it back what it had.

    :raises HeldByWindow: inside an exclusion window of the fleet's. Maintenance windows do not hold what people ask for.
    :raises Stalled: when the fleet wants pull requests.  :raises RetryLater: when the fleet repo is busy, or away.
    """
    with house.lease(wait_seconds=LEASE_SECONDS):
        for attempt in landing.attempts():
            with attempt:
                landing.say_retry(house, attempt)
                return _commit(house, wish)
    raise AssertionError("unreachable: attempts() ends by returning or raising")


def _commit(house: House, wish: Wish) -> tuple[Change, ...]:
    head = house.repository.fetch()
    catch_up(house, head)
    view = View(house.repository.tree(head))
    fleet = read_fleet_of(house, view).fleet
    changes = _changes(house, view, fleet, wish)
    if not changes:
        return ()
    _may(house, fleet)
    for change in changes:
        house.stores.changes.save(change, house.name)
    landed = landing.write(house, fleet.delivery, head, changes)
    landing.settle(house, landed)
    catch_up(house, landed[-1].commit)
    came_true(house, landed[:-1])  # a file that says what is so already
    return landed


def may(house: House) -> None:
    """For what is done without a commit. :raises HeldByWindow: inside an exclusion window of the fleet's."""
    view = View(house.repository.tree(house.repository.fetch()))
    _may(house, read_fleet_of(house, view).fleet)


def came_true(house: House, changes: Sequence[Change]) -> None:
    """Proxmox VE has done what ``changes`` say."""
    for change in changes:
        house.stores.changes.came_out(change.id, "applied", healthy=True, at=house.now())


def failed(house: House, change: Change, why: str) -> None:
    """Proxmox VE has not; the commit is still to be undone."""
    house.stores.changes.came_out(change.id, "failed", failure=why, at=house.now())
    log_changes(house, (change,), "apply_failed", {}, f"{change.decisions[0].proposal.reason}: {why}")


def note(house: House, action: LogAction, outcome: str) -> None:
    """A row for what changes nothing that is in Git, such as a snapshot."""
    row = DecisionRow(ts=house.now(), policy_id="", runtime="lxc", action=action, dry_run=False, outcome=outcome)
    house.stores.log.append_once(house.name, [row])


def _may(house: House, fleet: Fleet) -> None:
    verdict = rollback_verdict((fleet.windows,), house.now())
    if not verdict.allowed:
        until = f" until {instant(verdict.until)}" if verdict.until else ""
        raise HeldByWindow(f"nothing of this fleet's is changed{until}: {verdict.reason}")
    if fleet.delivery.mode != "commit":
        raise Stalled(
            "the fleet wants pull requests (delivery.mode), and what is asked for here would be a commit",
            hint="edit the container's file in a pull request of your own, or set delivery.mode: commit",
        )


def _changes(house: House, view: View, fleet: Fleet, wish: Wish) -> tuple[Change, ...]:
    path = path_for(wish.now.key)
    text = view.get(path)
    file = parse(text, path=path) if text is not None else None
    before = fields_of(file) if file is not None else {}
    if wish.values is None:
        return _change(house, view, fleet, wish, dict.fromkeys(before), before, wish.reason)
    asked = dict(wish.values(file))
    if file is not None or wish.new or not asked:
        return _change(house, view, fleet, wish, asked, before, wish.reason)
    has = fields_of(wish.now)
    taken_on = f"takes {wish.now.node}/{wish.now.vmid} on as it is: {wish.reason}"
    first = _change(house, view, fleet, wish, has, {}, taken_on, kind="adopt")
    on_it = view.over(first[0].files)
    return (*first, *_change(house, on_it, fleet, wish, asked, has, wish.reason))


def _change(
    house: House,
    view: View,
    fleet: Fleet,
    wish: Wish,
    values: Mapping[str, str | None],
    before: Mapping[str, str],
    reason: str,
    *,
    kind: ProposalKind = "resources",
) -> tuple[Change, ...]:
    """The change from what the file says ``before`` to ``values``; none where it says so already."""
    path = path_for(wish.now.key)
    edits = tuple(
        ValueEdit(path=path, form="lxc", target=wish.now.target, field=field, old=before.get(field), new=value)
        for field, value in values.items()
        if before.get(field) != value
    )
    templates = templates_at(house, view)
    applied = apply_edits(view.files, edits, templates) if edits else None
    if applied is None or not applied.files:
        return ()
    proposal = Proposal(
        kind=kind,
        subject=Subject(kind="trimtab", id="", name="trimtab"),
        cluster="",
        root="",
        namespace=wish.now.node,
        workload=str(wish.now.vmid),
        edits=edits,
        reason=reason,
        ignores_windows=True,
        ignores_budget=True,
    )
    now = house.now()
    decision = Decision(id=new_id(now), at=now, proposal=proposal)
    change = Change(id=new_id(now), group=f"lxc-{wish.now.node}-{wish.now.vmid}", decisions=(decision,))
    message = commit_message(change, templates, currency=fleet.pricing.currency)
    return (change.model_copy(update={"files": applied.files, "message": message}),)


def words(error: TrimtabError) -> str:
    """An error in one line, with the next step."""
    return f"{error.message} ({error.hint})" if error.hint else error.message
