"""One thread keeps one fleet repo: it makes the passes, and does between them what others ask of it.

A repository's processes and caches belong to one thread. Whoever else wants something of the fleet repo (a rollback, the
manifests at the head of the branch) asks with :meth:`Steward.ask`, and never meets a pass half way.
"""

import gc
import queue
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
from reconciler.errors import RetryLater, Stalled, TrimtabError
from reconciler.model.fleet import Fleet
from reconciler.model.plan import Pass
from reconciler.steps.house import House

T = TypeVar("T")

SHARE_OF_TIME = 4
"""Passes that pushes ask for leave four times their own length free between them."""

_LEAST_PAUSE_SECONDS = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Watch:
    """What is known of a fleet repo right now. ``fleet`` None = it could not be read yet; ``error`` says why not."""

    url: str
    head: str = ""
    branch: str = ""
    fleet: Fleet | None = None
    found: Pass | None = None
    error: str = ""
    hint: str = ""
    errors: int = 0
    read_at: datetime | None = None


@dataclass(frozen=True)
class Heard:
    """Told about a pass: what it found, or the error that ended it. ``seconds`` by stage."""

    url: str
    found: Pass | None = None
    error: TrimtabError | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


class Steward:
    """Keeps one fleet repo from :meth:`start` to :meth:`stop`. All methods may be called from any thread.

    ``open_house`` is entered in the steward's own thread. Without ``passes`` nothing is decided or committed on its own:
    another process does that, and this one only reads what has landed.
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
    ) -> None:
        self._open, self._interval, self._clock, self._passes, self._tell = open_house, interval, clock, passes, tell
        self._asked: queue.SimpleQueue[Callable[[House | None], None] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._soon = threading.Event()
        self._now = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"steward {url}", daemon=True)
        self.watch = Watch(url=url)
        """Replaced whole, never changed, so that any thread may read it."""

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Finish what is in hand, such as a commit on its way, and end."""
        self._stopping.set()
        self._asked.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._refuse_waiting()

    def wake(self) -> None:
        """A person has changed something: a pass begins as soon as the one in hand is over."""
        self._now.set()
        self._asked.put(None)

    def nudge(self) -> None:
        """Something was observed: a pass begins soon, and not one after the other without a pause."""
        if not self._soon.is_set():
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
                future.set_result(work(house))
            except BaseException as error:
                future.set_exception(error)

        self._asked.put(do)
        if self._stopping.is_set():
            self._refuse_waiting()
        return future

    def _keep(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._open() as house:
                    self.watch = replace(self.watch, branch=house.repository.branch)
                    self._serve(house)
            except TrimtabError as error:
                self._failed(error)
            except Exception as error:  # a defect must not end the thread that everything else waits for
                log.exception("steward", fleet=self.watch.url)
                self._failed(TrimtabError(f"{type(error).__name__}: {error}"))
            self._refuse_waiting()
            self._stopping.wait(min(self._interval, 10.0))

    def _serve(self, house: House) -> None:
        """Passes and requests until the server stops; an error of the branch's name starts over with a new house."""
        while not self._stopping.is_set():
            elapsed = stopwatch()
            reopen = self._turn(house)
            if reopen:
                return
            self._rest(house, max(_LEAST_PAUSE_SECONDS, SHARE_OF_TIME * elapsed()))

    def _turn(self, house: House) -> bool:
        """One pass, or one look at the branch; True when the house must be opened anew."""
        self._now.clear()
        self._soon.clear()
        try:
            found = loop.reconcile(house) if self._passes else None
            self.read(house)
            if found is not None:
                self.watch = replace(self.watch, found=found)
                self._tell(Heard(self.watch.url, found=found, seconds=found.seconds))
                if "evaluate" in found.seconds:
                    gc.unfreeze()
                    gc.collect()
        except TrimtabError as error:
            self._failed(error)
            return isinstance(error, Stalled)
        return False

    def read(self, house: House) -> None:
        """Look at what is at the head of the branch, after a pass or a rollback."""
        head, fleet = loop.look(house)
        self.watch = replace(self.watch, head=head, fleet=fleet, error="", hint="", errors=0, read_at=self._clock())

    def _rest(self, house: House, least: float) -> None:
        """Do what is asked until the next pass is due."""
        elapsed = stopwatch()
        while not self._stopping.is_set() and not self._now.is_set():
            pause = (least if self._soon.is_set() else max(self._interval, least)) - elapsed()
            if pause <= 0:
                return
            try:
                work = self._asked.get(timeout=pause)
            except queue.Empty:
                continue
            if work is not None:
                work(house)

    def _failed(self, error: TrimtabError) -> None:
        self.watch = replace(self.watch, error=error.message, hint=error.hint, errors=self.watch.errors + 1)
        self._tell(Heard(self.watch.url, error=error))
        later = error.after_seconds if isinstance(error, RetryLater) else None
        log.warning("pass failed", fleet=self.watch.url, error=error.message, hint=error.hint, retry_after=later)

    def _refuse_waiting(self) -> None:
        """Nobody waits for a house that cannot be opened."""
        with suppress(queue.Empty):
            while True:
                if (work := self._asked.get_nowait()) is not None:
                    work(None)
