"""Publish each change of a customer's alerts once.

    active --a person--> acked --clear holds, or the session ends--> resolved <--a person-- active, acked
      '-- not acknowledged for `remind` --> reminded (once), still active

The fold determines which alerts there should be; `Published` stores what was published, and what people did with it. A
published alert that should not exist after a correction is retracted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from operators.escalation import ACTIVE, Alarms, Change
from operators.evidence import Context, Published, State, escalation
from operators.records import Escalation, Transition

HISTORY = 24
"""Most published alerts stored per customer; active and acknowledged ones are always stored."""

_AFTER: dict[str, State] = {
    "raised": "active",
    "level_up": "active",
    "cleared": "resolved",
    "suppressed": "suppressed",
}
_OPEN = ("active", "acked")

History = tuple[Published, ...]


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Feedback: what a person did with an alert."""

    alert: str
    action: str
    """acknowledged, resolved, good_catch or false_alarm."""
    at_ms: int


class Before(msgspec.Struct, frozen=True, gc=False):
    """The alerts before a correction, which the correction does not change."""

    until_ms: int
    """Event time of the correction."""
    session: str
    alerts: frozenset[str]
    """Every alert that was raised or suppressed in this session before the correction."""

    def has_raised(self, item: Published) -> bool:
        """Whether the alert was raised before the correction.

        In the session of the correction, times do not show it: several messages may have the same time, and an alert
        that was retracted and raised again keeps the time at which it was first raised.
        """
        return item.alert in self.alerts if item.session == self.session else item.raised_ms < self.until_ms


def publish(history: History, change: Change, context: Context) -> tuple[History, Escalation | None]:
    """Publish a transition, unless the alert was last published in that state and level.

    Nor is an alert that a person has acknowledged or resolved raised again on the same level.
    """
    track = change.track
    before = find(history, track.alert)
    state = _AFTER[change.step]
    if before is None:
        if change.step == "cleared":
            return history, None
    elif before.level == track.level and (before.state == state or (state == "active" and _settled_by_hand(before))):
        return _moved(history, before, change), None
    known = before is not None and before.state in _OPEN
    transition: Transition = "level_up" if change.step == "raised" and known else change.step
    rule = context.rules.by_id.get(track.rule)
    after = Published(
        track.alert,
        track.rule,
        1 if before is None else before.version + 1,
        state,
        track.level,
        change.at_ms if before is None else before.raised_ms,  # part of the row's key: it never changes
        change.at_ms,
        context.turn.session_id if before is None else before.session,
        change.at_ms + rule.remind_ms if rule and rule.remind_ms and state == "active" else 0,
    )
    return _remember(history, after), escalation(after, transition, change.reason, context)


def find(history: History, alert: str) -> Published | None:
    """Return what was published of an alert; None if nothing was."""
    for item in history:
        if item.alert == alert:
            return item
    return None


def is_known(history: History, alert: str) -> bool:
    """Whether an alert was published and not retracted since."""
    item = find(history, alert)
    return item is not None and not _taken_back(item)


def answer(history: History, given: Answer, context: Context) -> tuple[History, Escalation | None]:
    """Apply what a person did: acknowledge the alert, or resolve it. An alert that is over does not change."""
    item = find(history, given.alert)
    if item is None or item.state not in _OPEN:
        return history, None
    resolves = given.action in ("resolved", "false_alarm")
    if item.state == "acked" and not resolves:
        return history, None
    after = msgspec.structs.replace(
        item,
        state="resolved" if resolves else "acked",
        version=item.version + 1,
        changed_ms=max(item.changed_ms, given.at_ms),
        remind_ms=0,
        by_hand=resolves,
    )
    reason = {"resolved": "resolved by a person", "false_alarm": "a person called it a false alarm"}
    words = reason.get(given.action, "acknowledged by a person")
    return _remember(history, after), escalation(after, "cleared" if resolves else "acked", words, context)


def reminders(history: History, until_ms: int) -> list[Published]:
    """Return the alerts that nobody has acknowledged and whose reminder is due by `until_ms`, earliest first."""
    due = [item for item in history if 0 < item.remind_ms <= until_ms and item.state == "active"]
    return sorted(due, key=lambda item: item.remind_ms) if len(due) > 1 else due


def remind(history: History, item: Published, context: Context) -> tuple[History, Escalation]:
    """Publish the reminder of an alert, with the time at which it was due."""
    after = msgspec.structs.replace(item, version=item.version + 1, changed_ms=item.remind_ms, remind_ms=0)
    waited = (item.remind_ms - item.changed_ms) // 1000
    return _remember(history, after), escalation(after, "reminded", f"not acknowledged for {waited} s", context)


