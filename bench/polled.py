"""A server whose agents only wait, for :mod:`bench.polls`: ``python -m bench.polled FLEET STATE AGENTS``.

Prints a line of JSON when it is ready, and one for each line that it reads: ``report`` (memory, threads, queries, who
waits), ``queue <agent id>`` (issues a command, and says when), ``close`` (ends the polls, and then itself).
"""

import json
import logging
import resource
import socket
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI
from sqlalchemy import event

from api.app import create_app
from api.serve import open_server
from api.server import Server
from reconciler.model.agent import COMMAND_LIFETIME, Agent, Command, DockerScale
from reconciler.settings import Settings


def main(fleet: str, state: str, agents: int) -> None:
    allow_many_sockets()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    settings = Settings(fleet=fleet, state_dir=Path(state), rate_limit="1000000/minute")
    with (
        open_server(settings, interval=3600, passes=False) as server,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        app = create_app(server)
        registered = [_register(server, number) for number in range(agents)]
        queries = _counted(server)
        config = uvicorn.Config(app, loop="uvloop", http="httptools", log_config=None, backlog=2048)
        web = uvicorn.Server(config)
        told = {agent.id: server.tokens.for_agent(agent.id, "acme", server.clock()) for agent in registered}
        _say({"port": listener.getsockname()[1], "agents": told, "database": settings.database})
        threading.Thread(target=_obey, args=(app, server, web, queries), daemon=True).start()
        web.run(sockets=[listener])


def allow_many_sockets() -> None:
    """As many as this process may have at all: the usual 1,024 are soon used up."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _register(server: Server, number: int) -> Agent:
    return server.stores.agents.register(
        organization="acme",
        platform="docker",
        name="pool",
        hostname=f"host-{number}",
        version="1",
        cluster="",
        host_pool="pool",
        observed_as="docker/pool",
        at=server.clock(),
    )


def _counted(server: Server) -> list[int]:
    """The number of SQL statements so far, as its one item; to begin a transaction is none."""
    count = [0]

    def one_more(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        count[0] += not statement.startswith(("BEGIN", "PRAGMA"))

    event.listen(server.stores.engine, "before_cursor_execute", one_more)
    return count


def _obey(app: FastAPI, server: Server, web: uvicorn.Server, queries: list[int]) -> None:
    for words in sys.stdin:
        what, _, agent_id = words.strip().partition(" ")
        if what == "queue":
            server.stores.commands.issue([command(agent_id, server.clock())])
            _say({"at": time.perf_counter()})
        elif what == "close":
            at = time.perf_counter()
            server.closing.set()
            web.should_exit = True
            _say({"at": at})
        else:
            bell = getattr(app.state, "bell", None)
            _say(
                {
                    "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                    "threads": threading.active_count(),
                    "queries": queries[0],
                    "waiting": bell.waiting if bell else 0,
                    "at": time.perf_counter(),
                }
            )


def command(agent_id: str, now: datetime) -> Command:
    """A command for one agent."""
    return Command(
        id=f"cmd_{time.perf_counter_ns():x}",
        agent_id=agent_id,
        policy_id="scp_1",
        payload=DockerScale(host_pool="pool", group="web", replicas=3, from_replicas=2),
        issued_at=now,
        expires_at=now + COMMAND_LIFETIME,
    )


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
