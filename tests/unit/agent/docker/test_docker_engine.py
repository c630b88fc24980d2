"""Engines that cannot be used, and what is said of it."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.agent.docker.engine import Engine, EngineAway
from reconciler.errors import Stalled

NOBODY = 65534


@contextmanager
def somebody_else() -> Iterator[None]:
    """Root may open any socket; so be somebody else for a while."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)


def test_a_socket_that_is_not_there_is_an_engine_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(
        EngineAway, match=f"no Docker engine answers at unix://{tmp_path}/docker.sock: there is no such socket"
    ) as told:
        Engine(f"unix://{tmp_path}/docker.sock").containers()
    assert "systemctl status docker" in told.value.hint


def test_a_socket_where_nobody_listens(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(tmp_path / "docker.sock"))
    with pytest.raises(EngineAway, match="Connection refused"):
        Engine(f"unix://{tmp_path}/docker.sock").containers()


def test_a_socket_without_permission_names_the_socket_and_the_group(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        path.chmod(0)
        with (
            somebody_else(),
            pytest.raises(Stalled, match=f"no permission to use the Docker engine's socket {path}") as told,
        ):
            Engine(f"unix://{path}").containers()
    assert "usermod -aG docker" in told.value.hint and "as root" in told.value.hint


def test_what_breaks_off_is_away(tmp_path: Path) -> None:
    """Something listens, takes the request, and hangs up."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def hang_up() -> None:
            for _ in range(2):
                listening.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(EngineAway, match="no Docker engine answers"):
            Engine(f"unix://{path}").containers()
        thread.join(10)


@pytest.mark.parametrize("host", ["nonsense://x", "tcp://"])
def test_an_address_that_is_none_is_said_so(host: str) -> None:
    with pytest.raises(Stalled, match="cannot be used as the address of a Docker engine") as told:
        Engine(host).containers()
    assert "unix:///var/run/docker.sock" in told.value.hint


def test_certificates_that_are_missing_are_said_so(tmp_path: Path) -> None:
    environment = {"DOCKER_HOST": "tcp://127.0.0.1:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    with pytest.raises(Stalled, match="DOCKER_CERT_PATH|TLS"):
        Engine(environment=environment).containers()


def test_the_address_comes_from_the_option_the_environment_or_is_the_usual_one() -> None:
    environment = {"DOCKER_HOST": "unix:///run/other.sock"}
    assert Engine("unix:///run/own.sock", environment=environment).host == "unix:///run/own.sock"
    assert Engine(environment=environment).host == "unix:///run/other.sock"
    assert Engine(environment={}).host == "unix:///var/run/docker.sock"
