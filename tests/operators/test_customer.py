"""The keyed step as the engine drives it: packed or not, restarted or not, a customer is the same."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators import metrics
from operators.customer import CustomerLogic, Output
from operators.parameters import DAY
from operators.records import Message, StreamTime, StreamTimes, Tick
from operators.snapshots import SnapshotError
from operators.ticks import Timers, ticks
from tests.operators.customers import DEFAULT_RULES, contents, escalations, live, reducer, sessions
from tests.strategies import START_MS, STEADY, Disorder, disorders, message

REDUCER = reducer(rules=DEFAULT_RULES)


class Worker:
    """One key of the engine: its logic, and the worker's timers."""

    def __init__(self, blob: bytes | None = None) -> None:
        self.timers = Timers()
        self.logic = CustomerLogic(REDUCER, self.timers, blob)
        self.is_gone = False

    def send(self, *values: Message | Tick) -> list[Output]:
        """One activation."""
        outputs, self.is_gone = self.logic.on_batch([*values])
        return outputs

    def pass_time(self, stream_ms: int) -> list[Output]:
        """Stream time reaches a point, and what is due is told."""
        time = StreamTime(partition_key="0-events", partitions=1, stream_ms=stream_ms, caught_up=False)
        self.logic.on_batch([StreamTimes(times=(time,))])
        outputs: list[Output] = []
        while not self.is_gone and (due := ticks(self.timers)):
            for _, tick in due:
                outputs += self.send(tick)
        return outputs


@STEADY
@given(disorders(), st.data())
def test_packed_and_restarted_at_any_point_it_says_what_the_reducer_says(
    disorder: Disorder, data: st.DataObject
) -> None:
    restarts = data.draw(st.sets(st.integers(0, len(disorder.arrival))))
    _, expected = live(REDUCER, disorder.arrival)
    worker, outputs, stream_ms = Worker(), list[Output](), 0
    for index, sent in enumerate(disorder.arrival):
        if index and index in restarts:
            worker = Worker(worker.logic.snapshot())
        outputs += worker.send(sent)
        stream_ms = max(stream_ms, sent.event_ms)
        outputs += worker.pass_time(stream_ms)
    outputs += Worker(worker.logic.snapshot()).pass_time(stream_ms + 3 * DAY)

    assert contents(expected) == contents(outputs)
    assert {(e.escalation_id, e.version, e.transition) for e in escalations(expected)} == {
        (e.escalation_id, e.version, e.transition) for e in escalations(outputs)
    }


def test_a_customer_who_is_back_after_a_restart_is_not_unpacked_before() -> None:
    first = Worker()
    first.send(message(1, 0, -0.9), message(2, 10, -0.9))
    before = metrics.OPEN_SESSIONS._value.get()
    again = Worker(first.logic.snapshot())

    assert first.logic.snapshot() is not first.logic.snapshot()
    assert again.logic.snapshot() is again.logic.snapshot()
    assert metrics.OPEN_SESSIONS._value.get() == before + 1
    assert [row.state for row in sessions(again.pass_time(START_MS + DAY))] == ["closed"]
    assert metrics.OPEN_SESSIONS._value.get() == before


def test_once_the_session_is_over_the_state_is_packed_and_forgotten_in_time() -> None:
    worker = Worker()
    worker.send(message(1, 0, -0.9))
    worker.pass_time(START_MS + DAY)
    rested = worker.logic.snapshot()

    assert worker.logic.snapshot() is rested
    assert worker.send(message(1, 0, -0.9)) == []
    assert worker.pass_time(START_MS + 9 * DAY) == []
    assert worker.is_gone


def test_a_snapshot_of_the_future_stops_the_start() -> None:
    with pytest.raises(SnapshotError, match="version 99"):
        Worker(msgspec.msgpack.encode([99]))
