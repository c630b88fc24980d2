"""`make bench`: run every measure, or those named on the command line, and print ratios.

``python -m bench [--quick] [NAMES]``; ``--quick`` takes tiny sizes, to see that everything runs.
"""

import sys
from collections.abc import Callable

from bench import agent, desired, passes, plan, polls, prometheus, push, recommendations, usage, writer
from bench.printing import heading
from bench.scale import FULL, QUICK, Scale

MEASURES: dict[str, Callable[[Scale], None]] = {
    "writer": writer.run,
    "usage": usage.run,
    "passes": passes.run,
    "plan": plan.run,
    "push": push.run,
    "desired": desired.run,
    "polls": polls.run,
    "prometheus": prometheus.run,
    "recommendations": recommendations.run,
    "agent": agent.run,
}


def main(words: list[str]) -> int:
    scale = QUICK if "--quick" in words else FULL
    names = [word for word in words if word != "--quick"]
    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        print(f"no such measure: {', '.join(unknown)}; there are: {', '.join(MEASURES)}")
        return 1
    for name in names or list(MEASURES):
        heading(name)
        MEASURES[name](scale)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
