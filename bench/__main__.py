"""`make bench`: run every measure, or those named on the command line, and print ratios."""

import sys

from bench import writer
from bench.printing import heading

MEASURES = {"writer": writer.run}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        print(f"no such measure: {', '.join(unknown)}; there are: {', '.join(MEASURES)}")
        return 1
    for name in names or list(MEASURES):
        heading(name)
        MEASURES[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
