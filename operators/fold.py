"""One step of one customer's history: session, mood, trajectory and alarms after the next event.

The same `step` is taken for every event, in event order, whether it came in order or had to be sorted in later;
therefore every arrival order within the allowed lateness gives bit-equal numbers. `late` is the exception: it adds an event
whose place is settled to whatever adds up in any order.
"""

from __future__ import annotations

from functools import partial

import msgspec

from operators import mood as moods
from operators import session as sessions
from operators import trajectory as trajectories
from operators.conditions import Facts
from operators.entry import Entry, hash32
from operators.escalation import Alarms, Change, end_session, evaluate
from operators.mood import Mood
from operators.parameters import DAY, SCALE, Parameters
from operators.records import Turn
from operators.rules import Rules
from operators.session import Contacts, Session
from operators.trajectory import Trajectory

EVIDENCE = 3


class Fold(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Everything known of one customer up to one place in event order."""

    known: int = 0
    """Sum of `Entry.knowledge` so far: the version of whatever is said about this place."""
    place: tuple[int, int] = (0, 0)
    session: Session | None = None
    mood: Mood = Mood()
    trajectory: Trajectory = Trajectory()
    contacts: Contacts = ()
    alarms: Alarms = Alarms()
    recent: tuple[str, ...] = ()
    """Ids of the last customer messages, newest first: evidence."""


class Stepped(msgspec.Struct, frozen=True, gc=False):
    """What one step gives."""

    fold: Fold
    turn: Turn
    changes: list[Change]


class Folder:
    """Takes steps with one set of parameters and rules for one customer after another."""

    def __init__(self, parameters: Parameters, rules: Rules) -> None:
        self.parameters = parameters
        self.rules = rules

    def step(self, fold: Fold, entry: Entry, tenant: str, customer_key: int) -> Stepped:
        """Take in the next event in event order."""
        known = fold.known + entry.knowledge
        if entry.retracted:
            after = msgspec.structs.replace(fold, known=known, place=entry.place)
            return Stepped(after, self.turn(after, entry, tenant, customer_key), [])
        before, trajectory, alarms, changes = self._session(fold, entry, tenant, customer_key)
        trajectory, mood = self._mood(fold, before, trajectory, entry)
        recent = (entry.event_id, *fold.recent[: EVIDENCE - 1]) if entry.is_customer else fold.recent
        after = Fold(
            known,
            (entry.event_ms, entry.id_hash),
            sessions.extend(before, entry, self.parameters),
            mood,
            trajectory,
            sessions.with_contact(fold.contacts, entry),
            alarms,
            recent,
        )
        turn = self.turn(after, entry, tenant, customer_key)
        if entry.speaker == "customer" or entry.kind != "utterance":
            after, changes = self._judge(after, entry, turn, changes)
        return Stepped(after, turn, changes)

    def late(self, fold: Fold, entry: Entry) -> Fold:
        """Add an event whose place is settled; its session keeps its start, its id and its path."""
        trajectory, mood = fold.trajectory, fold.mood
        mine = fold.session is not None and self.belongs(fold.session, entry)
        if entry.is_customer:
            mood = self._late_term(mood, entry, entry.score, entry.weight)
            trajectory = trajectories.late_message(trajectory, entry) if mine else trajectory
        session = fold.session
        if mine and session is not None:
            session = sessions.late_event(session, entry, self.parameters)
        return msgspec.structs.replace(
            fold, known=fold.known + entry.knowledge, session=session, mood=mood, trajectory=trajectory
        )

    def correct(self, fold: Fold, entry: Entry) -> Fold:
        """Correct a settled event by a later revision or a retraction.

        Its old term is known only while it is among the last 12 points; then it is taken back exactly and the new
        one added. Otherwise the sums stay as they are, and only the row is replaced.
        """
        trajectory, mood, session = fold.trajectory, fold.mood, fold.session
        old = next((point for point in trajectory.points if point[0] == entry.event_ms), None)
        if old is not None:
            _, score, weight = old
            new = (0, 0) if entry.retracted else (entry.score, entry.weight)
            mood = self._late_term(self._late_term(mood, entry, score, -weight), entry, *new)
            trajectory = trajectories.replaced(trajectory, old, (entry.event_ms, *new))
        if session is not None:
            session = msgspec.structs.replace(session, late_events=session.late_events + 1)
        return msgspec.structs.replace(
            fold, known=fold.known + entry.knowledge, session=session, mood=mood, trajectory=trajectory
        )

    def belongs(self, session: Session, entry: Entry) -> bool:
        """Whether a late event touches the session."""
        reach = entry.event_ms + self.parameters.gap_ms[entry.channel]
        return entry.event_ms <= session.deadline_ms and reach >= session.started_ms

    def turn(self, fold: Fold, entry: Entry, tenant: str, customer_key: int, late: bool = False) -> Turn:
        """Write down the rolling values after an event."""
        p, now, trajectory = self.parameters, entry.event_ms, fold.trajectory
        session = fold.session or _NOWHERE
        half_life = p.half_life_ms[entry.channel]
        at = max(now, fold.mood.customer.at_ms)
        mine = moods.interaction(fold.mood, entry.interaction_id)
        level, evidence = moods.level_at(mine, max(now, mine.at_ms), half_life, p.kappa)
        customer, customer_evidence = moods.level_at(fold.mood.customer, at, p.customer_half_life_ms, p.kappa)
        slope = trajectory.slope
        return Turn(
            tenant=tenant,
            customer_key=customer_key,
            event_ms=now,
            event_id=entry.event_id,
            revision=entry.revision,
            version=fold.known,
            deleted=entry.retracted,
            session_id=session.id,
            interaction_id=entry.interaction_id,
            channel=entry.channel,
            queue=entry.queue,
            agent_key=entry.agent_key,
            speaker=entry.speaker,
            kind=entry.kind,
            score=entry.score / SCALE,
            weight=entry.weight / SCALE,
            label=entry.label,
            flags=entry.flags,
            level=level,
            level_evidence=evidence,
            customer_level=customer,
            customer_evidence=customer_evidence,
            carried=session.carried,
            slope=slope and slope.value,
            slope_low=slope and slope.low,
            slope_high=slope and slope.high,
            trend=trajectory.trend,
            volatility=trajectories.volatility(trajectory),
            reversals=trajectory.reversals,
            streak=trajectory.streak,
            cusum=round(trajectory.cusum * SCALE) / SCALE,
            change_points=trajectory.change_points,
            low=trajectory.low if trajectory.messages else 0.0,
            low_ms=trajectory.low_ms,
            under_ms=trajectory.under_ms,
            messages=trajectory.messages,
            hops=session.hops,
            contacts_24h=sessions.contacts_within(fold.contacts, now, DAY),
            contacts_7d=sessions.contacts_within(fold.contacts, now, 7 * DAY),
            response_ms=session.response_ms,
            silence_ms=session.silence_ms,
            overtalk_ms=session.overtalk_ms,
            late=late,
            provisional=not entry.final,
            parameters=p.version,
            model_version=entry.model_version,
        )

    def _session(
        self, fold: Fold, entry: Entry, tenant: str, customer_key: int
    ) -> tuple[Session, Trajectory, Alarms, list[Change]]:
        """The session that the event falls into, with what is carried into it when it is new."""
        session = fold.session
        if session is not None and entry.event_ms <= session.deadline_ms:
            return session, fold.trajectory, fold.alarms, []
        p = self.parameters
        carried, _ = moods.level_at(fold.mood.customer, entry.event_ms, p.customer_half_life_ms, p.kappa)
        fresh = sessions.begin(tenant, customer_key, entry, carried)
        if session is None:
            return fresh, Trajectory(), fold.alarms, []
        return fresh, Trajectory(), *end_session(fold.alarms, session.deadline_ms)

    def _mood(self, fold: Fold, session: Session, trajectory: Trajectory, entry: Entry) -> tuple[Trajectory, Mood]:
        """Mood and trajectory after the event; one without the customer's words only lets time pass."""
        mood = fold.mood
        passed = min(entry.event_ms, mood.under_until_ms) - session.ended_ms
        under_ms = trajectory.under_ms + passed if passed > 0 else trajectory.under_ms
        if not entry.is_customer:
            if passed > 0:
                trajectory = msgspec.structs.replace(trajectory, under_ms=under_ms)
            return trajectory, mood
        p = self.parameters
        if entry.weight:
            mood = moods.with_message(mood, entry, p)
        mine = moods.interaction(mood, entry.interaction_id)
        level, _ = moods.level_at(mine, entry.event_ms, p.half_life_ms[entry.channel], p.kappa)
        return trajectories.observe(trajectory, entry, level, session.carried, under_ms, p), mood

    def _judge(self, fold: Fold, entry: Entry, turn: Turn, ended: list[Change]) -> tuple[Fold, list[Change]]:
        """Ask the rules."""
        session = fold.session or _NOWHERE
        facts = Facts(
            turn,
            entry.keywords,
            entry.silence_ms,
            entry.overtalk_ms,
            session.wait_ms,
            None if entry.rating is None else entry.rating / SCALE,
            fold.trajectory.changed and entry.is_customer,
            partial(trajectories.shift, fold.trajectory),
        )
        rules = self.rules.in_scope(turn.tenant, session.queue, entry.channel, entry.language)
        alarms, changes = evaluate(fold.alarms, facts, rules)
        if alarms is not fold.alarms:
            fold = msgspec.structs.replace(fold, alarms=alarms)
        return fold, ended + changes if ended else changes

    def _late_term(self, mood: Mood, entry: Entry, score: int, weight: int) -> Mood:
        key = hash32(entry.interaction_id)
        return moods.with_late(mood, entry.event_ms, entry.channel, key, (score, weight), self.parameters)


_NOWHERE = Session("", 0, 0, 0, 0.0)
"""Stands in where no event has opened a session yet: only a retraction of an unknown event sees it."""
