"""A steward over a real fleet repo: no pass is lost, nobody who asks waits for ever, and no error ends its thread."""

import queue
import shutil
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import structlog

from reconciler.bootstrap import open_house, open_stores
from reconciler.clock import stopwatch
from reconciler.errors import RetryLater, Stalled, TrimtabError
from reconciler.settings import Settings
from reconciler.steps.house import House
from reconciler.steward import SHARE_OF_TIME, Claimed, Heard, Steward, back_off
from support.fleets import FleetRepo, git
from support.served import SetClock
from support.small import small_fleet

WAIT = 30.0


@dataclass
class Kept:
    """A steward, and what it told."""

    repo: FleetRepo
    clock: SetClock = field(default_factory=SetClock)
    heard: "queue.Queue[Heard]" = field(default_factory=queue.Queue)
    steward: Steward = None  # type: ignore[assignment]

    def hear(self) -> Heard:
        return self.heard.get(timeout=WAIT)

    def committed(self) -> Heard:
        """What was told of the next pass, which went well."""
        heard = self.hear()
        assert heard.found is not None, heard.error
        return heard


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("template")
    small_fleet(home)
    open_stores(Settings(state_dir=home / "state")).engine.dispose()  # migrated once, and copied for each test
    return home


@pytest.fixture
def repo(template: Path, tmp_path: Path) -> FleetRepo:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True, symlinks=True)
    git(tmp_path / "work", "remote", "set-url", "origin", str(tmp_path / "fleet.git"))
    return FleetRepo(home=tmp_path, work=tmp_path / "work", bare=tmp_path / "fleet.git")


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, object]]]:
    """What is logged, in place of structlog's own tracebacks, which take seconds to draw."""
    with structlog.testing.capture_logs() as found:
        yield found


@contextmanager
def keeping(
    repo: FleetRepo,
    *,
    at_step: Callable[[Steward, str], None] = lambda _steward, _name: None,
    tell: Callable[[Steward, Heard], None] = lambda _steward, _heard: None,
    **options: object,
) -> Iterator[Kept]:
    """A steward with no jitter that makes its next pass in an hour, unless somebody asks for one."""
    kept = Kept(repo)
    settings = Settings(fleet=str(repo.bare), state_dir=repo.home / "state")
    stores = open_stores(settings)

    @contextmanager
    def house() -> Iterator[House]:
        with open_house(settings, clock=kept.clock, stores=stores, step=partial(at_step, kept.steward)) as opened:
            opened.builder = None  # what a root builds to is for other tests, and takes most of a pass's time
            yield opened

    def heard(what: Heard) -> None:
        kept.heard.put(what)
        tell(kept.steward, what)

    defaults = {"interval": 3600.0, "least_pause": 0.0, "jitter": lambda: 0.0} | options
    kept.steward = Steward(str(repo.bare), house, clock=kept.clock, tell=heard, **defaults)  # type: ignore[arg-type]
    kept.steward.start()
    try:
        yield kept
    finally:
        assert kept.steward.stop(WAIT)
        stores.engine.dispose()


def test_what_a_pass_has_left_is_known_at_once(repo: FleetRepo) -> None:
    with keeping(repo) as kept:
        heard = kept.committed()
        assert [change.commit for change in heard.found.ready] == [repo.head()]
        assert "evaluate" in heard.seconds
        watch = kept.steward.ask(lambda _house: kept.steward.watch).result(WAIT)
        assert watch.head == watch.state.commit == repo.head()
        assert (watch.fleet.name, watch.branch, watch.url) == ("acme", "main", str(repo.bare))
        assert (watch.error, watch.errors, watch.read_at) == ("", 0, kept.clock.now)
        assert watch.found == heard.found


