"""Secrets stay out of what is said; what Git says becomes what a person can do."""

import subprocess
from pathlib import Path

import pytest

from reconciler.commit.credentials import Credentials, askpass_environment, scrub, split_url
from reconciler.commit.failures import explain
from reconciler.commit.paths import path_refusal
from reconciler.commit.repository import slug
from reconciler.errors import RetryLater, Stalled


@pytest.mark.parametrize(
    ("url", "clean", "credentials"),
    [
        ("https://h/a.git", "https://h/a.git", None),
        ("https://u:p%40ss@h:8443/a.git", "https://h:8443/a.git", Credentials("p@ss", "u")),
        ("https://ghp_token@h/a.git", "https://h/a.git", Credentials("ghp_token")),
        ("ssh://git@h:22/a.git", "ssh://git@h:22/a.git", None),
        ("ssh://git:secret@h/a.git", "ssh://git@h/a.git", None),
        ("git@h:a/b.git", "git@h:a/b.git", None),
    ],
)
def test_credentials_leave_the_url(url: str, clean: str, credentials: Credentials | None) -> None:
    assert split_url(url) == (clean, credentials)


def test_secrets_are_scrubbed_in_every_spelling() -> None:
    text = "fatal: https://u:p%40ss/1@h/a.git and https://bob:x@h/b and p@ss/1 and p%40ss%2F1"
    clean = scrub(text, Credentials("p@ss/1", "u"))
    assert "p@ss" not in clean and "p%40ss" not in clean and "bob:x" not in clean
    assert "@h/b" in clean


def test_secrets_are_not_in_the_words_for_credentials() -> None:
    assert "s3cr3t" not in repr(Credentials("s3cr3t", "u")) and "s3cr3t" not in str(Credentials("s3cr3t", "u"))


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Username for 'https://h:8443': ", "it's me\n"),
        ("Password for 'https://it%27s%20me@h:8443': ", "p$(x)\"'\\n\n"),
        ("Password for 'https://u@evil.example': ", ""),
        ("Password for 'https://h:8443@evil.example': ", ""),
        ("Username for 'https://evil.example': ", ""),
        ("Enter passphrase for key '/root/.ssh/id': ", ""),
    ],
)
def test_the_helper_answers_for_its_host_only(tmp_path: Path, question: str, answer: str) -> None:
    env = askpass_environment(tmp_path, "https://h:8443/a.git", Credentials("p$(x)\"'\\n", "it's me"))
    asked = subprocess.run([env["GIT_ASKPASS"], question], env=env, capture_output=True, text=True, check=False)
    assert asked.stdout == answer
    assert (asked.returncode == 0) == bool(answer)
    assert "p$(x)" not in Path(env["GIT_ASKPASS"]).read_text()


def test_no_helper_for_a_remote_that_does_not_ask(tmp_path: Path) -> None:
    assert askpass_environment(tmp_path, "/srv/fleet.git", Credentials("s3cr3t")) == {"GIT_ASKPASS": ""}
    assert askpass_environment(tmp_path, "https://h/a.git", None) == {"GIT_ASKPASS": ""}


@pytest.mark.parametrize(
    ("said", "kind", "means"),
    [
        ("fatal: '/x' does not appear to be a git repository\nfatal: Could not read from remote repository.", Stalled, "no Git repository"),
        ("remote: Repository not found.\nfatal: repository 'https://h/a.git/' not found", Stalled, "no Git repository"),
        ("remote: Invalid username or password.\nfatal: Authentication failed for 'https://h/a.git/'", Stalled, "credentials"),
        ("fatal: could not read Username for 'https://h': terminal prompts disabled", Stalled, "credentials"),
        ("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", Stalled, "credentials"),
        ("remote: Permission to a/b.git denied to bob.\nfatal: unable to access 'https://h/': The requested URL returned error: 403", Stalled, "credentials"),
        ("Host key verification failed.\nfatal: Could not read from remote repository.", Stalled, "cannot be trusted"),
        ("fatal: unable to access 'https://h/': SSL certificate problem: self-signed certificate", Stalled, "cannot be trusted"),
        ("fatal: unable to access 'https://h/': Could not resolve host: h", RetryLater, "does not answer"),
        ("ssh: connect to host h port 22: Connection refused\nfatal: Could not read from remote repository.", RetryLater, "does not answer"),
        ("fatal: unable to access 'https://h/': The requested URL returned error: 503", RetryLater, "does not answer"),
        ("fatal: cannot write to object file: No space left on device", Stalled, "disk is full"),
        ("error: file write error: Disk quota exceeded\nfatal: the remote end hung up unexpectedly", Stalled, "disk is full"),
        ("error: insufficient permission for adding an object to repository database ./objects", Stalled, "must not be read or written"),
        ("fatal: Unable to create '/s/x.lock': Read-only file system", Stalled, "must not be read or written"),
        ("fatal: transport 'ext' not allowed", Stalled, "not supported"),
        ("fatal: unable to find remote helper for 'foo'", Stalled, "not supported"),
        ("fatal: detected dubious ownership in repository at '/x'", Stalled, "another user"),
        ("fatal: the remote end hung up unexpectedly", RetryLater, "broke off"),
        ("fatal: something new", RetryLater, "something new"),
        ("", RetryLater, "status 128"),
    ],
)  # fmt: skip
def test_what_git_says_becomes_a_next_step(said: str, kind: type[Exception], means: str) -> None:
    error = explain(said, doing="fetch the fleet repo", place="https://h/a.git", status=128)
    assert type(error) is kind
    assert means in error.message and "https://h/a.git" in error.message and error.hint


def test_two_urls_have_two_clones_with_readable_names() -> None:
    one, two = slug("https://github.com/acme/fleet.git"), slug("https://github.com/acme-fleet.git")
    assert one != two
    assert one.startswith("github-com-acme-fleet-git-")
    assert slug("/srv/" + "x" * 500).count("/") == 0 and len(slug("/srv/" + "x" * 500)) < 100


@pytest.mark.parametrize(
    "path", ["a", "a/b.yaml", "größe", "a.git", ".github/x", "..a", "a..", ".gitignore", "a b", "~"]
)
def test_ordinary_paths_may_be_written(path: str) -> None:
    assert path_refusal(path) == ""
