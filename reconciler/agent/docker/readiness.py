"""Whether a new container is up: running and healthy, or gone wrong, and why. Pure."""

from typing import Any, Final

from reconciler.errors import TrimtabError

SETTLED_SECONDS: Final = 2.0
"""A container without a health check is up once it has run for so long."""

LONGEST_REASON: Final = 300
_SHORTEST_SECRET: Final = 4

Json = dict[str, Any]


class Broken(TrimtabError):
    """A new container did not come up; the message says which, and why."""


def health(inspected: Json) -> str:
    """``healthy``, ``unhealthy`` or ``starting`` by the container's own check; empty when it has none."""
    status = str((inspected["State"].get("Health") or {}).get("Status", ""))
    return "" if status == "none" else status


def serves(inspected: Json) -> bool:
    """Whether a load balancer may send it requests."""
    state = inspected["State"]
    return bool(state["Running"]) and not state.get("Paused") and health(inspected) in ("", "healthy")


def is_up(inspected: Json, seconds: float, restarts: int) -> bool:
    """``seconds``: since it was first seen after its start; ``restarts``: its count then.

    :raises Broken: when it has ended, was started again, or is unhealthy. Its log is not in the message yet.
    """
    state, name = inspected["State"], name_of(inspected)
    if state.get("Restarting") or inspected.get("RestartCount", 0) > restarts:
        # the engine forgets the code as soon as it runs again
        code = f" with code {state.get('ExitCode')}" if state.get("Restarting") or not state["Running"] else ""
        raise Broken(f"{name} does not stay up: it ended{code} and was started again")
    if not state["Running"]:
        why = " (out of memory)" if state.get("OOMKilled") else ""
        said = f": {state['Error']}" if state.get("Error") else ""
        raise Broken(f"{name} ended with code {state.get('ExitCode')}{why}{said}")
    found = health(inspected)
    if found == "unhealthy":
        raise Broken(f"{name} is unhealthy{_checked(state)}")
    return found == "healthy" or (found == "" and seconds >= SETTLED_SECONDS)


def without_secrets(text: str, inspected: Json) -> str:
    """A text without the values of the container's environment, which may be secret, and not too long."""
    values = [entry.partition("=")[2] for entry in inspected["Config"].get("Env") or ()]
    for value in sorted((v for v in values if len(v) >= _SHORTEST_SECRET), key=len, reverse=True):
        text = text.replace(value, "***")
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"


def name_of(inspected: Json) -> str:
    return str(inspected["Name"]).removeprefix("/")


def _checked(state: Json) -> str:
    """What the newest health check said."""
    log = state["Health"].get("Log") or []
    if not log:
        return ""
    lines = [line.strip() for line in str(log[-1].get("Output", "")).splitlines() if line.strip()]
    return f" (its check ended with code {log[-1].get('ExitCode')}{f': {lines[-1]}' if lines else ''})"
