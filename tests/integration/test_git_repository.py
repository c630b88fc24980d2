"""Reading a fleet repo: which repository it is, what is in it, and what is said when it cannot be read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.commit.credentials import Credentials
from reconciler.commit.remote import resolve_remote
from reconciler.commit.repository import Repository
from reconciler.errors import InputError, RetryLater, Stalled
from support.fleets import PROJECT, git
from support.git_remotes import FILES, Shared, make_shared, redirecting, served


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    return make_shared(tmp_path / "remote")


def opened(
    fleet: str | Path, tmp_path: Path, branch: str = "main", credentials: Credentials | None = None
) -> Repository:
    return Repository.open(str(fleet), state_dir=tmp_path / "state", branch=branch, credentials=credentials)


def test_reads_what_people_pushed(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository:
        tree = repository.tree(repository.fetch())
        assert dict(tree.blobs).keys() == FILES.keys()
        assert tree.read("trimtab.yaml") == b"kind: Fleet\n"
        assert tree.read_many(FILES) == FILES
        with pytest.raises(KeyError):
            tree.read("trimtab.yml")


@pytest.mark.parametrize("form", ["{}", "file://{}", "{}/", "{}/../fleet.git"])
def test_a_path_and_a_file_url_are_the_same_fleet(shared: Shared, tmp_path: Path, form: str) -> None:
    with opened(form.format(shared.bare), tmp_path) as repository:
        assert repository.remote.url == str(shared.bare)
        assert repository.head == shared.head


def test_sees_a_commit_and_a_deletion_at_the_next_fetch(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository:
        first = repository.fetch()
        second = shared.person_commits({"clusters/prod/apps/web.yaml": None, "new.yaml": b"a: 1\n"})
        assert repository.head == first
        assert repository.fetch() == second == repository.head
        assert repository.tree(second).blobs.keys() == {"trimtab.yaml", "clusters/prod/apps/run.sh", "new.yaml"}
        assert repository.tree(first).read("clusters/prod/apps/web.yaml") == b"kind: Deployment\n"


def test_links_submodules_and_odd_names_are_told_apart(shared: Shared, tmp_path: Path) -> None:
    (shared.work / "link.yaml").symlink_to("trimtab.yaml")
    (shared.work / os.fsdecode(b"caf\xe9.yaml")).write_bytes(b"a: 1\n")
    (shared.work / "späße mit leer.yaml").write_bytes(b"b: 1\n")
    (shared.work / "vendored").mkdir()
    git(shared.work, "update-index", "--add", "--cacheinfo", f"160000,{shared.head},vendored")
    shared.person_commits({})
    with opened(shared.bare, tmp_path) as repository:
        tree = repository.tree(repository.fetch())
        assert tree.oddities == {
            "link.yaml": "a symbolic link",
            "vendored": "a submodule",
            "caf\\xe9.yaml": "a name that is not UTF-8",
        }
        assert tree.blobs.keys() == {*FILES, "späße mit leer.yaml"}
        assert tree.read("späße mit leer.yaml") == b"b: 1\n"


def test_a_pass_in_which_nothing_changed_starts_one_process(
    shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "started"
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    real = git(tmp_path, "--exec-path") + "/git"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")
    with opened(shared.bare, tmp_path) as repository:
        repository.tree(repository.fetch()).read_many(FILES)
        log.write_text("")
        repository.tree(repository.fetch()).read_many(FILES)
        ours = [line for line in log.read_text().splitlines() if f"--git-dir={repository.git_dir} " in line]
        assert len(ours) == 1 and " fetch " in ours[0]


def test_the_reader_comes_back_after_its_process_was_killed(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository:
        tree = repository.tree(repository.fetch())
        assert tree.read("trimtab.yaml")
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        batch = [pid for pid in children if b"cat-file" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        for pid in batch:
            os.kill(int(pid), 9)
        assert batch and tree.read("clusters/prod/apps/web.yaml") == b"kind: Deployment\n"


def test_two_repositories_share_one_clone(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as one, opened(f"file://{shared.bare}", tmp_path) as two:
        assert one.git_dir == two.git_dir
        one.fetch()
        head = shared.person_commits({"new.yaml": b"a: 1\n"})
        assert two.fetch() == head == one.fetch()


def test_git_variables_of_the_surroundings_have_no_effect(
    shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_shared(tmp_path / "other", {"other.yaml": b"1\n"})
    for name in ("GIT_DIR", "GIT_OBJECT_DIRECTORY", "GIT_INDEX_FILE", "GIT_NAMESPACE"):
        monkeypatch.setenv(name, str(other.bare))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.bare'='maybe'")
    with opened(shared.bare, tmp_path) as repository:
        assert repository.tree(repository.fetch()).blobs.keys() == FILES.keys()
    assert not (other.bare / "refs/remotes").exists()


def test_a_shallow_checkout_can_be_the_fleet(shared: Shared, tmp_path: Path) -> None:
    head = shared.person_commits({"new.yaml": b"a: 1\n"})
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{shared.bare}", "shallow")
    git(tmp_path / "shallow", "remote", "remove", "origin")
    with opened(tmp_path / "shallow", tmp_path) as repository:
        assert repository.fetch() == head
        assert repository.tree(head).read("new.yaml") == b"a: 1\n"


# --- which repository is the fleet -----------------------------------------------------------------------------------


def test_a_checkout_with_an_origin_stands_for_the_origin(shared: Shared) -> None:
    remote = resolve_remote(str(shared.work), branch="main")
    assert remote.url == str(shared.bare)
    assert "origin" in remote.note and "warning" not in remote.note
    assert remote.work_tree is None


def test_commits_that_were_not_pushed_are_warned_about(shared: Shared) -> None:
    (shared.work / "a.yaml").write_text("a: 1\n")
    git(shared.work, "add", "--all")
    git(shared.work, "commit", "--quiet", "--message", "not pushed")
    assert "a commit that is not pushed" in resolve_remote(str(shared.work), branch="main").note


def test_the_upstream_of_the_branch_wins_over_origin(shared: Shared, tmp_path: Path) -> None:
    other = make_shared(tmp_path / "other")
    git(shared.work, "remote", "add", "fork", str(other.bare))
    git(shared.work, "config", "branch.main.remote", "fork")
    assert resolve_remote(str(shared.work), branch="main").url == str(other.bare)


def test_several_remotes_and_no_origin_ask_a_person(shared: Shared, tmp_path: Path) -> None:
    git(shared.work, "remote", "rename", "origin", "one")
    git(shared.work, "remote", "add", "two", "https://example.com/fleet.git")
    git(shared.work, "config", "--remove-section", "branch.main")
    with pytest.raises(Stalled, match="one, two"):
        resolve_remote(str(shared.work), branch="main")


def test_a_checkout_without_a_remote_is_the_fleet_itself(tmp_path: Path) -> None:
    shared = make_shared(tmp_path / "r")
    git(shared.work, "remote", "remove", "origin")
    with opened(shared.work, tmp_path) as repository:
        assert repository.remote.work_tree == shared.work
        assert repository.fetch() == shared.head


def test_a_relative_origin_is_relative_to_the_checkout(shared: Shared) -> None:
    git(shared.work, "remote", "set-url", "origin", "../fleet.git")
    assert resolve_remote(str(shared.work), branch="main").url == str(shared.bare)


def test_an_origin_with_a_token_in_its_url_does_not_show_it(shared: Shared) -> None:
    git(shared.work, "remote", "set-url", "origin", "https://x:s3cr3t-token@example.com/fleet.git")
    remote = resolve_remote(str(shared.work), branch="main")
    assert remote.url == "https://example.com/fleet.git"
    assert remote.credentials == Credentials(secret="s3cr3t-token", username="x")
    assert "s3cr3t" not in repr(remote)


# --- refusals ----------------------------------------------------------------------------------------------------------


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(Stalled, match="no directory .*/nowhere"):
        opened(tmp_path / "nowhere", tmp_path)


def test_a_directory_that_is_no_repository_is_named(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(Stalled, match="plain is not a Git repository"):
        opened(tmp_path / "plain", tmp_path)


def test_a_folder_of_a_checkout_says_where_its_top_is(shared: Shared, tmp_path: Path) -> None:
    with pytest.raises(Stalled, match=f"did you mean {shared.work}"):
        opened(shared.work / "clusters", tmp_path)


def test_an_empty_repository_says_what_to_do(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "empty.git")
    with opened(tmp_path / "empty.git", tmp_path) as repository, pytest.raises(Stalled, match="no commits yet"):
        repository.fetch()


def test_a_missing_branch_lists_those_that_are_there(shared: Shared, tmp_path: Path) -> None:
    missing = pytest.raises(Stalled, match="no branch 'production'; it has main")
    with opened(shared.bare, tmp_path, branch="production") as repository, missing:
        repository.fetch()


def test_a_branch_that_was_deleted_is_missing_at_the_next_fetch(shared: Shared, tmp_path: Path) -> None:
    git(shared.work, "push", "--quiet", "origin", "main:side")
    with opened(shared.bare, tmp_path, branch="side") as repository:
        repository.fetch()
        git(shared.work, "push", "--quiet", "origin", ":side")
        with pytest.raises(Stalled, match="no branch 'side'"):
            repository.fetch()


@pytest.mark.parametrize("branch", ["-x", "a..b", "a b", "a:b", "/a", "a/", "x.lock", ""])
def test_a_name_that_no_branch_can_have_is_refused(shared: Shared, tmp_path: Path, branch: str) -> None:
    with pytest.raises(InputError, match=r"delivery\.branch"):
        opened(shared.bare, tmp_path, branch=branch)


def test_a_url_that_runs_programs_is_refused(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    with opened(f"ext::touch {witness}", tmp_path) as repository, pytest.raises(Stalled, match="not supported"):
        repository.fetch()
    assert not witness.exists()


def test_a_url_cannot_be_an_option(tmp_path: Path) -> None:
    with pytest.raises(Stalled, match="no path or URL"):
        opened("--upload-pack=touch /tmp/x", tmp_path)


def test_a_remote_that_is_away_is_tried_again(tmp_path: Path) -> None:
    with (
        opened("http://127.0.0.1:9/fleet.git", tmp_path) as repository,
        pytest.raises(RetryLater, match="does not answer"),
    ):
        repository.fetch()


def test_a_repository_that_went_away_after_the_first_fetch(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository:
        repository.fetch()
        shared.bare.rename(tmp_path / "moved.git")
        with pytest.raises(Stalled, match="there is no Git repository"):
            repository.fetch()


def test_a_commit_that_is_not_there(shared: Shared, tmp_path: Path) -> None:
    with opened(shared.bare, tmp_path) as repository:
        head = repository.fetch()
        assert repository.resolve(head[:10]) == head == repository.resolve("main")
        for revision in ("0" * 40, "nonsense", "--all", ""):
            with pytest.raises(InputError, match="there is no commit"):
                repository.resolve(revision)


def test_a_repository_of_another_user_is_read_when_it_is_named(shared: Shared, tmp_path: Path) -> None:
    head = shared.head
    if os.geteuid() == 0:
        for path in (shared.bare, *shared.bare.rglob("*")):
            os.chown(path, 65534, 65534)
    with opened(shared.bare, tmp_path) as repository:
        assert repository.fetch() == head


SCRIPT = """
import sys
from pathlib import Path
from reconciler.commit.repository import Repository
from reconciler.errors import TrimtabError
try:
    with Repository.open(sys.argv[1], state_dir=Path(sys.argv[2]), branch="main") as repository:
        print(repository.fetch())
