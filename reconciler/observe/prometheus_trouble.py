"""What goes wrong between us and a Prometheus, in words: what it is, and the next step."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
from pydantic_core import from_json

from reconciler.errors import RetryLater, Stalled, TrimtabError

SMALLER = "ask for less at a time: a shorter window, fewer namespaces, or a longer step"

_SHOWN_CHARACTERS = 300
_AFTER_SECONDS = 30.0

_TOO_MUCH = re.compile(
    r"too many (samples|points|series|chunks|bytes)|exceed\w* (the )?(maximum|max|limit|series|sample|-search\.)|"
    r"(maximum|max)[ -]?(resolution|number|query|samples|series)|(larger|bigger) than max|range exceeds|would load",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class PrometheusBusy(RetryLater):
    """Prometheus is away, or took too long: the same question may be answered later, a smaller one sooner."""


class PrometheusSlow(PrometheusBusy):
    """It took too long: a shorter stretch of time may be answered."""


class TooMuch(TrimtabError):
    """The question needs more than the server allows, or its answer is longer than we read: ask for a shorter time, or for
    one namespace at a time.
    """


@dataclass(frozen=True)
class Trouble:
    """Of one server. ``secrets``: never to be shown, also where the server repeats them. ``timeout``: seconds."""

    url: str
    secrets: Sequence[str] = field(repr=False)
    timeout: float

    def said(self, text: str) -> str:
        """Words of the server as they may be shown: one line, not long, without a secret that it repeats."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return _CONTROL.sub(" ", text).strip()[:_SHOWN_CHARACTERS]

    def too_slow(self) -> PrometheusSlow:
        """No answer within the time that we wait."""
        return PrometheusSlow(
            f"Prometheus at {self.url} took longer than {self.timeout:g} s to answer",
            after_seconds=_AFTER_SECONDS,
            hint="try again in a while; if that goes on, look at how busy it is",
        )

    def away(self, error: Exception) -> TrimtabError:
        """No answer: what the connection says about it."""
        said = self.said(str(error)) or type(error).__name__
        if "certificate" in said.lower():
            return Stalled(
                f"the certificate of Prometheus at {self.url} cannot be verified: {said}",
                hint="set SSL_CERT_FILE to the file of the authority that signed it",
            )
        if "WRONG_VERSION_NUMBER" in said or "unknown protocol" in said.lower():
            return Stalled(f"what answers at {self.url} does not speak https", hint="begin the address with http://")
        if not isinstance(error, httpx.ConnectError):
            return PrometheusBusy(
                f"Prometheus at {self.url} broke off in the middle of an answer: {said}",
                after_seconds=_AFTER_SECONDS,
                hint="try again in a while",
            )
        return PrometheusBusy(
            f"Prometheus at {self.url} cannot be reached: {said}",
            after_seconds=_AFTER_SECONDS,
            hint="check the address, and that it is running",
        )

    def refusal(self, status: int, headers: httpx.Headers, body: bytes) -> TrimtabError:
        """An answer that is an error, by its status and by what it says."""
        said = self.said(_error_text(body))
        because = f": {said}" if said else ""
        if status in (400, 413, 422, 500, 503) and (status in (413, 422) or _TOO_MUCH.search(said)):
            return TooMuch(f"the question is too large for Prometheus at {self.url} ({status}){because}", hint=SMALLER)
        if status in (408, 429) or status >= httpx.codes.INTERNAL_SERVER_ERROR:
            slow = status in (408, 504) or "timed out" in said
            return (PrometheusSlow if slow else PrometheusBusy)(
                f"Prometheus at {self.url} cannot answer now ({status}){because}",
                after_seconds=_wait(headers),
                hint="try again in a while",
            )
        if status in (401, 403):
            return Stalled(
                f"Prometheus at {self.url} does not let us in ({status}){because}",
                hint="give a token that may query it (TRIMTAB_PROMETHEUS_TOKEN), or user and password in the URL",
            )
        if wrong := _wrong_address(self.url, status, headers, said):
            return wrong
        return Stalled(
            f"Prometheus at {self.url} refuses a question ({status}){because}",
            hint="check that it is Prometheus 2.x or newer, or a server that is compatible with it",
        )


def _error_text(body: bytes) -> str:
    """The error of Prometheus' envelope; else the first words of whatever a proxy has answered, unless that is a page."""
    try:
        answer = from_json(body)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and answer.get("error"):
        return str(answer["error"])
    text = body.decode(errors="replace").strip()
    return "" if text.startswith(("<", "{")) else text


def _wait(headers: httpx.Headers) -> float:
    given = headers.get("Retry-After", "")
    return float(min(int(given), 3600)) if given.isascii() and given.isdigit() else _AFTER_SECONDS


def _wrong_address(url: str, status: int, headers: httpx.Headers, said: str) -> Stalled | None:
    """None where the answer does not look as if the question had gone to a wrong address."""
    if "HTTP request to an HTTPS server" in said:
        return Stalled(f"what answers at {url} speaks https only", hint="begin the address with https://")
    if moved := _moved(headers):
        return Stalled(f"Prometheus is not at {url} but elsewhere ({status})", hint=f"give the address {moved}")
    if status in (404, 405) or httpx.codes.is_redirect(status):
        return not_prometheus(url, f" ({status}{_elsewhere(headers)})")
    return None


def _elsewhere(headers: httpx.Headers) -> str:
    """Where a redirect leads, without its query: that of a sign-in page has secrets in it."""
    try:
        target = httpx.URL(headers.get("Location", "")).copy_with(query=None, fragment=None, userinfo=b"")
    except httpx.InvalidURL:
        return ""
    return f", it leads to {target}" if str(target) else ""


def _moved(headers: httpx.Headers) -> str:
    """The address that a redirect of a question leads to; none where it leads to something else, such as a sign-in."""
    target = headers.get("Location", "").partition("?")[0]  # a whole address, or it would be this server again
    found = re.fullmatch(r"(https?://[^@]+)/api/v1/query(_range)?", target)
    return found[1] if found else ""


def not_prometheus(url: str, detail: str = "") -> Stalled:
    return Stalled(
        f"what answers at {url} does not speak the API of Prometheus{detail}",
        hint="give the address that /api/v1/query stands below, such as https://prometheus.example.com/prometheus, not that"
        " of a sign-in page or of a dashboard",
    )


def half_an_answer(url: str) -> Stalled:
    return Stalled(
        f"Prometheus at {url} gave half an answer: its JSON breaks off",
        hint="look at what stands between, such as a proxy that limits the size of answers",
    )
