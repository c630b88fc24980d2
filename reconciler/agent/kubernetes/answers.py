"""What an API server says no with, as errors that say what happens next. Each message is the API server's own."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from reconciler.errors import RetryLater, TrimtabError

_OWNER = re.compile(r'conflict with ("(?:[^"\\]|\\.)*")')  # apimachinery managedfields/internal/conflict.go
_NO_ACCESS: Final = (
    "let the agent's service account do that: add the verb to its ClusterRole, then wait for the next pass"
)
_NO_IDENTITY: Final = "check the credentials in the kubeconfig, or the pod's service account, and start the agent again"


class NoSuchKind(TrimtabError):
    """The API server does not serve that kind: its CustomResourceDefinition is not installed, or its API is away."""


class Missing(TrimtabError):
    """404 where there had to be something: the object of a patch, or the namespace of what is applied."""


class Denied(TrimtabError):
    """401 or 403: the API server does not know the agent, or does not let it."""


class Unknown(Denied):
    """401: the API server does not know who the agent is; nothing will be answered until it does."""


class Invalid(TrimtabError):
    """400, 422 and their like: the API server cannot take the object as it is."""


class Conflict(TrimtabError):
    """409: another manager owns a field, or the object is another one than was meant (uid).

    ``owners`` holds (manager, field) for each field, such as ``("kubectl", ".spec.replicas")``; empty when it is not
    about fields.
    """

    def __init__(self, message: str, *, owners: tuple[tuple[str, str], ...] = (), hint: str = "") -> None:
        self.owners = owners
        super().__init__(message, hint=hint)


class Throttled(RetryLater):
    """429, also after the retries."""


class Unreachable(RetryLater):
    """No connection, no answer in time, or a 5xx."""


class Expired(TrimtabError):
    """410: a list's continuation is too old. :class:`~reconciler.agent.kubernetes.cluster.Cluster` starts over."""


def refusal(status: int, body: bytes, *, retry_after: float) -> TrimtabError:
    """The error of an answer that is no success.

    :param body: a ``Status`` object in JSON, or whatever a proxy says
    :param retry_after: seconds that the answer asks to wait; 0 when it does not say
    """
    said = _status_of(body)
    message = str(said.get("message") or _plain(body) or f"the API server answered {status}")
    if status == 409 or _another_object(said):
        return Conflict(message, owners=_owners(said))
    if status == 429:
        return Throttled(message, after_seconds=retry_after or 1)
    if status in (401, 403):
        return _denied(status, message)
    if status in (404, 410):
        return Missing(message) if status == 404 else Expired(message)
    # A server-side apply that the schema does not know is a 500 without a reason; asking again would not help.
    if 400 <= status < 500 or (status == 500 and said and not said.get("reason")):
        return Invalid(message)
    return Unreachable(message, after_seconds=retry_after or 1)


def _denied(status: int, message: str) -> Denied:
    if status == 401:
        return Unknown(message, hint=_NO_IDENTITY)
    return Denied(message, hint=_NO_IDENTITY if "anonymous" in message else _NO_ACCESS)


def about_an_object(body: bytes) -> bool:
    """Whether a 404 is about an object or a namespace, and not about a path that the server does not serve."""
    return bool((_status_of(body).get("details") or {}).get("name"))


def _another_object(status: Mapping[str, Any]) -> bool:
    """A patch that names another uid than the live object's is a 422 (``rest.BeforeUpdate``), not a 409."""
    return any(cause.get("field") == "metadata.uid" for cause in (status.get("details") or {}).get("causes") or [])


def _owners(status: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    causes = (status.get("details") or {}).get("causes") or []
    found = [(_OWNER.match(str(cause.get("message", ""))), str(cause.get("field", ""))) for cause in causes]
    return tuple((_unquoted(owner[1]), field) for owner, field in found if owner)


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:  # Go quotes some characters otherwise than JSON does
        return text[1:-1]


def _status_of(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) and said.get("kind") == "Status" else {}


def _plain(body: bytes) -> str:
    text = body[:300].decode("utf-8", "replace").strip()
    return "" if text.startswith(("<", "{")) else text
