"""Rest beside LXC policies: Proxmox VE is looked at before every pass, and a pass is worked out only when that changes anything.

Nobody says when what a container uses has changed, so that somebody must look. What the policies make of it is cheap to work
out; the rest of a fleet is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconciler.errors import TrimtabError
from reconciler.evaluate.scaling_outlook import Outlook
from reconciler.steps import lxc_actuating
from reconciler.steps.house import House
from reconciler.steps.lxc_containers import evaluate_lxc
from reconciler.steps.scene import Scene

_MEMORY = "lxc rested"

_Signature = tuple[object, ...]


@dataclass(frozen=True)
class _Kept:
    """What the last pass was worked out on, without the clusters, and what its lxc policies made of it."""

    scene: Scene
    signature: _Signature


def keep(house: House, scene: Scene, outlooks: Mapping[str, Outlook]) -> None:
    """Remember what the policies made of their containers."""
    house.parsed[_MEMORY] = _Kept(replace(scene, roots={}, observations={}), _signature(outlooks))


def stands(house: House, head: str) -> bool:
    """Whether lxc policies make the same of their containers now as the last pass did at ``head``, and the containers have
    what their files say. True where no policy watches one."""
    if not lxc_actuating.watches(house):
        return True
    kept = house.parsed.get(_MEMORY)
    if not isinstance(kept, _Kept) or kept.scene.view.commit != head:
        return False
    scene = replace(kept.scene, now=house.now())
    try:
        found = evaluate_lxc(house, scene)
        return _signature(found.outlooks) == kept.signature and not lxc_actuating.drifted(house, scene)
    except TrimtabError:  # the pass meets it again, and tells
        return False


def _signature(outlooks: Mapping[str, Outlook]) -> _Signature:
    """What a policy would do, without the figures that change with each reading."""
    return tuple(
        (
            outlook.policy,
            outlook.conflict,
            outlook.container,
            (seen.current_replicas, seen.desired_replicas, seen.direction) if (seen := outlook.forecast) else None,
        )
        for outlook in outlooks.values()
        if outlook.policy.spec.runtime == "lxc"
    )
