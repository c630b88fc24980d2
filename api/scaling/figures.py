"""The kinds of field that a policy is made of, as a request may send them; what is refused says what would be right."""

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from api.errors import encodable

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, what turns the direction of writing around, and halves of characters."""

LONGEST = 253


def refusal(message: str) -> PydanticCustomError:
    """An error with just this text, braces and all."""
    return PydanticCustomError("refused", "{message}", {"message": message})


def refuse_unknown(given: Mapping[str, Any], known: Collection[str]) -> None:
    """:raises ValidationError: at the first field that is none of ``known``, with the nearest that is."""
    for name in given:
        if name in known:
            continue
        by_case = {field.lower(): field for field in known}
        near = difflib.get_close_matches(str(name).lower(), by_case, n=1)
        hint = f"did you mean {by_case[near[0]]}?" if near else f"the fields are {', '.join(sorted(known))}"
        error = refusal(f"there is no such field; {hint}")
        raise ValidationError.from_exception_data(
            "request", [InitErrorDetails(type=error, loc=(encodable(str(name))[:LONGEST],), input=None)]
        )


def _line(value: str) -> str:
    if not value.strip() or _CONTROL.search(value):
        raise refusal("must be one line of text without control characters")
    return value


def _whole(value: object) -> object:
    """JSON has one kind of number: 2.0 is 2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Line = Annotated[str, Field(min_length=1, max_length=LONGEST), AfterValidator(_line)]
"""One line of 1 to 253 characters."""

TargetRef = Annotated[
    str,
    Field(
        min_length=3,
        max_length=2 * LONGEST + 1,
        description="namespace/workload (kubernetes), host-pool/group (docker), node/vmid (lxc).",
    ),
]
"""What it must look like depends on the runtime."""

Replicas = Annotated[int, Field(ge=1, le=100_000), BeforeValidator(_whole)]
StepSize = Annotated[int, Field(ge=1, le=1000), BeforeValidator(_whole)]
Cooldown = Annotated[int, Field(ge=0, le=1800), BeforeValidator(_whole)]
PerHost = Annotated[int, Field(ge=1, le=100_000), BeforeValidator(_whole)]
MemoryMB = Annotated[int, Field(ge=16, le=16 * 1024 * 1024), BeforeValidator(_whole)]
Percent = Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)]
