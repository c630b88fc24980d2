"""Recommendations as the API serves them, by organization."""

from sqlalchemy import Engine


class RecommendationStore:
    """Recommendations as the API serves them, by organization."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
