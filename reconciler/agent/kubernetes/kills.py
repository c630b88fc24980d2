"""How often each container was killed for want of memory, as far as this process has seen.

The API server counts restarts, and only says of the last end of a container what it was: so ends are counted as they are
seen. A container that has ended so before it was seen first counts one. The server counts what a counter grew by, and
begins anew when it fell, as it does after a restart of the agent.
"""

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

_KILLED = "OOMKilled"


class Kills:
    """One for each agent. Forgets pods that are not there any more."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], tuple[int, tuple[str, ...]]] = {}
        self._seen: set[tuple[str, str]] = set()

    def of(self, pod_uid: str, status: Json) -> int:
        """The count of a container, with what its newest status (``containerStatuses[]``) says."""
        key = pod_uid, status["name"]
        self._seen.add(key)
        count, counted = self._counts.get(key, (0, ()))
        ends = _ends(status)
        if ends:
            count += sum(end not in counted for end in ends)
            self._counts[key] = count, ends
        return count

    def forget_others(self) -> None:
        """After a pass over all pods: forget what was not in it."""
        for gone in self._counts.keys() - self._seen:
            del self._counts[gone]
        self._seen = set()


def _ends(status: Json) -> tuple[str, ...]:
    """What names the kills that a status tells of: of the run before, and of this one while it is not started again."""
    ended = [(status.get(state) or {}).get("terminated") for state in ("lastState", "state")]
    return tuple(
        str(end.get("containerID") or end.get("finishedAt") or status.get("restartCount", 0))
        for end in ended
        if end and end.get("reason") == _KILLED
    )
