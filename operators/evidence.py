"""Make the record that is published for one transition of an alert, with the evidence for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from operators.escalation import escalation_id
from operators.fold import Fold
from operators.records import TAGS, Escalation, Evidence, Message, RedactedText, Transition, Turn
from operators.rules import Rules

State = Literal["active", "acked", "resolved", "suppressed"]


class Published(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The state of one alert when it was last published."""

    alert: str
    rule: str
    version: int
    state: State
    level: int
    raised_ms: int
    changed_ms: int
    session: str
    remind_ms: int = 0
    """Event time at which the alert is published again if nobody has acknowledged it by then; 0: never."""
    by_hand: bool = False
    """Whether a person has resolved the alert; its rule then does not reopen it, unless its level rises."""


class Context(msgspec.Struct, frozen=True, gc=False):
    """Where a transition happens: the fold and the turn of that event, and the message that is being processed."""

    fold: Fold
    turn: Turn
    message: Message | None
    rules: Rules


def escalation(published: Published, transition: Transition, reason: str, context: Context) -> Escalation:
    """Make the record of one transition; `published` is the alert after it."""
    turn, message = context.turn, context.message
    rule = context.rules.by_id.get(published.rule)
    route = rule.route if rule else "supervisor"
    if rule and rule.level_up and published.level >= rule.level_up.level:
        route = rule.level_up.route
    return Escalation(
        escalation_id=escalation_id(turn.customer_key, published.alert),
        transition=transition,
        version=published.version,
        tenant=turn.tenant,
        customer_key=f"{turn.customer_key:016x}",
        session_id=published.session,
        interaction_id=turn.interaction_id,
        channel=turn.channel,
        queue=turn.queue or (context.fold.session.queue if context.fold.session else ""),
        agent_key=turn.agent_key or (context.fold.session.agent_key if context.fold.session else ""),
        rule=published.rule,
        rule_version=context.rules.version,
        family=rule.family if rule else published.rule,
        level=max(1, published.level),
        route=route,
        state="active" if published.state == "acked" else published.state,
        reason=reason,
        raised_ms=published.raised_ms,
        event_ms=published.changed_ms,
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
    """Names of the flagged tags, most probable first when probabilities are given."""
    bits = [bit for bit in range(len(TAGS)) if flags >> bit & 1]
    if len(probabilities) == len(TAGS):
        bits.sort(key=lambda bit: -probabilities[bit])
    return tuple(TAGS[bit] for bit in bits)
