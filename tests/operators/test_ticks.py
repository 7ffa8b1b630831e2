"""Timers fire by stream time alone, once for each key, on the worker that armed them."""

from __future__ import annotations

from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, cluster_main
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from operators import metrics
from operators.clock import now_ms
from operators.records import Progress, StreamTime, StreamTimes, Tick
from operators.ticks import Timers, routes, ticks


def stream(partition: str, ms: int, of: int = 1, routed_over: int = 1, *, caught_up: bool = False) -> StreamTime:
    return StreamTime(partition_key=partition, partitions=of, stream_ms=ms, caught_up=caught_up, routes=routed_over)


def test_nothing_is_due_before_every_partition_was_heard_of() -> None:
    timers = Timers()
    timers.arm("a", 10)
    timers.advance(stream("0-t", 100, of=2))
    assert timers.stream_ms is None
    assert timers.due() == []
    timers.advance(stream("1-t", 5, of=2))
    assert timers.due() == []
    timers.advance(stream("1-t", 10, of=2))
    assert timers.due() == ["a"]


def test_stream_time_never_goes_back() -> None:
    timers = Timers()
    timers.advance(stream("0-t", 100))
    timers.advance(stream("0-t", 50))
    assert timers.stream_ms == 100


def test_the_earliest_deadline_of_a_key_fires_it_once() -> None:
    timers = Timers()
    for due_ms in (30, 10, 20):
        timers.arm("a", due_ms)
    timers.advance(stream("0-t", 100))
    assert timers.due() == ["a"]
    assert timers.due() == []
    assert len(timers) == 0


def test_many_due_keys_come_in_portions() -> None:
    timers = Timers()
    for number in range(25):
        timers.arm(str(number), number)
    timers.advance(stream("0-t", 100))
    assert [len(timers.due(10)) for _ in range(4)] == [10, 10, 5, 0]


def test_a_replay_is_over_once_every_partition_was_read_to_its_end_and_all_that_was_due_has_fired() -> None:
    timers = Timers()
    timers.arm("a", 10)
    assert not timers.has_caught_up()
    timers.advance(stream("0-t", 100, of=2, caught_up=True))
    timers.advance(stream("1-t", 100, of=2))
    timers.due()
    assert not timers.has_caught_up()
    timers.arm("b", 10)
    timers.advance(stream("0-t", 110, of=2))
    timers.advance(stream("1-t", 110, of=2, caught_up=True))
    assert not timers.has_caught_up()
    timers.due()
    assert timers.has_caught_up()


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 100)), max_size=40), st.lists(st.integers(0, 120)))
def test_a_key_fires_when_due_and_not_before(armed: list[tuple[str, int]], times: list[int]) -> None:
    timers, fired, now = Timers(), set(), 0
    for key, due_ms in armed:
        timers.arm(key, due_ms)
    for ms in times:
        now = max(now, ms)
        timers.advance(stream("0-t", ms))
        fired.update(timers.due())
    expected = {key for key, due_ms in armed if due_ms <= now} if times else set()
    assert fired == expected


def test_a_process_that_reads_no_partition_still_learns_when_an_epoch_was_committed() -> None:
    """Else its age of the last epoch grows for ever, and the alert on it is false."""
    progress = Progress(topic="t", partition=0, committed_ms=now_ms() - 3_000, position=1, end_offset=1, stream_ms=100)
    metrics.COMMITTED.set(0)
    Timers().advance(replace(stream("0-t", 100), progress=progress))
    age = metrics.REGISTRY.get_sample_value("undertone_last_epoch_age_seconds")
    assert age is not None
    assert 3.0 <= age < 60.0


def test_ticks_carry_stream_time() -> None:
    timers = Timers()
    timers.arm("a", 10)
    timers.advance(stream("0-t", 70))
    assert ticks(timers) == [("a", Tick(stream_ms=70))]
    assert ticks(timers) == []


class _EachWorkerKeeps(op.StatefulBatchLogic[Any, int, None]):
    """Counts what it got: the builder of a key runs on the worker that owns it."""

    def on_batch(self, values: list[Any]) -> tuple[list[int], bool]:
        import threading

        return [threading.get_ident()] * len(values), True

    def snapshot(self) -> None:
        return None


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 8])
def test_routed_stream_time_reaches_every_worker(workers: int) -> None:
    threads: list[tuple[str, int]] = []
    flow = Dataflow("routes")
    time = StreamTimes(times=(stream("0-t", 1, routed_over=routes(workers)),))
    times = op.flat_map("spread", op.input("in", flow, TestingSource([time])), lambda item: item.routed())
    op.output("out", op.stateful_batch("keyed", times, lambda _state: _EachWorkerKeeps()), TestingSink(threads))
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    assert len({thread for _, thread in threads}) == workers
    assert len(threads) == routes(workers)
