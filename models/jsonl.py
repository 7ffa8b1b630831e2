"""JSON Lines, plain or gzipped, read and written one row at a time, with errors that name file, line and field."""

import gzip
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, TypeVar

import msgspec

from models.labels import SENTIMENTS, TAGS

Row = dict[str, Any]
T = TypeVar("T")
REPORT_SECONDS = 5.0


class RowError(ValueError):
    """A row that cannot be used; the message names file, line and field, never the text."""


def _open(path: Path) -> Iterator[bytes]:
    if str(path) == "-":
        yield from sys.stdin.buffer
        return
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        yield from lines


def read_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield (line number, row); blank lines are skipped; `-` reads standard input.

    Raises:
        RowError: a line is not a JSON object, or has no `text`.
    """
    try:
        for number, line in enumerate(_open(path), start=1):
            if line.strip():
                yield number, _row(path, number, line)
    except (OSError, EOFError) as error:
        raise RowError(f"{path}: {error}") from error


def _row(path: Path, number: int, line: bytes) -> Row:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RowError(f"{path}:{number}: not valid JSON ({error})") from None
    if not isinstance(row, dict):
        raise RowError(f"{path}:{number}: a row must be a JSON object")
    _check(path, number, row, "text", str, required=True)
    _check(path, number, row, "channel", str)
    return row


def _check(path: Path, number: int, row: Row, name: str, kind: type, *, required: bool = False) -> None:
    value = row.get(name)
    if value is None and not required:
        return
    if not isinstance(value, kind):
        found = "missing" if name not in row else f"a {type(value).__name__}"
        raise RowError(f"{path}:{number}: field '{name}' must be a {kind.__name__}, but is {found}")


def labels_of(path: Path, number: int, row: Row) -> tuple[int, dict[str, bool]]:
    """The labels of a row: index of `sentiment` or -1, and the annotated tags.

    `emotions` may be a list of the tags that hold (all others do not), an object of tag: true or false (others are not
    annotated), or null (none annotated). A list with a name that is no tag of ours is another annotation: ignored.

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
        tags = {tag: tag in named for tag in TAGS} if set(named) <= set(TAGS) else {}
    elif isinstance(named, dict):
        tags = {tag: named[tag] >= 0.5 for tag in TAGS if isinstance(named.get(tag), int | float)}
    else:
        raise RowError(f"{path}:{number}: field 'emotions' must be a list, an object or null")
    return (SENTIMENTS.index(sentiment) if sentiment else -1), tags


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Consecutive lists of at most `size`.

    >>> list(batches("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


class Progress:
    """Says on standard error how far a long input is; a short one stays silent."""

    def __init__(self, verb: str, stream: TextIO = sys.stderr) -> None:
        self.verb, self.stream = verb, stream
        self.done, self.started = 0, time.monotonic()
        self.last = self.started

    def add(self, count: int) -> None:
        """Count rows; prints at most every few seconds."""
        self.done += count
        now = time.monotonic()
        if now - self.last >= REPORT_SECONDS:
            self.last = now
            rate = self.done / (now - self.started)
            print(f"{self.verb} {self.done:,} rows, {rate:,.0f} a second", file=self.stream, flush=True)


class Writer:
    """Writes rows to a file that appears under its name only when complete; `-` writes standard output."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = path.with_name(path.name + ".partial")
        if str(path) == "-":
            self.stream: Any = sys.stdout.buffer
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            zipped = path.suffix == ".gz"
            self.stream = gzip.GzipFile(self.partial, "wb", 5) if zipped else self.partial.open("wb")

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
        if failed:
            self.partial.unlink()
        else:
            os.replace(self.partial, self.path)