def reconcile(
    history: History,
    alarms: Alarms,
    mentioned: Iterable[str],
    before: Before,
    context: Context,
    *,
    reopens: bool = True,
) -> tuple[History, list[Escalation]]:
    """Correct published alerts: retract those that are no longer raised, reopen those that are no longer cleared.

    An alert with too high a published level is published with the lower one. `mentioned` are the alerts for which the
    corrected history has transitions; those are published already. Without `reopens`, when the session is over, no
    alert is reopened.
    """
    active = {track.alert: track for track in alarms.tracks if track.phase == ACTIVE}
    mentioned = set(mentioned)
    out: list[Escalation] = []
    for item in history:
        if item.alert in mentioned or item.changed_ms < before.until_ms:
            continue
        if item.alert not in active and not before.has_raised(item) and not _taken_back(item):
            history, taken = _retract(history, item, context)
            out.append(taken)
        elif item.alert in active and item.state in _OPEN and item.level > active[item.alert].level:
            history, lowered = _lower(history, item, active[item.alert].level, context)
            out.append(lowered)
        elif reopens and item.alert in active and item.state not in _OPEN:
            change = Change(
                "raised", active[item.alert], "the message that had cleared it was corrected", before.until_ms
            )
            history, reopened = publish(history, change, context)
            out += [reopened] if reopened else []
    return history, out


def resolve_all(history: History, at_ms: int, context: Context) -> tuple[History, list[Escalation]]:
    """Clear the active and acknowledged alerts, because the session is over."""
    out = []
    for item in [item for item in history if item.state in _OPEN]:
        after = msgspec.structs.replace(item, state="resolved", version=item.version + 1, changed_ms=at_ms, remind_ms=0)
        history = _remember(history, after)
        out.append(escalation(after, "cleared", "the session ended", context))
    return history, out


def prune(history: History, settled_ms: int, session: str) -> History:
    """Drop finished alerts that no correction can reach any more.

    An alert that was retracted, or resolved by a person, stays until its session ends: the rule may raise it again
    under the same id, and its versions must continue. Of more than 24 alerts, the finished ones published first are
    dropped.
    """
    finished = [item for item in history if item.state not in _OPEN]
    kept = [
        item
        for item in finished
        if item.changed_ms >= settled_ms or ((_taken_back(item) or item.by_hand) and item.session == session)
    ]
    spared = {item.alert for item in kept[max(0, len(kept) - max(0, HISTORY - (len(history) - len(finished)))) :]}
    return (
        history if len(spared) == len(finished) else tuple(i for i in history if i.state in _OPEN or i.alert in spared)
    )


def with_answer(answers: Sequence[Answer], given: Answer, most: int) -> tuple[Answer, ...]:
    """Add feedback on an alert that is not raised yet; beyond `most`, the oldest is dropped; a repeat changes nothing.

    >>> with_answer((), Answer("a", "acknowledged", 7), 8)
    (Answer(alert='a', action='acknowledged', at_ms=7),)
    """
    if given in answers:
        return tuple(answers)
    return tuple(sorted([*answers, given], key=lambda kept: (kept.at_ms, kept.action))[-most:])


def _settled_by_hand(item: Published) -> bool:
    """Whether a person has acknowledged or resolved the alert, so that the same transition is not published again."""
    return item.state == "acked" or item.by_hand


def _retract(history: History, item: Published, context: Context) -> tuple[History, Escalation]:
    after = msgspec.structs.replace(item, state="resolved", level=0, version=item.version + 1, remind_ms=0)
    shown = msgspec.structs.replace(after, level=item.level)
    reason = "the message that raised it was corrected or taken back"
    return _remember(history, after), escalation(shown, "retracted", reason, context)


def _moved(history: History, item: Published, change: Change) -> History:
    """Update `changed_ms` if a correction moved the time at which an active alert was raised; nothing is published."""
    if change.step != "raised" or item.state != "active" or item.changed_ms == change.at_ms:
        return history
    return _remember(history, msgspec.structs.replace(item, changed_ms=change.at_ms))


def _lower(history: History, item: Published, level: int, context: Context) -> tuple[History, Escalation]:
    after = msgspec.structs.replace(item, level=level, version=item.version + 1)
    reason = "the message that had raised its level was corrected or taken back"
    return _remember(history, after), escalation(after, "raised", reason, context)


def _taken_back(item: Published) -> bool:
    """Whether the alert is retracted: it is stored with level 0, so that raising it again is published."""
    return item.level == 0


def _remember(history: History, after: Published) -> History:
    for index, item in enumerate(history):
        if item.alert == after.alert:
            return (*history[:index], after, *history[index + 1 :])
    return (*history, after)