except TrimtabError as error:
    print(type(error).__name__, error)
"""


def run_bound_by_permissions(fleet: Path, state: Path) -> str:
    """The script in a process that permissions bind, also where root runs the tests."""
    command = [sys.executable, "-c", SCRIPT, str(fleet), str(state)]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return done.stdout


def test_a_repository_that_must_not_be_read(shared: Shared, tmp_path: Path) -> None:
    (shared.bare / "objects").chmod(0)
    said = run_bound_by_permissions(shared.bare, tmp_path / "state")
    (shared.bare / "objects").chmod(0o755)
    assert said.startswith("Stalled")


def test_a_state_directory_that_must_not_be_written(shared: Shared, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o555)
    said = run_bound_by_permissions(shared.bare, tmp_path / "state")
    (tmp_path / "state").chmod(0o755)
    assert said.startswith("Stalled cannot make a clone") and "must not be read or written" in said


# --- by HTTP -----------------------------------------------------------------------------------------------------------


def test_credentials_open_an_http_remote(shared: Shared, tmp_path: Path) -> None:
    with served(shared.bare.parent, username="bot", password="p@ss w:rd") as http:
        credentials = Credentials(secret="p@ss w:rd", username="bot")
        with opened(f"{http.url}/fleet.git", tmp_path, credentials=credentials) as repository:
            assert repository.fetch() == shared.head
            config = (repository.git_dir / "config").read_text()
            assert "p@ss" not in config and "http" not in config


def test_credentials_in_the_url_work_and_are_not_kept(shared: Shared, tmp_path: Path) -> None:
    with served(shared.bare.parent, username="bot", password="s3cr3t") as http:
        url = http.url.replace("http://", "http://bot:s3cr3t@") + "/fleet.git"
        with opened(url, tmp_path) as repository:
            assert repository.fetch() == shared.head
            assert repository.remote.url == f"{http.url}/fleet.git"
            assert "s3cr3t" not in str(repository.git_dir)
        kept = [path for path in (tmp_path / "state").rglob("*") if path.is_file() and b"s3cr3t" in path.read_bytes()]
        assert kept == []


@pytest.mark.parametrize("given", [None, Credentials(secret="wr0ng-secret", username="bot")])
def test_wrong_credentials_are_told_without_them(shared: Shared, tmp_path: Path, given: Credentials | None) -> None:
    with (
        served(shared.bare.parent, username="bot", password="right") as http,
        opened(f"{http.url}/fleet.git", tmp_path, credentials=given) as repository,
        pytest.raises(Stalled, match="refuses the credentials") as caught,
    ):
        repository.fetch()
    assert "wr0ng" not in str(caught.value)
    assert "token" in caught.value.hint


def test_a_repository_that_the_server_does_not_have(shared: Shared, tmp_path: Path) -> None:
    credentials = Credentials(secret="right", username="bot")
    with (
        served(shared.bare.parent, username="bot", password="right") as http,
        opened(f"{http.url}/absent.git", tmp_path, credentials=credentials) as repository,
        pytest.raises(Stalled, match="there is no Git repository"),
    ):
        repository.fetch()


def test_a_redirect_to_another_host_does_not_get_the_secret(shared: Shared, tmp_path: Path) -> None:
    credentials = Credentials(secret="right", username="bot")
    with (
        served(shared.bare.parent, username="bot", password="right") as thief,
        redirecting(thief.url) as url,
        opened(f"{url}/fleet.git", tmp_path, credentials=credentials) as repository,
        pytest.raises(Stalled),
    ):
        repository.fetch()
    assert thief.asked and all(line.endswith(" -") for line in thief.asked)
