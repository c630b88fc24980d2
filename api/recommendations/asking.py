"""From the parameters of a request to the recommendations that are wanted.

Every list may be repeated, separated by commas, or both; an empty value is a value like any other, and never means "all".
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from api.auth import Principal
from api.errors import BadRequest, Forbidden, Unprocessable
from api.server import Server
from reconciler.model.recommendation import OPEN_STATUSES, Priority, RecommendationStatus, Risk
from reconciler.store.recommendations import Wanted

TYPES = ("workload_rightsizing",)
STATUSES: tuple[RecommendationStatus, ...] = get_args(RecommendationStatus)
RISKS: tuple[Risk, ...] = get_args(Risk)
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
KINDS = ("Deployment", "StatefulSet", "DaemonSet", "Pod", "Node", "CronJob", "Job", "Rollout")
MOST = 500

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
_LARGEST = Decimal(10**12)
_PLACES = Decimal("0.0001")

T = TypeVar("T", bound=str)


def _whole(given: object) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", str(given)):
        raise ValueError("must be a whole number, such as 100")
    return int(str(given))


def _switch(given: object) -> bool:
    if given not in ("true", "false"):
        raise ValueError("must be true or false")
    return given == "true"


def _amount(given: object) -> Decimal:
    """Rounded up to the four places that savings have, which picks the same ones."""
    if not _NUMBER.fullmatch(str(given)):
        raise ValueError("must be a decimal number, such as 0.05")
    try:
        return max(-_LARGEST, min(Decimal(str(given)), _LARGEST)).quantize(_PLACES, ROUND_CEILING)
    except InvalidOperation:
        raise ValueError("must be a decimal number, such as 0.05") from None


def _list(description: str, allowed: Sequence[str] = (), *, form: str = "") -> Any:
    """A parameter that takes values: ``allowed`` and ``form`` go into the document; :func:`wanted` judges them."""
    items: dict[str, Any] = {"type": "string"} | ({"enum": list(allowed)} if allowed else {})
    items |= {"format": form} if form else {}
    return Field(
        default=[], description=f"{description} Repeated, or separated by commas.", json_schema_extra={"items": items}
    )


class ListQuery(BaseModel):
    """The parameters of the list."""

    limit: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=MOST, description="Page size.")] = 100
    cursor: str | None = Field(
        default=None, description="`meta.pagination.next_cursor` of the page before; filters and limit as they were."
    )
    include_total: Annotated[
        bool, BeforeValidator(_switch), Field(description="Count what is on all pages together, as `total_count`.")
    ] = False
    cluster_id: list[str] = _list("Only these clusters, by UUID.", form="uuid")
    namespace: list[str] = _list("Only these namespaces.")
    recommendation_type: list[str] = _list("There is one type.", TYPES)
    status: list[str] = _list("Only those in these states; without it, pending and dismissed.", STATUSES)
    risk_level: list[str] = _list("Only those with these risks.", RISKS)
    priority: list[str] = _list("Only those with these priorities.", PRIORITIES)
    resource_type: list[str] = _list("Only these kinds of workload.", KINDS)
    workload_uid: list[str] = _list("Only workloads with these uids.")
    min_savings_hourly: Annotated[
        Decimal | None,
        BeforeValidator(_amount),
        WithJsonSchema({"type": "number"}),
        Field(description="Only those that save at least so much an hour."),
    ] = None


def wanted(query: ListQuery, server: Server, principal: Principal) -> Wanted:
    """What a list is to hold: what was asked for, within the key's reach.

    :raises BadRequest: INVALID_CLUSTER_ID; an empty name. :raises Unprocessable: a value outside of what is allowed.
    :raises Forbidden: a cluster that the key does not see, or that nobody knows where the key is limited.
    """
    _refuse_others(query)
    return Wanted(
        statuses=_those(STATUSES, query.status) or OPEN_STATUSES,
        cluster_ids=_cluster_ids(query.cluster_id, server, principal),
        namespaces=_names("namespace", query.namespace),
        risk_levels=_those(RISKS, query.risk_level),
        priorities=_those(PRIORITIES, query.priority),
        kinds=_those(KINDS, query.resource_type),
        workload_uids=_names("workload_uid", query.workload_uid),
        min_saving=query.min_savings_hourly,
        clusters=principal.clusters or None,
    )


def query_hash(organization: str, asked: Wanted, limit: int) -> str:
    """Tells one query from another: the same values in another order, or written otherwise, are the same query.

    The key's own reach is no part of it: a page is cut down to it anyway, and keys are replaced now and then.
    """
    fields = {name: value for name, value in vars(asked).items() if name != "clusters"}
    said = {name: sorted(value) if isinstance(value, tuple) else str(value) for name, value in fields.items()}
    whole = json.dumps([organization, limit, said], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


def refuse_cost_mode(given: Iterable[str]) -> None:
    """``given``: the names of the parameters that were sent.

    :raises Unprocessable: INVALID_COST_MODE, whatever its value.
    """
    if "cost_mode" in given:
        raise Unprocessable(
            "cost_mode is not supported on this endpoint",
            code="INVALID_COST_MODE",
            details=({"field": "cost_mode", "reason": "not_accepted_on_this_endpoint"},),
        )


def outside(cluster: str) -> Forbidden:
    """A cluster that the key does not see; ``cluster`` as the client has called it."""
    return Forbidden(f"this key may not see {cluster}", code="CLUSTER_ACCESS_DENIED")


def _values(given: Iterable[str]) -> list[str]:
    return [part.strip() for text in given for part in text.split(",")]


def _those(allowed: Sequence[T], given: Iterable[str]) -> tuple[T, ...]:
    asked = set(_values(given))
    return tuple(one for one in allowed if one in asked)


def _refuse_others(query: ListQuery) -> None:
    """:raises Unprocessable: naming every field with a value that is not allowed, and all that are."""
    lists: tuple[tuple[str, Sequence[str], list[str]], ...] = (
        ("recommendation_type", TYPES, query.recommendation_type),
        ("status", STATUSES, query.status),
        ("risk_level", RISKS, query.risk_level),
        ("priority", PRIORITIES, query.priority),
        ("resource_type", KINDS, query.resource_type),
    )
    wrong = [(name, allowed) for name, allowed, given in lists if not set(_values(given)) <= set(allowed)]
    if wrong:
        name, allowed = wrong[0]
        raise Unprocessable(
            f"{name}: must be one or more of {', '.join(allowed)}",
            code="VALIDATION_ERROR",
            details=tuple({"field": name, "reason": "not_allowed", "allowed": list(some)} for name, some in wrong),
        )


def _names(field: str, given: Iterable[str]) -> tuple[str, ...]:
    names = tuple(sorted(set(_values(given))))
    if "" in names:
        raise BadRequest(f"{field}: a value is empty: leave the parameter out to get all", field=field)
    return names


def _cluster_ids(given: Iterable[str], server: Server, principal: Principal) -> tuple[str, ...]:
    """As recommendations have them, where a fleet repo has the cluster, else in lower case.

    An id of a fleet's that is no UUID is taken as well where the key sees its cluster: it is what answers show.
    """
    names = {
        fleet.cluster_id(c.name): c.name for _, fleet in server.fleets(principal.organization) for c in fleet.clusters
    }
    spelled = {known.lower(): known for known in names}
    found = set()
    for asked in _values(given):
        known = spelled.get(asked.lower(), "")
        seen = principal.sees(names.get(known), known or asked.lower())
        if not _UUID.fullmatch(asked.lower()) and not (known and seen):
            raise BadRequest(
                f"cluster_id: {asked[:100]!r} is not a UUID, such as c1a2b3c4-d5e6-7890-abcd-ef1234567890",
                code="INVALID_CLUSTER_ID",
                details=({"field": "cluster_id", "reason": "not_a_uuid"},),
            )
        if not seen:
            raise outside(f"the cluster {asked}")
        found.add(known or asked.lower())
    return tuple(sorted(found))
