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
from reconciler.errors import Stalled
from reconciler.observe.prometheus_trouble import (
    SMALLER,
    PrometheusBusy,
    PrometheusSlow,
    TooMuch,
    Trouble,
    half_an_answer,
    not_prometheus,
)

__all__ = ["ANSWER_BYTES", "Line", "Point", "Prometheus", "PrometheusBusy", "PrometheusSlow", "TooMuch"]

ANSWER_BYTES = 48 << 20
"""The longest answer that is read. Decoded, it takes about eight times as much memory for a moment."""

_ERROR_BYTES = 1 << 16

_BELOW = re.compile(r"/(graph|api/v1(/(query|query_range)?)?)/?$")
"""What people copy with the address: the page of its own, or the path of a question."""


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
        self._trouble = Trouble(self.url, [secret for secret in (token, given.password) if secret], timeout)
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
            raise self._trouble.too_slow() from None
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise self._trouble.away(error) from None
        if status != httpx.codes.OK:
            raise self._trouble.refusal(status, headers, body)
        answer = self._decoded(body)
        if answer.get("status") == "error":
            raise self._trouble.refusal(httpx.codes.BAD_REQUEST, headers, body)
        if answer.get("status") != "success":
            raise not_prometheus(self.url)
        for warning in answer.get("warnings") or ():
            if (said := self._trouble.said(str(warning))) not in self.warnings and len(self.warnings) < 100:
                self.warnings.append(said)
        data = answer.get("data")
        if not isinstance(data, dict):
            raise not_prometheus(self.url)
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
                        f"the answer of Prometheus at {self.url} is longer than {most / 2**20:g} MiB", hint=SMALLER
                    )
                if len(body) > most:
                    break
                if elapsed() > self._timeout:
                    raise self._trouble.too_slow()
            return response.status_code, response.headers, bytes(body)

    def _decoded(self, body: bytes) -> dict[str, Any]:
        try:
            answer = from_json(body, cache_strings="keys")
        except ValueError:
            began = body.lstrip()[:1] == b"{"
            raise (half_an_answer(self.url) if began else not_prometheus(self.url)) from None
        if not isinstance(answer, dict):
            raise not_prometheus(self.url)
        return answer


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
            raise not_prometheus(self._url) from None
