"""What the keeping of usage from a Prometheus tells people, and how long it waits after an error."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import structlog

from reconciler.errors import RetryLater, TrimtabError

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 60.0, 1800.0

log = structlog.get_logger(__name__)


class Pauses:
    """How long to wait after an error: twice as long each time, up to half an hour, and not all servers at one time."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._failures = 0
        self._until: datetime | None = None

    def hold(self, now: datetime) -> bool:
        return self._until is not None and now < self._until

    def filled(self, cluster: str, up_to: datetime, samples: int) -> None:
        """For the log, where it is more than what every few minutes bring: it shows how far a first fill has got."""
        log.info("usage from Prometheus is stored", cluster=cluster, up_to=up_to.isoformat(), samples=samples)

    def failed(self, error: TrimtabError, now: datetime) -> float:
        """The seconds to wait."""
        asked = error.after_seconds if isinstance(error, RetryLater) else 0.0
        own = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures, 10))
        seconds = max(asked, own * (0.75 + 0.5 * self._jitter()))
        self._failures += 1
        self._until = now + timedelta(seconds=seconds)
        return seconds

    def went_well(self) -> None:
        self._failures, self._until = 0, None


class Said:
    """Notes for people, as they stand; each is also logged when it is new."""

    def __init__(self) -> None:
        self._notes: dict[tuple[str, str], str] = {}
        self._error = ""
        self._refused: dict[str, int] = {}

    def about(self, clusters: Iterable[str]) -> tuple[str, ...]:
        named = {"", *clusters}
        notes = [text for (cluster, _), text in sorted(self._notes.copy().items()) if cluster in named]
        return (self._error, *notes) if self._error else tuple(notes)

    def of(self, cluster: str, what: str, text: str, **logged: object) -> None:
        """``text`` empty: there is nothing to say of it any more. ``logged``: what only the log is told."""
        if text and self._notes.get((cluster, what)) != text:
            log.warning(text, **logged)
        notes = {key: note for key, note in self._notes.items() if key != (cluster, what)}
        self._notes = notes | ({(cluster, what): text} if text else {})

    def refused(self, cluster: str, count: int) -> None:
        self._refused[cluster] = self._refused.get(cluster, 0) + count
        text = (
            f"{self._refused[cluster]:,} samples of {cluster} from Prometheus were no usage (not a number, negative or"
        )
        self.of(cluster, "refused", f"{text} absurdly large), and were left out")

    def filled(self, cluster: str, up_to: datetime, samples: int) -> None:
        """For the log, where it is more than what every few minutes bring: it shows how far a first fill has got."""
        log.info("usage from Prometheus is stored", cluster=cluster, up_to=up_to.isoformat(), samples=samples)

    def failed(self, error: TrimtabError | None, seconds: float) -> None:
        if error is None:
            if self._error:
                log.info("Prometheus answers again")
            self._error = ""
            return
        self._error = f"{error.message}; it is asked again in {max(1, round(seconds / 60))} min"
        log.warning("usage from Prometheus waits", error=error.message, hint=error.hint, seconds=round(seconds))
