"""Runs of action configs, and the actions in them (Actions API): what was recommended, and what became of it."""

from datetime import datetime
from typing import Literal

from reconciler.model.action import ActionType
from reconciler.model.base import Model

Outcome = Literal["pending", "success", "failure"]
RunStatus = Literal["pending", "completed"]


class RunAction(Model):
    """One action of one run: one container, one quota or one namespace. Completed once ``outcome`` is not ``pending``.

    ``id`` is the UUID 5 of the run and the object, so that the same recommendation seen twice is one action.
    ``parameters`` are the documented ones, by their documented names. ``change_id`` is the change that carries it now.
    ``errors``: why it failed; of a pending one, what holds it inside its windows.
    """

    id: str
    run_id: str
    organization: str
    fleet: str
    cluster: str
    action_id: str
    config_name: str
    action: ActionType
    parameters: dict[str, str]
    change_id: str
    outcome: Outcome = "pending"
    errors: tuple[str, ...] = ()
    created_at: datetime
    completed_at: datetime | None = None


class Run(Model):
    """One window opening of one action config. ``start``: when its windows opened; ``end``: when the last action was completed.

    ``recommended`` = ``success`` + ``failure`` + ``pending``, always: all four are counted from the same rows.
    """

    id: str
    organization: str
    fleet: str
    action_id: str
    config_name: str
    action: ActionType
    start: datetime
    end: datetime | None = None
    success: int = 0
    failure: int = 0
    pending: int = 0

    @property
    def recommended(self) -> int:
        return self.success + self.failure + self.pending

    @property
    def status(self) -> RunStatus:
        return "pending" if self.pending else "completed"


class Heartbeat(Model):
    """A sign of life about one cluster. ``controller``: ``reconciler``, or the id of the agent that it is of.

    ``status``: ``healthy``, or why it is not in a word (``degraded``, ``stale``). ``actions_processed``: completed actions of the
    cluster so far.
    """

    organization: str
    cluster: str
    controller: str
    at: datetime
    status: str
    version: str
    actions_processed: int
