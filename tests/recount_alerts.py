"""The alerts that one customer's history must have raised, in one pass over it, by the documented state machine.

A rule is asked of what the customer says, and of events without words whoever made them, where it is in scope;
an active alert clears out of its scope too.

* De-bounce: `raise` must hold for so many successive messages of the customer and for so long since the first of them.
  An event without words counts for rules alone that ask for one message; it neither breaks nor clears anything.
* Hysteresis: once raised, only `clear` ends an alert (without one: a message of the customer that does not raise).
* Cooldown from the end of the rule's last alert, over sessions too; one that is graver passes through it.
* Budget: so many alerts raised within the hour before, whatever their rules. What is held back is told once, and may
  rise later while `raise` goes on holding.
* Provisional words bring a rule of level 1 to pending and do nothing else.
* Waiting is raised by time, after the cooldown at the earliest, and ended by an answer of an agent or a bot.
* All ends with the session; cooldowns and budget live on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.recount_rules import Facts, PlainRule, holds

HOUR = 3_600_000


@dataclass(frozen=True)
class Step:
    """Something that happens to an alert: at what time, and by which event or after which."""

    name: str
    at: int
    reason: str
    event: Facts


@dataclass
class Alert:
    """One alert and what became of it."""

    rule: PlainRule
    session: str
    ordinal: int
    level: int
    steps: list[Step]

    @property
    def route(self) -> str:
        """Whom it is for."""
        return self.rule.graver_route if self.level >= self.rule.graver_level else self.rule.route

    @property
    def state(self) -> str:
        """What it is in the end."""
        return {"suppressed": "suppressed", "cleared": "resolved"}.get(self.steps[-1].name, "active")

    def with_reminders(self) -> list[Step]:
        """Its steps, and after each that calls for somebody the reminder if nothing has happened by then."""
        steps: list[Step] = []
        for step, following in zip(self.steps, [*self.steps[1:], None], strict=True):
            steps.append(step)
            due = step.at + self.rule.remind
            if self.rule.remind and step.name in ("raised", "level_up") and following and due <= following.at:
                steps.append(Step("reminded", due, "not acknowledged", following.event))
        return steps


@dataclass
class Standing:
    """Where one rule stands with the customer."""

    held: int = 0
    """Successive messages for which `raise` held, the time of the first of them, and of the last that was needed."""
    since: int = 0
    enough: int = 0
    active: Alert | None = None
    held_back: bool = False
    ended: int = 0
    """When its last alert ended."""
    ordinal: int = 0

    def calm(self) -> None:
        """The reason is gone."""
        self.held = self.since = 0
        self.held_back = False


@dataclass
class Customer:
    """One customer's alerts while the history goes by."""

    rules: Sequence[PlainRule]
    alerts: list[Alert] = field(default_factory=list)
    raised: list[int] = field(default_factory=list)
    standing: dict[str, Standing] = field(default_factory=dict)

    def live(self, session: str, history: Sequence[Facts], deadline: int) -> list[Alert]:
        """Live through one session's events; `deadline` is its end."""
        for rule in self.rules:
            before = self.standing.get(rule.id, Standing())
            self.standing[rule.id] = Standing(ended=before.ended)
        last: Facts = {}
        for facts in history:
            self._wait(session, facts["event_time"], last)
            if is_answer(facts):
                self._answer(facts)
            if facts["speaker"] == "customer" or facts["kind"] != "utterance":
                for rule in self.rules:
                    if not rule.covers(facts):
                        _clear(rule, self.standing[rule.id], facts)
                    elif not (facts["provisional"] and rule.level > 1):
                        self._ask(rule, session, facts)
            last = facts
        self._wait(session, deadline, last)
        for standing in self.standing.values():
            _end(standing, Step("cleared", deadline, "the session ended", last))
        return self.alerts

    def _ask(self, rule: PlainRule, session: str, facts: Facts) -> None:
        standing = self.standing[rule.id]
        said = facts["kind"] == "utterance" and not facts["provisional"]
        if standing.active is not None:
            if not facts["provisional"]:
                _follow(rule, standing, facts)
        elif not holds(rule.raises, facts):
            if said:
                standing.calm()
        elif facts["kind"] == "utterance" or rule.messages == 1:
            standing.since = standing.since if standing.held else facts["event_time"]
            standing.held += 1
            if standing.held == rule.messages:
                standing.enough = facts["event_time"]
            lasted = standing.held >= rule.messages and facts["event_time"] - standing.since >= rule.duration
            if lasted and not facts["provisional"] and not rule.waits:
                self._rise(rule, session, facts["event_time"], facts, "")

    def _wait(self, session: str, until: int, last: Facts) -> None:
        """Nobody answered up to and including `until`."""
        due = []
        for rule in self.rules:
            standing = self.standing[rule.id]
            if rule.waits and standing.held >= rule.messages and not standing.active and not standing.held_back:
                cooled = standing.ended + rule.cooldown if standing.ended else 0
                due.append((max(standing.since + rule.duration, standing.enough, cooled), rule.id, rule))
        for at, _, rule in sorted(due, key=lambda found: found[:2]):
            if at <= until:
                self._rise(rule, session, at, last, "no answer for")

    def _answer(self, facts: Facts) -> None:
        for rule in self.rules:
            if rule.waits:
                _end(self.standing[rule.id], Step("cleared", facts["event_time"], "answered", facts))

    def _rise(self, rule: PlainRule, session: str, at: int, facts: Facts, reason: str) -> None:
        """What has lasted is raised, or held back."""
        standing = self.standing[rule.id]
        graver = not rule.waits and rule.graver_when is not None and holds(rule.graver_when, facts)
        cooling = standing.ended and at - standing.ended < rule.cooldown and not graver
        spent = sum(at - HOUR < other <= at for other in self.raised) >= rule.budget
        if (cooling or spent) and standing.held_back:
            return
        standing.ordinal += 1
        name = "suppressed" if cooling or spent else "raised"
        if name == "suppressed":
            reason = "cooldown of" if cooling else "budget of"
        level = rule.graver_level if graver else rule.level
        alert = Alert(rule, session, standing.ordinal, level, [Step(name, at, reason, facts)])
        self.alerts.append(alert)
        if name == "suppressed":
            standing.held_back = True
        else:
            standing.active = alert
            self.raised.append(at)


def _clear(rule: PlainRule, standing: Standing, facts: Facts) -> bool:
    """Whether the customer's words end an active alert; in its scope or out of it."""
    said = facts["kind"] == "utterance" and not facts["provisional"]
    ends = said and (holds(rule.clears, facts) if rule.clears else not holds(rule.raises, facts))
    if ends and standing.active is not None:
        _end(standing, Step("cleared", facts["event_time"], "", facts))
    return ends


def _follow(rule: PlainRule, standing: Standing, facts: Facts) -> None:
    """An active alert ends, gets graver, or goes on."""
    alert = standing.active
    assert alert is not None
    if _clear(rule, standing, facts):
        return
    if rule.graver_when and alert.level < rule.graver_level and holds(rule.graver_when, facts):
        alert.level = rule.graver_level
        alert.steps.append(Step("level_up", facts["event_time"], "", facts))


def _end(standing: Standing, step: Step) -> None:
    if standing.active is not None:
        standing.active.steps.append(step)
        standing.active, standing.ended = None, step.at
    standing.calm()


def is_answer(facts: Mapping[str, Any]) -> bool:
    """Whether nobody waits any more after this: an agent or a bot spoke, or the conversation was closed."""
    return facts["kind"] == "closed" or (facts["kind"] == "utterance" and facts["speaker"] in ("agent", "bot"))
