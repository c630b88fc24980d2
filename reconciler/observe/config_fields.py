"""The kinds of field that trimtab.yaml, policies and actions are made of, as pydantic reads them.

Sections are strict: an unknown field, a number in quotes or a quoted boolean is an error and no guess.
"""

import math
import re
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from reconciler.model.action import Algorithm, Fraction, Quantile, SizingParameters
from reconciler.model.window import Window, parse_duration

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_DNS_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


class Section(BaseModel):
    """A mapping of a config file: camelCase fields, no others, no conversions between types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel)


def _duration(value: object) -> timedelta:
    if not isinstance(value, str):
        raise ValueError("write a duration such as 90m, 4h or 14d")
    return parse_duration(value)


def _name(value: str) -> str:
    if not _NAME.fullmatch(value) or ".." in value:
        raise ValueError(f"{value!r} is not a name: letters, digits, '-', '_' and '.', at most 253 of them")
    return value


def _dns_name(value: str) -> str:
    if not _DNS_NAME.fullmatch(value) or len(value) > 253:
        raise ValueError(f"{value!r} is not a DNS name: lower-case letters, digits, '-' and '.'")
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{value!r} is no time zone such as UTC or Europe/Berlin") from None
    return value


def _price(value: object) -> Decimal:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ValueError('write a price such as "0.031611"')
    try:
        price = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError(f'{value!r} is no price such as "0.031611"') from None
    if not price.is_finite() or price < 0:
        raise ValueError(f"{value} is not a price: it must be 0 or more")
    return price


def _one_line(value: str) -> str:
    if not value.strip() or re.search(r"[<>\x00-\x1f\x7f]", value):
        raise ValueError("must be one line of text without < and >")
    return value


def _as_list(value: object) -> object:
    """One window may stand for a list of one; nothing, or an empty text as the Actions API has it, for none."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    return value if isinstance(value, list) else [value]


def _whole(value: object) -> object:
    """JSON and YAML have numbers, not kinds of them: 10.0 is 10, and a floor of 10.5 is one of 11."""
    return math.ceil(value) if isinstance(value, float) and math.isfinite(value) else value


MOST_MILLICORES = 1_000_000_000
MOST_BYTES = 1 << 60
"""A floor above these (a million cores, an exbibyte) is a slip of the pen, and no figure to compute with."""

Whole = Annotated[int, BeforeValidator(_whole)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Seconds = Annotated[int, BeforeValidator(lambda value: int(_duration(value).total_seconds()))]
Name = Annotated[str, AfterValidator(_name)]
DnsName = Annotated[str, AfterValidator(_dns_name)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Price = Annotated[Decimal, BeforeValidator(_price)]
OneLine = Annotated[str, AfterValidator(_one_line)]


class WindowFields(Section):
    """``"* 22 * * 1-5"``, or ``{cron, duration, timezone, name}``. What the cron says is checked by the gate."""

    cron: str
    duration: Duration | None = None
    timezone: TimeZone = "UTC"
    name: str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"cron": value} if isinstance(value, str) else value

    def window(self, source: str) -> Window:
        return Window(cron=self.cron, duration=self.duration, timezone=self.timezone, name=self.name, source=source)


WindowList = Annotated[list[WindowFields], BeforeValidator(_as_list)]


class SizingFields(Section):
    """The individual parameters of right-sizing, with the names of the Actions API. None = not given."""

    algorithm_cpu: Annotated[Algorithm | None, Field(alias="algorithmCPU")] = None
    algorithm_ram: Annotated[Algorithm | None, Field(alias="algorithmRAM")] = None
    quantile_cpu: Annotated[Quantile | None, Field(alias="quantileCPU")] = None
    quantile_ram: Annotated[Quantile | None, Field(alias="quantileRAM")] = None
    target_utilization_cpu: Annotated[Fraction | None, Field(alias="targetUtilizationCPU")] = None
    target_utilization_ram: Annotated[Fraction | None, Field(alias="targetUtilizationRAM")] = None
    min_cpu_millicores: Annotated[Whole | None, Field(alias="minRecCPUMillicores", ge=0, le=MOST_MILLICORES)] = None
    min_ram_bytes: Annotated[Whole | None, Field(alias="minRecRAMBytes", ge=0, le=MOST_BYTES)] = None

    def given(self) -> dict[str, Any]:
        """The parameters that are given, by their names in :class:`SizingParameters`."""
        values = {name: getattr(self, name) for name in SizingFields.model_fields}
        return {name: value for name, value in values.items() if value is not None}

    def applied_to(self, base: SizingParameters) -> SizingParameters:
        return base.model_copy(update=self.given())
