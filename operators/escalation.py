"""The state machine of alerts, one step per message in event order.

    idle --raise holds--> pending --for `for`--> active --clear holds, or the session ends--> idle (cooling down)
                             |                     '-- level_up.when holds --> active, graver
                             '-- cooling down or budget spent --> suppressed (published once, while raise holds)

A rule in scope is evaluated for what the customer says, and for events without words (opened, rating ...), whoever
made them. Out of scope an active alert may only clear. De-bounce (`for`) counts successive customer messages. An event
without words can raise only rules that ask for one message, also if they were suppressed before; it may raise an
alert's level, and it neither resets a count nor clears. For one message `clear` is evaluated before `level_up`, and a
cleared alert is raised again by a later message at the earliest. A level only goes up, and does so at once if
`level_up` holds for the message that raises the alert. A provisional message moves a rule of level 1 to pending at
most, and no other rule: its words may change with the next revision, so it neither raises nor clears.

The cooldown runs from the end of the rule's last alert, also across sessions; an alert for which `level_up` holds
passes it. The budget is per customer and sliding hour, shared by all rules in the order of the file. It counts alerts
that were raised, and neither suppressed alerts nor higher levels. Keyed state covers one customer only, so the budget
limits what one customer can set off; a limit per recipient belongs to whatever delivers the alerts.

A rule about waiting goes from pending to active by the passing of time alone (`pass_time`): `for.seconds` after the
first message, but not before the last message that it asks for. During the cooldown it is delayed, not suppressed. If
the budget suppresses it, it stays suppressed. An answer ends it.

A step is a pure function of the alarms before it and the facts, so a corrected history gives the alarms that it should
have had. `alerts.py` publishes the difference, and tracks what people did with an alert.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Literal

import msgspec

from operators.conditions import Facts, signs_of
from operators.parameters import HOUR
from operators.rules import Rule

IDLE, PENDING, ACTIVE, SUPPRESSED = range(4)
_HEXADECIMAL = frozenset("0123456789abcdef")
RAISED = 12
"""Most times of raised alerts that are stored for the budget."""

Step = Literal["raised", "level_up", "cleared", "suppressed"]
Place = tuple[str, int, str]
"""Tenant, customer and session in which an alert is raised."""


class Track(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """State of one rule for one customer; a rule that never matched has no entry."""

    rule: str
    phase: int = IDLE
    count: int = 0
    """Successive customer messages for which `raise` held, counted up to what the rule asks for."""
    since_ms: int = 0
    """Event time of the first of them; once active, when the alert was raised."""
    resolved_ms: int = 0
    """When the last alert ended; the cooldown runs from here. 0: never."""
    level: int = 0
    ordinal: int = 0
    """Number of alerts of this rule in this session, suppressed ones included."""
    alert: str = ""
    """Id of the active or suppressed alert, or of the last one."""


class Alarms(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One customer's budget, and the states of rules that are not idle, had an alert in this session or cool down."""

    tracks: tuple[Track, ...] = ()
    raised_ms: tuple[int, ...] = ()
    """Event times at which the latest alerts of any rule were raised, for the budget."""
    in_session: int = 0
    """Number of alerts raised in this session."""
    since: tuple[int, int] = (0, 0)
    """Place of the last event that was evaluated with earlier rules; the present rules apply only to later events."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """One transition of one alert, to be published."""

    step: Step
    track: Track
    reason: str
    at_ms: int


def alert_id(place: Place, rule: str, ordinal: int) -> str:
    """Return the id of an alert, unique for its customer: a hash of what it is, so that a replay gives the same id.

    >>> alert_id(("acme", 7, "e75930b1d9463ce8"), "angry", 1)
    '14eeb2e25c4b'
    """
    tenant, customer_key, session = place
    return blake2b(f"{tenant}\0{customer_key}\0{rule}\0{session}\0{ordinal}".encode(), digest_size=6).hexdigest()


def escalation_id(customer_key: int, alert: str) -> str:
    """Return the published id of an alert; it starts with the customer key, so that feedback reaches the customer.

    Alerts raised by the first version of the job have globally unique ids of 16 digits, and keep them.

    >>> escalation_id(7, "14eeb2e25c4b")
    '0000000000000007-14eeb2e25c4b'
    """
    return alert if len(alert) == 16 else f"{customer_key:016x}-{alert}"


def alert_of(escalation: str) -> tuple[int, str] | None:
    """Return the customer and the alert that an `escalation_id` names; None when it contains no customer.

    >>> alert_of("0000000000000007-14eeb2e25c4b"), alert_of("e-1")
    ((7, '14eeb2e25c4b'), None)
    """
    customer, dash, alert = escalation.partition("-")
    if len(customer) != 16 or not dash or not set(customer + alert) <= _HEXADECIMAL:
        return None
    return int(customer, 16), alert


def alerts_in(alarms: Alarms, place: Place) -> frozenset[str]:
    """Return all alerts of the session at `place` that were raised or suppressed so far, ended ones included.

    >>> sorted(alerts_in(Alarms((Track("angry", ordinal=2),)), ("acme", 7, "e75930b1d9463ce8")))
    ['14eeb2e25c4b', '613b202a0161']
    """
    ids = {alert_id(place, track.rule, n) for track in alarms.tracks for n in range(1, track.ordinal + 1)}
    return frozenset(ids.union([track.alert for track in alarms.tracks if track.alert]))


def evaluate(
    alarms: Alarms, facts: Facts, rules: tuple[Rule, ...], by_id: Mapping[str, Rule]
) -> tuple[Alarms, list[Change]]:
    """Evaluate every rule in scope for one event; return the new alarms and the transitions.

    An active alert of a rule out of scope (found in `by_id`) may clear: the customer went on in another channel or
    queue.
    """
    known = {track.rule: track for track in alarms.tracks}
    changes: list[Change] = []
    raised = alarms.raised_ms
    provisional = facts.turn.provisional
    signs = signs_of(facts)
    moved = False
    for rule in rules:
        if provisional and rule.level > 1:
            continue
        before = known.get(rule.id)
        if before is None:
            if (rule.signs and not rule.signs & signs) or not rule.raises.holds(facts):
                continue
            track, change = _while_holding(rule, Track(rule.id), facts, raised)
        else:
            track, change = _advance(rule, before, facts, raised)
        if change is not None:
            changes.append(change)
            if change.step == "raised":
                raised = (*raised[1 - RAISED :], change.at_ms)
        if track is not before:
            known[rule.id] = track
            moved = True
    for rule in () if provisional else _left_behind(alarms, rules, by_id):
        if (change := _cleared(rule, known[rule.id], facts)) is not None:
            changes.append(change)
            known[rule.id] = change.track
            moved = True
    return (_alarms(alarms, known, raised, changes) if moved else alarms), changes


def pass_time(alarms: Alarms, until_ms: int, waits: Mapping[str, Rule], place: Place) -> tuple[Alarms, list[Change]]:
    """Raise the alerts that become due up to and including `until_ms` because nobody answers.

    `waits` are the rules about waiting, by id. The time of a transition is that at which it was due, not `until_ms`.
    """
    ripe = [(due, track) for track in alarms.tracks if 0 < (due := ripe_ms(track, waits)) <= until_ms]
    if not ripe:
        return alarms, []
    known = {track.rule: track for track in alarms.tracks}
    changes: list[Change] = []
    raised = alarms.raised_ms
    for due, track in sorted(ripe, key=lambda pair: (pair[0], pair[1].rule)):
        rule = waits[track.rule]
        reason = f"no answer for {(due - track.since_ms) // 1000} s"
        known[rule.id], change = _fire(rule, track, due, raised, place, reason)
        changes.append(change)
        if change.step == "raised":
            raised = (*raised[1 - RAISED :], due)
    return _alarms(alarms, known, raised, changes), changes


def ripe_ms(track: Track, waits: Mapping[str, Rule]) -> int:
    """Return the event time at which a pending rule about waiting is due, after its cooldown; 0 for any other track."""
    if track.phase != PENDING:
        return 0
    rule = waits.get(track.rule)
    if rule is None or track.count < rule.messages:
        return 0
    due = track.since_ms + rule.duration_ms
    return max(due, track.resolved_ms + rule.cooldown_ms) if track.resolved_ms else due


def answered(alarms: Alarms, at_ms: int, waits: Mapping[str, Rule]) -> tuple[Alarms, list[Change]]:
    """End all waits, whether pending or with an alert, because somebody answered."""
    if not any([track.phase and track.rule in waits for track in alarms.tracks]):
        return alarms, []
    known: dict[str, Track] = {}
    changes: list[Change] = []
    for track in alarms.tracks:
        if not track.phase or track.rule not in waits:
            known[track.rule] = track
        elif track.phase == ACTIVE:
            known[track.rule] = _idle(track, at_ms)
            changes.append(Change("cleared", known[track.rule], "answered", at_ms))
        else:
            known[track.rule] = _idle(track, track.resolved_ms)
    return _alarms(alarms, known, alarms.raised_ms, []), changes


def end_session(alarms: Alarms, at_ms: int) -> tuple[Alarms, list[Change]]:
    """Resolve the active alerts, because the session ended at `at_ms`; only cooldowns and the budget outlive it."""
    if not alarms.tracks:
        return (Alarms((), alarms.raised_ms) if alarms.in_session else alarms), []
    changes = [Change("cleared", track, "the session ended", at_ms) for track in alarms.tracks if track.phase == ACTIVE]
    tracks = [
        Track(track.rule, resolved_ms=at_ms if track.phase == ACTIVE else track.resolved_ms) for track in alarms.tracks
    ]
    return Alarms(tuple([track for track in tracks if track.resolved_ms]), alarms.raised_ms), changes


def _advance(rule: Rule, track: Track, facts: Facts, raised: tuple[int, ...]) -> tuple[Track, Change | None]:
    provisional = facts.turn.provisional
    if track.phase == ACTIVE:
        return (track, None) if provisional else _while_active(rule, track, facts)
    if rule.raises.holds(facts):
        return _while_holding(rule, track, facts, raised)
    ended = track.phase != IDLE and facts.turn.kind == "utterance" and not provisional
    return (_idle(track, track.resolved_ms) if ended else track), None


def _while_holding(rule: Rule, track: Track, facts: Facts, raised: tuple[int, ...]) -> tuple[Track, Change | None]:
    """Handle a message for which `raise` holds while no alert is active: count, and raise once `for` is fulfilled."""
    turn = facts.turn
    if turn.kind != "utterance" and rule.messages > 1:
        return track, None
    if track.phase != SUPPRESSED:
        since = track.since_ms if track.phase == PENDING else turn.event_ms
        count = min(track.count + 1, rule.messages)
        if rule.waits and track.count < count == rule.messages:
            since = max(since, turn.event_ms - rule.duration_ms)  # not due before the last message of its count
        if track.phase != PENDING or count != track.count:
            track = Track(rule.id, PENDING, count, since, track.resolved_ms, track.level, track.ordinal, track.alert)
    if turn.provisional or rule.waits:
        return track, None
    if track.count < rule.messages or turn.event_ms - track.since_ms < rule.duration_ms:
        return track, None
    level = _graver(rule, facts)
    if track.phase == SUPPRESSED and _blocked(rule, track, turn.event_ms, raised, level is not None):
        return track, None
    place = (turn.tenant, turn.customer_key, turn.session_id)
    return _fire(rule, track, turn.event_ms, raised, place, rule.raises.explain(facts), level)


def _fire(
    rule: Rule, track: Track, now: int, raised: tuple[int, ...], place: Place, reason: str, graver: int | None = None
) -> tuple[Track, Change]:
    """Raise an alert that is due, or suppress it if the rule cools down or the budget is spent."""
    blocked = _blocked(rule, track, now, raised, graver is not None)
    ordinal = track.ordinal + 1
    after = Track(
        rule.id,
        SUPPRESSED if blocked else ACTIVE,
        track.count,
        track.since_ms if blocked else now,
        track.resolved_ms,
        rule.level if graver is None else graver,
        ordinal,
        alert_id(place, rule.id, ordinal),
    )
    if blocked:
        return after, Change("suppressed", after, f"{blocked}; {reason}", now)
    return after, Change("raised", after, reason, now)


def _blocked(rule: Rule, track: Track, now: int, raised: tuple[int, ...], graver: bool) -> str:
    """Return why an alert that is due may not be raised; empty if it may. A `graver` one ignores the cooldown."""
    if track.resolved_ms and not graver and now - track.resolved_ms < rule.cooldown_ms:
        return f"cooldown of {rule.cooldown_ms // 1000} s"
    spent = sum([at > now - HOUR for at in raised])
    return f"budget of {rule.budget} alerts an hour spent" if spent >= rule.budget else ""


def _while_active(rule: Rule, track: Track, facts: Facts) -> tuple[Track, Change | None]:
    cleared = _cleared(rule, track, facts)
    if cleared is not None:
        return cleared.track, cleared
    graver = _graver(rule, facts)
    if graver is None or graver <= track.level or rule.level_up is None:
        return track, None
    after = msgspec.structs.replace(track, level=graver)
    return after, Change("level_up", after, rule.level_up.when.explain(facts), facts.turn.event_ms)


def _cleared(rule: Rule, track: Track, facts: Facts) -> Change | None:
    """Return the transition that clears an active alert, if the message has that effect."""
    if facts.turn.kind != "utterance":
        return None
    if not (not rule.raises.holds(facts) if rule.clears is None else rule.clears.holds(facts)):
        return None
    why = "raise no longer holds" if rule.clears is None else rule.clears.explain(facts)
    return Change("cleared", _idle(track, facts.turn.event_ms), why, facts.turn.event_ms)


def _left_behind(alarms: Alarms, rules: tuple[Rule, ...], by_id: Mapping[str, Rule]) -> list[Rule]:
    """Return the rules out of scope that have an active alert."""
    active = [track.rule for track in alarms.tracks if track.phase == ACTIVE]
    inside = {rule.id for rule in rules} if active else set()
    return [by_id[name] for name in active if name in by_id and name not in inside]


def _graver(rule: Rule, facts: Facts) -> int | None:
    up = rule.level_up
    return up.level if up is not None and up.when.holds(facts) else None


def _idle(track: Track, resolved_ms: int) -> Track:
    return Track(track.rule, IDLE, 0, 0, resolved_ms, track.level, track.ordinal, track.alert)


def _alarms(before: Alarms, known: Mapping[str, Track], raised: tuple[int, ...], changes: list[Change]) -> Alarms:
    fresh = sum([change.step == "raised" for change in changes])
    tracks = tuple([track for track in known.values() if track.phase or track.resolved_ms or track.ordinal])
    return Alarms(tracks, raised, before.in_session + fresh)
