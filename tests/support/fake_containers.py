"""Proxmox VE as a pass sees it, in memory: nodes, containers and what was asked of them; fails when told to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from reconciler.actuate.proxmox import Away, NoContainer, Refused
from reconciler.errors import TrimtabError
from reconciler.model.lxc_container import ContainerKey, LXCState, NodeState
from reconciler.steps.house import House
from support.served import Served, SetClock


@dataclass
class FakeContainers:
    """Stands in for :class:`~reconciler.actuate.proxmox.Proxmox`; ``calls`` are the changes that were asked of it."""

    clock: SetClock
    known: dict[str, NodeState] = field(default_factory=dict)
    there: dict[ContainerKey, LXCState] = field(default_factory=dict)
    calls: list[tuple[object, ...]] = field(default_factory=list)
    tasks: dict[ContainerKey, str] = field(default_factory=dict)
    refuses: str = ""
    away: bool = False
    meanwhile: Callable[[], None] | None = None
    """What somebody else does just before the next change."""
    questions: int = 0

    def add_node(self, name: str, *, cpus: int = 8, memory_mb: int = 16384, online: bool = True) -> None:
        self.known[name] = NodeState(node=name, cpus=cpus, memory_mb=memory_mb, online=online)

    def add(self, node: str, vmid: int, **values: object) -> None:
        """A running container with 2 cores and 1024 MiB that has been up for a day."""
        given = {"cores": 2, "memory_mb": 1024, "rootfs_gb": 8.0, "hostname": f"ct{vmid}", "uptime_seconds": 86400}
        given |= {"status": "running", "digest": "d0", "node": node, "vmid": vmid, "at": self.clock()}
        self.there[node, vmid] = LXCState.model_validate({**given, **values})

    def use(self, node: str, vmid: int, *, cpu: float | None = None, memory: float | None = None) -> None:
        """What the container uses from now on: percent of its cores, and of its memory."""
        has = self.there[node, vmid]
        cores = has.cores or self.known[node].cpus
        update = {"cpu_cores": cores * cpu / 100} if cpu is not None else {}
        update |= {"used_memory_mb": has.memory_mb * memory / 100} if memory is not None else {}
        self.there[node, vmid] = has.model_copy(update=update)

    def change(self, node: str, vmid: int, **values: Any) -> None:
        """What somebody else does to a container."""
        before = self.there[node, vmid]
        self.there[node, vmid] = before.model_copy(update={"digest": f"{before.digest}+", **values})

    def close(self) -> None:
        """Nothing is open."""

    # --- what the passes ask --------------------------------------------------------------------------------------------

    def find(self, vmid: int) -> ContainerKey | None:
        self._asked()
        return next((key for key in self.there if key[1] == vmid), None)

    def container(self, key: ContainerKey) -> LXCState:
        self._asked()
        if key not in self.there:
            raise NoContainer(f"there is no container {key[1]} on {key[0]}")
        return self.there[key].model_copy(update={"at": self.clock()})

    def containers(self, node: str) -> tuple[LXCState, ...]:
        self._asked()
        cpus = self.known[node].cpus
        mine = (has for key, has in sorted(self.there.items()) if key[0] == node)
        return tuple(h.model_copy(update={"at": self.clock(), "digest": "", "cores": h.cores or cpus}) for h in mine)

    def nodes(self) -> tuple[NodeState, ...]:
        self._asked()
        return tuple(self.known.values())

    def allocated_memory_mb(self, node: str) -> int:
        self._asked()
        return sum(has.memory_mb for (on, _), has in self.there.items() if on == node and has.status == "running")

    def task_of(self, key: ContainerKey) -> str:
        self._asked()
        return self.tasks.get(key, "")

    def set_resources(
        self, key: ContainerKey, *, cores: int | None = None, memory_mb: int | None = None, digest: str = ""
    ) -> None:
        if cores is None and memory_mb is None:
            return
        self._changes("set", key, cores, memory_mb, digest=digest)
        self.change(*key, **{n: v for n, v in (("cores", cores), ("memory_mb", memory_mb)) if v is not None})

    def grow_rootfs(self, key: ContainerKey, by_gb: int, *, digest: str = "") -> None:
        self._changes("grow", key, by_gb, digest=digest)
        self.change(*key, rootfs_gb=(self.there[key].rootfs_gb or 0) + by_gb)

    def _changes(self, what: str, key: ContainerKey, *call: object, digest: str) -> None:
        self._asked()
        self.calls.append((what, key, *call))
        if meanwhile := self.meanwhile:
            self.meanwhile = None
            meanwhile()
        assert digest, "a config is only changed where it still is the one that was read"
        if digest != self.there[key].digest:
            raise Refused("detected modified configuration - file changed by other user? Try again.")
        if self.refuses:
            raise Refused(self.refuses)

    def _asked(self) -> None:
        self.questions += 1
        if self.away:
            raise _away()


def _away() -> TrimtabError:
    return Away("Proxmox VE does not answer", after_seconds=5, hint="is pveproxy running there?")


def fake_containers(served: Served) -> FakeContainers:
    """One node, pve1, of 8 cores and 16 GiB; every steward's house asks it from now on."""
    fake = FakeContainers(served.clock)
    fake.add_node("pve1")
    for steward in served.server.stewards:

        def set_in(house: House) -> None:
            house.proxmox = fake  # type: ignore[assignment]

        steward.ask(set_in).result(timeout=60)
    return fake