def test_who_asks_gets_the_answer_or_the_error_of_the_work(repo: FleetRepo) -> None:
    with keeping(repo) as kept:
        names = [kept.steward.ask(lambda house: house.name) for _ in range(20)]
        assert {future.result(WAIT) for future in names} == {str(repo.bare)}
        with pytest.raises(ZeroDivisionError):
            kept.steward.ask(lambda _house: 1 / 0).result(WAIT)
        cancelled = threading.Event()
        blocked = kept.steward.ask(lambda _house: cancelled.wait(WAIT))
        late = kept.steward.ask(lambda _house: 1)
        assert late.cancel()
        cancelled.set()
        assert blocked.result(WAIT)
        assert kept.steward.ask(lambda _house: threading.current_thread().name).result(WAIT).startswith("steward")


@pytest.mark.parametrize("step", ["observe", "report"])
@pytest.mark.parametrize("ask", [Steward.wake, Steward.nudge])
def test_what_is_asked_for_during_a_pass_is_not_lost(
    repo: FleetRepo, ask: Callable[[Steward], None], step: str
) -> None:
    asked = threading.Event()

    def ask_once(steward: Steward, name: str) -> None:
        if name == step and not asked.is_set():
            asked.set()
            ask(steward)

    with keeping(repo, at_step=ask_once) as kept:
        first, second = kept.committed(), kept.committed()
        assert (len(first.found.ready), len(second.found.ready)) == (1, 0)


def test_nudges_leave_time_between_passes_and_make_one_pass_of_many(repo: FleetRepo) -> None:
    elapsed, told = stopwatch(), []
    with keeping(repo, tell=lambda _steward, _heard: told.append(elapsed())) as kept:
        first = kept.committed()
        for _ in range(100):
            kept.steward.nudge()
        kept.committed()
        kept.steward.ask(lambda _house: None).result(WAIT)
        assert kept.heard.empty()
    assert told[1] - told[0] >= SHARE_OF_TIME * sum(first.seconds.values())


def test_a_wake_does_not_wait_for_the_pause_after_a_nudge(repo: FleetRepo) -> None:
    with keeping(repo, least_pause=3600.0) as kept:
        kept.committed()
        kept.steward.nudge()
        kept.steward.wake()
        kept.committed()


def test_who_asks_is_served_although_somebody_wakes_without_end(repo: FleetRepo) -> None:
    enough = threading.Event()

    def wake_again(steward: Steward, _heard: Heard) -> None:
        if not enough.is_set():
            steward.wake()

    with keeping(repo, tell=wake_again) as kept:
        for _ in range(3):
            assert kept.steward.ask(lambda house: house.repository.branch).result(WAIT) == "main"
        enough.set()
        assert kept.heard.qsize() >= 3


def test_passes_come_again_when_the_interval_is_over(repo: FleetRepo) -> None:
    with keeping(repo, interval=0.05) as kept:
        assert all(kept.committed().found is not None for _ in range(3))


def test_without_passes_it_only_looks(repo: FleetRepo) -> None:
    before = repo.head()
    with keeping(repo, passes=False) as kept:
        kept.steward.ask(kept.steward.read).result(WAIT)
        assert (kept.steward.watch.head, repo.head()) == (before, before)
        repo.write("notes.txt", "hello")
        pushed = repo.commit()
        kept.steward.nudge()
        assert kept.steward.ask(lambda _house: kept.steward.watch.head).result(WAIT) == before
        kept.steward.wake()
        assert kept.steward.ask(lambda _house: kept.steward.watch.head).result(WAIT) == pushed
        assert kept.heard.empty()
    assert repo.head() == pushed


def test_nobody_waits_for_a_fleet_repo_that_is_away_and_it_is_found_again(repo: FleetRepo) -> None:
    away = repo.home / "away.git"
    repo.bare.rename(away)
    with keeping(repo) as kept:
        for _ in range(2):
            with pytest.raises(Stalled, match="cannot be used: .*there is no directory"):
                kept.steward.ask(lambda house: house.name).result(WAIT)
        assert kept.hear().error is not None
        assert kept.steward.watch.fleet is None
        assert "there is no directory" in kept.steward.watch.error
        away.rename(repo.bare)
        kept.steward.wake()
        while kept.hear().found is None:
            pass
        assert kept.steward.ask(lambda _house: kept.steward.watch.error).result(WAIT) == ""


