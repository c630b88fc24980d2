"""Jobs that run at the minutes of a cron line, aligned to the clock: all servers of one database fire them at the same instants.

A schedule is one thread. Its jobs run one after the other, so that none overtakes itself; a job that fails is logged, and
comes again at its next minute. What is due between two instants is told by :func:`due`, which knows no clock and no thread.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from reconciler.clock import Clock
from reconciler.errors import TrimtabError
from reconciler.gate.schedule import read
from reconciler.model.window import Window

_MINUTE = 60
_CATCHES_UP = timedelta(days=1)
"""A minute that was missed for longer (a machine that slept) is not made up for."""
_STOP_SECONDS = 10.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Job:
    """``minutes``: a five-field cron line in UTC (``*/10 * * * *``). ``run`` is given the minute that it fires for."""

    name: str
    minutes: str
    run: Callable[[datetime], object]


def due(jobs: Iterable[Job], after: datetime, until: datetime) -> list[tuple[Job, datetime]]:
    """The jobs with a minute in ``(after, until]``, in the order given, each with the newest such minute.

    What was missed several times is due once. Nothing is due when the clock was turned back.
    :raises InputError: for a cron line that cannot be read.
    """
    found = ((job, _newest(job, max(after, until - _CATCHES_UP), until)) for job in jobs)
    return [(job, at) for job, at in found if at is not None]


def _newest(job: Job, after: datetime, until: datetime) -> datetime | None:
    low, high = (int(at.timestamp()) // _MINUTE * _MINUTE + _MINUTE for at in (after, until))
    if low >= high:
        return None
    ends = [end for _, end in read(Window(cron=job.minutes)).intervals(low, high)]
    return datetime.fromtimestamp(ends[-1] - _MINUTE, UTC) if ends else None


class Schedule:
    """Runs ``jobs`` from :meth:`start` to :meth:`stop`; what was due before it started is not made up for.

    :raises InputError: for a cron line that cannot be read.
    """

    def __init__(self, jobs: Iterable[Job], clock: Clock) -> None:
        self._jobs, self._clock = tuple(jobs), clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="schedule", daemon=True)
        self._seen = clock()
        due(self._jobs, self._seen, self._seen + timedelta(minutes=1))  # so that a mistake shows at once

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = _STOP_SECONDS) -> None:
        """Begin no more jobs, and wait for the one in hand; after ``timeout`` seconds it ends with the process."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def fire(self) -> None:
        """Run what has become due since the last look."""
        after, self._seen = self._seen, self._clock()
        for job, at in due(self._jobs, after, self._seen):
            if self._stop.is_set():
                return
            try:
                job.run(at)
            except TrimtabError as error:  # a fleet repo that is away, for example: the next minute tries again
                log.warning("job failed", job=job.name, error=error.message, hint=error.hint)
            except Exception as defect:  # the next job, and the next minute, are to come all the same
                log.error("job", job=job.name, exc_info=defect)

    def _keep(self) -> None:
        while not self._stop.wait(self._until_next_minute()):
            self.fire()

    def _until_next_minute(self) -> float:
        now = self._clock()
        return _MINUTE - (now.second + now.microsecond / 1e6)
