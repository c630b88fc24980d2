"""Docker hosts for tests: an agent that pushes what it runs, and does what it is told."""

from dataclasses import dataclass, field
from typing import Any

from support.served import Served


@dataclass
class DockerHost:
    """``running``: containers by group. What it is told is kept in ``told``, and in ``broken`` why it cannot do it."""

    served: Served
    id: str
    token: dict[str, str]
    running: dict[str, int] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=list)
    broken: str = ""

    def push(self, cpu: float = 50, *, memory: float = 100, limit: float | None = 512) -> None:
        """Push each running container with this much CPU in percent, and memory in MB."""
        containers = [
            {
                "id": f"{self.id}-{group}-{number}",
                "name": f"{group}-{number}",
                "image": f"{group}:1.25",
                "status": "running",
                "cpuPercent": cpu,
                "memoryMB": memory,
                "memoryLimitMB": limit,
                "group": group,
            }
            for group, count in self.running.items()
            for number in range(count)
        ]
        body = {"timestamp": self.served.clock().isoformat(), "containers": containers}
        answer = self.served.client.post(f"/api/v1/agents/{self.id}/push", json=body, headers=self.token)
        assert answer.status_code == 200, answer.text

    def poll(self, wait: int = 0) -> dict[str, Any] | None:
        """The command that waits, None when none does."""
        path = f"/api/v1/agents/{self.id}/commands?wait={wait}"
        answer = self.served.client.get(path, headers=self.token)
        assert answer.status_code in (200, 204), answer.text
        return answer.json() if answer.status_code == 200 else None

    def answer(self, command_id: str, status: str, message: str = "") -> Any:
        path = f"/api/v1/agents/{self.id}/commands/{command_id}/result"
        return self.served.client.post(path, json={"status": status, "message": message}, headers=self.token)

    def work(self) -> list[tuple[int, int]]:
        """Do what it is told until nothing waits; (from, to) of each command."""
        done = []
        while command := self.poll():
            self.told.append(command)
            payload = command["payload"]
            done.append((payload["fromReplicas"], payload["replicas"]))
            if not self.broken:
                self.running[payload["group"]] = payload["replicas"]
            told = self.answer(command["command_id"], "failed" if self.broken else "succeeded", self.broken)
            assert (told.status_code, told.json()) == (200, {"ok": True})
        return done


def docker_host(served: Served, name: str, pool: str = "web-pool", **running: int) -> DockerHost:
    """A registered host that runs so many containers of each group."""
    agent_id, token = served.agent(name, "docker", hostPool=pool)
    return DockerHost(served, agent_id, token, running)
