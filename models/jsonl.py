"""JSON Lines, plain or gzipped, read and written one row at a time, with errors that name file, line and field."""

import gzip
import json
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, TextIO, TypeVar

import msgspec

from models.labels import SENTIMENTS, TAGS

Row = dict[str, Any]
T = TypeVar("T")
REPORT_SECONDS = 5.0
GZIP_MARK = b"\x1f\x8b"
LONGEST_LINE = 64 << 20
"""Bytes; a longer line is refused, because a file without line ends would otherwise be read into memory whole."""
BATCH_ROWS = 512
BATCH_BYTES = 8 << 20
"""A batch ends at `BATCH_ROWS` or at `BATCH_BYTES`, whichever comes first, so that long texts do not fill memory."""


class RowError(ValueError):
    """A row that cannot be used; the message names file, line and field, never the text."""


class Line(NamedTuple):
    """A row and where it came from."""

    number: int
    """From 1."""
    row: Row
    size: int
    """Bytes of its line."""


def stop(error: RowError) -> None:
    """Default reaction to a bad row: raise its error."""
    raise error


class Skipped:
    """Counts bad rows instead of stopping at the first: pass it to `read_rows`."""

    def __init__(self) -> None:
        self.count = 0
        self.first: RowError | None = None

    def __call__(self, error: RowError) -> None:
        """Count one."""
        self.count += 1
        self.first = self.first or error


def _lines(path: Path) -> Iterator[bytes]:
    """Lines of a file or, for `-`, of standard input; gzip is recognised by its first bytes, not by the file's name."""
    with ExitStack() as stack:
        stream: Any = sys.stdin.buffer if str(path) == "-" else stack.enter_context(path.open("rb"))
        if stream.peek(2)[:2] == GZIP_MARK:
            stream = stack.enter_context(gzip.open(stream, "rb"))
        while line := stream.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise OSError(f"a line is longer than {LONGEST_LINE >> 20} MiB: one JSON object a line is expected")
            yield line


def read_rows(path: Path, on_bad: Callable[[RowError], None] = stop) -> Iterator[Line]:
    """Yield the rows of a file; blank lines are skipped; `-` reads standard input.

    Args:
        path: UTF-8, with or without a byte order mark, any line ends, gzipped or not.
        on_bad: Called for a line that is not a JSON object or has no usable `text`; reading goes on if it returns.

    Raises:
        RowError: the file cannot be read, or `on_bad` raised it.
    """
    try:
        for number, line in enumerate(_lines(path), start=1):
            if not line.strip():
                continue
            try:
                row = _row(path, number, line)
            except RowError as error:
                on_bad(error)
            else:
                yield Line(number, row, len(line))
    except (OSError, EOFError, zlib.error) as error:
        raise RowError(f"{path}: {error}") from error


def _row(path: Path, number: int, line: bytes) -> Row:
    try:
        row = _decoded(line)
    except (ValueError, RecursionError) as error:
        raise RowError(f"{path}:{number}: not valid JSON ({error})") from None
    if not isinstance(row, dict):
        raise RowError(f"{path}:{number}: a row must be a JSON object")
    if "text" not in row:
        raise RowError(f"{path}:{number}: field 'text' is missing")
    for name in ("text", "channel"):
        if not isinstance(row.get(name), str | None):
            raise RowError(f"{path}:{number}: field '{name}' must be a string or null")
    return row


def _decoded(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # Python's parser accepts what Python's writer makes and msgspec refuses: NaN, half a surrogate pair (a text
        # that was cut within an emoji), a byte order mark. The half becomes "?", because it cannot be written as UTF-8.
        forgiven = json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8", "replace")
        return json.loads(forgiven)


def text_of(row: Row) -> str:
    """The text of a row; null (a missing value in a table) becomes an empty text, on which the scorer abstains."""
    return row["text"] or ""


def channel_of(row: Row) -> str:
    """The channel of a row as the calibration spells it; the calibration uses its global fit for unknown names.

    >>> channel_of({"channel": " Chat"}), channel_of({"channel": None}), channel_of({})
    ('chat', '', '')
    """
    return (row.get("channel") or "").strip().lower()


def labels_of(path: Path, number: int, row: Row) -> tuple[int, dict[str, bool]]:
    """The labels of a row: index of `sentiment` or -1, and the annotated tags.

    `emotions` (or `tags` where that is missing) may be a list of the tags that hold (all others do not), an object of
    tag: true or false (other tags are not annotated), or null (none annotated). A number in an object holds from 0.5
    on. A list is ignored if it has a name that is not one of our tags: it comes from another annotation scheme.

    Raises:
        RowError: a label has the wrong type or an unknown sentiment.
    """
    sentiment = row.get("sentiment")
    if sentiment is not None and sentiment not in SENTIMENTS:
        raise RowError(f"{path}:{number}: field 'sentiment' must be one of {', '.join(SENTIMENTS)} or null")
    named = row.get("emotions", row.get("tags"))
    if named is None:
        tags = {}
    elif isinstance(named, list):
        tags = {tag: tag in named for tag in TAGS} if all(name in TAGS for name in named) else {}
    elif isinstance(named, dict):
        tags = {tag: named[tag] >= 0.5 for tag in TAGS if isinstance(named.get(tag), int | float)}
    else:
        raise RowError(f"{path}:{number}: field 'emotions' must be a list, an object or null")
    return (SENTIMENTS.index(sentiment) if sentiment else -1), tags


def batches(items: Iterable[T], weigh: Callable[[T], int]) -> Iterator[list[T]]:
    """Cut items into lists: a list ends at `BATCH_ROWS` items or when their `weigh` adds up to `BATCH_BYTES`.

    >>> [len(batch) for batch in batches(range(BATCH_ROWS + 1), lambda item: 0)]
    [512, 1]
    """
    batch: list[T] = []
    weight = 0
    for item in items:
        batch.append(item)
        weight += weigh(item)
        if len(batch) == BATCH_ROWS or weight >= BATCH_BYTES:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


class Progress:
    """Prints on standard error how many rows of a long input are done; prints nothing for a short input."""

    def __init__(self, verb: str, stream: TextIO = sys.stderr) -> None:
        self.verb, self.stream = verb, stream
        self.done, self.started = 0, time.monotonic()
        self.last = self.started

    def add(self, count: int) -> None:
        """Count rows; print at most every `REPORT_SECONDS`."""
        self.done += count
        now = time.monotonic()
        if now - self.last >= REPORT_SECONDS:
            self.last = now
            rate = self.done / (now - self.started)
            print(f"{self.verb} {self.done:,} rows, {rate:,.0f} a second", file=self.stream, flush=True)


class Writer:
    """Writes rows to a file that appears under its name only when complete; `-` writes standard output.

    A target that is not an ordinary file (a pipe, `/dev/null`) is written to directly, because replacing it would
    destroy it. Equal rows give equal bytes, also when gzipped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = path.with_name(path.name + ".partial")
        self.direct = path.exists() and not path.is_file()
        if str(path) == "-":
            self.stream: Any = sys.stdout.buffer
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = (path if self.direct else self.partial).open("wb")
        zipped = path.suffix == ".gz"
        self.stream = gzip.GzipFile("", "wb", 5, self.file, mtime=0) if zipped else self.file

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows."""
        for row in rows:
            self.stream.write(msgspec.json.encode(row) + b"\n")

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        if str(self.path) == "-":
            self.stream.flush()
            return
        self.stream.close()
        self.file.close()
        if self.direct:
            return
        if failed:
            self.partial.unlink()
        else:
            os.replace(self.partial, self.path)
