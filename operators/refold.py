"""Corrections of one customer's history: messages out of order, revisions, retractions, and what comes too late.

Every correction ends in the same: an entry is exchanged or put in, and the steps from there on are taken again.
"""

from __future__ import annotations

import msgspec

from operators.entry import Entry
from operators.escalation import Alarms
from operators.fold import Fold, Folder
from operators.records import Escalation, Message, SessionUpdate, Turn
from operators.state import CustomerState, insertion, last_of_sessions, remembered
from operators.summary import session_knowledge, session_update
from operators.telling import Teller
from operators.trajectory import point_of

Output = Turn | SessionUpdate | Escalation
Corrected = tuple[CustomerState, list[Output]]


class Refolder:
    """Takes steps with one `Folder` again, and says what differs from what was said before."""

    def __init__(self, folder: Folder, teller: Teller) -> None:
        self._folder = folder
        self._teller = teller

    def insert(self, state: CustomerState, entry: Entry, message: Message) -> Corrected:
        """An event between others of the tail."""
        index = insertion(state.tail, entry)
        tail = (*state.tail[:index], entry, *state.tail[index:])
        return self._refold(state, tail, index, {index}, message)

    def revise(self, state: CustomerState, held: int, entry: Entry, message: Message) -> Corrected:
        """A further message under the id of one in the tail: a revision, a retraction, or a repeat."""
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
        """A revision or retraction of a settled event; repeats are dropped."""
        # What was moved in time left a tombstone under the same id.
        known = [at for at, id_hash in enumerate(state.ring) if id_hash == entry.id_hash]
        at = next((at for at in known if not state.ranks[at] & 1), known[0])
        rank = entry.revision * 2 + entry.retracted
        if state.ranks[at] & 1 or (entry.revision <= state.ranks[at] >> 1 and not entry.retracted):
            return state, []
        old = point_of(state.settled.trajectory, entry)
        if old is not None:  # a settled event keeps its time, whatever its revision says
            entry = msgspec.structs.replace(entry, event_ms=old.event_ms)
        session = state.settled.session
        state = msgspec.structs.replace(state, ranks=(*state.ranks[:at], rank, *state.ranks[at + 1 :]))
        if not entry.retracted and (session is None or not self._folder.belongs(session, entry)):
            return state, []  # what the levels were in a session long over is no longer known: its row stays
        return self._amend(state, self._folder.correct(state.settled, entry), entry, message)

    def late(self, state: CustomerState, entry: Entry, message: Message) -> Corrected:
        """An event whose place is settled; far from the current session it belongs to one that came late as a whole."""
        session = state.settled.session
        settled = self._folder.late(state.settled, entry)
        ring, ranks = remembered(state, (entry,))
        state = msgspec.structs.replace(state, ring=ring, ranks=ranks)
        after, (late, *out) = self._amend(state, settled, entry, message)
        if entry.retracted or session is None or self._folder.belongs(session, entry):
            return after, [late, *out]
        past, turn = self._past(state, entry)
        row = self.summary(state, past, after.current, "closed")
        return msgspec.structs.replace(after, past=past), [turn, *out, row]

    def summary(
        self, state: CustomerState, fold: Fold, latest: Fold, how: str, gone_at: int | None = None
    ) -> SessionUpdate:
        """Row of the session that ends in `fold`, `latest` being the newest fold; `gone_at` takes it back."""
        session = fold.session
        if how == "closed" and session is not None and fold.alarms.tracks:
            alarms, _ = self._folder.rest(fold, session.deadline_ms, state.tenant, state.customer_key)
            fold = msgspec.structs.replace(fold, alarms=alarms)
        return session_update(
            state.tenant,
            state.customer_key,
            fold,
            closed=how == "closed",
            deleted=gone_at is not None,
            known=session_knowledge(fold.known if gone_at is None else gone_at, latest.known),
            parameters=self._folder.parameters,
        )

    def _past(self, state: CustomerState, entry: Entry) -> tuple[Fold, Turn]:
        """The session before the current one that the event belongs to, and the event's turn in it."""
        past, who = state.past, (state.tenant, state.customer_key)
        if past is None or past.session is None or not self._folder.belongs(past.session, entry):
            past = Fold(known=state.settled.known)
        if entry.place < past.place:
            past = self._folder.late(past, entry)
            return past, self._folder.turn(past, entry, *who, late=True)
        step = self._folder.step(past, entry, *who)
        session = step.fold.session
        assert session is not None  # only a tombstone opens none
        session = msgspec.structs.replace(session, late_events=session.late_events + 1)
        # It is too late to tell anyone of an alert.
        past = msgspec.structs.replace(step.fold, session=session, alarms=Alarms())
        return past, msgspec.structs.replace(step.turn, late=True)

    def _move(self, state: CustomerState, held: int, entry: Entry, message: Message) -> Corrected:
        """A revision with another time: the row at the old time is taken back, a tombstone keeps its knowledge."""
        grave = msgspec.structs.replace(state.tail[held], retracted=True, kind="retracted", revision=entry.revision)
        entry = entry if entry.place > state.settled.place else msgspec.structs.replace(entry, event_ms=grave.event_ms)
        tail = (*state.tail[:held], grave, *state.tail[held + 1 :])
        index = insertion(tail, entry)
        tail = (*tail[:index], entry, *tail[index:])
        fresh = {index, held if held < index else held + 1}
        return self._refold(state, tail, min(fresh), fresh, message)

    def _amend(self, state: CustomerState, settled: Fold, entry: Entry, message: Message) -> Corrected:
        """Exchange the settled fold, write the late row, and fold the tail again on top."""
        late = self._folder.turn(settled, entry, state.tenant, state.customer_key, late=True)
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
        """Take the steps from `index` on again, as the tail changed there, and tell what they change.

        `fresh` are the entries that are new: tombstones among the others were told before. `history` are the folds
        that were told, where they are not those of the state.
        """
        before = state.folds[index - 1] if index else state.settled
        steps = self._folder.steps(before, tail[index:], state.tenant, state.customer_key)
        folds = (*state.folds[:index], *[step.fold for step in steps])
        turns = [s.turn for at, s in enumerate(steps, index) if at in fresh or not tail[at].retracted]
        rows = self._sessions(state, history or (before, *state.folds[index:]), (before, *folds[index:]))
        state, escalations = self._teller.refolded(state, tail, index, steps, message)
        return msgspec.structs.replace(state, tail=tail, folds=folds), [*turns, *rows, *escalations]

    def _sessions(self, state: CustomerState, old: tuple[Fold, ...], new: tuple[Fold, ...]) -> list[Output]:
        """Rows of the sessions that a corrected history has, and of those that it no longer has."""
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
