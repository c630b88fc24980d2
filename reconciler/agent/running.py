"""The agent as a process: which platform it is for, its signals, and its sign of life."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import structlog

from reconciler import __version__
from reconciler.agent.health import health
from reconciler.agent.link import Link
from reconciler.agent.options import DockerOptions, KubernetesOptions, Options
from reconciler.clock import Clock


def run_agent(
    link: Link,
    options: Options,
    *,
    clock: Clock,
    once: bool = False,
    health_port: int | None = None,
    health_address: str = "",
) -> None:
    """Run until SIGTERM or Ctrl-C; or make one round, and :raises TrimtabError: when that went wrong."""
    say = structlog.get_logger("reconciler.agent")
    stop = threading.Event()
    with ExitStack() as stack:
        stack.callback(link.close)
        if health_port is not None:
            port = stack.enter_context(health(link.pulse, health_port, health_address))
            say.info("answering probes", port=port)
        stack.enter_context(stopped_by_signals(stop, link))
        who = link.registration
        place = who.cluster or who.host_pool
        say.info("agent starts", server=link.url, platform=who.platform, name=who.name, of=place, version=__version__)
        if isinstance(options, KubernetesOptions):
            from reconciler.agent.kubernetes.running import run as run_kubernetes

            run_kubernetes(link, options, stop=stop, clock=clock, say=say, once=once)
        elif isinstance(options, DockerOptions):
            from reconciler.agent.docker.running import run as run_docker

            run_docker(link, options, stop=stop, clock=clock, say=say, once=once)
        say.info("agent ends")


@contextmanager
def stopped_by_signals(stop: threading.Event, link: Link) -> Iterator[None]:
    """SIGTERM and Ctrl-C set ``stop`` and end the wait for commands; a second one ends the process at once."""
    reading, writing = os.pipe()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}

    def tell(_number: int, _frame: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        os.write(writing, b"s")

    def heed() -> None:
        # In a thread of its own: the handler may have interrupted the very code that holds the event's lock.
        if os.read(reading, 1) == b"s":
            stop.set()
            link.hang_up()

    thread = threading.Thread(target=heed, name="signals", daemon=True)
    thread.start()
    for number in numbers:
        signal.signal(number, tell)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])
        os.write(writing, b"e")
        thread.join()
        os.close(reading)
        os.close(writing)
