"""What people do with alerts: acknowledged, resolved, left alone until a reminder; and the same from a replay."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.customer_state import CustomerReducer, CustomerState, Output
from operators.parameters import DAY
from operators.records import Feedback, Message
from operators.rules import Rules
from tests.operators.customers import escalations, reducer
from tests.strategies import LATENESS_MS, START_MS, STEADY, message, retraction

REMINDING = Rules.parse(
    "{schema: undertone.rules/1, version: v1, rules: [{id: angry, family: angry, raise: {last: {below: -0.4}}, "
    "clear: {last: {above: 0.0}}, for: {messages: 1}, level: 2, route: supervisor, remind: 300, cooldown: 0, "
    "level_up: {level: 3, when: {last: {below: -0.8}}}}]}"
)
MACHINE = reducer(rules=REMINDING)
ANGRY = message(1, 0, -0.5)
(RAISED,) = escalations(MACHINE.on_message(None, ANGRY)[1])


def feedback(at_s: float, action: Any = "acknowledged", **changes: Any) -> Feedback:
    """What a person did with the alert of `ANGRY`, so many seconds after it."""
    plain = Feedback(
        schema="undertone.feedback/1",
        feedback_id=f"f-{at_s}",
        tenant="acme",
        escalation_id=RAISED.escalation_id,
        action=action,
        event_time=datetime.fromtimestamp(START_MS / 1000 + at_s, tz=timezone.utc),
    )
    return msgspec.structs.replace(plain, **changes)


def play(
    inputs: Sequence[Message | Feedback | int],
    machine: CustomerReducer = MACHINE,
    restart_at: frozenset[int] = frozenset(),
) -> list[Output]:
    """Messages, feedback, and ticks (stream time in seconds that passed with nothing left to come), in that order."""
    state: CustomerState | None = None
    outputs: list[Output] = []
    for index, item in enumerate(inputs):
        if state is not None and index in restart_at:
            state = machine.load(machine.dump(state))
        if isinstance(item, Message):
            state, out = machine.on_message(state, item)
        elif isinstance(item, Feedback):
            state, out = machine.on_feedback(state, item)
        else:
            assert state is not None
            state, out = machine.on_tick(state, START_MS + item * 1000 + machine.lateness_ms)
        outputs += out
    return outputs


def told(outputs: Sequence[Output]) -> list[tuple[str, int, str]]:
    """(transition, second, state) of every escalation; versions are checked to count up."""
    found = escalations(outputs)
    assert [step.version for step in found] == list(range(1, len(found) + 1))
    return [(step.transition, (step.event_ms - START_MS) // 1000, step.state) for step in found]


CALM = message(2, 400, 0.5)


@pytest.mark.parametrize(
    ("inputs", "steps"),
    [
        pytest.param([ANGRY, feedback(20)], [("acked", 20, "active")], id="acknowledged"),
        pytest.param([ANGRY, feedback(20, "good_catch")], [("acked", 20, "active")], id="a good catch was seen"),
        pytest.param([ANGRY, feedback(20), feedback(30)], [("acked", 20, "active")], id="twice counts once"),
        pytest.param(
            [ANGRY, feedback(20), feedback(50, "resolved")],
            [("acked", 20, "active"), ("cleared", 50, "resolved")],
            id="acknowledged, then resolved by a person",
        ),
        pytest.param([ANGRY, feedback(20, "false_alarm")], [("cleared", 20, "resolved")], id="a false alarm is over"),
        pytest.param(
            [ANGRY, feedback(20), CALM],
            [("acked", 20, "active"), ("cleared", 400, "resolved")],
            id="acknowledged, then cleared by the rule",
        ),
        pytest.param(
            [ANGRY, feedback(20), 4000], [("acked", 20, "active"), ("cleared", 1800, "resolved")], id="the session ends"
        ),
        pytest.param(
            [ANGRY, feedback(20, "resolved"), message(2, 60, -0.6), CALM, 4000],
            [("cleared", 20, "resolved")],
            id="what a person resolved stays so while the rule says the same",
        ),
        pytest.param(
            [ANGRY, feedback(20, "resolved"), message(2, 60, -0.9)],
            [("cleared", 20, "resolved"), ("level_up", 60, "active")],
            id="unless it gets graver",
        ),
        pytest.param([ANGRY, 299], [], id="not reminded too early"),
        pytest.param([ANGRY, 300, 900], [("reminded", 300, "active")], id="reminded once"),
        pytest.param(
            [ANGRY, CALM], [("reminded", 300, "active"), ("cleared", 400, "resolved")], id="by the next message"
        ),
        pytest.param([ANGRY, feedback(299), 900], [("acked", 299, "active")], id="acknowledged, it does not remind"),
        pytest.param(
            [ANGRY, 300, feedback(310), 900], [("reminded", 300, "active"), ("acked", 310, "active")], id="it helped"
        ),
        pytest.param(
            [ANGRY, feedback(20), message(2, 60, -0.9), 900],
            [("acked", 20, "active"), ("level_up", 60, "active"), ("reminded", 360, "active")],
            id="a graver one wants to be seen again",
        ),
        pytest.param([ANGRY, retraction(ANGRY), feedback(20), 900], [("retracted", 0, "resolved")], id="taken back"),
        pytest.param([ANGRY, feedback(20, tenant="other"), 100], [], id="another tenant has no say"),
        pytest.param([ANGRY, feedback(20, escalation_id="e-1"), 100], [], id="an id that says nothing"),
    ],
)
def test_the_life_of_an_alert(inputs: list[Message | Feedback | int], steps: list[tuple[str, int, str]]) -> None:
    assert told(play(inputs)) == [("raised", 0, "active"), *steps]


def test_reasons_are_for_people_to_read() -> None:
    steps = escalations(play([ANGRY, 300, feedback(310), feedback(320, "false_alarm")]))

    assert [step.reason for step in steps[1:]] == [
        "not acknowledged for 300 s",
        "acknowledged by a person",
        "a person called it a false alarm",
    ]
    assert {step.escalation_id for step in steps} == {RAISED.escalation_id}


def test_an_acknowledged_alert_is_retracted_like_any_other() -> None:
    assert [step[0] for step in told(play([ANGRY, feedback(20), retraction(ANGRY)]))] == [
        "raised",
        "acked",
        "retracted",
    ]


HISTORY: list[Message] = [ANGRY, message(2, 60, -0.9), message(3, 90, -0.7), message(4, 800, 0.5)]
DEEDS = st.lists(
    st.tuples(st.integers(1, 780), st.sampled_from(["acknowledged", "good_catch", "resolved", "false_alarm"])),
    max_size=3,
    unique_by=lambda deed: deed[0],
)


@STEADY
@given(DEEDS, st.sets(st.integers(0, 8)))
def test_a_replay_that_reads_all_feedback_first_tells_the_same(
    deeds: list[tuple[int, Any]], restarts: set[int]
) -> None:
    answers = [feedback(at_s + 0.5, action) for at_s, action in deeds]
    lived: list[Message | Feedback | int] = []
    happened: list[Message | Feedback] = [*HISTORY, *answers]
    for item in sorted(happened, key=_second):
        lived += [int(_second(item)) - LATENESS_MS // 1000, item] if lived else [item]
    live = play([*lived, 9000])
    replayed = play([*answers, *HISTORY, 9000], restart_at=frozenset(restarts))

    assert told(live) == told(replayed)


def _second(item: Message | Feedback) -> float:
    at_ms = item.event_ms if isinstance(item, Message) else item.event_time.timestamp() * 1000
    return (at_ms - START_MS) / 1000


def test_answers_to_alerts_that_never_come_are_few_and_forgotten() -> None:
    state: CustomerState | None = None
    for number in range(40):
        state, out = MACHINE.on_feedback(state, feedback(number, escalation_id=f"0000000000000007-{number:012x}"))
        assert out == []
    assert state is not None
    assert len(state.answers) <= 16
    assert MACHINE.load(MACHINE.dump(state)) == state
    assert MACHINE.on_tick(state, MACHINE.next_timer(state) - 2)[0] == state
    assert MACHINE.on_tick(state, MACHINE.next_timer(state))[0] is None
    assert MACHINE.next_timer(state) > START_MS + 8 * DAY
