"""Pushes as fast as a server takes them: ``python -m bench.pusher PORT SECONDS CONNECTIONS CONTAINERS AGENTS.json``.

AGENTS.json: a list of [agent id, token]. Each connection keeps to its own agents, one after the other, and waits for each
answer. No push is sent twice. Prints JSON: answers by status, and the seconds that they took.
"""

import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop

_STAMP = b"2026-06-16T10:00:00.000000Z"


def container(number: int, pool: int) -> dict[str, object]:
    return {
        "id": f"{number:012x}",
        "name": f"shop-{number}",
        "image": "registry.example.com/shop/web:1.25.3",
        "status": "running",
        "cpuPercent": 12.4 + number,
        "memoryMB": 48 + number,
        "memoryLimitMB": 512,
        "networkRxBytes": 10240 * number,
        "networkTxBytes": 8192 * number,
        "restartCount": number % 3,
        "group": f"shop-{pool}",
    }


def request(agent: str, token: str, containers: int) -> bytes:
    """A whole request; its timestamp is :data:`_STAMP`."""
    listed = [container(number, number % 5) for number in range(containers)]
    body = json.dumps({"timestamp": _STAMP.decode(), "containers": listed, "nodes": [], "pods": []}).encode()
    head = (
        f"POST /api/v1/agents/{agent}/push HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def keep_pushing(port: int, requests: list[bytes], until: float, found: Counter[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    start = datetime.now(UTC)
    for number, template in enumerate(itertools.cycle(requests)):
        if time.perf_counter() >= until:
            break
        # In the past, a millisecond after the other: a server refuses what is ahead of its clock.
        at = start - timedelta(hours=1) + timedelta(milliseconds=number)
        writer.write(template.replace(_STAMP, at.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode(), 1))
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(_length(head))
        found[int(head[9:12])] += 1
    writer.close()
    await writer.wait_closed()


def _length(head: bytes) -> int:
    line = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(line.partition(b":")[2])


async def main(port: int, seconds: float, connections: int, containers: int, agents: list[list[str]]) -> None:
    requests = [request(agent, token, containers) for agent, token in agents]
    found: Counter[int] = Counter()
    start = time.perf_counter()
    mine = [part for place in range(connections) if (part := requests[place::connections])]
    await asyncio.gather(*(keep_pushing(port, part, start + seconds, found) for part in mine))
    print(json.dumps({"statuses": dict(found), "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[5]).read_text())
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), given))
