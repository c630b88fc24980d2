"""Asking a Prometheus, or any server with its HTTP API (Thanos, Mimir, VictoriaMetrics): instant and range queries.

API: https://prometheus.io/docs/prometheus/latest/querying/api/. An answer is read up to a limit, and turned into columns.
No message, log line or error has the token, or the user and password of the URL, in it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from reconciler.clock import stopwatch
from reconciler.errors import RetryLater, Stalled, TrimtabError

ANSWER_BYTES = 48 << 20
"""The longest answer that is read. Decoded, it takes about eight times as much memory for a moment."""

_ERROR_BYTES = 1 << 16
_SHOWN_CHARACTERS = 300
_AFTER_SECONDS = 30.0

_TOO_MUCH = re.compile(
    r"too many (samples|points|series|chunks|bytes)|exceed\w* (the )?(maximum|max|limit|series|sample|-search\.)|"
    r"(maximum|max)[ -]?(resolution|number|query|samples|series)|(larger|bigger) than max|range exceeds|would load",
    re.IGNORECASE,
)
_BELOW = re.compile(r"/(graph|api/v1(/(query|query_range)?)?)/?$")
"""What people copy with the address: the page of its own, or the path of a question."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class PrometheusBusy(RetryLater):
    """Prometheus is away, or took too long: the same question may be answered later, a smaller one sooner."""


class TooMuch(TrimtabError):
    """The question needs more than the server allows, or its answer is longer than we read: ask for a shorter time, or for
    one namespace at a time.
    """


@dataclass(frozen=True)
class Point:
    """One series of an instant query, ``second`` its unix time. ``value`` may be NaN or infinite, as Prometheus says it."""

    labels: Mapping[str, str]
    value: float
    second: int = 0


@dataclass(frozen=True, eq=False)
class Line:
    """One series of a range query. ``seconds``: unix, ascending. ``values`` may be NaN or infinite."""

    labels: Mapping[str, str]
    seconds: NDArray[np.int64]
    values: NDArray[np.float64]


