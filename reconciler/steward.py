"""One thread keeps one fleet repo: it makes the passes, and does between them what others ask of it.

A repository's processes and caches belong to one thread. Whoever else wants something of the fleet repo (a rollback, the
manifests at the head of the branch) asks with :meth:`Steward.ask`, and never meets a pass half way.

When the next pass begins: at once after :meth:`Steward.wake`; soon after :meth:`Steward.nudge`, but so that passes take no
more than a fifth of the time; else when the interval is over. After an error the pause grows, and only a wake shortens it.
"""

import gc
import queue
import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

import structlog

from reconciler import loop
from reconciler.clock import Clock, stopwatch
from reconciler.commit.credentials import scrub
from reconciler.errors import RetryLater, Stalled, TrimtabError
from reconciler.model.fleet import Fleet
from reconciler.model.plan import Pass
from reconciler.model.state import FleetState
from reconciler.steps.house import House

T = TypeVar("T")

SHARE_OF_TIME = 4
"""Passes that pushes ask for leave four times their own length free between them."""

LEAST_PAUSE_SECONDS = 2.0
LONGEST_BACK_OFF_SECONDS = 60.0
LEASE_SECONDS = 5.0
"""How long a pass waits while another process writes the branch; who asks something meanwhile should not wait for long."""

_LONGEST_WAIT_SECONDS = 3600.0
_BEFORE_COMMIT = frozenset({"fetch", "catch up", "observe", "evaluate", "gate", "render", "prove", "build", "record"})
"""The steps of a pass before which it may be left: nothing of it is on its way to Git yet."""

log = structlog.get_logger(__name__)


class Claimed(Stalled):
    """The fleet repo declares what belongs to another one of this server's."""


class _Left(Exception):
    """A pass was left before it began to commit, because the server stops."""


@dataclass(frozen=True)
class Watch:
    """What is known of a fleet repo right now. ``fleet`` None = it could not be read yet; ``error`` says why not.

    ``head``, ``fleet`` and ``state`` (the policies and actions too) are of one commit, ``found`` is what the newest pass found.
    ``url`` has no credentials in it; from the moment on that the fleet repo is open, it is the name that all of the stores
    know it by. ``errors`` counts the failures in a row; what was read before them stands.
    """

    url: str
    head: str = ""
    branch: str = ""
    fleet: Fleet | None = None
    state: FleetState | None = None
    found: Pass | None = None
    error: str = ""
    hint: str = ""
    errors: int = 0
    read_at: datetime | None = None
    refused: str = ""
    """The organization whose fleet repo it would be, were it not :class:`Claimed`."""

    @property
    def name(self) -> str:
        """What the stores know the fleet repo by: where there is a fleet, ``url`` is that."""
        return self.url


@dataclass(frozen=True)
class Heard:
    """Told about a pass: what it found, or the error that ended it. ``seconds`` by stage."""

    url: str
    found: Pass | None = None
    error: TrimtabError | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


def back_off(error: TrimtabError, failures: int, jitter: float) -> float:
    """Seconds until the next try after so many failures in a row: 1, 2, 4 … 60, or what the error asks for if that is more.

    ``jitter`` (0 to 1) adds up to a quarter, so that many servers do not come back at the same instant.
    """
    pause = min(2.0 ** min(failures - 1, 10), LONGEST_BACK_OFF_SECONDS)
    if isinstance(error, RetryLater):
        pause = max(pause, error.after_seconds)
    return pause * (1 + jitter / 4)


