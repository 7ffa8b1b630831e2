"""The state machine of alerts, one step per message in event order.

    idle --raise holds--> pending --for `for`--> active --clear holds, or the session ends--> idle (cooling down)
                             |                     '-- level_up.when holds --> active, graver
                             '-- cooling down or budget spent --> suppressed (told once, while raise holds)

De-bounce counts successive customer messages; events without words (opened, rating ...) can only set off rules that
ask for one. A rule of level 2 or 3 does not look at provisional messages at all. The budget is a sliding hour per
customer, over all rules: keyed state knows one customer only, so it caps what one customer may set off, and a cap
per recipient belongs to whoever delivers.

A step is a pure function of the alarms before it and the facts, so a corrected history folds to the alarms that it
should have had; `alerts.py` tells the world the difference.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

import msgspec

from operators.conditions import Facts
from operators.parameters import HOUR
from operators.rules import Rule

IDLE, PENDING, ACTIVE, SUPPRESSED = range(4)
RAISED = 12
"""Times of alerts that are remembered for the budget."""

Step = Literal["raised", "level_up", "cleared", "suppressed"]


class Track(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where one rule stands with one customer. Rules without a past have none."""

    rule: str
    phase: int = IDLE
    count: int = 0
    """Successive customer messages for which `raise` held."""
    since_ms: int = 0
    """First of them; once active, when the alert was raised."""
    resolved_ms: int = 0
    """When the last alert ended; the cooldown runs from here. 0: never."""
    level: int = 0
    ordinal: int = 0
    """Alerts of this rule so far in this session."""
    alert: str = ""
    """Id of the alert that is active, or last was."""


