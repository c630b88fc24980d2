"""What the reading routes of the Actions API have in common: their parameters, and the clusters that a key may see."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query
from pydantic import BeforeValidator

from api.auth import Principal, needs
from api.errors import BadRequest
from api.server import Server
from reconciler.errors import InputError
from reconciler.gate.period import Period, parse_rfc3339, parse_window

_MOST = 2**31 - 1

Reader = Annotated[Principal, Depends(needs("actions:read"))]
Window = Annotated[
    str,
    Query(
        description="Which stretch of time, in UTC: `7d`, `12h`, `today`, `yesterday`, `week`, `month`, `lastweek`, "
        "`lastmonth`, `24h offset 7d`, or two instants joined by a comma, in RFC 3339 or in unix seconds.",
        examples=["7d"],
    ),
]
ClusterName = Annotated[
    str, Query(max_length=300, pattern=r"^[^\x00]*$", description="Only what is about this cluster, by name or id.")
]


def _number(value: object) -> object:
    return 0 if value == "" else value


Given = BeforeValidator(lambda value: None if value == "" else value)
"""``?status=`` says as much as leaving it out: forms and scripts send what nobody filled in."""
Limit = Annotated[int, BeforeValidator(_number), Query(ge=0, le=_MOST, description="At most so many; 0 = all.")]
Offset = Annotated[int, BeforeValidator(_number), Query(ge=0, le=_MOST, description="Leave out so many, the newest.")]


def period_of(window: str, now: datetime) -> Period:
    """:raises BadRequest: naming ``window``, when it is not a stretch of time."""
    try:
        return parse_window(window, now)
    except InputError as error:
        raise BadRequest(f"{error.message}: {error.hint}", field="window") from None


def instant_of(text: str, field: str) -> datetime | None:
    """An RFC 3339 instant of a query; None when it was left out. :raises BadRequest: naming ``field``."""
    if not text:
        return None
    try:
        return parse_rfc3339(text)
    except (ValueError, OverflowError):
        shown = f"{text[:60]!r} is not an RFC 3339 instant: write it as 2026-06-16T10:00:00Z"
        raise BadRequest(f"{field}: {shown}", field=field) from None


def name_of(server: Server, principal: Principal, cluster: str) -> str:
    """The name of the cluster that is meant by a name or id; of one that is in no fleet any more, what was said."""
    found = server.cluster(principal.organization, cluster)
    return found[1].name if found else cluster


def seen_by(server: Server, principal: Principal) -> frozenset[str] | None:
    """The names of the clusters that a key may see, also of those that are in no fleet any more; None = all there are."""
    if not principal.clusters:
        return None
    names = {c.name for c in server.clusters(principal.organization) if principal.sees(c.name, c.id)}
    return frozenset(names | set(principal.clusters))
