"""One customer, one state: the pure heart of the keyed step, where messages become turns, sessions and alerts.

Arrival order does not matter within the allowed lateness. The state is a `settled` fold of everything
older than the watermark (the customer's latest event time minus the lateness), plus the open `tail`: the messages
after that, sorted in event order. A message that comes in order costs one step of the fold; one that does not is
sorted in, and the steps after it are taken again. A revision or a retraction exchanges its entry of the tail. Since
the same step is taken in the same order whatever arrived when, the results are bit-equal.

Versions come from the data: a turn's version is the knowledge of all messages up to its place, so the row with
the highest version is the one that knew most, on every run. A session's version counts in every correction known,
wherever it is, as a correction may move where sessions begin and end.

Past the watermark a message is `late`: it still moves what adds up in any order (section 9.2 of the mission
anchors). Nothing here reads a clock, does I/O, or knows the engine.
"""

from __future__ import annotations

import msgspec

from operators import alerts
from operators.alerts import Context, Told
from operators.entry import Entry, entry_of, hash64
from operators.fold import Fold, Folder, Stepped
from operators.parameters import Parameters
from operators.records import Escalation, Message, SessionUpdate, Turn
from operators.rules import Rules
from operators.state import CustomerState, dump, find, insertion, last_of_sessions, load, remembered
from operators.summary import session_knowledge, session_update

__all__ = ["CustomerReducer", "CustomerState", "Output"]

Output = Turn | SessionUpdate | Escalation


