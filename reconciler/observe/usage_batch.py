"""What an import of usage gives: samples in columns, push bodies, and the rows that could not be used."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from reconciler.errors import InputError, Where
from reconciler.model.observation import PushBody
from reconciler.model.samples import Samples

BATCH_ROWS = 50_000
SHOWN_ERRORS = 20

MAX_CORES = 100_000.0
"""More than any workload has; what is not in cores trips over it."""
MAX_MEMORY_BYTES = float(1 << 52)
FIRST_SECOND = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
LAST_SECOND = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp())


@dataclass(frozen=True)
class RowError:
    """A row or push body that cannot be used. ``line`` counts from 1; ``field`` is the column, or the body's field."""

    line: int
    field: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field + ': ' if self.field else ''}{self.message}"


def no_samples() -> Samples:
    """Samples of nothing."""
    return Samples((), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))


@dataclass(frozen=True)
class UsageBatch:
    """Part of a file. ``rows``: how many rows or bodies it was read from, the bad ones included."""

    samples: Samples = field(default_factory=no_samples)
    bodies: tuple[PushBody, ...] = ()
    errors: tuple[RowError, ...] = ()
    rows: int = 0


class BadUsage(InputError):
    """A file of usage in which some rows cannot be used. ``errors``: the first of them, ``count``: how many there are."""

    def __init__(self, path: str, errors: list[RowError], count: int, rows: int) -> None:
        self.errors = tuple(errors[:SHOWN_ERRORS])
        self.count = count
        more = f"\n  … and {count - len(self.errors):,} more" if count > len(self.errors) else ""
        listed = "".join(f"\n  {error}" for error in self.errors) + more
        super().__init__(
            f"{count:,} of {rows:,} rows cannot be used; nothing was imported{listed}",
            where=Where(path, line=self.errors[0].line),
            hint="correct them, or import the rest with --keep-going",
        )
