"""Instants as integers, so that both databases order and compare them alike."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(instant: datetime) -> int:
    """Microseconds since 1970, exactly. :raises ValueError: when ``instant`` has no offset from UTC."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant.isoformat()} has no offset from UTC")
    return (instant - _EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


@lru_cache(maxsize=4_096)
def from_seconds(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)
