"""A Prometheus that fails on demand: real HTTP, series that the test gives, and as much of PromQL as Trimtab asks.

It reads the first selector of a question, groups by the labels of ``by (…)``, and takes ``rate`` and ``…_over_time`` as
done: a series' values are what is asked for.
"""

import json
import math
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

_SELECTOR = re.compile(r'([a-z_:]*)\{((?:[^{}"]|"(?:[^"\\]|\\.)*")*)\}')
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)("(?:[^"\\]|\\.)*")')

Answer = tuple[int, bytes]


@dataclass(frozen=True)
class Series:
    """``value`` by unix second, from ``begin`` to ``end``."""

    name: str
    labels: Mapping[str, str]
    value: float | Callable[[int], float]
    begin: int = 0
    end: int = 1 << 40

    def at(self, second: int) -> float | None:
        if not self.begin <= second <= self.end:
            return None
        return self.value(second) if callable(self.value) else self.value

    def grown(self, second: int) -> float | None:
        """By how much, in five minutes."""
        now, before = self.at(second), self.at(second - 300)
        return None if now is None or before is None else now - before


@dataclass(frozen=True)
class Asked:
    """One question as it came in; ``first`` and ``last`` are unix seconds."""

    query: str
    first: int
    last: int
    headers: Mapping[str, str]

    @property
    def steps(self) -> int:
        return (self.last - self.first) // 300 + 1


@dataclass
class FakePrometheus:
    """``gets_only``: a POST is a 405. ``most_samples``: what one range query may touch; more is a 422. ``failures``: what the next questions get, one each;
    ``fail`` may pick which question fails instead. ``warnings`` go with every answer."""

    url: str = ""
    series: list[Series] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    most_samples: int = 1 << 40
    failures: list[Answer | str] = field(default_factory=list)
    fail: Callable[[Asked], "Answer | str | None"] = lambda _asked: None
    warnings: list[str] = field(default_factory=list)
    gets_only: bool = False
    released: threading.Event = field(default_factory=threading.Event)

    def container(self, namespace: str, pod: str, name: str, *, cpu: Any, memory: Any, **more: Any) -> None:
        """A container with its usage; ``cluster``: its label."""
        labels = {"namespace": namespace, "pod": pod, "container": name}
        if cluster := more.pop("cluster", ""):
            labels["cluster"] = cluster
        self.series += [
            Series("container_cpu_usage_seconds_total", labels, cpu, **more),
            Series("container_memory_working_set_bytes", labels, memory, **more),
        ]

    def owner(self, namespace: str, pod: str, kind: str, name: str, **labels: str) -> None:
        said = {"namespace": namespace, "pod": pod, "owner_kind": kind, "owner_name": name, **labels}
        self.series.append(Series("kube_pod_owner", said, 1))

    def answer(self, asked: Asked, step: int | None) -> dict[str, Any]:
        found = self._grouped(asked, step or 300)
        if step is None:
            result = [{"metric": dict(labels), "value": next(iter(values))} for labels, values in found]
            return {"resultType": "vector", "result": result}
        return {"resultType": "matrix", "result": [{"metric": dict(labels), "values": v} for labels, v in found]}

    def _grouped(self, asked: Asked, step: int) -> list[tuple[tuple[tuple[str, str], ...], list[list[Any]]]]:
        if asked.query.startswith("quantile("):
            return [((), [[asked.last, "30"]])]
        by = re.search(r"(max|count)(?: by \(([^)]*)\))?", asked.query)
        assert by is not None, asked.query
        names = [name.strip() for name in (by[2] or "").split(",") if name.strip()]
        groups: dict[tuple[tuple[str, str], ...], dict[int, float]] = defaultdict(dict)
        for series in self._selected(asked.query):
            group = tuple((name, series.labels[name]) for name in names if name in series.labels)
            for second in range(asked.first, asked.last + 1, step):
                value = series.grown(second) if " offset " in asked.query else series.at(second)
                if "changes(" in asked.query:
                    value = 1.0  # any may have changed
                if value is None or (asked.query.endswith("> 0") and not value > 0):
                    continue
                known = groups[group].get(second)
                if by[1] == "count":
                    value = (known or 0) + 1
                elif known is not None and not math.isnan(value):
                    value = max(known, value)
                groups[group][second] = float(value)
        shown = [(group, [[second, str(value)] for second, value in v.items()]) for group, v in groups.items()]
        return [(group, values) for group, values in shown if values]

    def _selected(self, query: str) -> Iterator[Series]:
        selector = _SELECTOR.search(query)
        assert selector is not None, query
        matchers = [(label, how, json.loads(text)) for label, how, text in _MATCHER.findall(selector[2])]
        if selector[1]:
            matchers.append(("__name__", "=", selector[1]))
        for series in self.series:
            labels = {**series.labels, "__name__": series.name}
            if all(_matches(labels.get(label, ""), how, text) for label, how, text in matchers):
                yield series

    def too_many(self, asked: Asked) -> bool:
        return len(list(self._selected(asked.query))) * asked.steps > self.most_samples


def _matches(value: str, how: str, text: str) -> bool:
    hit = re.fullmatch(text, value) is not None if "~" in how else value == text
    return hit != how.startswith("!")


@contextmanager
def fake_prometheus() -> Iterator[FakePrometheus]:
    """Listens on a port of its own until the block ends."""
    fake = FakePrometheus()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if fake.gets_only:
                self._send(405, b"only what reads is let through")
            else:
                self._answer(parse_qs(body))

        def do_GET(self) -> None:
            self._answer(parse_qs(self.path.partition("?")[2]))

        def _answer(self, form: dict[str, list[str]]) -> None:
            one = {name: values[0] for name, values in form.items()}
            first = round(float(one.get("start") or one["time"]))
            last = round(float(one.get("end") or one["time"]))
            asked = Asked(one["query"], first, last, dict(self.headers))
            fake.asked.append(asked)
            failure = fake.failures.pop(0) if fake.failures else fake.fail(asked)
            if failure == "hang":
                fake.released.wait(30)
                return
            if isinstance(failure, str) and failure.startswith("http"):
                self._send(308, b"", Location=failure)
            elif isinstance(failure, tuple):
                self._send(*failure)
            elif "step" in one and fake.too_many(asked):
                self._send(422, _error("execution", "query processing would load too many samples into memory"))
            else:
                data = fake.answer(asked, int(one["step"]) if "step" in one else None)
                body = json.dumps({"status": "success", "data": data, "warnings": fake.warnings}).encode()
                if failure == "half":
                    self._send(200, body[: len(body) // 2])
                elif failure == "broken off":
                    self._send(200, body, sent=len(body) // 2)
                else:
                    self._send(200, body)

        def _send(self, status: int, body: bytes, *, sent: int | None = None, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # who asked has left
                self.wfile.write(body[:sent])

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: what was asked is in ``asked``."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        fake.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield fake
        fake.released.set()
        server.shutdown()
        thread.join()


def _error(kind: str, text: str) -> bytes:
    return json.dumps({"status": "error", "errorType": kind, "error": text}).encode()


def refused(status: int, text: str = "no", kind: str = "bad_data") -> Answer:
    """An answer with Prometheus' envelope of errors."""
    return status, _error(kind, text)
