"""A real Prometheus for tests: filled by promtool, on a port of its own, ended by its pid. Debian's ``prometheus`` has both.

What it is to know is written as OpenMetrics text, cut where blocks of its storage end, and made into blocks by
``promtool tsdb create-blocks-from openmetrics``; nothing is scraped.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import tenacity

BLOCK_SECONDS = 18 * 3600
"""What Prometheus puts together of a few days, where it keeps two weeks or more. promtool reads a file once for each block
that is in it."""

_ONE_FILE = 50_000
"""So few samples are read again faster than promtool is started again."""


@dataclass(frozen=True)
class Sampled:
    """A series as it was scraped: ``values`` at ``seconds`` (unix, ascending). ``nan`` may be among them."""

    name: str
    labels: Mapping[str, str]
    seconds: Sequence[int]
    values: Sequence[float]


def missing() -> str | None:
    """What this machine lacks, with the next step; None when it lacks nothing."""
    lacking = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
    return f"{', '.join(lacking)} not found: apt-get install prometheus" if lacking else None


def openmetrics(samples: Iterable[Sampled]) -> str:
    """The text of an export. Counters (``…_total``) are typed as such, all else as gauges."""
    by_name: dict[str, list[Sampled]] = defaultdict(list)
    for one in samples:
        by_name[one.name].append(one)
    lines: list[str] = []
    for name, found in sorted(by_name.items()):
        family, kind = (name.removesuffix("_total"), "counter") if name.endswith("_total") else (name, "gauge")
        lines.append(f"# TYPE {family} {kind}")
        for one in found:
            labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sorted(one.labels.items()))
            lines += [f"{name}{{{labels}}} {v!r} {s}" for s, v in zip(one.seconds, one.values, strict=True)]
    return "\n".join([*lines, "# EOF\n"])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def fill(data: Path, samples: Sequence[Sampled]) -> None:
    """Blocks in the folder of a Prometheus that does not run yet."""
    if sum(len(one.seconds) for one in samples) <= _ONE_FILE:
        _make_blocks(data, openmetrics(samples))
        return
    by_block: dict[int, list[Sampled]] = defaultdict(list)
    for one in samples:
        for block, seconds, values in _cut(one):
            by_block[block].append(Sampled(one.name, one.labels, seconds, values))
    for _, part in sorted(by_block.items()):
        _make_blocks(data, openmetrics(part))


def _cut(one: Sampled) -> Iterator[tuple[int, list[int], list[float]]]:
    parts: dict[int, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    for second, value in zip(one.seconds, one.values, strict=True):
        seconds, values = parts[second // BLOCK_SECONDS]
        seconds.append(second)
        values.append(value)
    for block, (seconds, values) in parts.items():
        yield block, seconds, values


def _make_blocks(data: Path, text: str) -> None:
    file = data.parent / "export.txt"
    file.write_text(text)
    words = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    words += [f"--max-block-duration={BLOCK_SECONDS}s", str(file), str(data)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass
class Running:
    """A Prometheus that can be asked at ``url``; ``data``: the folder of its storage."""

    url: str
    data: Path
    process: "subprocess.Popen[bytes]"
    log: Path = field(repr=False)

    def stop(self) -> None:
        """End it, as an outage would; ending it twice is one end."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def prometheus_with(samples: Sequence[Sampled] | Running, *options: str) -> Iterator[Running]:
    """A server that knows ``samples``, or what another one was given. ``options``: of its command line, such as
    ``--query.max-samples=1000``.
    """
    home = Path(tempfile.mkdtemp(prefix="trimtab-prometheus-", dir="/tmp"))
    try:
        data = home / "data"
        if isinstance(samples, Running):
            shutil.copytree(samples.data, data, ignore=shutil.ignore_patterns("wal", "chunks_head", "lock", "queries*"))
        else:
            data.mkdir()
            fill(data, samples)
        running = _start(home, data, options)
        try:
            running.url = f"http://{_address(running)}"
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _start(home: Path, data: Path, options: Sequence[str]) -> Running:
    config, log = home / "prometheus.yml", home / "log"
    config.write_text("global: {}\n")
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={data}"]
    # The samples are as old as the tests want them: none is to be thrown away, nor moved while it is read.
    command += ["--storage.tsdb.retention.time=100y", "--storage.tsdb.max-block-duration=2h"]
    command += ["--storage.tsdb.min-block-duration=2h", "--web.listen-address=127.0.0.1:0", *options]
    with log.open("wb") as out:
        # A session of its own: Ctrl-C is for pytest, which then ends the server.
        process = subprocess.Popen(
            command, env={"PATH": os.environ["PATH"]}, cwd=home, stdout=out, stderr=out, start_new_session=True
        )
    return Running("", data, process, log)


@tenacity.retry(
    stop=tenacity.stop_after_delay(60), wait=tenacity.wait_fixed(0.05), retry=tenacity.retry_if_exception_type(OSError)
)
def _address(running: Running) -> str:
    """Where it listens, once it is ready to answer: it says both in its log."""
    text = running.log.read_text()
    assert running.process.poll() is None, text
    found = re.search(r'msg="Listening on" address=(\S+)', text)
    if not found or "Server is ready to receive web requests" not in text:
        raise OSError(f"Prometheus is not ready yet:\n{text[-2000:]}")
    return found[1]
