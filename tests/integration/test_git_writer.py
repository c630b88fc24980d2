"""Writing commits and moving branches on real remotes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest

from reconciler.clock import fixed_clock
from reconciler.commit.credentials import Credentials
from reconciler.commit.repository import PENDING, Repository
from reconciler.commit.writer import Writer
from reconciler.errors import InputError, RetryLater, Stalled
from reconciler.model.fleet import Author, Signing
from support.fleets import PROJECT, git
from support.git_remotes import FILES, Shared, add_hook, make_shared, served

NOW = datetime(2026, 6, 16, 10, 0, tzinfo=UTC)
BOT = Author(name="Trimtab Bot", email="bot@example.com")
WEB = "clusters/prod/apps/web.yaml"
NEW = "clusters/prod/trimtab/shop/hpa-web.yaml"


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    return make_shared(tmp_path / "remote")


def opened(fleet: str | Path, tmp_path: Path, credentials: Credentials | None = None) -> Repository:
    return Repository.open(str(fleet), state_dir=tmp_path / "state", branch="main", credentials=credentials)


def writing(repository: Repository, signing: Signing | None = None) -> Writer:
    return Writer(repository, author=BOT, signing=signing, clock=fixed_clock(NOW))


# --- commits -------------------------------------------------------------------------------------------------------------


def test_a_commit_has_the_files_the_message_the_author_and_the_time(shared: Shared, tmp_path: Path) -> None:
    message = "Raise web\n\nWhy: it is busy\n\nTrimtab-Change: 01ABC\n"
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        old = repository.fetch()
        new = writer.commit(old, {NEW: b"kind: Hpa\n", WEB: b"kind: Deployment\nspec: 2\n"}, message)
        assert writer.push(new, old).pushed
        assert repository.head == new == shared.head
        assert repository.tree(new).read(NEW) == b"kind: Hpa\n"
    assert shared.show(WEB) == b"kind: Deployment\nspec: 2\n"
    assert shared.show("trimtab.yaml") == FILES["trimtab.yaml"]
    assert git(shared.bare, "log", "-1", "--format=%an %ae %cn %ce %at %ct %P") == (
        f"Trimtab Bot bot@example.com Trimtab Bot bot@example.com {NOW.timestamp():.0f} {NOW.timestamp():.0f} {old}"
    )
    assert git(shared.bare, "log", "-1", "--format=%B").strip() == message.strip()
    git(shared.bare, "fsck", "--strict")


def test_modes_stay_and_new_files_are_not_executable(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        old = repository.fetch()
        new = writer.commit(old, {"clusters/prod/apps/run.sh": b"#!/bin/sh\ntrue\n", NEW: b"a: 1\n"}, "m")
        again = writer.commit(new, {"clusters/prod/apps/run.sh": b"#!/bin/sh\nfalse\n"}, "m")
        writer.push(again, old)
    modes = {line.split()[3]: line.split()[0] for line in git(shared.bare, "ls-tree", "-r", "main").splitlines()}
    assert modes["clusters/prod/apps/run.sh"] == "100755"
    assert modes[NEW] == modes[WEB] == "100644"


def test_the_last_file_of_a_directory_takes_it_along(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        old = repository.fetch()
        one = writer.commit(old, {NEW: b"a: 1\n"}, "add")
        two = writer.commit(one, {NEW: None}, "remove")
        assert repository.tree_id(two) == repository.tree_id(old)
        assert repository.tree(two).blobs == repository.tree(old).blobs


def test_nothing_changed_is_no_commit(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        old = repository.fetch()
        assert writer.commit(old, {WEB: FILES[WEB], "not/there.yaml": None}, "m") == old
        assert writer.commit(old, {}, "m") == old


def test_the_same_inputs_give_the_same_commit(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository, writing(repository) as one, writing(repository) as two:
        old = repository.fetch()
        assert one.commit(old, {NEW: b"a\n"}, "m") == two.commit(old, {NEW: b"a\n"}, "m")


def test_several_commits_in_a_row_are_one_push(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        head = old = repository.fetch()
        for number in range(5):
            head = writer.commit(head, {f"clusters/prod/trimtab/shop/{number}.yaml": b"a: 1\n"}, f"Change {number}")
        assert writer.push(head, old).pushed
    assert git(shared.bare, "log", "--format=%s", "-5").splitlines() == [f"Change {n}" for n in (4, 3, 2, 1, 0)]


def test_the_same_big_commit_by_two_open_writers_and_after_a_kill(shared: Shared, tmp_path: Path) -> None:
    files = {f"clusters/prod/trimtab/shop/{number}.yaml": b"value: %d\n" % number for number in range(500)}
    with opened(shared.bare, tmp_path) as repository, writing(repository) as one, writing(repository) as two:
        old = repository.fetch()
        new = one.commit(old, files, "m")
        assert two.commit(old, files, "m") == new
        for pid in children():
            if b"fast-import" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        kept = list((repository.git_dir / "objects/pack").glob("*.keep"))
        assert kept
        with writing(repository) as three:
            assert three.commit(old, files, "m") == new
            assert three.push(new, old).pushed
        for keep in kept:
            os.utime(keep, (0, 0))
        repository.tidy()
        assert not any(keep.exists() for keep in kept)
    assert len(shared.paths()) == 503


@pytest.mark.parametrize(
    "path", ["späße/größe.yaml", 'quote"d.yaml', "back\\slash.yaml", "with space.yaml", " lead.yaml", "d.git/x"]
)
def test_odd_names_arrive_as_they_are(shared: Shared, tmp_path: Path, path: str) -> None:
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        new = writer.commit(repository.fetch(), {path: b"1\n"}, "m")
        listed = repository.client.must("ls-tree", "-r", "-z", "--name-only", new, doing="list").decode().split("\0")
        assert path in listed
        gone = writer.commit(new, {path: None}, "m")
        assert repository.tree_id(gone) == repository.tree_id(repository.head)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x", "a/../b", "a//b", "", "a/", "./a", ".git/config", "a/.GIT/hooks/x", "git~1/x", ".git. /x",
     "a\nb", "a\0b", "\udce9.yaml", "n" * 256],
)  # fmt: skip
def test_paths_that_no_tree_may_hold_are_refused(shared: Shared, tmp_path: Path, path: str) -> None:
    refused = pytest.raises(InputError, match="cannot be written")
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer, refused:
        writer.commit(repository.fetch(), {path: b"1\n"}, "m")


def test_a_persons_file_directory_or_link_is_not_pushed_aside(shared: Shared, tmp_path: Path) -> None:
    (shared.work / "link").symlink_to("clusters")
    shared.person_commits({})
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        for path, reason in (
            ("trimtab.yaml/x.yaml", "trimtab.yaml is a file"),
            ("clusters/prod", "a directory is there"),
            ("link", "a symbolic link is there"),
            ("link/prod/x.yaml", "link is a symbolic link"),
        ):
            with pytest.raises(InputError, match=reason):
                writer.commit(repository.fetch(), {path: b"1\n"}, "m")


def test_an_author_that_git_cannot_hold_is_refused(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository, pytest.raises(InputError, match="author's name"):
        Writer(repository, author=Author(name="a <b>\n"), signing=None, clock=fixed_clock(NOW))


def test_ten_thousand_files_in_one_commit(shared: Shared, tmp_path: Path) -> None:
    files = {
        f"clusters/prod/trimtab/ns{n % 100}/requests-deployment-app{n}.yaml": b"value: %d\n" % n for n in range(10_000)
    }
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        old = repository.fetch()
        new = writer.commit(old, files, "m")
        assert repository.tree(new).read_many(files) == files
        assert writer.commit(new, dict.fromkeys(files), "m") != new


def test_the_writer_comes_back_after_its_process_was_killed(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        one = writer.commit(repository.fetch(), {NEW: b"1\n"}, "m")
        killed = [pid for pid in children() if b"fast-import" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        two = writer.commit(one, {NEW: b"2\n"}, "m")
        assert killed and repository.tree(two).read(NEW) == b"2\n"


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()]


def test_nothing_is_left_running_or_lying_about(shared: Shared, tmp_path: Path) -> None:
    before = children()
    with opened(shared.bare, tmp_path) as repository:
        with writing(repository) as writer:
            old = repository.fetch()
            writer.push(writer.commit(old, {NEW: b"1\n"}, "m"), old)
            private = repository.client.home
            assert private.stat().st_mode & 0o777 == 0o700
        assert git(repository.git_dir, "for-each-ref", "refs/trimtab") == ""
    assert not private.exists()
    assert set(children()) <= set(before)


# --- moving the branch ---------------------------------------------------------------------------------------------------


def test_a_person_who_pushes_in_between_is_never_overwritten(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        old = repository.fetch()
        ours = writer.commit(old, {NEW: b"1\n"}, "Ours")
        theirs = shared.person_commits({WEB: b"kind: StatefulSet\n"})
        assert writer.push(ours, old).rejected
        assert shared.head == theirs
        again = writer.commit(repository.fetch(), {NEW: b"1\n"}, "Ours")
        assert writer.push(again, theirs).pushed
    assert git(shared.bare, "log", "--format=%s", "-3").splitlines()[:2] == ["Ours", "A person's work"]
    assert shared.show(WEB) == b"kind: StatefulSet\n"


def test_a_branch_that_was_set_back_is_not_brought_forward(shared: Shared, tmp_path: Path) -> None:
    first = shared.head
    shared.person_commits({WEB: b"a mistake\n"})
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        old = repository.fetch()
        ours = writer.commit(old, {NEW: b"1\n"}, "Ours")
        git(shared.bare, "update-ref", "refs/heads/main", first)
        assert writer.push(ours, old).rejected
        assert shared.head == first == repository.fetch()


def test_a_branch_that_was_deleted_is_not_made_again(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        old = repository.fetch()
        ours = writer.commit(old, {NEW: b"1\n"}, "Ours")
        git(shared.bare, "update-ref", "-d", "refs/heads/main")
        assert writer.push(ours, old).rejected
        with pytest.raises(Stalled, match="no commits yet"):
            repository.fetch()


def test_pushing_the_same_commit_again_is_no_error(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        old = repository.fetch()
        new = writer.commit(old, {NEW: b"1\n"}, "m")
        assert writer.push(new, old).pushed
        assert writer.push(new, old).pushed


def test_machine_branches_move_with_lease_only(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        base = repository.fetch()
        one = writer.commit(base, {NEW: b"1\n"}, "one")
        two = writer.commit(base, {NEW: b"2\n"}, "two")
        assert writer.push_branch("trimtab/prod-hpa", one, "").pushed
        assert repository.branch_head("trimtab/prod-hpa") == one
        assert writer.push_branch("trimtab/prod-hpa", two, "").rejected
        assert writer.push_branch("trimtab/prod-hpa", two, base).rejected
        assert writer.push_branch("trimtab/prod-hpa", two, one).pushed
        assert git(shared.bare, "rev-parse", "trimtab/prod-hpa") == two
        assert writer.push_branch("trimtab/prod-hpa", "", two).pushed
        assert repository.branch_head("trimtab/prod-hpa") == ""
        assert git(shared.bare, "branch", "--list", "trimtab/*") == ""
        with pytest.raises(ValueError, match="fleet's branch"):
            writer.push_branch("main", two, base)


@pytest.mark.parametrize("hook", ["pre-receive", "update"])
def test_a_hook_that_declines_is_told_in_its_own_words(shared: Shared, tmp_path: Path, hook: str) -> None:
    add_hook(
        shared.bare, hook, "cat > /dev/null; echo 'Changes need a ticket. See https://bob:hunter2@wiki/x' >&2; exit 1"
    )
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        old = repository.fetch()
        with pytest.raises(Stalled, match="Changes need a ticket") as caught:
            writer.push(writer.commit(old, {NEW: b"1\n"}, "m"), old)
        assert "hunter2" not in str(caught.value)
        assert shared.head == old == repository.head


def test_a_hook_that_kills_the_connection_is_tried_again(shared: Shared, tmp_path: Path) -> None:
    add_hook(shared.bare, "pre-receive", "cat > /dev/null; kill -9 $PPID")
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        old = repository.fetch()
        new = writer.commit(old, {NEW: b"1\n"}, "m")
        with pytest.raises(RetryLater, match="broke off"):
            writer.push(new, old)
        assert shared.head == old
        (shared.bare / "hooks" / "pre-receive").unlink()
        assert writer.push(new, old).pushed


def test_a_hook_that_kills_itself_after_the_push_leaves_one_commit(shared: Shared, tmp_path: Path) -> None:
    add_hook(shared.bare, "post-receive", "kill -9 $PPID")
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        old = repository.fetch()
        new = writer.commit(old, {NEW: b"1\n"}, "m")
        with pytest.raises(RetryLater):
            writer.push(new, old)
        assert repository.fetch() == new == shared.head


def test_the_remotes_hooks_see_no_setting_of_ours(
    shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMTAB_GITHUB_TOKEN", "s3cr3t")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    add_hook(shared.bare, "post-receive", f"env > {tmp_path}/seen")
    with opened(shared.bare, tmp_path, Credentials("0ther")) as repository, writing(repository) as writer:
        old = repository.fetch()
        assert writer.push(writer.commit(old, {NEW: b"1\n"}, "m"), old).pushed
    seen = (tmp_path / "seen").read_text()
    assert "PATH=" in seen and "s3cr3t" not in seen and "0ther" not in seen and "/nowhere" not in seen


def test_no_hook_of_the_clone_runs(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        for name in ("pre-push", "reference-transaction", "post-checkout"):
            add_hook(repository.git_dir, name, f"touch {tmp_path}/ran")
        old = repository.fetch()
        assert writer.push(writer.commit(old, {NEW: b"1\n"}, "m"), old).pushed
    assert not (tmp_path / "ran").exists()


def test_a_full_disk_of_the_remote_is_told(shared: Shared, tmp_path: Path) -> None:
    add_hook(
        shared.bare, "pre-receive", "cat > /dev/null; echo 'fatal: write error: No space left on device' >&2; exit 1"
    )
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        old = repository.fetch()
        with pytest.raises(Stalled, match="No space left on device"):
            writer.push(writer.commit(old, {NEW: b"1\n"}, "m"), old)


SCRIPT = """
import os, resource, signal, sys
from pathlib import Path
from reconciler.clock import system_clock
from reconciler.commit.repository import Repository
from reconciler.commit.writer import Writer
from reconciler.errors import TrimtabError
from reconciler.model.fleet import Author