class CustomerReducer:
    """Folds one customer's messages; shared by all customers, holds no state of any.

    `lateness_ms` is the event time within which any order of arrival gives the same final rows.
    """

    def __init__(self, parameters: Parameters, rules: Rules, lateness_ms: int) -> None:
        self.parameters = parameters
        self.rules = rules
        self.lateness_ms = lateness_ms
        self._folder = Folder(parameters, rules)

    def on_message(self, state: CustomerState | None, message: Message) -> tuple[CustomerState, list[Output]]:
        """Take in one message, in whatever order it comes; a repeat changes nothing and gives nothing."""
        if state is None:
            state = CustomerState(message.tenant, message.customer_key)
        entry = entry_of(message, hash64(message.event_id))
        held = find(state.tail, entry.id_hash)
        if held >= 0:
            state, out = self._revise(state, held, entry, message)
        elif entry.id_hash in state.ring:
            state, out = self._correct(state, entry, message)
        elif entry.place < state.settled.place:
            state, out = self._late(state, entry, message)
        elif not state.tail or state.tail[-1].place < entry.place:
            state, out = self._append(state, entry, message)
        else:
            index = insertion(state.tail, entry)
            tail = (*state.tail[:index], entry, *state.tail[index:])
            state, out = self._refold(state, tail, index, {index}, message)
        return self._settle(state), out

    def on_tick(self, state: CustomerState, stream_ms: int) -> tuple[CustomerState | None, list[Output]]:
        """Let stream time pass: close the session that is over, forget the customer who is gone for good."""
        out: list[Output] = []
        fold = state.current
        session = fold.session
        if self.has_open_session(state) and stream_ms > self._close_ms(state) and session is not None:
            context = self._at_rest(state)
            told, cleared = alerts.resolve_all(state.told, session.deadline_ms, context)
            state = msgspec.structs.replace(state, told=told, closed=fold.known)
            out = [self._summary(state, fold, fold, "closed"), *cleared]
        return (None if stream_ms > self._forget_ms(state) else state), out

    def has_open_session(self, state: CustomerState) -> bool:
        """Whether the last session is still to be closed."""
        fold = state.current
        return fold.session is not None and state.closed != fold.known

    def next_timer(self, state: CustomerState) -> int:
        """Stream time in milliseconds at which `on_tick` has something to do."""
        return (self._close_ms(state) if self.has_open_session(state) else self._forget_ms(state)) + 1

    def dump(self, state: CustomerState) -> bytes:
        """Write a snapshot: msgpack, versioned."""
        return dump(state)

    def load(self, blob: bytes) -> CustomerState:
        """Read a snapshot of this or an older version and fold the tail again."""
        state = load(blob)
        return msgspec.structs.replace(state, folds=tuple([step.fold for step in self._steps(state, state.tail, 0)]))

    def _append(self, state: CustomerState, entry: Entry, message: Message) -> tuple[CustomerState, list[Output]]:
        """The common case: the newest message of the customer."""
        before = state.current
        step = self._folder.step(before, entry, state.tenant, state.customer_key)
        out: list[Output] = [step.turn]
        told = state.told
        out += self._sessions_appended(state, before, step.fold)
        for change in step.changes:
            told, escalation = alerts.tell(told, change, Context(step.fold, step.turn, entry, message, self.rules))
            if escalation is not None:
                out.append(escalation)
        after = CustomerState(
            state.tenant,
            state.customer_key,
            state.settled,
            (*state.tail, entry),
            state.ring,
            state.ranks,
            told,
            state.closed,
            (*state.folds, step.fold),
        )
        return after, out

    def _sessions_appended(self, state: CustomerState, before: Fold, after: Fold) -> list[Output]:
        """Rows of the session that an appended event ended, began or moved.

        An open session is told at its 1st, 2nd, 4th, 8th ... event: the turns carry the live values.
        """
        old, new = before.session, after.session
        out: list[Output] = []
        if old is not None and new is not None and old.id != new.id and state.closed != before.known:
            out.append(self._summary(state, before, after, "closed"))
        if new is not None and new.events & (new.events - 1) == 0 and after.session is not before.session:
            out.append(self._summary(state, after, after, "open"))
        return out

    def _revise(
        self, state: CustomerState, held: int, entry: Entry, message: Message
    ) -> tuple[CustomerState, list[Output]]:
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

    def _move(
        self, state: CustomerState, held: int, entry: Entry, message: Message
    ) -> tuple[CustomerState, list[Output]]:
        """A revision with another time: the row at the old time is taken back, a tombstone keeps its knowledge."""
        grave = msgspec.structs.replace(state.tail[held], retracted=True, kind="retracted", revision=entry.revision)
        entry = entry if entry.place > state.settled.place else msgspec.structs.replace(entry, event_ms=grave.event_ms)
        tail = (*state.tail[:held], grave, *state.tail[held + 1 :])
        index = insertion(tail, entry)
        tail = (*tail[:index], entry, *tail[index:])
        fresh = {index, held if held < index else held + 1}
        return self._refold(state, tail, min(fresh), fresh, message)

    def _refold(
        self,
        state: CustomerState,
        tail: tuple[Entry, ...],
        index: int,
        fresh: set[int],
        message: Message,
        history: tuple[Fold, ...] = (),
    ) -> tuple[CustomerState, list[Output]]:
        """Take the steps from `index` on again, as the tail changed there, and tell what they change.

        `fresh` are the entries that are new: tombstones among the others were told before. `history` are the folds
        that were told, where they are not those of the state.
        """
        steps = self._steps(state, tail, index)
        folds = (*state.folds[:index], *[step.fold for step in steps])
        turns = [s.turn for at, s in enumerate(steps, index) if at in fresh or not tail[at].retracted]
        before = state.folds[index - 1] if index else state.settled
        rows = self._sessions_refolded(state, history or (before, *state.folds[index:]), (before, *folds[index:]))
        told, escalations = self._alerts_refolded(state, tail, index, steps, message)
        after = msgspec.structs.replace(state, tail=tail, folds=folds, told=told)
        return after, [*turns, *rows, *escalations]

    def _sessions_refolded(self, state: CustomerState, old: tuple[Fold, ...], new: tuple[Fold, ...]) -> list[Output]:
        """Rows of the sessions that a corrected history has, and of those that it no longer has."""
        was, now = last_of_sessions(old), last_of_sessions(new)
        out: list[Output] = []
        for name, fold in was.items():
            if name not in now:
                gone_at = max([later.known for later in new if later.place <= fold.place], default=fold.known)
                out.append(self._summary(state, fold, new[-1], "closed", gone_at))
        last = new[-1].session
        for name, fold in now.items():
            how = "open" if last is not None and name == last.id else "closed"
            out.append(self._summary(state, fold, new[-1], how))
        return out

    def _alerts_refolded(
        self, state: CustomerState, tail: tuple[Entry, ...], index: int, steps: list[Stepped], message: Message
    ) -> tuple[tuple[Told, ...], list[Escalation]]:
        """Transitions of a corrected history that differ from what was told: of each alert the last one counts."""
        told = state.told
        if not told and not any([step.changes for step in steps]):
            return told, []
        last = {}
        for entry, step in zip(tail[index:], steps, strict=True):
            for change in step.changes:
                last[change.track.alert] = (change, Context(step.fold, step.turn, entry, message, self.rules))
        out: list[Escalation] = []
        for change, context in last.values():
            told, escalation = alerts.tell(told, change, context)
            out += [escalation] if escalation else []
        context = Context(steps[-1].fold, steps[-1].turn, tail[-1], message, self.rules)
        told, more = alerts.reconcile(told, steps[-1].fold.alarms, last, tail[index].event_ms, context)
        return told, out + more

    def _correct(self, state: CustomerState, entry: Entry, message: Message) -> tuple[CustomerState, list[Output]]:
        """A revision or retraction of a settled event; repeats are dropped."""
        at = state.ring.index(entry.id_hash)
        rank = entry.revision * 2 + entry.retracted
        if state.ranks[at] & 1 or (entry.revision <= state.ranks[at] >> 1 and not entry.retracted):
            return state, []
        settled = self._folder.correct(state.settled, entry)
        ranks = (*state.ranks[:at], rank, *state.ranks[at + 1 :])
        return self._amend(msgspec.structs.replace(state, ranks=ranks), settled, entry, message)

    def _late(self, state: CustomerState, entry: Entry, message: Message) -> tuple[CustomerState, list[Output]]:
        """An event whose place is settled; far from any session that is still known it gets one of its own."""
        session = state.settled.session
        settled = self._folder.late(state.settled, entry)
        ring, ranks = remembered(state, (entry,))
        state = msgspec.structs.replace(state, ring=ring, ranks=ranks)
        if session is None or self._folder.belongs(session, entry):
            return self._amend(state, settled, entry, message)
        alone = Fold(known=state.settled.known)
        stray = self._folder.step(alone, entry, state.tenant, state.customer_key)
        after, (_, *out) = self._amend(state, settled, entry, message)
        turn = msgspec.structs.replace(stray.turn, late=True)
        return after, [turn, *out, self._summary(state, stray.fold, after.current, "closed")]

    def _amend(
        self, state: CustomerState, settled: Fold, entry: Entry, message: Message
    ) -> tuple[CustomerState, list[Output]]:
        """Exchange the settled fold, write the late row, and fold the tail again on top."""
        late = self._folder.turn(settled, entry, state.tenant, state.customer_key, late=True)
        rebased = msgspec.structs.replace(state, settled=settled, folds=())
        before = (state.settled, *state.folds)
        after, out = self._refold(rebased, state.tail, 0, set(), message, before)
        return after, [late, *out]

    def _steps(self, state: CustomerState, tail: tuple[Entry, ...], index: int) -> list[Stepped]:
        fold = state.folds[index - 1] if index else state.settled
        steps = []
        for entry in tail[index:]:
            step = self._folder.step(fold, entry, state.tenant, state.customer_key)
            steps.append(step)
            fold = step.fold
        return steps

    def _settle(self, state: CustomerState) -> CustomerState:
        """Move what no message can precede any more from the tail into the settled fold."""
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
        settled, told = state.folds[count - 1], state.told
        if told:
            told = alerts.prune(told, tail[count].event_ms, settled.session.id if settled.session else "")
        return CustomerState(
            state.tenant,
            state.customer_key,
            settled,
            tail[count:],
            ring,
            ranks,
            told,
            state.closed,
            state.folds[count:],
        )

    def _summary(
        self, state: CustomerState, fold: Fold, latest: Fold, how: str, gone_at: int | None = None
    ) -> SessionUpdate:
        """Row of the session that ends in `fold`, `latest` being the newest fold; `gone_at` takes it back."""
        return session_update(
            state.tenant,
            state.customer_key,
            fold,
            closed=how == "closed",
            deleted=gone_at is not None,
            known=session_knowledge(fold.known if gone_at is None else gone_at, latest.known),
            parameters=self.parameters,
        )

    def _at_rest(self, state: CustomerState) -> Context:
        """Where the customer stands when nothing more comes: at the last event."""
        fold = state.current
        entry = state.tail[-1]
        return Context(fold, self._folder.turn(fold, entry, state.tenant, state.customer_key), entry, None, self.rules)

    def _close_ms(self, state: CustomerState) -> int:
        session = state.current.session
        return self.lateness_ms + (session.deadline_ms if session else 0)

    def _forget_ms(self, state: CustomerState) -> int:
        return state.current.place[0] + self.parameters.forget_ms + self.lateness_ms
