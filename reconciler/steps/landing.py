"""Commit: every ready change as one commit each, all of them in one push; then say what landed."""

from collections.abc import Iterator
from dataclasses import replace

from tenacity import AttemptManager, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from reconciler.commit.writer import Writer
from reconciler.errors import RetryLater
from reconciler.model.change import Change
from reconciler.model.fleet import Delivery
from reconciler.model.log import DecisionRow, LogAction
from reconciler.model.plan import Pass
from reconciler.steps.deciding import Worked
from reconciler.steps.house import House

TRIES = 10


class Moved(RetryLater):
    """Somebody pushed between our fetch and our push."""

    def __init__(self, branch: str) -> None:
        super().__init__(
            f"the branch {branch} moved while a commit was pushed, {TRIES} times in a row",
            after_seconds=30.0,
            hint="nothing is lost; the next pass tries again",
        )


def attempts() -> Iterator[AttemptManager]:
    """Up to ten tries with jitter; the next one starts over on the new head."""
    return iter(
        Retrying(
            retry=retry_if_exception_type(Moved),
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(multiplier=0.05, max=3.0),
            reraise=True,
        )
    )


def write(house: House, delivery: Delivery, parent: str, changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """Commit ``changes`` one on top of the other and push them together; each comes back with its commit.

    :raises Moved: when the branch was not at ``parent`` any more; then nothing of it landed.
    """
    if not changes:
        return ()
    landed: list[Change] = []
    with Writer(house.repository, author=delivery.author, signing=delivery.sign, clock=house.clock) as writer:
        head = parent
        for change in changes:
            house.step(f"commit {change.group}")
            head = writer.commit(head, change.files, change.message)
            landed.append(change.model_copy(update={"commit": head, "state": "committed"}))
        house.step("push")
        if writer.push(head, parent).rejected:
            raise Moved(delivery.branch)
    house.step("pushed")
    return tuple(landed)


def land(house: House, worked: Worked) -> Worked:
    """Commit and push what is ready."""
    delivery = worked.scene.state.fleet.delivery
    landed = write(house, delivery, worked.view.commit, worked.ready)
    return replace(worked, ready=landed)


def report(house: House, worked: Worked) -> Pass:
    """Record what landed: states of changes, the decision log, and that the roots were proved."""
    settle(house, worked.ready)
    return worked.found


def settle(house: House, landed: tuple[Change, ...]) -> None:
    """Mark changes as committed and log the decisions of policies; doing it twice changes nothing."""
    for change in landed:
        house.stores.changes.mark(change.id, "committed", commit=change.commit, at=house.now())
    house.stores.log.append_once(house.name, [row for change in landed for row in rows_of(house, change)])


def rows_of(house: House, change: Change) -> list[DecisionRow]:
    """The decision-log rows of a change that landed; only a policy's decisions are in that log."""
    if change.subject.kind != "policy":
        return []
    action: LogAction = "rollback" if change.kind == "rollback" else "apply"
    return [
        DecisionRow(
            ts=house.now(),
            policy_id=change.subject.id,
            change_id=change.id,
            decision_id=decision.id,
            runtime="kubernetes",
            direction="none",
            action=action,
            dry_run=False,
            rendered_manifest=_manifest(change),
            outcome=decision.proposal.reason,
        )
        for decision in change.decisions
    ]


def _manifest(change: Change) -> str:
    files = [data.decode() for path, data in sorted(change.files.items()) if data and "kustomization" not in path]
    return "---\n".join(files)
