"""What came of a change to an LXC container: recorded where the change and its policy are looked at."""

from collections.abc import Iterable

from reconciler.commit.history import LandedCommit
from reconciler.commit.standing import Standing
from reconciler.model.log import LogAction
from reconciler.steps.house import House


def applied(house: House, commits: Iterable[LandedCommit], found: Standing) -> None:
    """The container has what the newest of ``commits`` (of its file, newest first) asks for: that change is applied, and so
    are those before it that it has overtaken."""
    for commit in commits:
        if not commit.trailers.change or commit.sha in found.reverted:
            continue
        done = f"applied:{commit.trailers.change}"
        if house.parsed.get(done):
            return
        house.parsed[done] = True
        house.stores.changes.came_out(commit.trailers.change, "applied", healthy=True, at=house.now())


def failed(house: House, commit: LandedCommit, path: str, told: str) -> None:
    """Proxmox VE has refused what ``commit`` asks for at ``path``: the change has failed, and the log says so."""
    house.stores.changes.came_out(commit.trailers.change, "failed", failure=told, at=house.now())
    change = house.stores.changes.find(commit.trailers.change)
    rows = []
    for decision in change.decisions if change is not None else ():
        if not any(edit.path == path for edit in decision.proposal.edits):
            continue
        actions: tuple[LogAction, ...] = ("apply", "rollback")
        known = next((row for action in actions if (row := house.stores.log.of_decision(decision.id, action))), None)
        if known is not None:
            rows.append(
                known.model_copy(update={"id": 0, "ts": house.now(), "action": "apply_failed", "outcome": told})
            )
    house.stores.log.append_once(house.name, rows)
