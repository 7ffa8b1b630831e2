"""The keyed step as the engine drives it: packed or not, restarted or not, a customer is the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators import metrics
from operators.customer import CustomerLogic
from operators.customer_state import CustomerReducer, CustomerState
from operators.parameters import DAY
from operators.records import Message, Reason, Rejected, StreamTime, StreamTimes, Tick, Turn
from operators.rejects import RejectRun, TooManyRejectsError
from operators.snapshots import SnapshotError
from operators.ticks import Timers, ticks
from tests.operators.customers import DEFAULT_RULES, contents, escalations, live, reducer, sessions
from tests.strategies import START_MS, STEADY, Disorder, disorders, message

REDUCER = reducer(rules=DEFAULT_RULES)


class Worker:
    """One key of the engine: its logic, and the worker's timers."""

    def __init__(self, blob: bytes | None = None, reducer: CustomerReducer = REDUCER) -> None:
        self.timers = Timers()
        self.logic = CustomerLogic(reducer, self.timers, RejectRun(3, "Look"), blob)
        self.is_gone = False

    def send(self, *values: Message | Tick) -> list[Any]:
        """One activation."""
        outputs, self.is_gone = self.logic.on_batch([*values])
        return outputs

    def pass_time(self, stream_ms: int) -> list[Any]:
        """Stream time reaches a point, and what is due is told."""
        time = StreamTime(partition_key="0-events", partitions=1, stream_ms=stream_ms, caught_up=False)
        self.logic.on_batch([StreamTimes(times=(time,))])
        outputs: list[Any] = []
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
    worker, outputs, stream_ms = Worker(), list[Any](), 0
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


def test_a_repeat_is_counted_and_an_edit_of_a_session_long_over_is_no_repeat() -> None:
    worker, before = Worker(), metrics.DUPLICATES._value.get()
    monday = [message(number, number * 200, -0.5) for number in range(3)]
    worker.send(*monday, *[message(10 + number, DAY / 1000 + number * 200) for number in range(3)])
    edit = msgspec.structs.replace(monday[1], revision=1, score=0.9)

    assert worker.send(edit) == []
    assert metrics.DUPLICATES._value.get() == before
    assert worker.send(edit, monday[2]) == []
    assert metrics.DUPLICATES._value.get() == before + 2


class Faulty(CustomerReducer):
    """Cannot fold the messages whose score is worst."""

    def on_message(self, state: CustomerState | None, message: Message) -> tuple[CustomerState, list[Turn]]:  # type: ignore[override]
        after, outputs = super().on_message(state, message)
        if message.score == -1.0:
            raise ValueError(f"cannot fold {message.excerpt}")
        return after, [row for row in outputs if isinstance(row, Turn)]


FAULTY = Faulty(REDUCER.parameters, REDUCER.rules, REDUCER.lateness_ms)


def test_a_message_that_cannot_be_folded_is_a_dead_letter_and_leaves_no_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused = metrics.REJECTED.labels("customer", "not_foldable")
    before, poison = refused._value.get(), message(2, 10, -1.0)
    worker, healthy = Worker(reducer=FAULTY), Worker(reducer=FAULTY)
    outputs = worker.send(poison, message(1, 0, -0.5), poison, message(3, 20, -0.5))
    expected = healthy.send(message(1, 0, -0.5), message(3, 20, -0.5))
    letter = Rejected(stage="customer", reason=Reason.NOT_FOLDABLE, origin=poison.origin)

    assert outputs == [letter, expected[0], letter, *expected[1:]]
    assert worker.logic.snapshot() == healthy.logic.snapshot()
    assert refused._value.get() == before + 2
    assert "undertone.events[0]@2 could not be folded: ValueError in on_message" in caplog.text
    assert poison.excerpt not in caplog.text


def test_nothing_but_messages_that_cannot_be_folded_stop_the_job() -> None:
    worker = Worker(reducer=FAULTY)
    poison = [message(number, number * 10, -1.0) for number in range(4)]
    worker.send(*poison[:2], message(9, 90), *poison[:2])

    with pytest.raises(TooManyRejectsError, match=r"3 records .* for not_foldable at undertone.events\[0\]@3. Look"):
        worker.send(poison[3])
