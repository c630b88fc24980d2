"""The decision log's rows, with the field names of the Scaling API's document."""

from datetime import datetime
from typing import Literal

from reconciler.model.base import Model
from reconciler.model.policy import Runtime

LogAction = Literal["dry_run", "apply", "rollback", "apply_failed"]
Direction = Literal["up", "down", "none"]
TriggerMetric = Literal["cpu_percent", "memory_percent", "node_pressure_percent"]


class DecisionRow(Model):
    """One entry of the append-only decision log.

    ``id`` and ``fleet`` are given by the log. ``change_id`` and ``decision_id`` are the ULIDs in the commit's trailers,
    empty for what was never bound for a commit. ``trigger_value`` and ``threshold`` are percent.
    """

    id: int = 0
    fleet: str = ""
    policy_id: str
    ts: datetime
    change_id: str = ""
    decision_id: str = ""
    runtime: Runtime
    trigger_metric: TriggerMetric | None = None
    trigger_value: float | None = None
    threshold: float | None = None
    direction: Direction = "none"
    from_replicas: int | None = None
    to_replicas: int | None = None
    action: LogAction
    dry_run: bool
    rendered_manifest: str = ""
    outcome: str = ""
