"""The interface between the ClickHouse sink and a store of rows, and the fake store that tests use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Protocol

from operators.rows import TABLES, Row


class StoreError(RuntimeError):
    """Rows could not be stored. The message names table, number of rows and cause, but no value of a row."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent
        """True when a retry cannot help: a wrong schema, a wrong password."""


class RowStore(Protocol):
    """A store of rows. Only one thread at a time uses it."""

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """Store rows, in the column order of `rows.TABLES[table]`; on return they are durable and queryable.

        Raises:
            StoreError: the rows may or may not be stored; to store them again is harmless.
        """
        ...

    def close(self) -> None:
        """Release the connection."""
        ...


Connector = Callable[[], RowStore]


class MemoryStore:
    """Stores rows in a dictionary; `fail` makes the next inserts fail before or after they store their rows."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {table: [] for table in TABLES}
        self.closed = False
        self._lock = Lock()
        self._failures: list[tuple[bool, bool]] = []

    def fail(self, times: int = 1, *, stored: bool = False, permanent: bool = False) -> None:
        """Make the next inserts fail; with `stored` they store their rows and then fail, as when the answer is lost."""
        self._failures += [(stored, permanent)] * times

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """Append the rows, or fail as `fail` requested."""
        width = len(TABLES[table].columns)
        if any(len(row) != width for row in rows):
            raise StoreError(f"{table}: a row has not {width} columns", permanent=True)
        with self._lock:
            failing = bool(self._failures)
            stored, permanent = self._failures.pop(0) if failing else (True, False)
            if stored:
                self.rows[table] += rows
        if failing:
            raise StoreError(f"{table}: {len(rows)} rows refused", permanent=permanent)

    def close(self) -> None:
        """Set `closed`."""
        self.closed = True
