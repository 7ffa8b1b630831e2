"""Rows reach the store before an epoch is committed, whatever the store does in between."""

import threading
import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import pytest
from bytewax.dataflow import Dataflow
from bytewax.operators import input as op_input
from bytewax.operators import output as op_output
from bytewax.testing import TestingSource, run_main
from msgspec.structs import replace

from operators.clickhouse_sink import ClickHouseSink, RowsPartition, observe
from operators.flusher import Flusher, FlushPolicy
from operators.metrics import REGISTRY
from operators.row_store import MemoryStore, RowStore, StoreError
from operators.rows import TABLES, Row
from tests.samples import escalation, origin, rejected, scored, turn

SLOW = FlushPolicy(interval=3600)
"""Nothing is inserted on its own."""
EAGER = FlushPolicy(interval=0.01, retry_first=0.001, retry_longest=0.002, deadline=0.5)


def rows(*numbers: int) -> list[Row]:
    return [TABLES["scored_events"].to_row(scored(number)) for number in numbers]


def started(store: RowStore, policy: FlushPolicy = EAGER) -> RowsPartition:
    return RowsPartition(Flusher(lambda: store, policy))


class Gate(MemoryStore):
    """A store that answers only while it is open, and tells when somebody knocks."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.knocked = threading.Event()

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        self.knocked.set()
        self.opened.wait(60)
        super().insert(table, rows)


def test_a_snapshot_stores_what_was_written_before() -> None:
    store = MemoryStore()
    part = started(store, SLOW)

    part.write_batch([("scored_events", rows(1, 2)), ("dead_letters", [TABLES["dead_letters"].to_row(rejected())])])
    part.snapshot()

    assert store.rows["scored_events"] == rows(1, 2)
    assert len(store.rows["dead_letters"]) == 1


def test_rows_are_stored_between_snapshots_too() -> None:
    store = Gate()
    part = started(store, FlushPolicy(interval=0.01))

    part.write_batch([("scored_events", rows(1))])

    assert store.knocked.wait(60)


def test_many_rows_do_not_wait_for_the_interval() -> None:
    store = Gate()
    part = started(store, FlushPolicy(interval=3600, max_rows=3))

    part.write_batch([("scored_events", rows(1, 2, 3))])

    assert store.knocked.wait(60)


def test_a_slow_store_holds_the_worker_back_until_it_catches_up() -> None:
    store = Gate()
    part = started(store, FlushPolicy(interval=3600, max_rows=2))
    done = threading.Event()

    def work() -> None:
        part.write_batch([("scored_events", rows(*range(8)))])
        done.set()

    threading.Thread(target=work, daemon=True).start()
    assert store.knocked.wait(60)
    assert not done.is_set()
    store.opened.set()

    assert done.wait(60)
    part.snapshot()
    assert store.rows["scored_events"] == rows(*range(8))


@pytest.mark.parametrize("stored", [True, False], ids=["answer lost", "rows lost"])
def test_a_store_that_recovers_loses_nothing(stored: bool) -> None:
    store = MemoryStore()
    store.fail(3, stored=stored)
    part = started(store)

    for number in range(20):
        part.write_batch([("scored_events", rows(number))])
    part.snapshot()

    assert set(store.rows["scored_events"]) == set(rows(*range(20)))


def test_the_first_failure_of_an_insert_is_told_and_its_repeats_are_not(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    store.fail(3)
    part = started(store)
    part.write_batch([("scored_events", rows(1))])
    part.snapshot()

    assert [record.getMessage() for record in caplog.records] == ["scored_events: 1 rows refused; tried again for 0 s"]


def test_a_store_that_stays_away_fails_the_snapshot_and_every_call_after() -> None:
    store = MemoryStore()
    store.fail(10_000)
    part = started(store)
    part.write_batch([("scored_events", rows(1))])

    for call in (part.snapshot, lambda: part.write_batch([]), part.snapshot):
        with pytest.raises(StoreError, match="scored_events: 1 rows"):
            call()
    part.close()  # the engine closes what failed: another error there would abort the process before it says why


def test_closing_tells_a_failure_that_nobody_heard_of() -> None:
    store = MemoryStore()
    store.fail(10_000)
    part = started(store)
    part.write_batch([("scored_events", rows(1))])

    with pytest.raises(StoreError, match="scored_events: 1 rows"):
        part.close()


def test_what_cannot_be_mended_is_not_tried_again() -> None:
    store = MemoryStore()
    store.fail(permanent=True)
    part = started(store, FlushPolicy(interval=0.01, deadline=3600))
    part.write_batch([("scored_events", rows(1))])

    with pytest.raises(StoreError):
        part.snapshot()


def test_a_bug_in_the_background_reaches_the_worker_without_values() -> None:
    def explode(table: str, rows: Sequence[Row]) -> None:
        raise KeyError(rows)

    part = RowsPartition(Flusher(MemoryStore, EAGER, explode))
    part.write_batch([("scored_events", rows(1))])

    with pytest.raises(StoreError, match=r"^flusher: KeyError$"):
        part.snapshot()


def test_closing_stores_the_rest_and_ends_the_thread() -> None:
    store = MemoryStore()
    before = set(threading.enumerate())
    part = started(store, SLOW)
    part.write_batch([("scored_events", rows(1))])

    part.close()

    assert store.rows["scored_events"] == rows(1)
    assert store.closed
    assert set(threading.enumerate()) <= before


def test_a_lost_connection_is_tried_again() -> None:
    store = MemoryStore()
    attempts = iter([StoreError("cannot connect to the store"), None])

    def connect() -> RowStore:
        if error := next(attempts):
            raise error
        return store

    part = RowsPartition(Flusher(connect, EAGER))
    part.write_batch([("scored_events", rows(1))])
    part.snapshot()

    assert store.rows["scored_events"] == rows(1)


def test_tables_are_inserted_side_by_side() -> None:
    class Both(MemoryStore):
        """Answers only when both tables are being inserted."""

        def __init__(self) -> None:
            super().__init__()
            self.meeting = threading.Barrier(2, timeout=60)

        def insert(self, table: str, rows: Sequence[Row]) -> None:
            self.meeting.wait()
            super().insert(table, rows)

    store = Both()
    part = started(store, SLOW)

    part.write_batch([("scored_events", rows(1)), ("dead_letters", [TABLES["dead_letters"].to_row(rejected())])])
    part.snapshot()

    assert store.rows["scored_events"]
    assert store.rows["dead_letters"]


def test_only_acknowledged_rows_are_reported() -> None:
    store = MemoryStore()
    store.fail(2)
    seen: list[tuple[str, int]] = []
    part = RowsPartition(Flusher(lambda: store, EAGER, lambda table, rows: seen.append((table, len(rows)))))

    part.write_batch([("scored_events", rows(1, 2))])
    part.snapshot()

    assert seen == [("scored_events", 2)]


def test_rows_are_counted_and_their_latency_measured() -> None:
    def value(name: str) -> float:
        return REGISTRY.get_sample_value(name, {"table": "scored_events"}) or 0.0

    count, latencies = value("undertone_rows_written_total"), value("undertone_row_latency_seconds_count")

    observe("scored_events", rows(1, 2, 3))
    observe("feedback", [])

    assert value("undertone_rows_written_total") == count + 3
    assert value("undertone_row_latency_seconds_count") == latencies + 3


def test_latency_is_measured_from_the_event_and_from_the_broker_for_the_same_rows() -> None:
    def value(name: str, table: str) -> float:
        return REGISTRY.get_sample_value(name, {"table": table}) or 0.0

    def taken(table: str, *records: Any) -> list[tuple[int, int]]:
        """How many latencies were added, and the whole seconds of their sum: from the event, and from the broker."""
        names = [f"undertone_{since}_latency_seconds" for since in ("event", "row")]
        before = [(value(f"{name}_count", table), value(f"{name}_sum", table)) for name in names]
        observe(table, [TABLES[table].to_row(record) for record in records])
        after = [(value(f"{name}_count", table), value(f"{name}_sum", table)) for name in names]
        return [(int(a - b), round(c - d)) for (b, d), (a, c) in zip(before, after, strict=True)]

    now_ms = time.time_ns() // 1_000_000
    told = scored(1, at_ms=now_ms - 9_000_000)
    told = replace(told, utterance=replace(told.utterance, origin=replace(origin(), broker_ms=now_ms - 2_000_000)))
    ahead = replace(told, utterance=replace(told.utterance, event_ms=now_ms + 60_000))

    assert taken("scored_events", told) == [(1, 9000), (1, 2000)]
    assert taken("scored_events", ahead) == [(1, 0), (1, 2000)], "a clock that runs ahead"
    by_time = escalation(1, broker_ms=0)
    assert taken("escalations", by_time) == [(0, 0), (0, 0)], "no record, but the passing of time"
    assert taken("trajectory", turn(1)) == [(0, 0), (0, 0)], "a turn may be told again long after its event"
    assert taken("dead_letters", rejected())[0] == (0, 0), "what was refused has no time that can be trusted"


@pytest.mark.parametrize("size", [1, 3, 50], ids=lambda size: f"batches of {size}")
def test_a_dataflow_stores_every_row_in_the_partition_that_its_key_names(size: int) -> None:
    stores: list[MemoryStore] = []

    def connect() -> RowStore:
        stores.append(MemoryStore())
        return stores[-1]

    items = [(str(number % 2), ("scored_events", rows(number))) for number in range(40)]
    _run(items, size, connect)

    assert sorted(chain(*(store.rows["scored_events"] for store in stores))) == sorted(rows(*range(40)))
    assert sorted(len(store.rows["scored_events"]) for store in stores) == [20, 20]


def _run(items: list[tuple[str, tuple[str, list[Row]]]], size: int, connect: Callable[[], RowStore]) -> None:
    flow = Dataflow("rows")
    source = op_input("in", flow, TestingSource(items, batch_size=size))
    op_output("out", source, ClickHouseSink(connect, policy=EAGER))
    run_main(flow)
