"""`trimtab agent` on the command line: what it asks for, what it refuses, and how little it carries."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from reconciler.cli import TABLE, app

KEY = "tt_live_0123456789abcdefghijABCDEFGHIJ01"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TRIMTAB_")]:
        monkeypatch.delenv(name)


def failing(*words: str, **env: str) -> str:
    """What is said when it does not even begin."""
    ran = CliRunner().invoke(app, ["agent", *words], env=env)
    assert ran.exit_code == 1
    return str(ran.exception)


K8S = ("--platform", "kubernetes", "--cluster", "prod", "--server", "http://127.0.0.1:1")
DOCKER = ("--platform", "docker", "--host-pool", "web", "--server", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--platform is missing"),
        (("--platform", "kubernetes"), "--cluster is missing"),
        (("--platform", "docker"), "--host-pool is missing"),
        ((*K8S, "--host-pool", "web"), "--host-pool is for --platform docker"),
        ((*K8S, "--lb", "web=traefik:/x"), "--lb is for --platform docker"),
        ((*DOCKER, "--kubeconfig", "x"), "--kubeconfig is for --platform kubernetes"),
        ((*DOCKER, "--prometheus", "http://x"), "--prometheus is for --platform kubernetes"),
        (K8S[:4], "--server is missing"),
        (K8S, "there is no key"),
        ((*K8S, "--server", "nowhere", "--key", KEY), "'nowhere' is not the address of a server"),
        ((*DOCKER, "--key", KEY, "--lb", "web"), "'web' is not REF=KIND:FILE"),
        ((*DOCKER, "--key", KEY, "--lb", "web=apache:/x"), "'web=apache:/x' is not REF=KIND:FILE"),
    ],
)
def test_what_is_missing_or_wrong_is_said_with_the_next_step(words: tuple[str, ...], told: str) -> None:
    said = failing(*words)
    assert told in said and "→" in said
    assert KEY not in said


def test_a_key_file_must_be_there_and_hold_something(tmp_path: Path) -> None:
    said = failing(*K8S, "--key-file", str(tmp_path / "none"))
    assert f"the key cannot be read from {tmp_path / 'none'}: No such file" in said
    (tmp_path / "empty").write_text("\n")
    assert "is empty" in failing(*K8S, TRIMTAB_KEY_FILE=str(tmp_path / "empty"))


def test_help_warns_of_a_key_on_the_command_line() -> None:
    ran = CliRunner().invoke(app, ["agent", "--help"], env={"COLUMNS": "300", "NO_COLOR": "1"})
    assert "shows in the list of processes" in " ".join(ran.output.split())


def modules_after(statement: str) -> set[str]:
    code = f"import sys; from reconciler.cli import Commands, app; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_an_agent_carries_neither_database_nor_loop() -> None:
    loaded = modules_after(
        "Commands()['agent']; import reconciler.agent.kubernetes.running, reconciler.agent.docker.running"
    )
    assert "reconciler.agent.link" in loaded
    assert not loaded & {
        "sqlalchemy",
        "numpy",
        "reconciler.loop",
        "reconciler.store",
        "reconciler.bootstrap",
        "git",
        "api",
    }


def test_one_platform_is_not_loaded_for_the_other() -> None:
    loaded = modules_after("Commands()['agent']; import reconciler.agent.docker.running")
    assert not {name for name in loaded if name.startswith(("reconciler.agent.kubernetes", "kubernetes"))}
    loaded = modules_after("Commands()['agent']; import reconciler.agent.kubernetes.running")
    assert not {name for name in loaded if name.startswith(("reconciler.agent.docker", "docker"))}


def test_the_version_waits_for_no_command() -> None:
    loaded = modules_after("app(['--version'], standalone_mode=False)")
    assert not {name for name in loaded if name.startswith("reconciler.commands")}
    assert not loaded & {"pydantic", "sqlalchemy", "numpy"}


def test_the_list_of_commands_says_of_each_what_its_own_help_says() -> None:
    commands = typer.main.get_command(app).commands
    assert list(commands) == list(TABLE)
    for name, command in commands.items():
        assert " ".join((command.help or "").split("\n\n")[0].split()) == TABLE[name].summary, name


def test_an_unknown_command_is_likened_to_one_that_is_there() -> None:
    ran = CliRunner().invoke(app, ["agnet"])
    assert ran.exit_code == 1 and "Did you mean 'agent'" in ran.output
