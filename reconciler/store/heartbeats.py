"""Heartbeats of the reconciler and of agents, by cluster."""

from sqlalchemy import Engine


class HeartbeatStore:
    """Heartbeats of the reconciler and of agents, by cluster."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
