"""The fleet repo's own configuration at one commit, as read."""

from reconciler.model.action import ActionConfig
from reconciler.model.base import Model
from reconciler.model.fleet import Fleet
from reconciler.model.inventory import Problem
from reconciler.model.policy import ScalingPolicy


class FleetState(Model):
    """trimtab.yaml, policies/ and actions/ at one commit.

    ``policies_complete`` is false when a file of policies/ could not be read: then nothing may be concluded from a
    policy's absence. ``actions_complete`` likewise. ``ended_policies`` and
    ``ended_actions``: made through the API and deleted there, by id.
    """

    commit: str
    fleet: Fleet
    policies: tuple[ScalingPolicy, ...] = ()
    actions: tuple[ActionConfig, ...] = ()
    problems: tuple[Problem, ...] = ()
    ended_policies: frozenset[str] = frozenset()
    ended_actions: frozenset[str] = frozenset()
    policies_complete: bool = True
    actions_complete: bool = True
