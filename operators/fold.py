"""One step through a customer's events: session, mood, trajectory and rule states after the next event.

`step` handles every event, in event order, whether it arrived in order or was sorted in later; so every arrival order
within the allowed lateness gives bit-equal numbers. `late` and `correct` are the exceptions: they add or correct an
event whose place is settled, and change only what does not depend on the order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from operators import mood as moods
from operators import session as sessions
from operators import trajectory as trajectories
from operators.conditions import Facts
from operators.entry import Entry, hash32
from operators.escalation import Alarms, Change, answered, end_session, evaluate, pass_time, ripe_ms
from operators.mood import Mood
from operators.parameters import SCALE, Parameters
from operators.records import Turn
from operators.rules import Rules
from operators.session import NO_SESSION, Contacts, Session
from operators.trajectory import Trajectory

EVIDENCE = 3


class Fold(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The values of one customer after all events up to one place in event order."""

    known: int = 0
    """Sum of `Entry.knowledge` so far: the version of the rows for this place."""
    place: tuple[int, int] = (0, 0)
    session: Session | None = None
    mood: Mood = Mood()
    trajectory: Trajectory = Trajectory()
    contacts: Contacts = ()
    alarms: Alarms = Alarms()
    recent: tuple[str, ...] = ()
    """Ids of the last `EVIDENCE` customer messages, newest first: the evidence of an alert."""


class Stepped(msgspec.Struct, frozen=True, gc=False):
    """The result of one step."""

    fold: Fold
    turn: Turn
    passed: list[Change]
    """Alert transitions caused by time alone before this event: a wait ran out, or the previous session ended."""
    changes: list[Change]
    """Alert transitions caused by the event itself."""


