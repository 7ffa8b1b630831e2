"""Makes escalations of the alert transitions in steps of the fold, for what is not published yet.

A transition caused by time alone (nobody answered, the session ended) is published with the customer's last event as
evidence, whether a tick or the next event reveals it. So a replay, whose ticks come at other times, publishes the same.
"""

from __future__ import annotations

from operator import attrgetter

import msgspec

from operators import alerts
from operators.alerts import Answer, Before, History
from operators.entry import Entry
from operators.escalation import Change, alerts_in
from operators.evidence import Context
from operators.fold import Fold, Stepped, Stepper
from operators.records import Escalation, Message
from operators.state import ANSWERS, CustomerState

Publication = tuple[CustomerState, list[Escalation]]


class Publisher:
    """Publishes what steps of one `Stepper` change about alerts.

    Ticks publish a reminder `lateness_ms` after its time, so feedback with an event time before that prevents it.
    """

    def __init__(self, stepper: Stepper, lateness_ms: int) -> None:
        self._stepper = stepper
        self._lateness_ms = lateness_ms

    def last_context(self, state: CustomerState) -> Context:
        """Return the context of a transition without an event of its own: that of the customer's last event."""
        fold, entry = state.current, state.tail[-1]
        turn = self._stepper.turn(fold, entry, state.tenant, state.customer_key)
        return Context(fold, turn, None, self._stepper.rules)

    def appended(self, state: CustomerState, step: Stepped, entry: Entry, message: Message) -> Publication:
        """Publish what the customer's newest event changed; `state` is that before the event."""
        out: list[Escalation] = []
        if step.passed or ((state.published or state.answers) and _is_due(state, entry.event_ms)):
            state, out = self._passed(state, step.passed, entry.event_ms, self.last_context(state))
        if step.changes:
            context = Context(step.fold, step.turn, message, self._stepper.rules)
            history: History = state.published
            for change in step.changes:
                history, escalation = alerts.publish(history, change, context)
                out += [escalation] if escalation else []
            state = msgspec.structs.replace(state, published=history)
        if entry.event_ms < state.passed_ms:
            state, more = self._overtaken(state, step, entry)
            out += more
        return _without_reminders_if_over(state, step), out

    def refolded(
        self, state: CustomerState, tail: tuple[Entry, ...], index: int, steps: list[Stepped], message: Message
    ) -> Publication:
        """Publish what changes when the history is corrected from `index` on.

        For an alert that is published already, only its last transition is used; for any other alert, all of them.
        """
        history, last = state.published, steps[-1]
        if not history and not state.passed_ms and not any([step.passed or step.changes for step in steps]):
            return state, []
        context = Context(last.fold, last.turn, message, self._stepper.rules)
        alarms, ahead = self._stepper.rest(last.fold, state.passed_ms, state.tenant, state.customer_key)
        lives = self._lives(state, tail, index, steps, message)
        reopens = not _is_over(state, last)
        for change in ahead:
            lives.setdefault(change.track.alert, []).append((change, msgspec.structs.replace(context, message=None)))
        out: list[Escalation] = []
        for alert, life in lives.items():
            known = alerts.is_known(history, alert)
            for change, around in life[-1:] if known else life:
                if known and not reopens and change.step != "cleared":
                    continue
                history, escalation = alerts.publish(history, change, around)
                out += [escalation] if escalation else []
        before = _before(state, state.folds[index - 1] if index else state.settled, tail[index].event_ms)
        history, more = alerts.reconcile(history, alarms, lives, before, context, reopens=reopens)
        state = _without_reminders_if_over(msgspec.structs.replace(state, published=history), last)
        state, due = self._passed(state, [], tail[-1].event_ms, context)
        return state, out + more + due

    def passed(self, state: CustomerState, until_ms: int) -> Publication:
        """Publish what the passing of time changes up to `until_ms` without a new event."""
        _, changes = self._stepper.rest(state.current, until_ms, state.tenant, state.customer_key)
        if not changes and not _is_due(state, until_ms):
            return state, []
        state, out = self._passed(state, changes, until_ms, self.last_context(state))
        if changes:
            state = msgspec.structs.replace(state, passed_ms=max(until_ms, state.passed_ms))
        return state, out

    def answered(self, state: CustomerState, given: Answer) -> Publication:
        """Apply what a person did with an alert; if the alert is not raised yet, store the feedback until it is."""
        if alerts.find(state.published, given.alert) is None:
            return msgspec.structs.replace(state, answers=alerts.with_answer(state.answers, given, ANSWERS)), []
        history, escalation = alerts.answer(state.published, given, self.last_context(state))
        return msgspec.structs.replace(state, published=history), [escalation] if escalation else []

    def _overtaken(self, state: CustomerState, step: Stepped, entry: Entry) -> Publication:
        """Correct what ticks published for times after the newest event, where the event proves it wrong."""
        alarms, changes = self._stepper.rest(step.fold, state.passed_ms, state.tenant, state.customer_key)
        context = Context(step.fold, step.turn, None, self._stepper.rules)
        mentioned = [change.track.alert for change in (*step.passed, *step.changes, *changes)]
        reopens = not _is_over(state, step)
        before = _before(state, state.current, entry.event_ms)
        history, out = alerts.reconcile(state.published, alarms, mentioned, before, context, reopens=reopens)
        state, more = self._passed(msgspec.structs.replace(state, published=history), changes, entry.event_ms, context)
        return state, out + more

    def _passed(self, state: CustomerState, changes: list[Change], until_ms: int, context: Context) -> Publication:
        """Publish, in order of event time, `changes` by time alone, feedback up to `until_ms`, and reminders due."""
        history, out, kept = state.published, list[Escalation](), list[Answer]()
        timeline: list[Change | Answer] = [*changes, *state.answers]
        for due in sorted(timeline, key=attrgetter("at_ms")):
            if due.at_ms <= until_ms:
                by_ms = due.at_ms - self._lateness_ms if isinstance(due, Answer) else due.at_ms
                history, reminded = _remind(history, by_ms, context)
                out += reminded
            if isinstance(due, Answer):
                if due.at_ms > until_ms or alerts.find(history, due.alert) is None:
                    kept.append(due)
                    continue
                history, escalation = alerts.answer(history, due, context)
            elif due.step == "cleared" or not alerts.is_known(history, due.track.alert):
                history, escalation = alerts.publish(history, due, context)
            else:
                continue
            out += [escalation] if escalation else []
        history, reminded = _remind(history, until_ms, context)
        return msgspec.structs.replace(state, published=history, answers=tuple(kept)), out + reminded

    def _lives(
        self, state: CustomerState, tail: tuple[Entry, ...], index: int, steps: list[Stepped], message: Message
    ) -> dict[str, list[tuple[Change, Context]]]:
        """Return the transitions of each alert in the steps from `index` on, in event order."""
        rules = self._stepper.rules
        found: dict[str, list[tuple[Change, Context]]] = {}
        rest: Context | None = None
        if index and steps[0].passed:
            fold, entry = state.folds[index - 1], tail[index - 1]
            turn = self._stepper.turn(fold, entry, state.tenant, state.customer_key)
            rest = Context(fold, turn, None, rules)
        for step in steps:
            context = Context(step.fold, step.turn, message, rules)
            for change in step.passed:
                found.setdefault(change.track.alert, []).append((change, rest or context))
            for change in step.changes:
                found.setdefault(change.track.alert, []).append((change, context))
            rest = Context(step.fold, step.turn, None, rules)
        return found