fleet, state, act, path = sys.argv[1:]
try:
    with Repository.open(fleet, state_dir=Path(state), branch="main") as repository:
        old = repository.fetch()
        if act == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        with Writer(repository, author=Author(), signing=None, clock=system_clock) as writer:
            new = writer.commit(old, {path: os.urandom(100000) if act == "full" else b"1"}, act)
            if act == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            while writer.push(new, old).rejected:
                old = repository.fetch()
                new = writer.commit(old, {path: b"1"}, act)
            print(new)
except TrimtabError as error:
    print(type(error).__name__, error)
"""


def started(
    shared: Shared, tmp_path: Path, act: str, path: str = NEW, *, bound: bool = False
) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SCRIPT, str(shared.bare), str(tmp_path / "state"), act, path]
    if bound and os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    return subprocess.Popen(command, cwd=PROJECT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_full_disk_of_ours_leaves_nothing_half_written(shared: Shared, tmp_path: Path) -> None:
    old = shared.head
    out, err = started(shared, tmp_path, "full").communicate()
    assert out.startswith("Stalled cannot write the commit") and "disk is full" in out, out + err
    assert shared.head == old
    out, _ = started(shared, tmp_path, "again").communicate()
    assert shared.head == out.strip()


def test_a_remote_that_must_not_be_written(shared: Shared, tmp_path: Path) -> None:
    old = shared.head
    for directory in (shared.bare / "objects", shared.bare / "refs/heads"):
        directory.chmod(0o555)
    out, err = started(shared, tmp_path, "push", bound=True).communicate()
    for directory in (shared.bare / "objects", shared.bare / "refs/heads"):
        directory.chmod(0o755)
    assert out.startswith("Stalled cannot push to main") and "must not be read or written" in out, out + err
    assert shared.head == old


def test_killed_between_commit_and_push_leaves_the_branch_untouched(shared: Shared, tmp_path: Path) -> None:
    old = shared.head
    process = started(shared, tmp_path, "die")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert shared.head == old
    with opened(shared.bare, tmp_path) as repository, writing(repository) as writer:
        assert repository.fetch() == old
        assert writer.push(writer.commit(old, {NEW: b"1\n"}, "m"), old).pushed
        repository.tidy()
        assert f"{PENDING}{process.pid}-" not in git(repository.git_dir, "for-each-ref", "--format=%(refname)")
        assert git(repository.git_dir, "for-each-ref", "refs/trimtab") != ""
    assert git(shared.bare, "rev-list", "--count", "main") == "2"


def test_two_processes_on_one_clone_both_land(shared: Shared, tmp_path: Path) -> None:
    both = [started(shared, tmp_path, "both", f"clusters/prod/trimtab/shop/{name}.yaml") for name in "ab"]
    for process in both:
        out, err = process.communicate()
        assert process.returncode == 0 and len(out.strip()) == 40, out + err
    assert {"clusters/prod/trimtab/shop/a.yaml", "clusters/prod/trimtab/shop/b.yaml"} <= set(shared.paths())
    assert git(shared.bare, "rev-list", "--count", "main") == "3"


def test_two_threads_with_a_writer_each_both_land(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository:
        threads = [Thread(target=land, args=(repository, f"{name}.yaml")) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {"a.yaml", "b.yaml", "c.yaml", "d.yaml"} <= set(shared.paths())


def land(repository: Repository, path: str) -> None:
    with writing(repository) as writer:
        old = repository.fetch()
        while writer.push(writer.commit(old, {path: b"1\n"}, path), old).rejected:
            old = repository.fetch()


# --- a checkout that is itself the fleet ---------------------------------------------------------------------------------


@pytest.fixture
def checkout(shared: Shared) -> Path:
    git(shared.work, "remote", "remove", "origin")
    return shared.work


def test_a_clean_checkout_follows(checkout: Path, tmp_path: Path) -> None:
    with opened(checkout, tmp_path) as repository, writing(repository) as writer:
        old = repository.fetch()
        new = writer.commit(old, {NEW: b"1\n", WEB: None}, "m")
        assert writer.push(new, old).pushed
        assert (checkout / NEW).read_bytes() == b"1\n" and not (checkout / WEB).exists()
        assert git(checkout, "status", "--porcelain") == ""


@pytest.mark.parametrize("staged", [False, True])
def test_a_dirty_checkout_is_left_alone(checkout: Path, tmp_path: Path, staged: bool) -> None:
    (checkout / "trimtab.yaml").write_text("kind: Fleet\n# not done yet\n")
    if staged:
        git(checkout, "add", "--all")
    with opened(checkout, tmp_path) as repository, writing(repository) as writer:
        old = repository.fetch()
        with pytest.raises(Stalled, match=f"checkout at {checkout} has uncommitted changes"):
            writer.push(writer.commit(old, {NEW: b"1\n"}, "m"), old)
        assert git(checkout, "rev-parse", "main") == old
        assert "not done yet" in (checkout / "trimtab.yaml").read_text()


def test_an_untracked_file_in_the_way_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    (checkout / NEW).parent.mkdir(parents=True)
    (checkout / NEW).write_text("mine\n")
    with opened(checkout, tmp_path) as repository, writing(repository) as writer:
        old = repository.fetch()
        with pytest.raises(Stalled, match="uncommitted changes"):
            writer.push(writer.commit(old, {NEW: b"1\n"}, "m"), old)
    assert (checkout / NEW).read_text() == "mine\n"


# --- by HTTP, and signed -------------------------------------------------------------------------------------------------


def test_pushes_by_http(shared: Shared, tmp_path: Path) -> None:
    files = {f"big/{number}": os.urandom(300_000) for number in range(5)}  # more than one post buffer: sent in chunks
    with served(shared.bare.parent, username="bot", password="s3cr3t") as http:
        url = f"{http.url}/fleet.git"
        with opened(url, tmp_path, Credentials("s3cr3t", "bot")) as repository, writing(repository) as writer:
            old = repository.fetch()
            new = writer.commit(old, files, "m")
            assert writer.push(new, old).pushed
            assert shared.head == new
            theirs = shared.person_commits({WEB: b"theirs\n"})
            assert writer.push(writer.commit(new, {NEW: b"1\n"}, "m"), new).rejected
            assert shared.head == theirs


def test_a_credential_that_may_only_read(shared: Shared, tmp_path: Path) -> None:
    git(shared.bare, "config", "http.receivepack", "false")
    with served(shared.bare.parent, username="bot", password="s3cr3t") as http:
        url = f"{http.url}/fleet.git"
        with opened(url, tmp_path, Credentials("s3cr3t", "bot")) as repository, writing(repository) as writer:
            old = repository.fetch()
            with pytest.raises(Stalled, match="refuses the credentials"):
                writer.push(writer.commit(old, {NEW: b"1\n"}, "m"), old)


def ssh_key(tmp_path: Path, passphrase: str = "") -> Path:
    key = tmp_path / "keys" / "signing"
    key.parent.mkdir()
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", BOT.email, "-f", str(key)],
        check=True,
        capture_output=True,
    )
    return key


def test_commits_signed_with_an_ssh_key_are_verified_by_git(shared: Shared, tmp_path: Path) -> None:
    key = ssh_key(tmp_path)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"{BOT.email} {key.with_suffix('.pub').read_text()}")
    with (
        opened(shared.bare, tmp_path) as repository,
        writing(repository, Signing(format="ssh", key=str(key))) as writer,
    ):
        old = repository.fetch()
        one = writer.commit(old, {NEW: b"1\n"}, "one\n\nbody\n")
        two = writer.commit(one, {NEW: b"2\n"}, "two")
        assert writer.push(two, old).pushed
    shown = git(shared.bare, "-c", f"gpg.ssh.allowedSignersFile={allowed}", "log", "-2", "--show-signature", "main")
    assert shown.count(f'Good "git" signature for {BOT.email}') == 2
    assert git(shared.bare, "log", "-1", "--format=%an %ae %at %s", "main") == (
        f"{BOT.name} {BOT.email} {NOW.timestamp():.0f} two"
    )
    assert shared.show(NEW) == b"2\n"


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    # gpg-agent listens on a socket in its home; a socket's path must be short.
    home = Path("/tmp") / f"gpg-{os.getpid()}-{tmp_path_factory.mktemp('g').name}"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    common = ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run(
        [*common, "--quick-gen-key", f"{BOT.name} <{BOT.email}>", "ed25519"], check=True, capture_output=True
    )
    yield home
    subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True)
    subprocess.run(["rm", "-rf", str(home)], check=True)


def test_commits_signed_with_a_gpg_key_are_verified_by_git(shared: Shared, tmp_path: Path, keyring: Path) -> None:
    with (
        opened(shared.bare, tmp_path) as repository,
        writing(repository, Signing(format="gpg", key=BOT.email)) as writer,
    ):
        old = repository.fetch()
        assert writer.push(writer.commit(old, {NEW: b"1\n"}, "signed"), old).pushed
    shown = subprocess.run(
        ["git", "-C", str(shared.bare), "log", "-1", "--show-signature", "main"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Good signature from" in shown.stdout + shown.stderr and BOT.email in shown.stdout


def test_a_missing_ssh_key_is_named(shared: Shared, tmp_path: Path) -> None:
    signing = Signing(format="ssh", key="/run/secrets/nowhere")
    refused = pytest.raises(Stalled, match="there is no signing key /run/secrets/nowhere")
    with opened(shared.bare, tmp_path) as repository, writing(repository, signing) as writer, refused:
        writer.commit(repository.fetch(), {NEW: b"1\n"}, "m")


def test_keys_that_cannot_sign_are_told_and_nobody_is_asked(shared: Shared, tmp_path: Path, keyring: Path) -> None:
    locked = ssh_key(tmp_path, passphrase="opens it")
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("not a key")
    nonsense.chmod(0o600)
    for signing in (
        Signing(format="ssh", key=str(locked)),
        Signing(format="ssh", key=str(nonsense)),
        Signing(format="gpg", key="nobody@example.com"),
    ):
        refused = pytest.raises(Stalled, match=f"cannot sign commits with the {signing.format} key {signing.key}")
        with opened(shared.bare, tmp_path) as repository, writing(repository, signing) as writer, refused:
            writer.commit(repository.fetch(), {NEW: b"1\n"}, "m")
    assert shared.head == git(shared.work, "rev-parse", "HEAD")
