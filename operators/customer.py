"""Adapter that runs `CustomerReducer` as a Bytewax stateful step, keyed by customer.

The reducer is pure; this module does what the engine needs: batches, snapshots and timers. Timers are on a heap of
the worker, and not set through `notify_at`, whose cost grows with the number of keys
(docs/decisions/0002-own-timers.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from traceback import extract_tb

from bytewax.operators import StatefulBatchLogic

from operators import metrics
from operators.customer_state import CustomerReducer, CustomerState
from operators.first_failure import watched
from operators.records import Escalation, Feedback, Message, Reason, Rejected, SessionUpdate, StreamTimes, Tick, Turn
from operators.rejects import RejectRun
from operators.snapshots import AtRest
from operators.ticks import Timers

LOG = logging.getLogger("undertone.customer")

Output = Turn | SessionUpdate | Escalation | Rejected
Input = Message | Feedback | Tick | StreamTimes


class CustomerLogic(StatefulBatchLogic[Input, Output, bytes]):
    """One key of the stateful step: the state of one customer.

    Each activation brings all values that have arrived for this customer, in order. A session that several of them
    change gets one row, after the last. Stream time arrives under keys of its own, which have no state.

    The state of a customer without an open session stays packed, as a snapshot, until it is needed. Most customers are
    in that condition; unpacked states would take several times the memory, and the start several times as long.
    """

    def __init__(self, reducer: CustomerReducer, timers: Timers, rejects: RejectRun, blob: bytes | None) -> None:
        self._reducer = reducer
        self._timers = timers
        self._rejects = rejects
        self._armed: int | None = None
        self._open = False
        self._state: CustomerState | None = None
        self._packed = blob
        if blob is not None and (seen := reducer.glance(blob)) is not None:
            self._arm(seen)
            self._count_open(seen.is_open)
        elif blob is not None:  # an older version, which `glance` cannot read
            self._unpack()
            self._settle()

    @watched
    def on_batch(self, values: list[Input]) -> tuple[list[Output], bool]:
        """Process the values; the flag is DISCARD once the customer is forgotten."""
        outputs: list[Output] = []
        for value in values:
            if isinstance(value, StreamTimes):
                for time in value.times:
                    self._timers.advance(time)
                continue
            self._unpack()
            if isinstance(value, Message):
                outputs += self._on_message(value)
            elif isinstance(value, Tick):
                outputs += self._on_tick(value)
            else:
                self._state, answered = self._reducer.on_feedback(self._state, value)
                outputs += answered
        is_gone = self._state is None and self._packed is None
        self._settle()
        for output in outputs:
            count(output)
        return latest_sessions(outputs), is_gone

    @watched
    def snapshot(self) -> bytes:
        """Return the state as versioned msgpack bytes, which are immutable: the engine pickles them later."""
        if self._packed is not None:
            return self._packed
        assert self._state is not None  # the engine snapshots retained keys only
        return self._reducer.dump(self._state)

    def _on_message(self, message: Message) -> Sequence[Output]:
        """Process a message; one that cannot be folded becomes a `Rejected` and leaves the state unchanged.

        If the exception left the step, the job would fail on the same message after every restart, for all customers.
        """
        before = self._state
        try:
            self._state, outputs = self._reducer.on_message(self._state, message)
        except Exception as error:  # a bug of the job, so it can be of any type
            return [self._refuse(message, error)]
        self._rejects.accepted()
        if self._state is before:
            metrics.DUPLICATES.inc()
        return outputs

    def _refuse(self, message: Message, error: Exception) -> Rejected:
        """Log what failed and where in code and Kafka, without the error's message: it may quote the customer."""
        rejected = Rejected(stage="customer", reason=Reason.NOT_FOLDABLE, origin=message.origin)
        place, at = extract_tb(error.__traceback__)[-1], rejected.origin
        LOG.error(
            "%s[%d]@%d could not be folded: %s in %s, %s:%s",
            *(at.topic, at.partition, at.offset),
            *(type(error).__name__, place.name, place.filename, place.lineno),
        )
        self._rejects.refused(rejected)
        return rejected

    def _on_tick(self, tick: Tick) -> Sequence[Output]:
        self._armed = None
        if self._state is None:
            return []
        self._state, outputs = self._reducer.on_tick(self._state, tick.stream_ms)
        return outputs

    def _unpack(self) -> None:
        if self._packed is not None:
            self._state, self._packed = self._reducer.load(self._packed), None

    def _settle(self) -> None:
        """Arm the timer, and pack the state if no session is open."""
        if self._state is None:
            if self._packed is None:
                self._count_open(False)
            return
        at_rest = self._reducer.at_rest(self._state)
        self._arm(at_rest)
        self._count_open(at_rest.is_open)
        if not at_rest.is_open:
            self._packed = self._reducer.dump(self._state)
            self._state = None

    def _count_open(self, is_open: bool) -> None:
        if is_open != self._open:
            metrics.OPEN_SESSIONS.inc(is_open - self._open)
            self._open = is_open

    def _arm(self, at_rest: AtRest) -> None:
        # A timer may fire early (the reducer then does nothing, and the timer is armed again), but never late.
        if self._armed is None or at_rest.due_ms < self._armed:
            self._armed = at_rest.due_ms
            self._timers.arm(str(at_rest.customer_key), at_rest.due_ms)


def builder(reducer: CustomerReducer, timers: Timers, reject_run_limit: int) -> Callable[[bytes | None], CustomerLogic]:
    """Make the function with which Bytewax builds the logic of a key, new or from a snapshot.

    `reject_run_limit` messages in a row that cannot be folded, of any customers of the worker, stop the job.
    """
    rejects = RejectRun(reject_run_limit, "This is a fault of the job: the log names the error")
    return lambda blob: CustomerLogic(reducer, timers, rejects, blob)


def count(output: Output) -> None:
    """Count an output in the metrics."""
    if isinstance(output, Escalation):
        metrics.ESCALATIONS.labels(output.transition, output.route, output.family).inc()
    elif isinstance(output, Turn) and output.late:
        metrics.LATE.inc()


def latest_sessions(outputs: Sequence[Output]) -> list[Output]:
    """Drop all updates of a session but the last; the order of the other outputs does not change.

    >>> latest_sessions([])
    []
    """
    places = [index for index, output in enumerate(outputs) if type(output) is SessionUpdate]
    if len(places) < 2:
        return list(outputs)
    last = {output.session_id: index for index, output in enumerate(outputs) if isinstance(output, SessionUpdate)}
    superseded = set(places) - set(last.values())
    return [output for index, output in enumerate(outputs) if index not in superseded]
