"""Corrections of one customer's history: messages out of order, revisions, retractions and late events.

Every correction replaces or inserts an entry of the tail, or changes the settled fold, and then folds the entries
after it again.
"""

from __future__ import annotations

import msgspec

from operators.entry import Entry
from operators.escalation import Alarms
from operators.fold import Fold, Stepper
from operators.publishing import Publisher
from operators.records import Escalation, Message, SessionUpdate, Turn
from operators.state import CustomerState, insertion, last_of_sessions, remembered
from operators.summary import session_knowledge, session_update
from operators.trajectory import point_of

Output = Turn | SessionUpdate | Escalation
Corrected = tuple[CustomerState, list[Output]]


class Corrector:
    """Folds entries again with a `Stepper`, and returns the rows and escalations that result."""

    def __init__(self, stepper: Stepper, publisher: Publisher) -> None:
        self._stepper = stepper
        self._publisher = publisher

    def insert(self, state: CustomerState, entry: Entry, message: Message) -> Corrected:
        """Add an event between others of the tail."""
        index = insertion(state.tail, entry)
        tail = (*state.tail[:index], entry, *state.tail[index:])
        return self._refold(state, tail, index, {index}, message)

    def revise(self, state: CustomerState, held: int, entry: Entry, message: Message) -> Corrected:
        """Handle a message with the id of an entry of the tail: a revision, a retraction, or a repeat (dropped)."""
        old = state.tail[held]
        revision = max(old.revision, entry.revision)
        if old.retracted or entry.retracted:
            if old.retracted and revision == old.revision:
                return state, []
            entry = msgspec.structs.replace(old, retracted=True, kind="retracted", revision=revision)
        elif entry.revision <= old.revision:
            return state, []
        if entry.event_ms == old.event_ms:
            tail = (*state.tail[:held], entry, *state.tail[held + 1 :])
            return self._refold(state, tail, held, {held}, message)
        return self._move(state, held, entry, message)

    def correct(self, state: CustomerState, entry: Entry, message: Message) -> Corrected:
        """Handle a message with the id of a settled event: a revision, a retraction, or a repeat (dropped)."""
        # An event that was moved in time has left a tombstone with the same id: prefer the event.
        known = [at for at, id_hash in enumerate(state.ring) if id_hash == entry.id_hash]
        at = next((at for at in known if not state.ranks[at] & 1), known[0])
        rank = entry.revision * 2 + entry.retracted
        if state.ranks[at] & 1 or (entry.revision <= state.ranks[at] >> 1 and not entry.retracted):
            return state, []
        old = point_of(state.settled.trajectory, entry)
        if old is not None:  # a revision cannot move a settled event in time
            entry = msgspec.structs.replace(entry, event_ms=old.event_ms)
        session = state.settled.session
        state = msgspec.structs.replace(state, ranks=(*state.ranks[:at], rank, *state.ranks[at + 1 :]))
        if not entry.retracted and (session is None or not self._stepper.belongs(session, entry)):
            return state, []  # the levels in a session long over are no longer known, so its row stays as it is
        return self._amend(state, self._stepper.correct(state.settled, entry), entry, message)

    def late(self, state: CustomerState, entry: Entry, message: Message) -> Corrected:
        """Add an event whose place is settled.

        If it does not belong to the current session, it belongs to `state.past`, a session that comes late as a whole.
        """
        session = state.settled.session
        settled = self._stepper.late(state.settled, entry)
        ring, ranks = remembered(state, (entry,))
        state = msgspec.structs.replace(state, ring=ring, ranks=ranks)
        after, (late, *out) = self._amend(state, settled, entry, message)
        if entry.retracted or session is None or self._stepper.belongs(session, entry):
            return after, [late, *out]
        past, turn = self._past(state, entry)
        row = self.summary(state, past, after.current, "closed")
        return msgspec.structs.replace(after, past=past), [turn, *out, row]

    def summary(
        self, state: CustomerState, fold: Fold, latest: Fold, how: str, gone_at: int | None = None
    ) -> SessionUpdate:
        """Make the row of the session at `fold`; `latest` is the newest fold.

        With `gone_at`, the `Fold.known` for its version, the row deletes the session.
        """
        session = fold.session
        if how == "closed" and session is not None and fold.alarms.tracks:
            alarms, _ = self._stepper.rest(fold, session.deadline_ms, state.tenant, state.customer_key)
            fold = msgspec.structs.replace(fold, alarms=alarms)
        return session_update(
            state.tenant,
            state.customer_key,
            fold,
            closed=how == "closed",
            deleted=gone_at is not None,
            known=session_knowledge(fold.known if gone_at is None else gone_at, latest.known),
            parameters=self._stepper.parameters,
        )

    def _past(self, state: CustomerState, entry: Entry) -> tuple[Fold, Turn]:
        """Return the past session after the event is added to it, and the event's turn in it."""
        past, who = state.past, (state.tenant, state.customer_key)
        if past is None or past.session is None or not self._stepper.belongs(past.session, entry):
            past = Fold(known=state.settled.known)
        if entry.place < past.place:
            past = self._stepper.late(past, entry)
            return past, self._stepper.turn(past, entry, *who, late=True)
        step = self._stepper.step(past, entry, *who)
        session = step.fold.session
        assert session is not None  # only a tombstone opens no session
        session = msgspec.structs.replace(session, late_events=session.late_events + 1)
        # Alerts in a past session are not published: it is too late for anybody to act.
        past = msgspec.structs.replace(step.fold, session=session, alarms=Alarms())
        return past, msgspec.structs.replace(step.turn, late=True)

    def _move(self, state: CustomerState, held: int, entry: Entry, message: Message) -> Corrected:
        """Move an entry to its revision's time; a tombstone at the old time deletes its row and keeps versions up."""
        grave = msgspec.structs.replace(state.tail[held], retracted=True, kind="retracted", revision=entry.revision)
        entry = entry if entry.place > state.settled.place else msgspec.structs.replace(entry, event_ms=grave.event_ms)
        tail = (*state.tail[:held], grave, *state.tail[held + 1 :])
        index = insertion(tail, entry)
        tail = (*tail[:index], entry, *tail[index:])
        fresh = {index, held if held < index else held + 1}
        return self._refold(state, tail, min(fresh), fresh, message)

    def _amend(self, state: CustomerState, settled: Fold, entry: Entry, message: Message) -> Corrected:
        """Replace the settled fold, write the row of the late event, and fold the tail again from there."""
        late = self._stepper.turn(settled, entry, state.tenant, state.customer_key, late=True)
        rebased = msgspec.structs.replace(state, settled=settled, folds=())
        before = (state.settled, *state.folds)
        after, out = self._refold(rebased, state.tail, 0, set(), message, before)
        return after, [late, *out]

    def _refold(
        self,
        state: CustomerState,
        tail: tuple[Entry, ...],
        index: int,
        fresh: set[int],
        message: Message,
        history: tuple[Fold, ...] = (),
    ) -> Corrected:
        """Fold the tail again from `index` on, where it changed, and return the rows and escalations that result.

        `fresh` are the indexes of new entries; the other tombstones have their rows already. `history` are the folds
        behind the rows published so far, if they are not those of the state.
        """
        before = state.folds[index - 1] if index else state.settled
        steps = self._stepper.steps(before, tail[index:], state.tenant, state.customer_key)
        folds = (*state.folds[:index], *[step.fold for step in steps])
        turns = [s.turn for at, s in enumerate(steps, index) if at in fresh or not tail[at].retracted]
        rows = self._sessions(state, history or (before, *state.folds[index:]), (before, *folds[index:]))
        state, escalations = self._publisher.refolded(state, tail, index, steps, message)
        return msgspec.structs.replace(state, tail=tail, folds=folds), [*turns, *rows, *escalations]

    def _sessions(self, state: CustomerState, old: tuple[Fold, ...], new: tuple[Fold, ...]) -> list[Output]:
        """Make rows for the sessions of the corrected history, and deleting rows for sessions that no longer exist."""
        was, now = last_of_sessions(old), last_of_sessions(new)
        out: list[Output] = []
        for name, fold in was.items():
            if name not in now:
                gone_at = max([later.known for later in new if later.place <= fold.place], default=fold.known)
                out.append(self.summary(state, fold, new[-1], "closed", gone_at))
        last = new[-1].session
        for name, fold in now.items():
            how = "open" if last is not None and name == last.id else "closed"
            out.append(self.summary(state, fold, new[-1], how))
        return out
