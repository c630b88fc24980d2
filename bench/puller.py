"""The same GET as fast as a server answers it: ``python -m bench.puller PORT SECONDS CONNECTIONS REQUESTS.json``.

REQUESTS.json: a list of [path, headers]. Each connection sends one of them again and again, and waits for each answer.
Prints JSON: answers by status, and the seconds that they took.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast

import uvloop


class Pull(asyncio.Protocol):
    """One connection. Answers are told apart by their length alone: a 304 has no body."""

    def __init__(self, request: bytes, until: float, found: Counter[int]) -> None:
        self._request, self._until, self._found = request, until, found
        self._rest = b""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own classes are none of asyncio's
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        head, end, body = self._rest.partition(b"\r\n\r\n")
        status = int(head[9:12]) if end else 0
        if not end or (status != 304 and len(body) < _length(head)):
            return
        self._rest = b""
        self._found[status] += 1
        if time.perf_counter() < self._until:
            self._transport.write(self._request)
        else:
            self._transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


def _length(head: bytes) -> int:
    line = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(line.partition(b":")[2])


def request(path: str, headers: dict[str, str]) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: bench", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


async def main(port: int, seconds: float, connections: int, requests: list[tuple[str, dict[str, str]]]) -> None:
    found: Counter[int] = Counter()
    start, loop = time.perf_counter(), asyncio.get_running_loop()
    pulls = []
    for number in range(connections):
        pull = Pull(request(*requests[number % len(requests)]), start + seconds, found)
        await loop.create_connection(lambda pull=pull: pull, "127.0.0.1", port)  # type: ignore[misc]
        pulls.append(pull.over)
    async with asyncio.timeout(seconds + 30):
        await asyncio.gather(*pulls)
    print(json.dumps({"statuses": dict(found), "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[4]).read_text())
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), given))
