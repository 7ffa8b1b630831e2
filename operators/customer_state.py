"""The pure core of the keyed step: one customer's messages become turns, sessions and alerts.

Arrival order does not matter within the allowed lateness. The state is the `settled` fold of all messages before the
customer's watermark (latest event time minus lateness), plus the open `tail`: the later messages, in event order. A
message that comes in order costs one step of the fold. A message out of order is sorted in, and the messages after it
are folded again (`corrections.py`). A revision or a retraction replaces its entry in the tail. The same steps are
taken in the same order, whatever arrived when, so the results are bit-equal.

Versions come from the data: the version of a turn is the sum of `Entry.knowledge` over all messages up to its place,
so on every run the row with the highest version is the one that has seen most. The version of a session counts every
correction of the customer, wherever it is, because a correction may move where sessions begin and end.

A message before the watermark is `late`: it still changes what does not depend on the order (docs/formulas.md, "What
comes late"). What follows from silence (nobody answered, the session is over) is published once stream time is past it
by the lateness, when no message in time can prove it wrong. Nothing here reads a clock, does I/O or uses the engine.
"""

from __future__ import annotations

import msgspec

from operators import alerts, snapshots
from operators.alerts import Answer
from operators.clock import ms_of
from operators.corrections import Corrector, Output
from operators.entry import Entry, entry_of, hash64
from operators.escalation import alert_of
from operators.fold import Fold, Stepper
from operators.parameters import Parameters
from operators.publishing import Publisher
from operators.records import Feedback, Message
from operators.rules import Rules
from operators.snapshots import AtRest, Judged
from operators.state import CustomerState, find, remembered

__all__ = ["CustomerReducer", "CustomerState", "Output"]


