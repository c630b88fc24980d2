"""A process that makes several passes, as `trimtab reconcile` does: ``python -m bench.long_lived FLEET STATE LOG NOW``.

Prints JSON: seconds of the first pass and of an idle one (the median of five), and the Git processes of the last one.
"""

import json
import statistics
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from reconciler import loop
from reconciler.bootstrap import open_house
from reconciler.settings import Settings
from reconciler.steps.house import House

IDLE = 5


def main(fleet: str, state: str, log: str, now: str) -> None:
    start, passes = datetime.fromisoformat(now), [0]
    settings = Settings(fleet=fleet, state_dir=Path(state))
    with open_house(settings, clock=lambda: start + timedelta(seconds=60 * passes[0])) as house:
        first, found = _pass(house, passes)
        idle = []
        for _ in range(IDLE):
            before = len(_started(log))
            seconds, _ = _pass(house, passes)
            idle.append(seconds)
        processes = _started(log)[before:]
    print(json.dumps({"first": first, "idle": statistics.median(idle), "found": found, "processes": processes}))


def _pass(house: House, passes: list[int]) -> tuple[float, int]:
    """Seconds, and how many decisions there were to commit; the clock moves on by a minute."""
    passes[0] += 1
    start = time.perf_counter()
    found = loop.reconcile(house)
    return time.perf_counter() - start, sum(len(change.decisions) for change in found.ready)


def _started(log: str) -> list[str]:
    file = Path(log)
    return file.read_text().splitlines() if file.exists() else []


if __name__ == "__main__":
    main(*sys.argv[1:])
