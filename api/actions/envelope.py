"""What every success of the Actions API is wrapped in."""

from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

T = TypeVar("T")


class Shown(BaseModel):
    """Base of what is answered: camelCase outside."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class Envelope(BaseModel, Generic[T]):
    """``{"code": 200, "data": …}``."""

    model_config = ConfigDict(frozen=True)

    code: Literal[200] = 200
    data: T