class CustomerReducer:
    """Folds the messages of a customer. All customers share one reducer, which holds no state of any.

    `lateness_ms` is the allowed lateness in event time: within it, any arrival order gives the same final rows.
    """

    def __init__(self, parameters: Parameters, rules: Rules, lateness_ms: int) -> None:
        self.parameters = parameters
        self.rules = rules
        self.lateness_ms = lateness_ms
        self._stepper = Stepper(parameters, rules)
        self._publisher = Publisher(self._stepper, lateness_ms)
        self._corrector = Corrector(self._stepper, self._publisher)

    def on_message(self, state: CustomerState | None, message: Message) -> tuple[CustomerState, list[Output]]:
        """Process one message, in any arrival order; a repeat changes nothing and gives no output."""
        if state is None or state.tenant != message.tenant:  # the state was made by feedback with a wrong tenant
            state = CustomerState(message.tenant, message.customer_key)
        entry = entry_of(message, hash64(message.event_id))
        held = find(state.tail, entry.id_hash)
        if held >= 0:
            state, out = self._corrector.revise(state, held, entry, message)
        elif entry.id_hash in state.ring:
            state, out = self._corrector.correct(state, entry, message)
        elif entry.place < state.settled.place:
            state, out = self._corrector.late(state, entry, message)
        elif not state.tail or state.tail[-1].place < entry.place:
            state, out = self._append(state, entry, message)
        else:
            state, out = self._corrector.insert(state, entry, message)
        return self._settle(state), out

    def on_feedback(self, state: CustomerState | None, feedback: Feedback) -> tuple[CustomerState | None, list[Output]]:
        """Process what a person did with one of the customer's alerts, which may not be raised yet."""
        named = alert_of(feedback.escalation_id)
        if named is None or (state is not None and feedback.tenant != state.tenant):
            return state, []
        customer_key, alert = named
        if state is None:
            state = CustomerState(feedback.tenant, customer_key)
        at_ms = ms_of(feedback.event_time)
        state, escalations = self._publisher.answered(state, Answer(alert, feedback.action, at_ms))
        return state, [*escalations]

    def on_tick(self, state: CustomerState, stream_ms: int) -> tuple[CustomerState | None, list[Output]]:
        """Publish what follows from silence until the lateness before `stream_ms`; the state is None to forget it."""
        out: list[Output] = []
        fold = state.current
        session = fold.session
        if self.has_open_session(state) and session is not None:
            passed_ms = stream_ms - self.lateness_ms
            state, escalations = self._publisher.passed(state, min(passed_ms, session.deadline_ms))
            out += escalations
            if passed_ms > session.deadline_ms:
                context = self._publisher.last_context(state)
                history, cleared = alerts.resolve_all(state.published, session.deadline_ms, context)
                passed_ms = max(passed_ms, state.passed_ms)
                state = msgspec.structs.replace(state, published=history, closed=fold.known, passed_ms=passed_ms)
                out = [*out, self._corrector.summary(state, fold, fold, "closed"), *cleared]
        return (None if stream_ms > self._forget_ms(state) else state), out

    def has_open_session(self, state: CustomerState) -> bool:
        """Whether the last session has not been published as closed."""
        fold = state.current
        return fold.session is not None and state.closed != fold.known

    def next_timer(self, state: CustomerState) -> int:
        """Return the stream time in milliseconds at which `on_tick` has something to do."""
        if not self.has_open_session(state):
            return self._forget_ms(state) + 1
        fold = state.current
        due = fold.session.deadline_ms if fold.session is not None else 0
        if fold.alarms.tracks:
            due = min(due, self._stepper.ripens_ms(fold, state.passed_ms) or due)
        for item in state.published:
            if 0 < item.remind_ms < due:
                due = item.remind_ms
        return due + self.lateness_ms + 1

    def dump(self, state: CustomerState) -> bytes:
        """Write a snapshot as versioned msgpack."""
        judged = Judged(self.rules.fingerprint, state.current.alarms)
        return snapshots.dump(state, self.at_rest(state), judged)

    def at_rest(self, state: CustomerState) -> AtRest:
        """Return what the keyed step needs of the customer until the next message."""
        return AtRest(state.customer_key, self.next_timer(state), self.has_open_session(state))

    def glance(self, blob: bytes) -> AtRest | None:
        """Read `AtRest` only from a snapshot; None for versions that do not store it."""
        return snapshots.glance(blob)

    def load(self, blob: bytes) -> CustomerState:
        """Read a snapshot of this or an older version and fold the tail again.

        Rules that differ from those of the snapshot apply from the next event on: earlier events are not evaluated
        again, and alerts keep their state.
        """
        state, judged = snapshots.load(blob)
        if judged is not None and judged.rules != self.rules.fingerprint and state.tail:
            alarms = msgspec.structs.replace(judged.alarms, since=state.tail[-1].place)
            state = msgspec.structs.replace(state, settled=msgspec.structs.replace(state.settled, alarms=alarms))
        steps = self._stepper.steps(state.settled, state.tail, state.tenant, state.customer_key)
        return msgspec.structs.replace(state, folds=tuple([step.fold for step in steps]))

    def _append(self, state: CustomerState, entry: Entry, message: Message) -> tuple[CustomerState, list[Output]]:
        """Add a message that is the newest of the customer: the common case."""
        before = state.current
        step = self._stepper.step(before, entry, state.tenant, state.customer_key)
        out: list[Output] = [step.turn, *self._sessions_appended(state, before, step.fold)]
        state, escalations = self._publisher.appended(state, step, entry, message)
        out += escalations
        tail, folds = (*state.tail, entry), (*state.folds, step.fold)
        return msgspec.structs.replace(state, tail=tail, folds=folds), out

    def _sessions_appended(self, state: CustomerState, before: Fold, after: Fold) -> list[Output]:
        """Make rows for the sessions that an appended event ended, began or extended.

        An open session gets a row at its 1st, 2nd, 4th, 8th ... event only, because the turns have the live values.
        """
        old, new = before.session, after.session
        out: list[Output] = []
        if old is not None and new is not None and old.id != new.id and state.closed != before.known:
            out.append(self._corrector.summary(state, before, after, "closed"))
        if new is not None and new.events & (new.events - 1) == 0 and new is not old:
            out.append(self._corrector.summary(state, after, after, "open"))
        return out

    def _settle(self, state: CustomerState) -> CustomerState:
        """Move entries before the watermark, and those beyond the longest tail, into the settled fold."""
        tail = state.tail
        if not tail:
            return state
        watermark = tail[-1].event_ms - self.lateness_ms
        if tail[0].event_ms >= watermark and len(tail) <= self.parameters.tail:
            return state
        count = max(0, len(tail) - self.parameters.tail)
        while tail[count].event_ms < watermark:
            count += 1
        ring, ranks = remembered(state, tail[:count])
        settled, history = state.folds[count - 1], state.published
        if history:
            # Prune by the end of the session, not by the last settled place, which may be a tombstone: its step lets no
            # time pass, so a wait that ran out before it is raised by the step after it. When that step is taken again
            # after a correction, an alert that was pruned here would be published as a new one.
            session = settled.session
            history = alerts.prune(
                history, session.ended_ms if session else settled.place[0], session.id if session else ""
            )
        return msgspec.structs.replace(
            state,
            settled=settled,
            tail=tail[count:],
            ring=ring,
            ranks=ranks,
            published=history,
            folds=state.folds[count:],
        )

    def _forget_ms(self, state: CustomerState) -> int:
        last_ms = state.current.place[0]
        if state.answers:
            last_ms = max(last_ms, state.answers[-1].at_ms)
        return last_ms + self.parameters.forget_ms + self.lateness_ms
