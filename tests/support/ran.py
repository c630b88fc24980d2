"""Runs, actions and heartbeats as a pass would record them."""

from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from reconciler.model.run import Heartbeat, Outcome, Run, RunAction

RIGHT_SIZING = "containerRequestRightSizing"


def run(name: str, start: datetime, *, organization: str = "acme", **other: Any) -> Run:
    """A run of the config ``nightly``; the same name is the same run."""
    fields = {"fleet": organization, "action_id": "a1", "config_name": "nightly", "action": RIGHT_SIZING, **other}
    run_id = str(uuid5(NAMESPACE_URL, f"{organization} {name}"))
    return Run.model_validate({"id": run_id, "organization": organization, "start": start, **fields})


def action(of: Run, name: str, *, cluster: str = "prod", parameters: dict[str, str] | None = None, **other: Any) -> RunAction:  # fmt: skip
    """A pending action of a run on the container ``name``, created five minutes after the run began."""
    shared = of.model_dump(include={"organization", "fleet", "action_id", "config_name", "action"})
    fields: dict[str, Any] = {
        "id": str(uuid5(NAMESPACE_URL, f"{of.id} {cluster} {name}")),
        "run_id": of.id,
        "cluster": cluster,
        "parameters": {"cluster": cluster, "containerName": name} if parameters is None else parameters,
        "change_id": f"change-{name}",
        "created_at": of.start + timedelta(minutes=5),
        **shared,
        **other,
    }
    return RunAction.model_validate(fields)


def done(pending: RunAction, at: datetime, *errors: str) -> RunAction:
    """The same, completed: a failure where there are errors."""
    outcome: Outcome = "failure" if errors else "success"
    return pending.model_copy(update={"outcome": outcome, "errors": errors, "completed_at": at})


def heartbeat(cluster: str, at: datetime, controller: str = "reconciler", **other: Any) -> Heartbeat:
    """A healthy sign of life."""
    fields = {"organization": "acme", "status": "healthy", "version": "1.0.0", "actions_processed": 42, **other}
    return Heartbeat.model_validate({"cluster": cluster, "controller": controller, "at": at, **fields})
