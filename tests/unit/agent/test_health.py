"""The sign of life: alive while things come round in time, also when the server is away; ready once registered."""

import socket
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest

from reconciler.agent.failures import Away
from reconciler.agent.health import family, health
from reconciler.agent.link import Link, Registration
from reconciler.agent.pulse import Pulse
from reconciler.clock import system_clock
from reconciler.errors import InputError
from support.hand_made import Told, hand_made


@dataclass
class Hands:
    """A stopwatch that the test sets."""

    seconds: float = 0.0

    def __call__(self) -> Callable[[], float]:
        return lambda: self.seconds


REGISTRATION = Registration(name="prod", hostname="node-1", platform="kubernetes")


def test_a_loop_that_hangs_is_not_healthy_and_one_that_only_waits_for_the_server_is() -> None:
    hands = Hands()
    with hand_made() as server:
        link = Link(server.url, "key", REGISTRATION, clock=system_clock, pulse=Pulse(hands))
        with health(link.pulse, 0, "127.0.0.1") as port:

            def ask(path: str) -> tuple[int, str]:
                told = httpx.get(f"http://127.0.0.1:{port}/{path}")
                return told.status_code, told.text.strip()

            assert ask("healthz") == (200, "ok")
            assert ask("readyz")[0] == 503
            link.push({"pods": []}, system_clock())
            assert ask("readyz") == (200, "ok")
            hands.seconds = 45
            assert ask("healthz") == (200, "ok")
            hands.seconds = 46
            assert ask("healthz") == (503, "hangs: round")
            server.tell("POST push", Told(503, {"error": "not now"}))
            with pytest.raises(Away):
                link.push({"pods": []}, system_clock())
            hands.seconds += 75  # as long as an agent waits between tries
            assert ask("healthz") == (200, "ok")
            assert ask("readyz") == (200, "ok"), "it has been registered once"
            assert ask("elsewhere")[0] == 404
            assert httpx.head(f"http://127.0.0.1:{port}/healthz").content == b""
        link.close()


def test_a_docker_agent_whose_command_thread_hangs_is_found_out() -> None:
    hands = Hands()
    with hand_made() as server:
        link = Link(server.url, "key", REGISTRATION, clock=system_clock, pulse=Pulse(hands))
        twin = link.twin()
        server.tell("GET commands", Told(204))
        assert twin.next_command(wait=0) is None
        for _ in range(20):
            hands.seconds += 15
            link.push({"containers": []}, system_clock())
        assert link.pulse.overdue() == ("commands",)
        link.close()


def test_it_listens_for_ipv6_too_where_the_machine_has_it() -> None:
    assert family("", both=True) == socket.AF_INET6
    assert family("", both=False) == socket.AF_INET
    assert family("::1") == socket.AF_INET6
    assert family("127.0.0.1") == socket.AF_INET


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1:{port}"), health(Pulse(), port, "127.0.0.1"):
            pass
