"""What can go wrong between an agent and its server, in words that say what to do."""

import json
from contextlib import suppress

import httpx

from reconciler.errors import RetryLater, Stalled

SOON_SECONDS = 1.0
LONGEST_RETRY_AFTER_SECONDS = 300.0
"""No server keeps its agents away for longer, whatever the header says."""

_LONGEST_WORDS = 1000


class Away(RetryLater):
    """The server is not there, or says not now. ``status``: its HTTP status, 0 without any."""

    def __init__(self, message: str, *, after_seconds: float = SOON_SECONDS, hint: str = "", status: int = 0) -> None:
        self.status = status
        super().__init__(message, after_seconds=after_seconds, hint=hint)


class Refused(Stalled):
    """The server does not take it, and will not until a person changes something."""

    def __init__(self, message: str, *, hint: str = "", status: int = 0) -> None:
        self.status = status
        super().__init__(message, hint=hint)


_NEXT = {
    301: "give the agent the address that it is sent on to (--server, TRIMTAB_SERVER)",
    401: "make a key with `trimtab key create --scope agents:register`, and give it to the agent (TRIMTAB_KEY, or the file of --key-file)",
    403: "give the agent a key with the scope agents:register that is for its cluster (`trimtab key create`)",
    404: "check the agent's --server, --cluster and --host-pool against the server's address and trimtab.yaml",
    413: "let the proxy before the server take bodies of 2 MB",
    400: "check the agent's options; where they are right, run the same version of agent and server",
}


def failure_of(answer: httpx.Response, url: str, what: str) -> Away | Refused:
    """Why an answer that is no success is none. ``what``: what was asked, as in "cannot register"."""
    said, status = _said(answer), answer.status_code
    message = f"cannot {what}: {said or answer.reason_phrase or 'no reason given'} ({url} answers {status})"
    if status == 429 or status >= 500:
        return Away(message, after_seconds=_retry_after(answer), status=status)
    if 300 <= status < 400:
        to = answer.headers.get("location", "elsewhere")
        return Refused(f"cannot {what}: {url} sends on to {to}", hint=_NEXT[301], status=status)
    return Refused(message, hint=_NEXT.get(status, _NEXT[400]), status=status)


def not_ours(answer: httpx.Response, url: str, what: str) -> Refused:
    """What answers is no Trimtab: a proxy's page, another program."""
    kind = answer.headers.get("content-type", "nothing known")
    return Refused(
        f"cannot {what}: {url} answers {answer.status_code} with {kind} that is not of Trimtab",
        hint=_NEXT[404],
        status=answer.status_code,
    )


def unreachable(error: httpx.HTTPError, url: str, what: str) -> Away:
    """No answer at all."""
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        reason = "no answer in time"
    hint = "the agent tries again; check the address (--server) and the network between"
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        hint = "for a certificate of your own authority, set SSL_CERT_FILE to the authority's certificate (a PEM file)"
    return Away(f"cannot {what}: {url} cannot be reached: {reason}", hint=hint)


def _said(answer: httpx.Response) -> str:
    """The server's own words."""
    with suppress(ValueError):
        body = json.loads(answer.content)
        if isinstance(body, dict) and isinstance(body.get("error"), str):
            return str(body["error"])[:_LONGEST_WORDS]
    return ""


def _retry_after(answer: httpx.Response) -> float:
    with suppress(ValueError):
        return min(max(float(answer.headers.get("retry-after", "")), SOON_SECONDS), LONGEST_RETRY_AFTER_SECONDS)
    return SOON_SECONDS
