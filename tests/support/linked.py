"""Links of agents to a server in this process."""

from typing import Literal

import httpx

from reconciler.agent.link import Key, Link, Registration
from support.served import Served


class Through(httpx.BaseTransport):
    """Hands requests to a :class:`Served`; ``away`` makes it a server that is not there."""

    def __init__(self, served: Served) -> None:
        self.served, self.away = served, False
        self.seen: list[tuple[str, str, int]] = []
        """Method, path and status of each request."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("connection refused", request=request)
        told = self.served.client.request(
            request.method,
            request.url.raw_path.decode(),
            content=request.read(),
            headers={name: value for name, value in request.headers.items() if name != "host"},
        )
        self.seen.append((request.method, request.url.path, told.status_code))
        headers = [(name, value) for name, value in told.headers.items() if name != "content-encoding"]
        return httpx.Response(told.status_code, headers=headers, content=told.content)


def link_to(
    served: Served,
    *,
    platform: Literal["kubernetes", "docker"] = "kubernetes",
    cluster: str = "",
    host_pool: str = "",
    hostname: str = "host-01",
    key: Key = "",
    through: Through | None = None,
) -> Link:
    """A link of a new agent to ``served``, with a key that may register."""
    key = key or served.key("agents:register")["Authorization"].removeprefix("Bearer ")
    registration = Registration(
        name=cluster or host_pool, hostname=hostname, platform=platform, cluster=cluster, host_pool=host_pool
    )
    client = httpx.Client(transport=through or Through(served))
    return Link("http://trimtab.test", key, registration, clock=served.clock, client=client)
