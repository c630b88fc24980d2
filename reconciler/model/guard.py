"""What the guard judges by: the containers that a change has sized, and what happened to containers when (DESIGN §7)."""

from datetime import datetime
from typing import Literal

from reconciler.model.base import Model
from reconciler.model.change import ValueEdit
from reconciler.model.workload import Bound, Resource, WorkloadKey

Outcome = Literal["", "quiet", "reverted", "over", "off"]
"""Empty while the guard looks after a change. ``quiet``: nothing happened; ``reverted`` by the guard; ``over``: somebody
else has undone it, or its values were changed since; ``off``: trimtab.yaml has switched the guard off."""


class Incident(Model):
    """What happened to one container of a pod up to one instant, since the push before it.

    ``pod`` is empty where only the workload is known. ``throttled``: 1 when it was held back by its CPU limit in at least
    three pushes in a row.
    """

    at: datetime
    workload: WorkloadKey
    container: str
    pod: str = ""
    oom_kills: int = 0
    restarts: int = 0
    throttled: int = 0


class Sized(Model):
    """A value by which a change has sized a container."""

    workload: WorkloadKey
    container: str
    bound: Bound
    resource: Resource
    edit: ValueEdit


class Watch(Model):
    """A change that the guard looks after from ``begins`` on. ``before``: the incidents of its containers before that, as
    far as they are known. ``evidence``: why it was reverted."""

    change_id: str
    fleet: str
    begins: datetime
    before: tuple[Incident, ...] = ()
    outcome: Outcome = ""
    evidence: str = ""
