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

    @property
    def place(self) -> str:
        """Which value it is, whatever is written there."""
        return f"{self.edit.path}#{self.edit.field}"


class Watch(Model):
    """A change that the guard looks after from ``begins`` on. ``before``: the incidents of its containers before that, as
    far as they are known. ``overtaken``: of its values, those that somebody has changed since, as ``path#field``; they are
    not to blame any more, also where they stand again. ``evidence``: why it was reverted, or is to be."""

    change_id: str
    fleet: str
    begins: datetime
    before: tuple[Incident, ...] = ()
    overtaken: frozenset[str] = frozenset()
    outcome: Outcome = ""
    evidence: str = ""
