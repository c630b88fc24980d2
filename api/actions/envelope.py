"""What every success of the Actions API is wrapped in, and how it writes instants."""

from datetime import UTC, datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

T = TypeVar("T")


def rfc3339(at: datetime) -> str:
    """``2025-07-18T00:00:00Z``: in UTC, whole seconds."""
    return at.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


Instant = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
"""RFC 3339 in UTC, whole seconds."""


class Shown(BaseModel):
    """Base of what is answered: camelCase outside."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class Envelope(BaseModel, Generic[T]):
    """``{"code": 200, "data": …}``."""

    model_config = ConfigDict(frozen=True)

    code: Literal[200] = 200
    data: T
