"""The sink of all rows: it buffers in `write_batch`, flushes and waits in `snapshot()`, and raises when that fails.

Bytewax calls `snapshot()` once per epoch before it commits the epoch, so the rows of a committed epoch are stored.
After a crash the last epochs are replayed and their rows inserted again, which is harmless because rows with the same
identity and version replace each other. The sink itself has no state.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from prometheus_client import Histogram

from operators import metrics
from operators.first_failure import watched
from operators.flusher import Flusher, FlushPolicy, OnInserted
from operators.row_store import Connector
from operators.rows import TABLES, Row

Block = tuple[str, Sequence[Row]]
"""Name of a table, and rows for it."""
PARTITIONS: Final = 1024
"""Number of sink partitions, and so the most processes. It is fixed, because the engine stores a row for each partition
that was ever written to and cannot resume without it, while the number of processes may be lowered."""

_BROKER_TIME = {
    name: table.columns.index("broker_time") for name, table in TABLES.items() if "broker_time" in table.columns
}
_EVENT_TIME = {
    name: TABLES[name].columns.index("event_time") for name in _BROKER_TIME if "event_time" in TABLES[name].columns
}
"""Index of the column in tables whose rows come from one record each. `trajectory` is not one of them: a correction
of an earlier message writes its later turns again."""


def observe(table: str, rows: Sequence[Row]) -> None:
    """Count acknowledged rows, and observe their latencies since Kafka's timestamp and since the event time.

    A row whose Kafka timestamp is 0 was not caused by a record, and has no latency.
    """
    metrics.ROWS.labels(table).inc(len(rows))
    at = _BROKER_TIME.get(table)
    if at is not None:
        rows = [row for row in rows if row[at]]
        _observe(metrics.ROW_LATENCY.labels(table), [row[at] for row in rows])
        if table in _EVENT_TIME:
            _observe(metrics.EVENT_LATENCY.labels(table), [row[_EVENT_TIME[table]] for row in rows])


def _observe(latency: Histogram, since_ms: Sequence[int]) -> None:
    """Observe the seconds since each time; a time that is ahead of this clock counts as 0, as clocks differ."""
    now_ms = time.time() * 1000
    metrics.observe_all(latency, [max(0.0, now_ms - each) / 1000 for each in since_ms])


class ClickHouseSink(FixedPartitionedSink[Block, None]):
    """Items are `(key, (table, rows))`; the key `str(i)` belongs to partition `rows-<i>`.

    `share` is the number of this process and the number of processes. Partitions are assigned in turn, so process `i`
    has partition `i`, and rows with the key `str(i)` stay in that process.
    """

    def __init__(
        self,
        connect: Connector,
        *,
        share: tuple[int, int] = (0, 1),
        flush_interval: float = 0.5,
        policy: FlushPolicy | None = None,
        on_inserted: OnInserted = observe,
    ) -> None:
        self._connect = connect
        self._share = share
        self._policy = policy or FlushPolicy(interval=flush_interval)
        self._on_inserted = on_inserted

    def list_parts(self) -> list[str]:
        """Return the names of this process's partitions."""
        number, processes = self._share
        return [f"rows-{at:05}" for at in range(number, PARTITIONS, processes)]

    def part_fn(self, item_key: str) -> int:
        """Return the partition of a key, which is its number."""
        return int(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> RowsPartition:  # noqa: ARG002 - Bytewax passes them by position
        """Build the partition; its thread starts with the first rows and connects at its first insert."""
        return RowsPartition(Flusher(self._connect, self._policy, self._on_inserted))


class RowsPartition(StatefulSinkPartition[Block, None]):
    """The sink partition of one worker."""

    def __init__(self, flusher: Flusher) -> None:
        self._flusher = flusher

    @watched
    def write_batch(self, values: list[Block]) -> None:
        """Buffer rows. Raises `StoreError` when an earlier insert failed and is not retried any more."""
        self._flusher.add(values)

    @watched
    def snapshot(self) -> None:
        """Wait until all rows are acknowledged. Raises `StoreError` when they cannot be stored."""
        self._flusher.flush()

    @watched
    def close(self) -> None:
        """Flush and end the thread."""
        self._flusher.close()
