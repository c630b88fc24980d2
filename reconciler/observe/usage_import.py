"""Files of usage → batches of samples and push bodies (``trimtab usage import``, DESIGN §11).

``.csv``, ``.json`` and ``.jsonl``, also gzipped (``.csv.gz``). A file is read as a stream, so that one of millions of
rows needs no more memory than one of fifty thousand.
"""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from reconciler.errors import InputError, Where
from reconciler.observe.usage_batch import SHOWN_ERRORS, BadUsage, RowError, UsageBatch
from reconciler.observe.usage_csv import CsvReader
from reconciler.observe.usage_json import read_json_document, read_json_lines

FORMATS = (".csv", ".json", ".jsonl")

Progress = Callable[[int, int], None]
"""Told how far the import is: bytes done, and bytes to do in all."""


def read_usage(
    path: Path, *, keep_going: bool = False, default_cluster: str = "", on_progress: Progress | None = None
) -> Iterator[UsageBatch]:
    """Read a file of usage, batch by batch.

    With ``keep_going`` each batch tells its bad rows beside its good ones. Without it the whole file is checked before
    the first batch is given, so that nothing of a file with a bad row is ever stored. ``default_cluster``: whose usage
    it is where a row or body does not say.

    :raises BadUsage: without ``keep_going``, when a row cannot be used: the first 20 by line, and how many there are.
    :raises InputError: when nothing of the file can be used: no such file, another format, a wrong header, broken gzip.
    """
    source = _Source(path, on_progress, passes=1 if keep_going else 2)
    if keep_going:
        yield from source.batches(default_cluster)
        return
    _refuse_bad_rows(source, default_cluster)
    for batch in source.batches(default_cluster):
        if batch.errors:
            raise BadUsage(str(path), list(batch.errors), len(batch.errors), batch.rows)
        yield batch


def _refuse_bad_rows(source: "_Source", default_cluster: str) -> None:
    errors: list[RowError] = []
    count = rows = 0
    for batch in source.batches(default_cluster):
        errors += batch.errors[: SHOWN_ERRORS - len(errors)]
        count += len(batch.errors)
        rows += batch.rows
    if count:
        raise BadUsage(str(source.path), sorted(errors, key=lambda error: error.line), count, rows)


class _Source:
    """A file that is read once or twice, and tells how far it is."""

    def __init__(self, path: Path, on_progress: Progress | None, *, passes: int) -> None:
        self.path = path
        self._zipped = path.suffix.lower() == ".gz"
        self._format = Path(path.stem).suffix.lower() if self._zipped else path.suffix.lower()
        self._on_progress = on_progress
        self._passes = passes
        self._done = 0
        if self._format not in FORMATS:
            raise InputError(
                f"{path.name} is in none of the formats that can be imported",
                where=Where(str(path)),
                hint="name it .csv, .json or .jsonl (or .csv.gz and so on), after what is in it",
            )
        if not path.is_file():
            raise InputError(
                "there is no such file" if not path.exists() else "not a regular file; it must be readable twice",
                where=Where(str(path)),
            )
        self._size = path.stat().st_size

    def batches(self, default_cluster: str) -> Iterator[UsageBatch]:
        with self._opened() as (raw, stream):
            for batch in self._parsed(stream, default_cluster):
                self._tell(raw.tell())
                yield batch
        self._done += self._size
        self._tell(0)

    def _parsed(self, stream: TextIO, default_cluster: str) -> Iterator[UsageBatch]:
        if self._format == ".csv":
            return CsvReader(stream, path=str(self.path), default_cluster=default_cluster).batches()
        if self._format == ".jsonl":
            return read_json_lines(stream, default_cluster=default_cluster)
        return read_json_document(stream, path=str(self.path), default_cluster=default_cluster)

    @contextmanager
    def _opened(self) -> Iterator[tuple[BinaryIO, TextIO]]:
        """The file as bytes (how far it is) and as text. Bytes that are not UTF-8 become lone surrogates, which no
        field accepts: the row that has them is told by its line."""
        try:
            with self.path.open("rb") as raw:
                content = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if self._zipped else raw
                with io.TextIOWrapper(content, "utf-8-sig", errors="surrogateescape", newline="") as stream:
                    yield raw, stream
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(f"not a whole gzip file: {error}", where=Where(str(self.path))) from error
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror or error}", where=Where(str(self.path))) from error

    def _tell(self, position: int) -> None:
        if self._on_progress is not None:
            total = self._size * self._passes
            self._on_progress(min(self._done + position, total), total)