class Prometheus:
    """A connection to one server; to be closed. Safe to use from several threads.

    ``token`` is sent as ``Authorization: Bearer``; without one, a user and password in ``url`` are. ``timeout``: seconds
    that one answer may take, all of it.

    ``url`` afterwards is what may be shown to people; ``warnings`` are what the server said beside its answers, such as
    that they are partial: each once, and at most a hundred.

    :raises Stalled: when ``url`` is none, or ``token`` cannot be one.
    """

    def __init__(self, url: str, *, token: str = "", timeout: float = 30.0, answer_bytes: int = ANSWER_BYTES) -> None:
        given = _checked(url)
        self.url = str(given.copy_with(userinfo=b"")).rstrip("/")
        self.warnings: list[str] = []
        self._timeout, self._answer_bytes = timeout, answer_bytes
        token = _checked_token(token)
        self._secrets = [secret for secret in (token, given.password) if secret]
        auth = httpx.BasicAuth(given.username, given.password) if given.username and not token else None
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._posts = True  # what only reads may be all that is let through
        self._client = httpx.Client(auth=auth, headers=headers, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def query(self, promql: str, at: datetime) -> list[Point]:
        """The value of every series of ``promql`` at one instant.

        :raises PrometheusBusy: when the server is away, overloaded or slow. :raises TooMuch: when the question is too
            large. :raises Stalled: when it refuses us or the question, or does not speak Prometheus' API.
        """
        data = self._ask("query", {"query": promql, "time": _unix(at)})
        with _Shape(self.url):
            result = data["result"]
            if data.get("resultType") in ("scalar", "string"):
                return [Point({}, float(result[1]), int(result[0]))]
            return [_point(series["metric"], series["value"]) for series in result if "value" in series]

    def query_range(self, promql: str, start: datetime, end: datetime, step_seconds: int) -> list[Line]:
        """The values of every series of ``promql`` at ``start``, ``start + step_seconds`` … up to and with ``end``.

        Raises what :meth:`query` does.
        """
        asked = {"query": promql, "start": _unix(start), "end": _unix(end), "step": str(step_seconds)}
        data = self._ask("query_range", asked)
        with _Shape(self.url):
            return [_line(series["metric"], series["values"]) for series in data["result"] if "values" in series]

    def _ask(self, what: str, form: Mapping[str, str]) -> dict[str, Any]:
        try:
            status, headers, body = self._send(f"{self.url}/api/v1/{what}", form)
            if status == httpx.codes.METHOD_NOT_ALLOWED and self._posts:
                self._posts = False
                status, headers, body = self._send(f"{self.url}/api/v1/{what}", form)
        except httpx.TimeoutException:
            raise self._too_slow() from None
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise self._away(error) from None
        if status != httpx.codes.OK:
            raise self._refusal(status, headers, body)
        answer = self._decoded(body)
        if answer.get("status") == "error":
            raise self._refusal(httpx.codes.BAD_REQUEST, headers, body)
        if answer.get("status") != "success":
            raise _not_prometheus(self.url)
        for warning in answer.get("warnings") or ():
            if (said := self._said(str(warning))) not in self.warnings and len(self.warnings) < 100:
                self.warnings.append(said)
        data = answer.get("data")
        if not isinstance(data, dict):
            raise _not_prometheus(self.url)
        return data

    def _send(self, url: str, form: Mapping[str, str]) -> tuple[int, httpx.Headers, bytes]:
        elapsed = stopwatch()
        form = {**form, "timeout": f"{self._timeout:g}s"}
        post = self._posts
        with self._client.stream(
            "POST" if post else "GET", url, data=form if post else None, params=None if post else form
        ) as response:
            most = self._answer_bytes if response.status_code == httpx.codes.OK else _ERROR_BYTES
            body = bytearray()
            for part in response.iter_bytes():
                body += part
                if len(body) > most and response.status_code == httpx.codes.OK:
                    raise TooMuch(
                        f"the answer of Prometheus at {self.url} is longer than {most / 2**20:g} MiB", hint=_SMALLER
                    )
                if len(body) > most:
                    break
                if elapsed() > self._timeout:
                    raise self._too_slow()
            return response.status_code, response.headers, bytes(body)

    def _decoded(self, body: bytes) -> dict[str, Any]:
        try:
            answer = from_json(body, cache_strings="keys")
        except ValueError:
            began = body.lstrip()[:1] == b"{"
            raise (_half_an_answer(self.url) if began else _not_prometheus(self.url)) from None
        if not isinstance(answer, dict):
            raise _not_prometheus(self.url)
        return answer

    # --- what went wrong, in words -----------------------------------------------------------------------------------

    def _said(self, text: str) -> str:
        """Words of the server as they may be shown: one line, not long, without a secret that it repeats."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return _CONTROL.sub(" ", text).strip()[:_SHOWN_CHARACTERS]

    def _too_slow(self) -> PrometheusBusy:
        return PrometheusBusy(
            f"Prometheus at {self.url} took longer than {self._timeout:g} s to answer",
            after_seconds=_AFTER_SECONDS,
            hint="try again in a while; if that goes on, look at how busy it is",
        )

    def _away(self, error: Exception) -> TrimtabError:
        said = self._said(str(error)) or type(error).__name__
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

    def _refusal(self, status: int, headers: httpx.Headers, body: bytes) -> TrimtabError:
        said = self._said(_error_text(body))
        because = f": {said}" if said else ""
        if status in (400, 413, 422, 500, 503) and (status in (413, 422) or _TOO_MUCH.search(said)):
            return TooMuch(f"the question is too large for Prometheus at {self.url} ({status}){because}", hint=_SMALLER)
        if status in (408, 429) or status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return PrometheusBusy(
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


_SMALLER = "ask for less at a time: a shorter window, fewer namespaces, or a longer step"


def _checked(url: str) -> httpx.URL:
    """The URL is not repeated where it cannot be read: it may have a password in it."""
    hint = "write it as https://prometheus.example.com:9090"
    try:
        given = httpx.URL(url.strip())
    except httpx.InvalidURL:
        raise Stalled("the address of Prometheus is not a URL", hint=hint) from None
    if given.scheme not in ("http", "https") or not given.host:
        raise Stalled("the address of Prometheus does not begin with http:// or https:// and a host", hint=hint)
    if given.query or given.fragment:
        raise Stalled("the address of Prometheus has a ? or # in it, which would be lost", hint=hint)
    return given.copy_with(path=_BELOW.sub("", given.path) or "/")


def _checked_token(token: str) -> str:
    token = token.strip()
    if not (token.isascii() and token.isprintable()):
        raise Stalled(
            "the token for Prometheus has characters in it that no token has, such as a line break",
            hint="look at TRIMTAB_PROMETHEUS_TOKEN",
        )
    return token


def _unix(instant: datetime) -> str:
    return f"{instant.timestamp():.3f}"


def _point(labels: Mapping[str, str], pair: tuple[float, str]) -> Point:
    return Point(labels, float(pair[1]), int(pair[0]))


def _line(labels: Mapping[str, str], values: list[tuple[float, str]]) -> Line:
    seconds = np.fromiter((pair[0] for pair in values), np.float64, len(values)).astype(np.int64)
    return Line(labels, seconds, np.fromiter((float(pair[1]) for pair in values), np.float64, len(values)))


class _Shape:
    """What is in the block reads an answer: one of another shape is not Prometheus'."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, KeyError | TypeError | ValueError | IndexError | AttributeError):
            raise _not_prometheus(self._url) from None


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
        return _not_prometheus(url, f" ({status}{_elsewhere(headers)})")
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


def _not_prometheus(url: str, detail: str = "") -> Stalled:
    return Stalled(
        f"what answers at {url} does not speak the API of Prometheus{detail}",
        hint="give the address that /api/v1/query stands below, such as https://prometheus.example.com/prometheus, not that"
        " of a sign-in page or of a dashboard",
    )


def _half_an_answer(url: str) -> Stalled:
    return Stalled(
        f"Prometheus at {url} gave half an answer: its JSON breaks off",
        hint="look at what stands between, such as a proxy that limits the size of answers",
    )
