"""What every model shares: frozen, strict about unknown fields, camelCase outside and snake_case inside."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A frozen value. Fields are read and written as camelCase, as all five APIs and the fleet repo spell them."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    @classmethod
    def unchecked(cls, **fields: Any) -> Self:
        """One made of *all* its fields, by their names here, in a fraction of the time that checking them takes.

        For what is made by the ten thousand of values that are right by their making, and for nothing that is read. Kept are
        the very values that were given.
        """
        one, put = cls.__new__(cls), object.__setattr__
        put(one, "__dict__", fields)
        put(one, "__pydantic_fields_set__", set(fields))
        put(one, "__pydantic_extra__", None)
        put(one, "__pydantic_private__", None)
        return one
