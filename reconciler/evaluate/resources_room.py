"""Whether a Proxmox VE node really has what a container is to be given."""

from dataclasses import dataclass, field

from reconciler.model.lxc_container import ContainerKey, LXCState, NodeState


@dataclass(frozen=True, eq=False)
class NodeSeen:
    """What is known of a node. ``trouble``: why nothing is; empty when all is well.

    ``readings`` by vmid, oldest first. ``configs``: the exact config of those that have no file. ``elsewhere``: the node on
    which a container is that was looked for here. ``allocated_memory_mb``: Σ of what its running guests may use, MiB.
    """

    state: NodeState | None = None
    allocated_memory_mb: int = 0
    readings: dict[int, tuple[LXCState, ...]] = field(default_factory=dict)
    configs: dict[int, LXCState] = field(default_factory=dict)
    elsewhere: dict[int, str] = field(default_factory=dict)
    trouble: str = ""

    @property
    def cpus(self) -> int:
        return self.state.cpus if self.state is not None else 0

    def newest(self, vmid: int) -> LXCState | None:
        found = self.readings.get(vmid)
        return found[-1] if found else None

    def missing(self, key: ContainerKey) -> str:
        """What to say of a container that is not there."""
        if other := self.elsewhere.get(key[1]):
            return f"container {key[1]} is on {other} now: write targetRef {other}/{key[1]}, and move its file"
        return f"there is no container {key[1]} on {key[0]}: mend targetRef, or take the policy and its file away"


@dataclass
class Room:
    """What is left of each node's memory as one pass gives it away, MiB."""

    taken: dict[str, int] = field(default_factory=dict)

    def refusal(self, node: NodeSeen, rise_mb: int) -> str:
        """Why a container cannot have so much more; empty when it can."""
        if rise_mb <= 0 or node.state is None:
            return ""
        state = node.state
        left = state.memory_mb - max(node.allocated_memory_mb, state.used_memory_mb) - self.taken.get(state.node, 0)
        if rise_mb <= left:
            return ""
        return (
            f"{rise_mb} MB more do not fit on {state.node}: of {state.memory_mb} MB, {node.allocated_memory_mb} MB are given to "
            f"what runs there, and {state.used_memory_mb} MB are in use; free some, or move a container"
        )

    def take(self, node: str, rise_mb: int) -> None:
        """Note that it was given away."""
        self.taken[node] = self.taken.get(node, 0) + max(rise_mb, 0)
