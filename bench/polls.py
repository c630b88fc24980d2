"""Agents that all wait for a command at once, on one process: memory, threads, queries; and how soon a command arrives."""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.polled import allow_many_sockets, command
from bench.printing import line, note
from bench.scale import Scale
from bench.stage import home
from reconciler.clock import system_clock
from reconciler.store.commands import CommandStore
from reconciler.store.database import open_database

MOST_MEGABYTES = 300.0
MOST_SECONDS = 0.2
_LOOKS_A_SECOND = 10.0
_COMMANDS = 20

_FLEET = "apiVersion: trimtab.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec: {hostPools: [{name: pool}]}\n"


def run(scale: Scale) -> None:
    folder = home() / "polls"
    words = [sys.executable, "-m", "bench.polled", str(_fleet(folder)), str(folder / "state"), str(scale.agents)]
    server = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        allow_many_sockets()
        _measure(Talk(server), scale)
    finally:
        server.kill()
        server.wait()


def _fleet(folder: Path) -> Path:
    work = folder / "fleet"
    work.mkdir(parents=True)
    (work / "trimtab.yaml").write_text(_FLEET)
    who = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], [*who, "commit", "-qm", "fleet"]):
        subprocess.run(["git", "-C", str(work), *words], check=True, capture_output=True)
    return work


class Talk:
    """A question and an answer, a line of JSON each."""

    def __init__(self, server: "subprocess.Popen[str]") -> None:
        self._server = server
        self.ready = self._hear()

    def ask(self, words: str) -> dict[str, Any]:
        assert self._server.stdin is not None
        self._server.stdin.write(words + "\n")
        self._server.stdin.flush()
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        while text := self._server.stdout.readline():
            if text.startswith("{"):
                told: dict[str, Any] = json.loads(text)
                return told
        raise AssertionError("the server has ended")


def _measure(talk: Talk, scale: Scale) -> None:
    told = asyncio.run(_polls(talk, seconds=min(3.0, 10 * scale.push_seconds)))
    first, last = told["before"], told["after"]
    queries = (last["queries"] - first["queries"]) / (last["at"] - first["at"])
    note(f"{scale.agents} agents wait at once; {last['threads']} threads in the server's process")
    line("memory of the server's process", last["megabytes"], "MB", against="limit", limit=MOST_MEGABYTES, wanted="≤ 1")
    line("queries a second while all wait", queries, "", against="one look each 100 ms", limit=_LOOKS_A_SECOND)
    for whose in ("of this process", "of another process"):
        seconds = told[whose]
        line(
            f"a command {whose} arrives after (the slowest of {len(seconds)})",
            max(seconds),
            against="limit",
            limit=MOST_SECONDS,
            wanted="≤ 1",
        )
        line("  in the middle", statistics.median(seconds))
    line("all polls end, once the server is closing, after", told["closed"])


async def _polls(talk: Talk, *, seconds: float) -> dict[str, Any]:
    agents: dict[str, str] = talk.ready["agents"]
    waiting = {
        agent_id: asyncio.create_task(_poll(talk.ready["port"], agent_id, token)) for agent_id, token in agents.items()
    }
    while (await _ask(talk, "report"))["waiting"] < len(agents):
        await asyncio.sleep(0.05)
    before = await _ask(talk, "report")
    await asyncio.sleep(seconds)
    told: dict[str, Any] = {"before": before, "after": await _ask(talk, "report")}
    chosen = list(agents)[:: max(len(agents) // _COMMANDS, 1)][:_COMMANDS]
    here, there = chosen[::2], chosen[1::2] or chosen[:1]
    told["of this process"] = [await _delivered(talk, waiting, agent_id) for agent_id in here]
    told["of another process"] = await _from_elsewhere(talk, waiting, [a for a in there if not waiting[a].done()])
    closed = await _ask(talk, "close")
    ends = await asyncio.gather(*waiting.values())
    told["closed"] = max(0.0, *(at - closed["at"] for at, _ in ends))
    assert all(status in (200, 204) for _, status in ends), "a poll was answered with an error"
    return told


async def _ask(talk: Talk, words: str) -> dict[str, Any]:
    return await asyncio.to_thread(talk.ask, words)


async def _delivered(talk: Talk, waiting: dict[str, "asyncio.Task[tuple[float, int]]"], agent_id: str) -> float:
    """Seconds from a command's being stored until its agent has it."""
    queued = await _ask(talk, f"queue {agent_id}")
    arrived, status = await waiting[agent_id]
    assert status == 200, status
    return max(arrived - float(queued["at"]), 0.0)


async def _from_elsewhere(
    talk: Talk, waiting: dict[str, "asyncio.Task[tuple[float, int]]"], agents: Sequence[str]
) -> list[float]:
    engine = open_database(talk.ready["database"])
    store = CommandStore(engine)
    seconds = []
    for agent_id in agents:
        await asyncio.to_thread(store.issue, [command(agent_id, system_clock())])
        queued = time.perf_counter()
        arrived, status = await waiting[agent_id]
        assert status == 200, status
        seconds.append(max(arrived - queued, 0.0))
    engine.dispose()
    return seconds


async def _poll(port: int, agent_id: str, token: str) -> tuple[float, int]:
    """When the answer came, by the clock that all processes of the machine share, and its status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = (
        f"GET /api/v1/agents/{agent_id}/commands?wait=60 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    writer.write(request.encode())
    answer = await reader.readline()
    arrived = time.perf_counter()
    writer.close()
    return arrived, int(answer.split()[1])
