"""Tell the world what changed about a customer's alerts, once each.

The fold says which alerts there should be; `Told` remembers what was published. An alert that is published and,
after a correction, should never have been, is retracted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from operators.entry import Entry
from operators.escalation import ACTIVE, Alarms, Change
from operators.fold import Fold
from operators.records import TAGS, Escalation, Evidence, Message, RedactedText, Transition, Turn
from operators.rules import Rules

TOLD = 24
"""Alerts remembered at most."""

State = Literal["active", "resolved", "suppressed"]
_AFTER: dict[str, State] = {
    "raised": "active",
    "level_up": "active",
    "cleared": "resolved",
    "retracted": "resolved",
    "suppressed": "suppressed",
}


class Told(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One alert as last published."""

    alert: str
    rule: str
    version: int
    state: State
    level: int
    raised_ms: int
    changed_ms: int
    session: str


class Context(msgspec.Struct, frozen=True):
    """What surrounds a transition: the place in the history, and the message that is just being read."""

    fold: Fold
    turn: Turn
    entry: Entry | None
    message: Message | None
    rules: Rules


def tell(told: tuple[Told, ...], change: Change, context: Context) -> tuple[tuple[Told, ...], Escalation | None]:
    """Publish a transition unless the world already knows the alert in that state and level."""
    track = change.track
    before = next((item for item in told if item.alert == track.alert), None)
    state = _AFTER[change.step]
    if before is not None and before.state == state and before.level == track.level:
        return told, None
    if before is None and change.step == "cleared":
        return told, None
    known = before is not None and before.state == "active"
    transition: Transition = "level_up" if change.step == "raised" and known else change.step
    after = Told(
        track.alert,
        track.rule,
        1 if before is None else before.version + 1,
        state,
        track.level,
        change.at_ms if before is None else before.raised_ms,
        change.at_ms,
        context.turn.session_id if before is None else before.session,
    )
    return _remember(told, after), _escalation(after, transition, change.reason, context)


def reconcile(
    told: tuple[Told, ...], alarms: Alarms, mentioned: Iterable[str], since_ms: int, context: Context
) -> tuple[tuple[Told, ...], list[Escalation]]:
    """After a correction at `since_ms`: retract what should never have been raised, reopen what never cleared.

    `mentioned` are the alerts that the corrected history has transitions for; those are told already.
    """
    active = {track.alert: track for track in alarms.tracks if track.phase == ACTIVE}
    mentioned = set(mentioned)
    out: list[Escalation] = []
    for item in told:
        if item.alert in mentioned or item.changed_ms < since_ms:
            continue
        if item.raised_ms >= since_ms and item.alert not in active and item.version >= 1 and not _taken_back(item):
            told, escalation = _retract(told, item, context)
            out.append(escalation)
        elif item.alert in active and item.state != "active":
            change = Change("raised", active[item.alert], "the message that had cleared it was corrected", since_ms)
            told, reopened = tell(told, change, context)
            out += [reopened] if reopened else []
    return told, out


def resolve_all(told: tuple[Told, ...], at_ms: int, context: Context) -> tuple[tuple[Told, ...], list[Escalation]]:
    """Clear what is active, as the session is over."""
    out = []
    for item in [item for item in told if item.state == "active"]:
        after = msgspec.structs.replace(item, state="resolved", version=item.version + 1, changed_ms=at_ms)
        told = _remember(told, after)
        out.append(_escalation(after, "cleared", "the session ended", context))
    return told, out


def prune(told: tuple[Told, ...], settled_ms: int, session: str) -> tuple[Told, ...]:
    """Forget finished alerts that no correction can reach any more.

    One that was taken back stays until its session ends: the rule may raise under the same id again, and its
    versions must go on.
    """
    kept = [
        item
        for item in told
        if item.state == "active" or item.changed_ms >= settled_ms or (_taken_back(item) and item.session == session)
    ]
    return told if len(kept) == len(told) else tuple(kept[-TOLD:])


def _retract(told: tuple[Told, ...], item: Told, context: Context) -> tuple[tuple[Told, ...], Escalation]:
    after = msgspec.structs.replace(item, state="resolved", level=0, version=item.version + 1)
    shown = msgspec.structs.replace(after, level=item.level)
    reason = "the message that raised it was corrected or taken back"
    return _remember(told, after), _escalation(shown, "retracted", reason, context)


def _taken_back(item: Told) -> bool:
    """A retracted alert is remembered with level 0, so that raising it again is news."""
    return item.level == 0


def _remember(told: tuple[Told, ...], after: Told) -> tuple[Told, ...]:
    for index, item in enumerate(told):
        if item.alert == after.alert:
            return (*told[:index], after, *told[index + 1 :])
    return (*told, after)


def _escalation(told: Told, transition: Transition, reason: str, context: Context) -> Escalation:
    turn, message = context.turn, context.message
    rule = context.rules.by_id.get(told.rule)
    route = rule.route if rule else "supervisor"
    if rule and rule.level_up and told.level >= rule.level_up.level:
        route = rule.level_up.route
    return Escalation(
        escalation_id=told.alert,
        transition=transition,
        version=told.version,
        tenant=turn.tenant,
        customer_key=f"{turn.customer_key:016x}",
        session_id=told.session,
        interaction_id=turn.interaction_id,
        channel=turn.channel,
        queue=turn.queue or (context.fold.session.queue if context.fold.session else ""),
        agent_key=turn.agent_key or (context.fold.session.agent_key if context.fold.session else ""),
        rule=told.rule,
        rule_version=context.rules.version,
        family=rule.family if rule else told.rule,
        level=max(1, told.level),
        route=route,
        state=told.state,
        reason=reason,
        raised_ms=told.raised_ms,
        event_ms=told.changed_ms,
        evidence=_evidence(context),
        broker_ms=message.broker_ms if message else 0,
    )


def _evidence(context: Context) -> Evidence:
    turn, message = context.turn, context.message
    trigger = message if message is not None and message.event_id == turn.event_id else None
    return Evidence(
        score=turn.score,
        level=turn.level,
        level_evidence=turn.level_evidence,
        customer_level=turn.customer_level,
        carried=turn.carried,
        slope=turn.slope,
        streak=turn.streak,
        tags=_tags(turn.flags, trigger.tags if trigger else ()),
        excerpt=trigger.excerpt if trigger else RedactedText(""),
        event_ids=(turn.event_id, *[known for known in context.fold.recent if known != turn.event_id])[:3],
    )


def _tags(flags: int, probabilities: Sequence[float]) -> tuple[str, ...]:
    """Names of the flagged tags, most probable first where probabilities are at hand."""
    bits = [bit for bit in range(len(TAGS)) if flags >> bit & 1]
    if len(probabilities) == len(TAGS):
        bits.sort(key=lambda bit: -probabilities[bit])
    return tuple(TAGS[bit] for bit in bits)
