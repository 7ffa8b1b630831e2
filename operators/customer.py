"""The one adapter that runs the reducers as a Bytewax stateful step, keyed by customer.

What the reducers decide is pure; what is here is the engine's side of it: batches, snapshots, timers. Timers
are armed on a heap of the worker, not through `notify_at`, whose cost grows with the number of keys
(docs/decisions/0002-own-timers.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bytewax.operators import StatefulBatchLogic

from operators import metrics
from operators.customer_state import CustomerReducer, CustomerState
from operators.last_words import kept
from operators.records import Escalation, Feedback, Message, SessionUpdate, StreamTime, Tick, Turn
from operators.ticks import Timers

Output = Turn | SessionUpdate | Escalation
Input = Message | Feedback | Tick | StreamTime


class CustomerLogic(StatefulBatchLogic[Input, Output, bytes]):
    """One customer's state between two snapshots.

    Each activation gives all values that reached this customer, in order; a session that several of them
    moved is written once, as it stands after the last. Stream time comes under keys of its own, which have no
    state.
    """

    def __init__(self, reducer: CustomerReducer, timers: Timers, blob: bytes | None) -> None:
        self._reducer = reducer
        self._timers = timers
        self._armed: int | None = None
        self._open = False
        self._state: CustomerState | None = None if blob is None else reducer.load(blob)
        self._arm()
        self._count_open()

    @kept
    def on_batch(self, values: list[Input]) -> tuple[list[Output], bool]:
        """Fold the values in; DISCARD once the customer is forgotten."""
        outputs: list[Output] = []
        for value in values:
            if isinstance(value, Message):
                outputs += self._on_message(value)
            elif isinstance(value, Tick):
                outputs += self._on_tick(value)
            elif isinstance(value, Feedback):
                self._state, answered = self._reducer.on_feedback(self._state, value)
                outputs += answered
            else:
                self._timers.advance(value)
        self._arm()
        self._count_open()
        for output in outputs:
            count(output)
        return latest_sessions(outputs), self._state is None

    @kept
    def snapshot(self) -> bytes:
        """Versioned msgpack bytes: immutable, as the engine pickles them later."""
        assert self._state is not None  # the engine snapshots retained keys only
        return self._reducer.dump(self._state)

    def _on_message(self, message: Message) -> list[Output]:
        self._state, outputs = self._reducer.on_message(self._state, message)
        if not outputs:
            metrics.DUPLICATES.inc()
        return outputs

    def _on_tick(self, tick: Tick) -> list[Output]:
        self._armed = None
        if self._state is None:
            return []
        self._state, outputs = self._reducer.on_tick(self._state, tick.stream_ms)
        return outputs

    def _count_open(self) -> None:
        is_open = self._state is not None and self._reducer.has_open_session(self._state)
        if is_open != self._open:
            metrics.OPEN_SESSIONS.inc(is_open - self._open)
            self._open = is_open

    def _arm(self) -> None:
        if self._state is None:
            return
        due = self._reducer.next_timer(self._state)
        # A timer may fire early (the reducer then does nothing and it is armed again), never late.
        if due is not None and (self._armed is None or due < self._armed):
            self._armed = due
            self._timers.arm(str(self._state.customer_key), due)


def builder(reducer: CustomerReducer, timers: Timers) -> Callable[[bytes | None], CustomerLogic]:
    """Make the function with which Bytewax builds a key's logic, new or from a snapshot."""
    return lambda blob: CustomerLogic(reducer, timers, blob)


def count(output: Output) -> None:
    """Show an output in the metrics."""
    if isinstance(output, Escalation):
        metrics.ESCALATIONS.labels(output.transition, output.route, output.family).inc()
    elif isinstance(output, Turn) and output.late:
        metrics.LATE.inc()


def latest_sessions(outputs: Sequence[Output]) -> list[Output]:
    """Keep of every session its last update; order otherwise unchanged.

    >>> latest_sessions([])
    []
    """
    last: dict[tuple[str, str], int] = {}
    for index, output in enumerate(outputs):
        if isinstance(output, SessionUpdate):
            last[(output.tenant, output.session_id)] = index
    if not last:
        return list(outputs)
    keep = set(last.values())
    return [out for index, out in enumerate(outputs) if not isinstance(out, SessionUpdate) or index in keep]
