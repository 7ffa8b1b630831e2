"""The sink of all rows: buffer in `write_batch`, flush and wait in `snapshot()`, raise when that fails.

Bytewax calls `snapshot()` once per epoch before it commits the epoch, so a committed epoch's rows are stored. After
a crash the last epochs are replayed and their rows inserted again; identity and version in each table make that
harmless. The sink itself keeps no state.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from prometheus_client import Histogram

from operators import metrics
from operators.flusher import Flusher, FlushPolicy, OnInserted
from operators.last_words import kept
from operators.row_store import Connector
from operators.rows import TABLES, Row

Block = tuple[str, Sequence[Row]]
"""A table and rows for it."""
PARTITIONS: Final = 1024
"""Partitions of the sink, and the most processes. The engine stores a row for each that was ever written to and refuses
to go on without one of them: their number must not follow the number of processes, which may fall."""

_BROKER_TIME = {
    name: table.columns.index("broker_time") for name, table in TABLES.items() if "broker_time" in table.columns
}
_EVENT_TIME = {
    name: TABLES[name].columns.index("event_time") for name in _BROKER_TIME if "event_time" in TABLES[name].columns
}
"""Of tables whose rows come from one record each: a turn is told again when an earlier one is corrected."""


def observe(table: str, rows: Sequence[Row]) -> None:
    """Count acknowledged rows, and how long after Kafka's timestamp and after the event they could be queried.

    A timestamp of 0 stands for no record: such a row has no latency.
    """
    metrics.ROWS.labels(table).inc(len(rows))
    at = _BROKER_TIME.get(table)
    if at is not None:
        rows = [row for row in rows if row[at]]
        _observe(metrics.ROW_LATENCY.labels(table), [row[at] for row in rows])
        if table in _EVENT_TIME:
            _observe(metrics.EVENT_LATENCY.labels(table), [row[_EVENT_TIME[table]] for row in rows])


def _observe(latency: Histogram, since_ms: Sequence[int]) -> None:
    """Clocks differ: what lies ahead of ours is as fresh as can be."""
    now_ms = time.time() * 1000
    metrics.observe_all(latency, [max(0.0, now_ms - each) / 1000 for each in since_ms])


class ClickHouseSink(FixedPartitionedSink[Block, None]):
    """Items are `(key, (table, rows))`; the key `str(i)` belongs to partition `rows-<i>`.

    `share` is the number of this process and how many there are. The partitions are dealt out in turn, so that process
    `i` has partition `i`: rows under its own number stay in their process.
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
        """Name this process's share."""
        number, processes = self._share
        return [f"rows-{at:05}" for at in range(number, PARTITIONS, processes)]

    def part_fn(self, item_key: str) -> int:
        """Keys are numbers of partitions."""
        return int(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> RowsPartition:  # noqa: ARG002 - Bytewax passes them by position
        """Make the partition; its thread starts at the first rows, and connects at its first insert."""
        return RowsPartition(Flusher(self._connect, self._policy, self._on_inserted))


class RowsPartition(StatefulSinkPartition[Block, None]):
    """One worker's rows."""

    def __init__(self, flusher: Flusher) -> None:
        self._flusher = flusher

    @kept
    def write_batch(self, values: list[Block]) -> None:
        """Buffer; raises `StoreError` when an earlier insert failed for good."""
        self._flusher.add(values)

    @kept
    def snapshot(self) -> None:
        """Wait until all rows are acknowledged; raises `StoreError` when they cannot be stored."""
        self._flusher.flush()

    @kept
    def close(self) -> None:
        """Flush and end the thread."""
        self._flusher.close()
