"""Commit: every ready change as one commit each, all of them in one push; then say what landed."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from tenacity import AttemptManager, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from reconciler.commit.writer import Writer
from reconciler.errors import RetryLater, TrimtabError
from reconciler.model.change import Change
from reconciler.model.fleet import Delivery
from reconciler.model.plan import Pass
from reconciler.steps.deciding import Worked
from reconciler.steps.decision_log import Outlooks, log_changes, log_dry_runs
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


def say_retry(house: House, attempt: AttemptManager) -> None:
    """Tell the house's ``step`` when this is not the first try: somebody else's push came first."""
    if attempt.retry_state.attempt_number > 1:
        house.step("retry")


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
    """Commit and push what is ready.

    :raises Moved: when the branch moved; nothing landed.
    :raises TrimtabError: when it cannot land at all; the decision log says so, too.
    """
    delivery = worked.scene.state.fleet.delivery
    try:
        landed = write(house, delivery, worked.view.commit, worked.ready)
    except Moved:
        raise
    except TrimtabError as error:
        log_changes(house, worked.ready, "apply_failed", worked.outlooks, error.message)
        raise
    return replace(worked, ready=landed)


def head_of(worked: Worked) -> str:
    """The head of the branch once what is ready has landed."""
    return next((change.commit for change in reversed(worked.ready) if change.commit), worked.view.commit)


def report(house: House, worked: Worked) -> Pass:
    """Record what landed: states of changes, and the decision log."""
    settle(house, worked.ready, worked.outlooks)
    log_dry_runs(house, worked.outlooks, worked.templates)
    return worked.found


def settle(house: House, landed: Iterable[Change], outlooks: Outlooks | None = None) -> None:
    """Mark changes as committed and log the decisions of policies; doing it twice changes nothing."""
    changes = tuple(landed)
    for change in changes:
        house.stores.changes.mark(change.id, "committed", commit=change.commit, at=house.now())
    log_changes(house, changes, "apply", outlooks or {})
