"""Runs of action configs and the actions in them."""

from sqlalchemy import Engine


class RunStore:
    """Runs of action configs and the actions in them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