class Alarms(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All rules of one customer that are not idle."""

    tracks: tuple[Track, ...] = ()
    raised_ms: tuple[int, ...] = ()
    """When the latest alerts were raised, whichever rule: the budget of an hour."""
    in_session: int = 0
    """Alerts raised in this session."""


class Change(msgspec.Struct, frozen=True):
    """One transition of one alert, to be told."""

    step: Step
    track: Track
    reason: str
    at_ms: int


def alert_id(tenant: str, customer_key: int, rule: str, session: str, ordinal: int) -> str:
    """Name an alert after what it is, so that a replay raises the same one.

    >>> alert_id("acme", 7, "angry", "e75930b1d9463ce8", 1) == alert_id("acme", 7, "angry", "e75930b1d9463ce8", 1)
    True
    """
    return blake2b(f"{tenant}\0{customer_key}\0{rule}\0{session}\0{ordinal}".encode(), digest_size=8).hexdigest()


def evaluate(alarms: Alarms, facts: Facts, rules: tuple[Rule, ...]) -> tuple[Alarms, list[Change]]:
    """Ask every rule in scope after one message; gives the alarms and what changed."""
    known = {track.rule: track for track in alarms.tracks}
    changes: list[Change] = []
    raised = alarms.raised_ms
    moved = False
    for rule in rules:
        track = known.get(rule.id)
        if facts.turn.provisional and rule.level > 1:
            continue
        if track is None:
            if not rule.raises.holds(facts):
                continue
            track = Track(rule.id)
        after, change = _advance(rule, track, facts, raised)
        if change is not None:
            changes.append(change)
            if change.step == "raised":
                raised = (*raised[1 - RAISED :], change.at_ms)
        if after is not known.get(rule.id):
            known[rule.id] = after
            moved = True
    if not moved:
        return alarms, changes
    fresh = sum([change.step == "raised" for change in changes])
    tracks = tuple([track for track in known.values() if _has_past(track)])
    return Alarms(tracks, raised, alarms.in_session + fresh), changes


def end_session(alarms: Alarms, at_ms: int) -> tuple[Alarms, list[Change]]:
    """Resolve what is active, as the session ended at `at_ms`; only cooldowns outlive it."""
    if not alarms.tracks:
        return (Alarms((), alarms.raised_ms) if alarms.in_session else alarms), []
    changes = [Change("cleared", track, "the session ended", at_ms) for track in alarms.tracks if track.phase == ACTIVE]
    tracks = [
        Track(track.rule, resolved_ms=at_ms if track.phase == ACTIVE else track.resolved_ms) for track in alarms.tracks
    ]
    return Alarms(tuple([track for track in tracks if track.resolved_ms]), alarms.raised_ms), changes


def _advance(rule: Rule, track: Track, facts: Facts, raised: tuple[int, ...]) -> tuple[Track, Change | None]:
    if track.phase == ACTIVE:
        return _while_active(rule, track, facts)
    spoken = facts.turn.kind == "utterance"
    if not rule.raises.holds(facts):
        return (_idle(track) if spoken and track.phase != IDLE else track), None
    if track.phase == SUPPRESSED:
        count, since = track.count, track.since_ms
    elif spoken or rule.messages == 1:
        count, since = track.count + 1, track.since_ms if track.phase == PENDING else facts.turn.event_ms
    else:
        return track, None
    if count < rule.messages or facts.turn.event_ms - since < rule.duration_ms:
        return msgspec.structs.replace(track, phase=PENDING, count=count, since_ms=since), None
    return _due(rule, track, facts, raised, count, since)


def _due(
    rule: Rule, track: Track, facts: Facts, raised: tuple[int, ...], count: int, since: int
) -> tuple[Track, Change | None]:
    """The reason has lasted: raise, unless the rule cools down or the budget is spent."""
    now = facts.turn.event_ms
    graver = _graver(rule, facts)
    blocked = _blocked(rule, track, now, raised, graver is not None)
    if blocked and track.phase == SUPPRESSED:
        return track, None
    ordinal = track.ordinal + 1
    after = Track(
        rule.id,
        SUPPRESSED if blocked else ACTIVE,
        count,
        since if blocked else now,
        track.resolved_ms,
        rule.level if graver is None else graver,
        ordinal,
        alert_id(facts.turn.tenant, facts.turn.customer_key, rule.id, facts.turn.session_id, ordinal),
    )
    reason = rule.raises.explain(facts)
    if blocked:
        return after, Change("suppressed", after, f"{blocked}; {reason}", now)
    return after, Change("raised", after, reason, now)


def _blocked(rule: Rule, track: Track, now: int, raised: tuple[int, ...], graver: bool) -> str:
    """Why an alert that is due may not be raised; empty when it may. A graver one passes through the cooldown."""
    if track.resolved_ms and not graver and now - track.resolved_ms < rule.cooldown_ms:
        return f"cooldown of {rule.cooldown_ms // 1000} s"
    spent = sum([at > now - HOUR for at in raised])
    return f"budget of {rule.budget} alerts an hour spent" if spent >= rule.budget else ""


def _while_active(rule: Rule, track: Track, facts: Facts) -> tuple[Track, Change | None]:
    now = facts.turn.event_ms
    spoken = facts.turn.kind == "utterance"
    if spoken and (not rule.raises.holds(facts) if rule.clears is None else rule.clears.holds(facts)):
        why = "raise no longer holds" if rule.clears is None else rule.clears.explain(facts)
        after = msgspec.structs.replace(track, phase=IDLE, count=0, resolved_ms=now)
        return after, Change("cleared", after, why, now)
    graver = _graver(rule, facts)
    if graver is None or graver <= track.level or rule.level_up is None:
        return track, None
    after = msgspec.structs.replace(track, level=graver)
    return after, Change("level_up", after, rule.level_up.when.explain(facts), now)


def _graver(rule: Rule, facts: Facts) -> int | None:
    up = rule.level_up
    if up is None or (facts.turn.provisional and up.level > 1) or not up.when.holds(facts):
        return None
    return up.level


def _idle(track: Track) -> Track:
    return msgspec.structs.replace(track, phase=IDLE, count=0, since_ms=0)


def _has_past(track: Track) -> bool:
    return bool(track.phase or track.resolved_ms or track.ordinal)
