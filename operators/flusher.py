"""Buffer rows in the worker and insert them into the store in the background, several tables at the same time.

A thread inserts about every `interval` seconds, so that rows are fresh between epochs, and at once when many wait.
The worker waits for its rows at the end of each epoch. An insert costs the engine some milliseconds even for few
rows, so several connections shorten that wait. `flush` returns when all rows added before it are acknowledged. A
failure that lasts beyond the deadline is raised by the next call of any method, and by all later ones: the job then
restarts from its snapshot and its replay produces the rows again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import LifoQueue

import msgspec

from operators.row_store import Connector, RowStore, StoreError
from operators.rows import Row

LOG = logging.getLogger("undertone.store")

OnInserted = Callable[[str, Sequence[Row]], None]


class FlushPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When rows are inserted, and for how long a failed insert is retried. Times in seconds."""

    interval: float = 0.5
    max_rows: int = 50_000
    """Insert at once when this many rows wait; the worker is blocked while four times as many do."""
    connections: int = 4
    """Most inserts at the same time, each into another table."""
    retry_first: float = 0.1
    """Wait before the first retry; each next wait is twice as long, up to `retry_longest`."""
    retry_longest: float = 5.0
    deadline: float = 60.0
    """Time for which an insert is retried, counted from when its batch was taken from the buffer."""


def _ignore(table: str, rows: Sequence[Row]) -> None:
    """Do nothing with the inserted rows."""


class Flusher:
    """Buffer and background thread of one sink partition. `add`, `flush` and `close` are called by one worker."""

    def __init__(self, connect: Connector, policy: FlushPolicy, on_inserted: OnInserted = _ignore) -> None:
        self._connect = connect
        self._policy = policy
        self._on_inserted = on_inserted
        self._stores: LifoQueue[RowStore | None] = LifoQueue()  # the last one put back, which is open, comes first
        """Connections that are not in use; None stands for one that is not open yet."""
        for _ in range(policy.connections):
            self._stores.put(None)
        self._changed = threading.Condition()
        self._waiting: dict[str, list[Row]] = {}
        self._pending = 0
        """Number of rows that wait or are being inserted."""
        self._hurry = False
        self._closing = False
        self._error: StoreError | None = None
        self._told = False
        self._thread = threading.Thread(target=self._run, name="row-flusher", daemon=True)
        """Started by the first call of `add`."""

    def add(self, blocks: Iterable[tuple[str, Sequence[Row]]]) -> None:
        """Buffer rows by table; block while `4 * max_rows` or more are pending.

        Raises:
            StoreError: an earlier insert failed and is not retried any more.
        """
        if self._thread.ident is None:
            self._thread.start()
        with self._changed:
            for table, rows in blocks:
                self._waiting.setdefault(table, []).extend(rows)
                self._pending += len(rows)
            if self._pending >= self._policy.max_rows:
                self._hurry = True
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._error or self._pending < 4 * self._policy.max_rows)
            self._raise_error()

    def flush(self) -> None:
        """Insert all rows that were added, and wait until they are acknowledged.

        Raises:
            StoreError: an insert failed and is not retried any more.
        """
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._error or self._pending == 0)
            self._raise_error()

    def close(self) -> None:
        """Flush and end the thread.

        Raises:
            StoreError: the last rows could not be stored, and no call has raised this error before. The engine also
                closes a partition that failed, and a second error there aborts the process before it prints the cause.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._told:
            return  # to wait for pending inserts into the failed store would only delay the error message
        if self._thread.ident is not None:
            self._thread.join()
        self._raise_error()

    def _raise_error(self) -> None:
        if self._error is not None:
            self._told = True
            raise StoreError(str(self._error), permanent=self._error.permanent)

    def _run(self) -> None:
        with ThreadPoolExecutor(self._policy.connections, "row-insert") as threads:
            try:
                while (batch := self._next_batch()) is not None:
                    # One batch at a time: the rows of a table are inserted in the order in which they were added.
                    give_up = time.monotonic() + self._policy.deadline
                    inserts = [threads.submit(self._insert, table, rows, give_up) for table, rows in batch.items()]
                    for inserted in inserts:
                        inserted.result()
            except Exception as error:  # any error that ends this thread must reach the worker
                self._fail(error)
        for _ in range(self._policy.connections):
            if store := self._stores.get():
                store.close()

    def _next_batch(self) -> dict[str, list[Row]] | None:
        """Wait for the interval or a request to insert, then take the waiting rows; None when closing and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._hurry or self._closing, timeout=self._policy.interval)
            batch, self._waiting = self._waiting, {}
            self._hurry = False
            return None if self._closing and not batch else batch

    def _insert(self, table: str, rows: list[Row], give_up: float) -> None:
        """Insert; retry with growing waits until the deadline, also when the connection itself fails."""
        store = self._stores.get()
        try:
            wait = self._policy.retry_first
            while True:
                try:
                    store = store or self._connect()
                    store.insert(table, rows)
                    break
                except StoreError as error:
                    if error.permanent or time.monotonic() + wait > give_up:
                        raise
                    if wait == self._policy.retry_first:
                        LOG.warning("%s; tried again for %.0f s", error, give_up - time.monotonic())
                time.sleep(wait)
                wait = min(2 * wait, self._policy.retry_longest)
        finally:
            self._stores.put(store)
        self._on_inserted(table, rows)
        with self._changed:
            self._pending -= len(rows)
            self._changed.notify_all()

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._error = error if isinstance(error, StoreError) else StoreError(f"flusher: {type(error).__name__}")
            self._changed.notify_all()