def _before(state: CustomerState, fold: Fold, until_ms: int) -> Before:
    """Return the alerts that a correction at `until_ms` does not change; `fold` is the last one before it."""
    session = fold.session.id if fold.session is not None else ""
    return Before(until_ms, session, alerts_in(fold.alarms, (state.tenant, state.customer_key, session)))


def _is_due(state: CustomerState, until_ms: int) -> bool:
    """Whether a reminder, or stored feedback on a published alert, is due by `until_ms`."""
    for item in state.published:
        if 0 < item.remind_ms <= until_ms:
            return True
    return any([given.at_ms <= until_ms and alerts.find(state.published, given.alert) for given in state.answers])


def _remind(history: History, until_ms: int, context: Context) -> tuple[History, list[Escalation]]:
    out: list[Escalation] = []
    for item in alerts.reminders(history, until_ms):
        history, escalation = alerts.remind(history, item, context)
        out.append(escalation)
    return history, out


def _without_reminders_if_over(state: CustomerState, last: Stepped) -> CustomerState:
    """Remove reminders when the session is over: alerts raised after its end are stored but never reminded."""
    if not _is_over(state, last) or not any([item.remind_ms for item in state.published]):
        return state
    history = tuple(
        [msgspec.structs.replace(item, remind_ms=0) if item.remind_ms else item for item in state.published]
    )
    return msgspec.structs.replace(state, published=history)


def _is_over(state: CustomerState, last: Stepped) -> bool:
    """Whether a tick has passed the end of the session."""
    session = last.fold.session
    return session is not None and state.passed_ms > session.deadline_ms