class Stepper:
    """Folds events with one set of parameters and rules; shared by all customers, and holds no state of any."""

    def __init__(self, parameters: Parameters, rules: Rules) -> None:
        self.parameters = parameters
        self.rules = rules

    def step(self, fold: Fold, entry: Entry, tenant: str, customer_key: int) -> Stepped:
        """Add the next event in event order."""
        known = fold.known + entry.knowledge
        if entry.retracted:
            after = msgspec.structs.replace(fold, known=known, place=entry.place)
            return Stepped(after, self.turn(after, entry, tenant, customer_key), [], [])
        before, trajectory, alarms, passed = self._session(fold, entry, tenant, customer_key)
        customer = entry.is_customer
        mood = moods.with_message(fold.mood, entry, self.parameters) if customer and entry.weight else fold.mood
        level, customer_level = self._level(mood, entry), self._customer_level(mood, entry)
        trajectory = self._trajectory(fold.mood, before, trajectory, entry, level[0])
        recent = (entry.event_id, *fold.recent[: EVIDENCE - 1]) if customer else fold.recent
        changes: list[Change] = []
        is_judged = entry.place <= fold.alarms.since
        if is_judged:
            alarms, passed = fold.alarms, []
        elif before.waiting_ms and ends_wait(entry):
            alarms, changes = answered(alarms, entry.event_ms, self.rules.waits)
        after = Fold(
            known,
            (entry.event_ms, entry.id_hash),
            sessions.extend(before, entry, self.parameters, customer_level[0] if customer else None),
            mood,
            trajectory,
            sessions.with_contact(fold.contacts, entry),
            alarms,
            recent,
        )
        turn = self._turn(after, entry, tenant, customer_key, (level, customer_level))
        if not is_judged and (entry.speaker == "customer" or entry.kind != "utterance"):
            after, judged = self._judge(after, entry, turn)
            changes += judged
        return Stepped(after, turn, passed, changes)

    def steps(self, fold: Fold, entries: Sequence[Entry], tenant: str, customer_key: int) -> list[Stepped]:
        """Add several events in event order."""
        steps = []
        for entry in entries:
            steps.append(self.step(fold, entry, tenant, customer_key))
            fold = steps[-1].fold
        return steps

    def rest(self, fold: Fold, until_ms: int, tenant: str, customer_key: int) -> tuple[Alarms, list[Change]]:
        """Return the alarms and transitions when time passes after the last event, up to its session's end at most."""
        session = fold.session
        if session is None or not session.waiting_ms:
            return fold.alarms, []
        until_ms = min(until_ms, session.deadline_ms)
        if until_ms - session.waiting_ms < self.rules.shortest_wait_ms:
            return fold.alarms, []
        return pass_time(fold.alarms, until_ms, self.rules.waits, (tenant, customer_key, session.id))

    def ripens_ms(self, fold: Fold, after_ms: int) -> int | None:
        """Return the earliest event time after `after_ms` at which `rest` gives a transition; None if there is none."""
        waits = self.rules.waits
        if fold.session is None or not fold.session.waiting_ms:
            return None
        dues = [due for track in fold.alarms.tracks if (due := ripe_ms(track, waits)) > after_ms]
        return min(dues, default=None)

    def late(self, fold: Fold, entry: Entry) -> Fold:
        """Add an event whose place is settled; its session keeps its start, its id and its channel path."""
        known = fold.known + entry.knowledge
        if entry.retracted:  # the event that it retracts never came, or is forgotten
            return msgspec.structs.replace(fold, known=known)
        trajectory, mood = fold.trajectory, fold.mood
        mine = fold.session is not None and self.belongs(fold.session, entry)
        if entry.is_customer:
            mood = self._late_term(mood, entry, entry.score, entry.weight)
            trajectory = trajectories.late_message(trajectory, entry) if mine else trajectory
        session = fold.session
        if mine and session is not None:
            session = sessions.late_event(session, entry, self.parameters)
        contacts = sessions.with_contact(fold.contacts, entry)
        return msgspec.structs.replace(
            fold, known=known, session=session, mood=mood, trajectory=trajectory, contacts=contacts
        )

    def correct(self, fold: Fold, entry: Entry) -> Fold:
        """Correct a settled event by a later revision or a retraction.

        While the event is among the last 12 points, its old term is known: it is subtracted exactly and the new term
        added. Otherwise the sums do not change, and only the event's row is replaced.
        """
        trajectory, mood, session = fold.trajectory, fold.mood, fold.session
        old = trajectories.point_of(trajectory, entry)
        if old is not None:
            score, weight = (0, 0) if entry.retracted else (entry.score, entry.weight)
            mood = self._late_term(self._late_term(mood, entry, old.score, -old.weight), entry, score, weight)
            trajectory = trajectories.replaced(trajectory, old, old._replace(score=score, weight=weight))
        if session is not None and self.belongs(session, entry):
            session = msgspec.structs.replace(session, late_events=session.late_events + 1)
        return msgspec.structs.replace(
            fold, known=fold.known + entry.knowledge, session=session, mood=mood, trajectory=trajectory
        )

    def belongs(self, session: Session, entry: Entry) -> bool:
        """Whether the time that a late event covers touches that of the session."""
        reach = entry.event_ms + self.parameters.gap_ms[entry.channel]
        return entry.event_ms <= session.deadline_ms and reach >= session.started_ms

    def turn(self, fold: Fold, entry: Entry, tenant: str, customer_key: int, late: bool = False) -> Turn:
        """Make the row of the rolling values after an event."""
        levels = (self._level(fold.mood, entry), self._customer_level(fold.mood, entry))
        return self._turn(fold, entry, tenant, customer_key, levels, late)

    def _turn(
        self,
        fold: Fold,
        entry: Entry,
        tenant: str,
        customer_key: int,
        levels: tuple[tuple[float, float], tuple[float, float]],
        late: bool = False,
    ) -> Turn:
        p, now, trajectory = self.parameters, entry.event_ms, fold.trajectory
        session = fold.session or NO_SESSION
        (level, evidence), (customer, customer_evidence) = levels
        slope = trajectory.slope
        day, week = sessions.contact_counts(fold.contacts, now)
        return Turn(
            tenant,
            customer_key,
            now,
            entry.event_id,
            entry.revision,
            fold.known,
            entry.retracted,
            session.id,
            entry.interaction_id,
            entry.channel,
            entry.queue,
            entry.agent_key,
            entry.speaker,
            entry.kind,
            entry.score / SCALE,
            entry.weight / SCALE,
            entry.label,
            entry.flags,
            level,
            evidence,
            customer,
            customer_evidence,
            session.carried,
            slope.value if slope else None,
            slope.low if slope else None,
            slope.high if slope else None,
            trajectory.trend,
            trajectories.volatility(trajectory),
            trajectory.reversals,
            trajectory.streak,
            round(trajectory.cusum * SCALE) / SCALE,
            trajectory.change_points,
            trajectory.low if trajectory.messages else 0.0,
            trajectory.low_ms,
            trajectory.under_ms,
            trajectory.messages,
            session.hops,
            day,
            week,
            session.response_ms,
            session.silence_ms,
            session.overtalk_ms,
            late,
            not entry.final,
            p.version,
            entry.model_version,
        )

    def _session(
        self, fold: Fold, entry: Entry, tenant: str, customer_key: int
    ) -> tuple[Session, Trajectory, Alarms, list[Change]]:
        """Return session, trajectory and alarms just before the event, and the transitions that time caused.

        When the event begins a new session, that session has only the carried customer level and the count of
        contacts before it.
        """
        session = fold.session
        alarms, passed = self.rest(fold, entry.event_ms, tenant, customer_key)
        if session is not None and entry.event_ms <= session.deadline_ms:
            return session, fold.trajectory, alarms, passed
        p = self.parameters
        carried, _ = moods.level_at(fold.mood.customer, entry.event_ms, p.customer_half_life_ms, p.kappa)
        fresh = sessions.begin(tenant, customer_key, entry, carried, fold.contacts)
        if session is None:
            return fresh, Trajectory(), alarms, passed
        alarms, ended = end_session(alarms, session.deadline_ms)
        return fresh, Trajectory(), alarms, passed + ended

    def _trajectory(
        self, mood: Mood, session: Session, trajectory: Trajectory, entry: Entry, level: float
    ) -> Trajectory:
        """Return the trajectory after the event; `mood` is that before it.

        An event that is no message of the customer only adds to the time below the threshold.
        """
        passed = min(entry.event_ms, mood.under_until_ms) - session.ended_ms if mood.under_until_ms else 0
        under_ms = trajectory.under_ms + passed if passed > 0 else trajectory.under_ms
        if entry.is_customer:
            return trajectories.observe(trajectory, entry, level, session.carried, under_ms, self.parameters)
        return msgspec.structs.replace(trajectory, under_ms=under_ms) if passed > 0 else trajectory

    def _level(self, mood: Mood, entry: Entry) -> tuple[float, float]:
        """Return level and evidence of the entry's interaction at the entry's time."""
        mine = moods.interaction(mood, entry.interaction_id)
        half_life = self.parameters.half_life_ms[entry.channel]
        return moods.level_at(mine, entry.event_ms, half_life, self.parameters.kappa)

    def _customer_level(self, mood: Mood, entry: Entry) -> tuple[float, float]:
        """Return level and evidence of the customer at the entry's time."""
        p = self.parameters
        return moods.level_at(mood.customer, entry.event_ms, p.customer_half_life_ms, p.kappa)

    def _judge(self, fold: Fold, entry: Entry, turn: Turn) -> tuple[Fold, list[Change]]:
        """Evaluate the rules in scope."""
        session = fold.session or NO_SESSION
        facts = Facts(
            turn,
            entry.keywords,
            entry.silence_ms,
            entry.overtalk_ms,
            session.wait_ms,
            None if entry.rating is None else entry.rating / SCALE,
            fold.trajectory.changed and entry.is_customer,
            session.waiting_ms > 0,
            partial(trajectories.shift, fold.trajectory),
        )
        rules = self.rules.in_scope(turn.tenant, session.queue, entry.channel, entry.language)
        alarms, changes = evaluate(fold.alarms, facts, rules, self.rules.by_id)
        if alarms is not fold.alarms:
            fold = msgspec.structs.replace(fold, alarms=alarms)
        return fold, changes

    def _late_term(self, mood: Mood, entry: Entry, score: int, weight: int) -> Mood:
        key = hash32(entry.interaction_id)
        return moods.with_late(mood, entry.event_ms, entry.channel, key, (score, weight), self.parameters)


def ends_wait(entry: Entry) -> bool:
    """Whether the customer no longer waits after this: an agent or a bot spoke, or the conversation was closed."""
    return entry.kind == "closed" or (entry.kind == "utterance" and entry.speaker in ("agent", "bot"))
