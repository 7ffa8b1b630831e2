"""A restart with other rules, in the middle of a conversation: what was alerted stands, what is new begins there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from operators.customer_state import CustomerState, Output
from operators.records import Message
from operators.rules import Rules
from tests.operators.customers import NO_RULES, escalations, reducer, run, turns
from tests.operators.test_escalation import ANGRY, rules
from tests.strategies import START_MS, message, retraction

SOUR = ANGRY.replace("angry", "sour")
LEAVES = "{id: %s, family: f, raise: {keywords: {any: [%s]}}, level: 1, route: agent, for: {messages: 1}}"
LEAVING, LEGAL = LEAVES % ("leaving", "leaving"), LEAVES % ("legal", "legal")


def told(outputs: Sequence[Output]) -> list[tuple[str, str]]:
    return [(each.rule, each.transition) for each in escalations(outputs)]


def restart(old: Rules, history: Sequence[Message], new: Rules) -> tuple[CustomerState, list[Output]]:
    state, before = run(reducer(rules=old), history, close=False)
    return reducer(rules=new).load(reducer(rules=old).dump(state)), before


def bad(number: int, score: float = -0.5, **changes: object) -> Message:
    return message(number, number * 20, score, **changes)


def test_a_new_rule_begins_with_the_next_message_and_tells_its_first_alert() -> None:
    new = reducer(rules=rules(ANGRY, SOUR))
    state, before = restart(rules(ANGRY), [bad(n) for n in range(4)], new.rules)
    state, first = new.on_message(state, bad(4))
    _, second = new.on_message(state, bad(5))

    assert (told(before), told(first), told(second)) == ([("angry", "raised")], [], [("sour", "raised")])


def test_an_alert_that_is_active_stays_so_and_clears_by_its_new_rule() -> None:
    new = reducer(rules=rules(ANGRY.replace("below: -0.4", "below: -0.9")))
    state, _ = restart(rules(ANGRY), [bad(n) for n in range(4)], new.rules)
    state, quiet = new.on_message(state, bad(4, -0.2))
    _, kinder = new.on_message(state, bad(5, 0.2))

    assert (told(quiet), told(kinder)) == ([], [("angry", "cleared")])


def test_a_correction_right_after_the_restart_takes_no_alert_back_that_the_old_rules_raised() -> None:
    new = reducer(rules=rules(SOUR))
    state, _ = restart(rules(ANGRY), [bad(n) for n in range(4)], new.rules)
    _, out = new.on_message(state, retraction(bad(0)))

    assert ("angry", "retracted") not in told(out)


def test_an_alert_whose_rule_is_gone_lasts_until_its_session_is_over() -> None:
    new = reducer(rules=NO_RULES)
    state, _ = restart(rules(ANGRY), [bad(n) for n in range(4)], new.rules)
    state, kinder = new.on_message(state, bad(4, 0.9))
    _, over = new.on_tick(state, START_MS + 3 * 3_600_000)

    assert (told(kinder), told(over)) == ([], [("angry", "cleared")])


def test_keyword_lists_in_another_order_are_not_read_as_each_other() -> None:
    before = rules(LEAVING, LEGAL, keywords="{leaving: [bye], legal: [lawyer]}")
    after = reducer(rules=rules(LEAVING, LEGAL, keywords="{legal: [lawyer], leaving: [bye]}"))
    state, raised = restart(before, [message(1, 0, keywords=before.keyword_bits("bye"))], after.rules)
    for _ in range(2):
        state, out = after.on_message(state, message(0, -10))
        state = after.load(after.dump(state))

        assert (told(raised), told(out)) == ([("leaving", "raised")], [])
        assert [track.rule for track in state.current.alarms.tracks] == ["leaving"]


@pytest.mark.parametrize("after", [NO_RULES, rules(SOUR), rules(SOUR, ANGRY)], ids=["none", "another", "one more"])
def test_other_rules_change_no_number(after: Rules) -> None:
    history = [bad(n, (n % 5 - 2) / 2) for n in range(12)]
    history = [*history[:8], *history[9:], history[8]]
    _, expected = run(reducer(rules=rules(ANGRY)), history, close=False)
    state, outputs = restart(rules(ANGRY), history[:8], after)
    for sent in history[8:]:
        state, out = reducer(rules=after).on_message(state, sent)
        outputs += out

    assert turns(expected) == turns(outputs)
