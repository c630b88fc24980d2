"""What came of a command: recorded once, and told where the change and the policy are looked at."""

from datetime import datetime
from typing import Literal

from reconciler.manifests.container_group import path_for
from reconciler.model.agent import Command
from reconciler.model.change import Change, Decision
from reconciler.model.log import DecisionRow, LogAction
from reconciler.steps.house import Stores


def record_answer(
    stores: Stores,
    fleet: str,
    agent_id: str,
    command_id: str,
    answer: Literal["succeeded", "failed"],
    message: str,
    at: datetime,
) -> tuple[Command, bool] | None:
    """Record the first answer to a command, and what follows from it; the command, and whether this was the first.

    ``fleet``: the fleet repo that the agent's host pool belongs to, by its name in the stores; for what follows no change of
    ours. None when the agent was never given such a command. What follows is done again with every answer, as the process
    may have died in between; done twice it changes nothing.
    """
    found = stores.commands.answer(agent_id, command_id, answer, message, at)
    if found is None:
        return None
    command, first = found
    recorded = stores.changes.recorded(command.change_id) if command.change_id else None
    change = recorded.change if recorded is not None else None
    decision = _decision(change, command) if change is not None else None
    if command.answer == "failed" and command.policy_id and (decision is not None or first):
        row = _failed(stores, command, decision, at)
        stores.log.append_once(recorded.fleet if recorded is not None else fleet, [row])
    if change is not None:
        _settle(stores, change, at)
    return found


def _settle(stores: Stores, change: Change, at: datetime) -> None:
    """Failed while one host says so; applied once all that were told something have done it, and no less so later."""
    told = stores.commands.of_change(change.id)
    failed = next((one for one in told if one.answer == "failed"), None)
    if failed is not None and change.applied_at is None:
        stores.changes.came_out(change.id, "failed", failure=said(failed), at=at)
    elif failed is None and told and all(one.answer == "succeeded" for one in told):
        stores.changes.came_out(change.id, "applied", healthy=True, at=at)


def _decision(change: Change, command: Command) -> Decision | None:
    """The decision of a change that a command follows from."""
    path = path_for((command.payload.host_pool, command.payload.group))
    about = (d for d in change.decisions if any(edit.path == path for edit in d.proposal.edits))
    return next(about, None)


def said(command: Command) -> str:
    """What an agent says about a command that failed, as one sentence."""
    payload = command.payload
    about = f"agent {command.agent_id} could not run {payload.replicas} of {payload.host_pool}/{payload.group}"
    return f"{about}: {command.message}" if command.message else about


def _failed(stores: Stores, command: Command, decision: Decision | None, at: datetime) -> DecisionRow:
    """A row like that of the decision itself, with what the agent says; a person's commit has no decision."""
    told = said(command)
    actions: tuple[LogAction, ...] = ("apply", "rollback")
    for action in actions if decision is not None else ():
        row = stores.log.of_decision(decision.id, action) if decision is not None else None
        if row is not None:
            return row.model_copy(update={"id": 0, "ts": at, "action": "apply_failed", "outcome": told})
    payload = command.payload
    return DecisionRow(
        policy_id=command.policy_id,
        ts=at,
        change_id=command.change_id,
        decision_id=decision.id if decision else "",
        runtime="docker",
        direction="up" if payload.replicas > payload.from_replicas else "down",
        from_replicas=payload.from_replicas,
        to_replicas=payload.replicas,
        action="apply_failed",
        dry_run=False,
        outcome=told,
    )