def test_what_was_read_stands_while_the_remote_is_away(repo: FleetRepo) -> None:
    away = repo.home / "away.git"
    with keeping(repo) as kept:
        kept.committed()
        head = repo.head()
        repo.bare.rename(away)
        kept.steward.wake()
        assert kept.hear().error is not None
        assert kept.steward.ask(lambda house: house.repository.tree(head).read("trimtab.yaml")).result(WAIT)
        watch = kept.steward.watch
        assert (watch.head, watch.fleet.name, watch.errors) == (head, "acme", 1)
        away.rename(repo.bare)
        kept.steward.wake()
        kept.committed()


def test_a_refused_push_is_said_until_a_pass_succeeds(repo: FleetRepo) -> None:
    hook = repo.bare / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not on a Friday; exit 1\n")
    hook.chmod(0o755)
    with keeping(repo) as kept:
        assert "not on a Friday" in str(kept.hear().error)
        kept.steward.ask(kept.steward.read).result(WAIT)
        watch = kept.steward.watch
        assert watch.fleet is not None
        assert "not on a Friday" in watch.error
        hook.unlink()
        kept.steward.wake()
        while (heard := kept.hear()).found is None:
            pass
        assert heard.found.ready[0].commit == repo.head()
        assert kept.steward.ask(lambda _house: kept.steward.watch).result(WAIT).error == ""


def test_a_broken_trimtab_yaml_is_named_and_its_repair_seen(repo: FleetRepo) -> None:
    with keeping(repo) as kept:
        kept.committed()
        good = (repo.work / "trimtab.yaml").read_text()
        repo.pull()
        repo.write("trimtab.yaml", good.replace("path:", "paht:"))
        repo.commit()
        kept.steward.wake()
        assert kept.hear().error is not None
        assert kept.steward.watch.error.startswith("trimtab.yaml:6")
        assert kept.steward.watch.fleet.name == "acme"
        repo.write("trimtab.yaml", good)
        repo.commit()
        kept.steward.wake()
        while kept.hear().found is None:
            pass
        assert kept.steward.ask(lambda _house: kept.steward.watch.head).result(WAIT) == repo.head()


def test_another_branch_is_followed(repo: FleetRepo) -> None:
    with keeping(repo) as kept:
        kept.committed()
        repo.pull()
        repo.write("trimtab.yaml", (repo.work / "trimtab.yaml").read_text() + "  delivery: {branch: live}\n")
        repo.commit()
        git(repo.work, "push", "-q", "origin", "HEAD:live")
        kept.steward.wake()
        assert "delivery.branch is live" in str(kept.hear().error)
        kept.steward.wake()
        kept.committed()
        assert kept.steward.ask(lambda house: house.repository.branch).result(WAIT) == "live"
        assert kept.steward.watch.branch == "live"


def test_a_defect_ends_neither_the_thread_nor_the_passes(
    repo: FleetRepo, logged: list[MutableMapping[str, object]]
) -> None:
    broken = threading.Event()

    def break_once(_steward: Steward, name: str) -> None:
        if name == "evaluate" and not broken.is_set():
            broken.set()
            raise RuntimeError("out of order")

    def tell(_steward: Steward, _heard: Heard) -> None:
        raise RuntimeError("the listener, too")

    with keeping(repo, at_step=break_once, tell=tell) as kept:
        assert "RuntimeError: out of order" in str(kept.hear().error)
        kept.steward.wake()
        kept.committed()
        assert kept.steward.ask(lambda _house: kept.steward.watch.errors).result(WAIT) == 0
    assert "out of order" in str([line["exc_info"] for line in logged if line["event"] == "steward"])


def test_a_fleet_that_is_not_admitted_is_not_kept(repo: FleetRepo) -> None:
    before = repo.head()
    admitted = threading.Event()

    def admit(_fleet: object) -> None:
        if not admitted.is_set():
            raise Claimed("the cluster prod is somebody else's")

    with keeping(repo, admit=admit) as kept:
        assert "somebody else's" in str(kept.hear().error)
        kept.steward.ask(lambda _house: None).result(WAIT)
        assert (kept.steward.watch.fleet, kept.steward.watch.state, repo.head()) == (None, None, before)
        assert kept.steward.watch.refused == "acme"
        admitted.set()
        kept.steward.wake()
        assert kept.committed().found.ready[0].commit == repo.head() != before