class Steward:
    """Keeps one fleet repo from :meth:`start` to :meth:`stop`. All methods may be called from any thread.

    ``open_house`` is entered in the steward's own thread. Without ``passes`` nothing is decided or committed on its own:
    another process does that, and this one only reads what has landed. ``admit`` is asked about every trimtab.yaml that
    is read, and raises :class:`Claimed` where this server must not keep that fleet. ``tell`` hears of every pass.
    """

    def __init__(
        self,
        url: str,
        open_house: Callable[[], AbstractContextManager[House]],
        *,
        interval: float,
        clock: Clock,
        passes: bool = True,
        tell: Callable[[Heard], None] = lambda _heard: None,
        admit: Callable[[Fleet], None] = lambda _fleet: None,
        least_pause: float = LEAST_PAUSE_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._open, self._interval, self._clock, self._passes, self._tell = open_house, interval, clock, passes, tell
        self._admit, self._least_pause, self._jitter = admit, least_pause, jitter
        self._asked: queue.SimpleQueue[Callable[[House | None], None] | None] = queue.SimpleQueue()
        self._ending, self._stopping = threading.Event(), threading.Event()
        self._now, self._soon = threading.Event(), threading.Event()
        self._door, self._shut = threading.Lock(), False
        self._passing = self._pass_failed = False
        self._refused = ""
        self._thread = threading.Thread(target=self._keep, name=f"steward {scrub(url)}", daemon=True)
        self.watch = Watch(url=scrub(url))
        """Replaced whole by the steward's own thread, never changed, so that any thread may read it."""

    def start(self) -> None:
        self._thread.start()

    def wind_down(self) -> None:
        """Begin no more passes, and leave the one in hand unless it is committing. What is asked is still done."""
        self._ending.set()
        self._asked.put(None)

    def stop(self, timeout: float | None = None) -> bool:
        """Finish what is in hand, such as a commit on its way, do what was asked so far, and end.

        False when that took longer than ``timeout`` seconds; the thread then ends with the process.
        """
        self._stopping.set()
        self.wind_down()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._shut_door()
        return not self._thread.is_alive()

    def wake(self) -> None:
        """A person has changed something: a pass begins as soon as the one in hand is over."""
        self._now.set()
        self._asked.put(None)

    def nudge(self) -> None:
        """Something was observed: a pass begins soon, and not one after the other without a pause."""
        if self._passes and not self._soon.is_set():
            self._soon.set()
            self._asked.put(None)

    def ask(self, work: Callable[[House], T]) -> "Future[T]":
        """Have ``work`` done with the house, between passes. The future fails with what ``work`` raises.

        :raises Stalled: through the future, when the fleet repo cannot be opened, or the server is stopping.
        """
        future: Future[T] = Future()

        def do(house: House | None) -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                if house is None:
                    why = self.watch.error or "the server is stopping"
                    raise Stalled(f"the fleet repo cannot be used: {why}", hint=self.watch.hint or "ask again later")
                result = work(house)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._door:
            open_door = not self._shut
            if open_door:
                self._asked.put(do)
        if not open_door:
            do(None)
        return future

    def read(self, house: House) -> None:
        """Look at what is at the head of the branch, after a rollback for example. Only in :meth:`ask`.

        :raises TrimtabError: when it cannot be read; what was known before stands.
        """
        self._saw(loop.look(house))

    def submit(self, house: House) -> None:
        """One whole pass now, also where another process makes the passes, and where the last one would stand. Only in
        :meth:`ask`.

        :raises TrimtabError: when nothing comes of it, or the server is stopping.
        """
        failed_before, house.rest = self._pass_failed, None
        try:
            self._pass(house)
        except _Left:
            raise Stalled("the server is stopping", hint="ask again later") from None
        except TrimtabError:
            self._pass_failed = failed_before
            raise

    def _saw(self, state: FleetState, found: Pass | None = None) -> None:
        new = replace(
            self.watch,
            head=state.commit,
            fleet=state.fleet,
            state=state,
            found=found or self.watch.found,
            read_at=self._clock(),
        )
        if found is not None or not self._pass_failed:
            self._pass_failed = False
            new = replace(new, error="", hint="", errors=0, refused="")
        self.watch = new

    def _keep(self) -> None:
        try:
            while not self._stopping.is_set():
                self._live()
        finally:
            self._shut_door()

    def _live(self) -> None:
        """Open the house and serve in it; where it cannot be opened, nobody waits for it."""
        self._now.clear()
        error: TrimtabError
        try:
            if not self._ending.is_set():
                with self._open() as house:
                    self._serve(house)
                return
            error = Stalled("the server is stopping")
        except TrimtabError as raised:
            error = raised
            self._failed(error)
        except Exception as defect:  # must not end the thread that everything else waits for
            error = self._defect(defect)
        self._rest(None, pause=back_off(error, self.watch.errors, self._jitter()))

    def _serve(self, house: House) -> None:
        """Passes and requests until the server stops. After an error that only a person can mend, the house is opened anew
        for the next try: the branch may have got another name, or the clone may be gone.
        """
        given = house.step
        house.step = lambda name: self._at_step(given, name)
        house.admit = self._admitted
        self.watch = replace(self.watch, url=house.name, branch=house.repository.branch)
        error: TrimtabError | None = None
        while not self._stopping.is_set():
            if isinstance(error, Stalled) and not self._ending.is_set():
                return
            elapsed = stopwatch()
            error = None if self._ending.is_set() else self._turn(house)
            if error is None:
                self._rest(house, pause=self._interval, soon=max(self._least_pause, SHARE_OF_TIME * elapsed()))
            else:
                self._rest(house, pause=back_off(error, self.watch.errors, self._jitter()))
        self._do_waiting(house)

    def _turn(self, house: House) -> TrimtabError | None:
        """One pass, or one look at the branch; the error that ended it."""
        self._now.clear()
        self._soon.clear()
        try:
            if not self._passes or self.watch.errors or self.watch.read_at is None:
                self.read(house)  # so that what is there is known, even where no pass succeeds, or the first takes long
            if self._passes:
                self._pass(house)
        except _Left:
            return None
        except TrimtabError as error:
            self._failed(error)
            return error
        except Exception as defect:
            return self._defect(defect)
        return None

    def _pass(self, house: House) -> None:
        self._passing = self._pass_failed = True
        found: Pass | None = None
        try:
            found = loop.reconcile(house, wait_seconds=LEASE_SECONDS)
        finally:
            self._passing = False
            if found is None or "evaluate" in found.seconds:  # not a pass that rested
                gc.unfreeze()
                gc.collect()
        self._say(Heard(self.watch.url, found=found, seconds=found.seconds))
        self._saw(loop.look(house, found.ready[-1].commit if found.ready else found.head), found)

    def _admitted(self, fleet: Fleet) -> None:
        self._refused = fleet.name
        self._admit(fleet)

    def _at_step(self, given: Callable[[str], None], name: str) -> None:
        given(name)
        if self._passing and self._ending.is_set() and name in _BEFORE_COMMIT:
            raise _Left

    def _rest(self, house: House | None, *, pause: float, soon: float | None = None) -> None:
        """Do what is asked until the next pass is due: in ``pause`` seconds, in ``soon`` once something was observed."""
        elapsed = stopwatch()
        self._do_waiting(house)
        while not self._stopping.is_set():
            left = self._left(pause, pause if soon is None else soon, elapsed())
            if left <= 0:
                return
            with suppress(queue.Empty):
                work = self._asked.get(timeout=min(left, _LONGEST_WAIT_SECONDS))
                if work is not None:
                    work(house)

    def _left(self, pause: float, soon: float, waited: float) -> float:
        if self._ending.is_set():
            return _LONGEST_WAIT_SECONDS
        if self._now.is_set():
            return 0.0
        return (min(pause, soon) if self._soon.is_set() else pause) - waited

    def _do_waiting(self, house: House | None) -> None:
        """What was asked up to now, and no more, so that a pass gets its turn, and those who wait theirs before it."""
        with suppress(queue.Empty):
            for _ in range(self._asked.qsize()):
                if (work := self._asked.get_nowait()) is not None:
                    work(house)

    def _shut_door(self) -> None:
        with self._door:
            self._shut = True
        self._do_waiting(None)

    def _failed(self, error: TrimtabError) -> None:
        known = self.watch
        if isinstance(error, Claimed):
            known = replace(known, fleet=None, state=None, refused=self._refused)
        message = f"{error.where}: {error.message}" if error.where else error.message
        self.watch = replace(known, error=message, hint=error.hint, errors=known.errors + 1)
        later = error.after_seconds if isinstance(error, RetryLater) else None
        log.warning("pass failed", fleet=self.watch.url, error=message, hint=error.hint, retry_after=later)
        self._say(Heard(self.watch.url, error=error))

    def _defect(self, defect: Exception) -> TrimtabError:
        """What is our own mistake is told like any other error, and opens the house anew."""
        log.error("steward", fleet=self.watch.url, exc_info=defect)
        error = Stalled(f"{type(defect).__name__}: {defect}", hint="this is a defect of Trimtab's: see its log")
        self._failed(error)
        return error

    def _say(self, heard: Heard) -> None:
        try:
            self._tell(heard)
        except Exception as defect:  # whoever listens must not end a pass
            log.error("listener", fleet=self.watch.url, exc_info=defect)
