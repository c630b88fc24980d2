"""When changes may, or must not, be committed (DESIGN §5)."""

import re
from datetime import datetime, timedelta
from typing import Literal

from reconciler.model.base import Model


class Window(Model):
    """Five-field cron. Without ``duration`` it is open in each minute that matches; with one, from each firing for that long.

    ``cron`` may join several by ``||``. ``source`` says where it was declared, for messages (``fleet``, ``cluster prod``,
    ``policy web``, ``action nightly``).
    """

    cron: str
    duration: timedelta | None = None
    timezone: str = "UTC"
    name: str = ""
    source: str = ""

    def __str__(self) -> str:
        text = f"`{self.cron}`"
        if self.duration is not None:
            text += f" for {format_duration(self.duration)}"
        if self.timezone != "UTC":
            text += f" {self.timezone}"
        return f"{self.name} ({text})" if self.name else text


class Windows(Model):
    """The windows of one owner (fleet, cluster, policy or action). No maintenance window = always allowed."""

    maintenance: tuple[Window, ...] = ()
    exclusion: tuple[Window, ...] = ()


class Span(Model):
    """A stretch of time, closed at ``start`` and open at ``end``, in which ``window`` is open."""

    start: datetime
    end: datetime
    kind: Literal["maintenance", "exclusion"]
    window: Window


_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}


def parse_duration(text: str) -> timedelta:
    """``90m``, ``14d``, ``1h30m``, ``2w`` as a timedelta.

    :raises ValueError: when ``text`` is no such duration or is not positive.
    """
    if not re.fullmatch(r"(\d+[wdhms])+", text.strip()):
        raise ValueError(f"{text!r} is not a duration such as 90m, 4h or 14d")
    seconds = sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([wdhms])", text))
    if seconds <= 0 or seconds > 3660 * 86400:
        raise ValueError(f"{text!r} is not a duration between 1s and 3660d")
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """The shortest exact spelling: ``14d``, ``1h30m``."""
    rest = int(duration.total_seconds())
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