def test_told_to_stop_a_pass_is_left_before_it_commits_and_who_asks_is_still_served(repo: FleetRepo) -> None:
    before = repo.head()
    left = threading.Event()

    def wind_down(steward: Steward, name: str) -> None:
        if name == "render":
            left.set()
            steward.wind_down()

    with keeping(repo, at_step=wind_down) as kept:
        assert left.wait(WAIT)
        assert kept.steward.ask(lambda house: house.repository.head).result(WAIT) == before
        kept.steward.wake()
        assert kept.steward.ask(lambda house: house.repository.head).result(WAIT) == before
        assert kept.heard.empty()


@pytest.mark.parametrize("at", ["commit", "push", "pushed", "report"])
def test_told_to_stop_the_commit_in_hand_is_finished(repo: FleetRepo, at: str) -> None:
    before = repo.head()
    stopped = threading.Event()

    def stop(steward: Steward, name: str) -> None:
        if name == at:
            stopped.set()
            steward.wind_down()

    with keeping(repo, at_step=stop) as kept:
        assert stopped.wait(WAIT)
        assert kept.steward.stop(WAIT)
        assert kept.heard.get_nowait().found.ready[0].commit == repo.head() != before
        assert kept.steward.watch.head == repo.head()


def test_what_was_asked_before_the_stop_is_done_and_what_comes_later_refused(repo: FleetRepo) -> None:
    go = threading.Event()
    with keeping(repo, passes=False) as kept:
        kept.steward.ask(lambda _house: go.wait(WAIT))
        before = [kept.steward.ask(lambda house: house.name) for _ in range(5)]
        release = threading.Thread(target=go.set)
        release.start()
        assert kept.steward.stop(WAIT)
        release.join()
        assert {future.result(0) for future in before} == {str(repo.bare)}
        with pytest.raises(Stalled, match="stopping"):
            kept.steward.ask(lambda house: house.name).result(0)


def test_stopping_does_not_wait_for_ever_and_nobody_else_does(repo: FleetRepo) -> None:
    begun, go = threading.Event(), threading.Event()

    def hang(_house: object) -> None:
        begun.set()
        assert go.wait(WAIT)

    with keeping(repo, passes=False) as kept:
        kept.steward.ask(hang)
        assert begun.wait(WAIT)
        waiting = kept.steward.ask(lambda house: house.name)
        assert not kept.steward.stop(0.0)
        with pytest.raises(Stalled, match="stopping"):
            waiting.result(0)
        go.set()


def test_asked_and_never_started_it_refuses_when_it_is_stopped(repo: FleetRepo) -> None:
    steward = Steward("somewhere", lambda: pytest.fail("not opened"), interval=1, clock=SetClock())
    waiting = steward.ask(lambda house: house.name)
    assert steward.stop()
    with pytest.raises(Stalled):
        waiting.result(0)


def test_credentials_of_a_url_are_not_watched() -> None:
    steward = Steward(
        "https://me:secret@git.example.com/fleet.git", lambda: pytest.fail("not opened"), interval=1, clock=SetClock()
    )
    assert steward.watch.url == "https://***@git.example.com/fleet.git"


def test_the_pause_after_errors_grows_to_a_minute_and_respects_what_the_error_asks_for() -> None:
    error = TrimtabError("no")
    assert [back_off(error, failures, 0.0) for failures in (1, 2, 3, 7, 8, 5000)] == [1, 2, 4, 60, 60, 60]
    assert back_off(error, 1, 1.0) == 1.25
    assert back_off(RetryLater("busy", after_seconds=300), 1, 0.0) == 300
    assert back_off(RetryLater("busy", after_seconds=1), 9, 0.0) == 60
