"""When windows are open: the document that `trimtab windows --json` prints and GET /api/v1/windows answers."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, PlainSerializer, WithJsonSchema

from reconciler.model.base import Model
from reconciler.model.window import Span, Window

Instant = Annotated[
    datetime,
    PlainSerializer(lambda at: at.isoformat(), return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""RFC 3339 in UTC, as every JSON of ours writes it: ``2026-06-17T22:00:00+00:00``."""


class WindowShown(Model):
    """One window as it is declared. ``source`` says where: ``fleet``, ``cluster prod``, ``policy web``, ``action nightly``."""

    source: str
    cron: str
    duration_seconds: float | None
    timezone: str
    name: str | None


class SpanShown(WindowShown):
    """A stretch in which a window is open."""

    fleet: str
    start: Instant
    end: Instant
    kind: Literal["maintenance", "exclusion"]


class NextShown(WindowShown):
    """A window, whether it is open, and when it opens and closes next; null = not within five years."""

    fleet: str
    kind: Literal["maintenance", "exclusion"]
    open: bool
    opens: Instant | None
    closes: Instant | None
    warning: str | None


class Calendar(Model):
    """``spans``: every stretch within [from, to), by start. ``windows``: each window, and what comes next of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "from": "2026-06-17T00:00:00+00:00",
                "to": "2026-06-18T00:00:00+00:00",
                "spans": [
                    {
                        "source": "fleet",
                        "cron": "* 22-23 * * 1-5",
                        "durationSeconds": None,
                        "timezone": "UTC",
                        "name": None,
                        "fleet": "https://git.example.com/acme/fleet.git",
                        "start": "2026-06-17T22:00:00+00:00",
                        "end": "2026-06-18T00:00:00+00:00",
                        "kind": "maintenance",
                    }
                ],
                "windows": [
                    {
                        "source": "fleet",
                        "cron": "* 22-23 * * 1-5",
                        "durationSeconds": None,
                        "timezone": "UTC",
                        "name": None,
                        "fleet": "https://git.example.com/acme/fleet.git",
                        "kind": "maintenance",
                        "open": False,
                        "opens": "2026-06-17T22:00:00+00:00",
                        "closes": "2026-06-18T00:00:00+00:00",
                        "warning": None,
                    }
                ],
            }
        }
    )

    start: Annotated[Instant, Field(alias="from")]
    end: Annotated[Instant, Field(alias="to")]
    spans: tuple[SpanShown, ...] = ()
    windows: tuple[NextShown, ...] = ()


def span_shown(span: Span, fleet: str) -> SpanShown:
    return SpanShown.model_validate(
        {**shown(span.window), "fleet": fleet, "start": span.start, "end": span.end, "kind": span.kind}
    )


def shown(window: Window) -> dict[str, object]:
    """The fields of :class:`WindowShown`."""
    return {
        "source": window.source,
        "cron": window.cron,
        "duration_seconds": window.duration.total_seconds() if window.duration else None,
        "timezone": window.timezone,
        "name": window.name or None,
    }
