"""Rest: a pass in which nothing can have changed costs a fetch and two look-ups."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.gate.windows import next_closing, next_opening
from reconciler.model.plan import Pass
from reconciler.model.window import Window
from reconciler.steps.house import House, Timings
from reconciler.steps.scene import Scene

LONGEST = timedelta(hours=1)
"""History slides out of its window as time goes by, so that a pass is worked out at least this often."""


@dataclass(frozen=True)
class Rest:
    """The last pass, which stands until something of this changes."""

    found: Pass
    head: str
    inputs: str
    until: datetime


def unchanged(house: House, head: str, timings: Timings) -> Pass | None:
    """The last pass again, when head and inputs are the same and no window has opened or closed since."""
    rest = house.rest
    if not isinstance(rest, Rest) or rest.head != head or house.now() >= rest.until or house.now() < rest.found.at:
        return None
    if rest.inputs != inputs_version(house):
        return None
    house.stores.policies.still(house.name, house.now())
    return rest.found.model_copy(update={"at": house.now(), "seconds": dict(timings.seconds)})


def remember(house: House, found: Pass, scene: Scene, inputs: str) -> Pass:
    """Keep a pass that committed nothing as the one that stands; ``inputs`` as of its beginning."""
    if found.ready:
        house.rest = None
    else:
        house.rest = Rest(found=found, head=found.head, inputs=inputs, until=_until(scene))
    return found


def inputs_version(house: House) -> str:
    """Changes with whatever is recorded about usage and clusters."""
    return house.stores.inputs_version()


def _until(scene: Scene) -> datetime:
    """The next instant at which a window opens or closes."""
    bound = scene.now + LONGEST
    fleet = scene.state.fleet
    owners = [fleet.windows, *(c.windows for c in fleet.clusters)]
    owners += [p.windows for p in scene.state.policies] + [a.windows for a in scene.state.actions]
    declared: list[Window] = [w for o in owners for w in (*o.maintenance, *o.exclusion)]
    for window in declared:
        for moment in (next_opening(window, scene.now), next_closing(window, scene.now)):
            bound = min(bound, moment) if moment else bound
    return bound
