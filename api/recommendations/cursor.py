"""Where a page ends, as a token that only this server can make (Recommendations API).

``<payload>.<signature>``, both base64url: the payload is the JSON object that the document shows (``v``, ``after_id``,
``after_value``, ``query_hash``, ``issued_at``), the signature is over the payload as it is written. It belongs to one query.
"""

import base64
import hmac
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from api.errors import BadRequest, Gone

LIFETIME = timedelta(hours=24)
_VERSION = 1

Sign = Callable[[str], bytes]
"""The signature of a text, by the server's secret."""
After = tuple[Decimal, str]
"""Hourly saving and id of the last one on a page."""


def encode(after: After, query_hash: str, now: datetime, sign: Sign) -> str:
    """The cursor of the page after ``after``, for requests with that query."""
    saving, rec_id = after
    said = {
        "v": _VERSION,
        "after_id": rec_id,
        "after_value": f"{saving:.4f}",
        "query_hash": query_hash,
        "issued_at": int(now.timestamp()),
    }
    payload = _text(json.dumps(said, separators=(",", ":")).encode())
    return f"{payload}.{_text(sign(payload))}"


def decode(cursor: str, query_hash: str, now: datetime, sign: Sign) -> After:
    """Where the page before ended.

    :raises BadRequest: when it is none of this server's. :raises Gone: when it is older than :data:`LIFETIME`, or another
        query's.
    """
    payload, _, signature = cursor.partition(".")
    expected = _text(sign(payload))
    # as texts, because base64 has several spellings of some bytes
    if not hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode()):
        raise BadRequest(
            "cursor: this is not a cursor of this server's: take meta.pagination.next_cursor as it is, or start without one",
            field="cursor",
        )
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if said["v"] != _VERSION or now.timestamp() - said["issued_at"] > LIFETIME.total_seconds():
        raise _expired("it is older than 24 hours", "cursor_expired")
    if said["query_hash"] != query_hash:
        raise _expired("it was made for another query (filters and limit must stay as they were)", "query_changed")
    return Decimal(said["after_value"]), said["after_id"]


def _expired(why: str, reason: str) -> Gone:
    return Gone(
        f"the cursor cannot be used any more: {why}; start again without a cursor",
        code="CURSOR_EXPIRED",
        details=({"field": "cursor", "reason": reason},),
    )


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
