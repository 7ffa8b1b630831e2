"""Customers who get no answer: raised by the passing of time alone, once, and the same whatever arrived when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.customer_state import CustomerState, Output
from operators.entry import hash64
from operators.parameters import DAY, Parameters
from operators.records import Escalation, Message
from operators.rules import RuleError, Rules
from tests.operators.customers import DEFAULT_RULES, SHORT_GAPS, escalations, live, reducer
from tests.strategies import LATENESS_MS, START_MS, STEADY, Disorder, disorders, message, retraction

MINUTE_MS = 60_000
WAIT = (
    "{id: wait, family: wait, raise: {waiting: true}, for: {messages: 1, seconds: 60}, cooldown: 0, budget: 12, "
    "level: 1, route: supervisor}"
)
RULES = Rules.parse(f"schema: undertone.rules/1\nversion: v1\nrules:\n- {WAIT}\n")
LATENESS_S = LATENESS_MS // 1000


def answer(number: int, at_s: float, speaker: str = "agent") -> Message:
    return message(number, at_s, speaker=speaker)


def told(outputs: Sequence[Output]) -> list[tuple[str, int]]:
    """(transition, second) of every escalation, in order."""
    return [(step.transition, (step.event_ms - START_MS) // 1000) for step in escalations(outputs)]


def standing(outputs: Sequence[Output]) -> set[tuple[int, str]]:
    """When alerts were raised, anew if they were taken back before, and how they ended."""
    raised: dict[str, int] = {}
    last: dict[str, Escalation] = {}
    for step in escalations(outputs):
        last[step.escalation_id] = step
        if step.transition == "retracted":
            raised.pop(step.escalation_id)
        elif step.transition == "raised":
            raised.setdefault(step.escalation_id, step.event_ms)
    return {(raised[name], step.state) for name, step in last.items() if step.transition != "retracted"}


def expected(history: Iterable[Message], gap_ms: dict[str, int]) -> set[tuple[int, str]]:
    """The same from the history alone: every wait that lasted a minute within its session."""
    gone = {sent.event_id for sent in history if sent.kind == "retracted"}
    events = {sent.event_id: sent for sent in history if sent.event_id not in gone}
    found: set[tuple[int, str]] = set()
    waiting, deadline = 0, 0
    for sent in sorted(events.values(), key=lambda event: (event.event_ms, hash64(event.event_id))):
        if waiting > 0 and waiting + MINUTE_MS <= min(sent.event_ms, deadline):
            found.add((waiting + MINUTE_MS, "resolved"))
            waiting = -1  # raised: nothing more until somebody answers
        if sent.event_ms > deadline:
            waiting = 0
        if sent.kind == "closed" or (sent.kind == "utterance" and sent.speaker in ("agent", "bot")):
            waiting = 0
        elif sent.kind == "utterance" and sent.speaker == "customer" and waiting == 0:
            waiting = sent.event_ms
        deadline = max(deadline, sent.event_ms + gap_ms[sent.channel])
    if waiting > 0 and waiting + MINUTE_MS <= deadline:
        found.add((waiting + MINUTE_MS, "resolved"))
    return found


def test_an_alert_keeps_its_time_when_a_correction_moves_the_wait() -> None:
    closed = message(3, 1, 0.9, channel="social", kind="closed")
    first, again, last = message(2, 0, -0.6), message(4, 2, -0.6), message(7, 97, 0.9)
    machine = reducer(Parameters(), RULES)
    steps = escalations(live(machine, [first, again, last, closed])[1])

    assert [(step.transition, step.raised_ms - START_MS) for step in steps] == [("raised", 60_000), ("cleared", 60_000)]
    assert standing(live(machine, [first, closed, again, last])[1]) == {(START_MS + 62_000, "resolved")}


@STEADY
@given(disorders(), st.sampled_from([Parameters(), SHORT_GAPS]), st.data())
def test_waits_are_what_the_history_says_in_any_order_with_repeats_and_restarts(
    disorder: Disorder, parameters: Parameters, data: st.DataObject
) -> None:
    arrival = disorder.arrival
    restarts = frozenset(data.draw(st.sets(st.integers(0, len(arrival)))))
    machine = reducer(parameters, RULES)
    wanted = expected(disorder.history, parameters.gap_ms)
    _, outputs = live(machine, arrival, restarts)
    # An alert keeps the time at which it was first right to raise it, though a correction moves the wait's beginning.
    once_right = {when for end in range(len(arrival)) for when, _ in expected(arrival[: end + 1], parameters.gap_ms)}
    alerts = standing(outputs)

    assert [state for _, state in sorted(alerts)] == [state for _, state in sorted(wanted)]
    assert {when for when, _ in alerts - wanted} <= once_right
    assert wanted == standing(live(machine, disorder.history, ticks=False)[1])


@STEADY
@given(disorders(corrections=False))
def test_time_alone_says_nothing_that_a_message_within_lateness_proves_wrong(disorder: Disorder) -> None:
    machine = reducer(SHORT_GAPS, RULES)
    state: CustomerState | None = None
    by_time: set[str] = set()
    stream_ms = 0
    for sent in disorder.arrival:
        state, outputs = machine.on_message(state, sent)
        taken_back = {step.escalation_id for step in escalations(outputs) if step.transition == "retracted"}
        assert not taken_back & by_time
        stream_ms = max(stream_ms, sent.event_ms)
        if machine.next_timer(state) <= stream_ms:
            state, outputs = machine.on_tick(state, stream_ms)
            by_time |= {step.escalation_id for step in escalations(outputs)}


def test_the_customers_next_event_tells_at_once_and_an_answer_that_it_overtook_takes_it_back() -> None:
    machine = reducer(rules=RULES)
    state, _ = machine.on_message(None, message(1, 0))
    state, raised = machine.on_message(state, message(2, 91))
    _, taken = machine.on_message(state, answer(3, 1))

    assert told(raised) == [("raised", 60)]
    assert "retracted" in {transition for transition, _ in told(taken)}


@STEADY
@given(disorders(), st.data())
def test_a_restart_says_the_same_as_none(disorder: Disorder, data: st.DataObject) -> None:
    restarts = frozenset(data.draw(st.sets(st.integers(0, len(disorder.arrival)))))
    machine = reducer(SHORT_GAPS, DEFAULT_RULES)

    assert live(machine, disorder.arrival) == live(machine, disorder.arrival, restarts)


def test_a_tick_raises_it_once_at_the_time_when_it_was_due() -> None:
    machine = reducer(rules=RULES)
    state, _ = machine.on_message(None, message(1, 10))
    due = machine.next_timer(state)
    early, nothing = machine.on_tick(state, due - 2)
    assert early is not None
    late, raised = machine.on_tick(early, due + 5_000)
    assert late is not None
    again, repeated = machine.on_tick(late, due + 9_000)

    assert due == START_MS + (10 + 60 + LATENESS_S) * 1000 + 1
    assert nothing == repeated == []
    assert told(raised) == [("raised", 70)]
    (alert,) = escalations(raised)
    assert (alert.reason, alert.channel, alert.evidence.event_ids) == ("no answer for 60 s", "chat", ("m-1",))
    assert again is not None
    assert machine.next_timer(again) > due + 9_000


def test_a_tick_and_a_later_message_say_the_same_to_the_letter() -> None:
    machine = reducer(rules=RULES)
    history = [message(1, 0, -0.5), message(2, 5, 0.1, speaker="system"), message(3, 300), answer(4, 400)]

    assert escalations(live(machine, history, ticks=False)[1]) == escalations(live(machine, history)[1])


@pytest.mark.parametrize(
    ("history", "steps"),
    [
        pytest.param([message(1, 0), answer(2, 59)], [], id="an answer in time"),
        pytest.param([message(1, 0), answer(2, 90)], [("raised", 60), ("cleared", 90)], id="an answer clears"),
        pytest.param(
            [message(1, 0), answer(2, 90, "bot")], [("raised", 60), ("cleared", 90)], id="a bot's answer is one"
        ),
        pytest.param(
            [message(1, 0), answer(2, 30, "system"), message(3, 50), answer(4, 90)],
            [("raised", 60), ("cleared", 90)],
            id="a system says nothing, and writing again does not start anew",
        ),
        pytest.param(
            [message(1, 0), message(2, 30, kind="closed", speaker="system")],
            [],
            id="a closed conversation waits no more",
        ),
        pytest.param(
            [message(1, 0), answer(2, 90), message(3, 100), answer(4, 200)],
            [("raised", 60), ("cleared", 90), ("raised", 160), ("cleared", 200)],
            id="each wait anew",
        ),
        pytest.param([message(1, 0)], [("raised", 60), ("cleared", 1800)], id="nobody ever answers"),
    ],
)
def test_the_life_of_a_wait(history: list[Message], steps: list[tuple[str, int]]) -> None:
    machine = reducer(rules=RULES)

    assert steps == told(live(machine, history)[1]) == told(live(machine, history, ticks=False)[1])


def test_while_it_cools_down_it_is_not_held_back_but_put_off() -> None:
    machine = reducer(
        rules=Rules.parse(f"schema: undertone.rules/1\nversion: v1\nrules:\n- {WAIT}".replace("n: 0", "n: 600"))
    )
    history = [message(1, 0), answer(2, 90), message(3, 100)]

    assert told(live(machine, history)[1])[2:] == [("raised", 690), ("cleared", 1900)]


def test_a_wait_that_asks_for_two_messages_is_not_due_before_the_second() -> None:
    both = WAIT.replace("messages: 1", "messages: 2")
    machine = reducer(rules=Rules.parse(f"schema: undertone.rules/1\nversion: v1\nrules:\n- {both}"))

    assert told(live(machine, [message(1, 0), message(2, 20), answer(3, 90)])[1]) == [("raised", 60), ("cleared", 90)]
    assert told(live(machine, [message(1, 0), message(2, 80), answer(3, 90)])[1]) == [("raised", 80), ("cleared", 90)]
    assert told(live(machine, [message(1, 0), answer(3, 90)])[1]) == []


def test_an_answer_that_came_too_late_for_the_tick_takes_the_alert_back() -> None:
    machine = reducer(rules=RULES)
    state, _ = machine.on_message(None, message(1, 0))
    kept, raised = machine.on_tick(state, START_MS + 500_000)
    assert kept is not None
    state = machine.load(machine.dump(kept))
    state, taken = machine.on_message(state, answer(2, 30))
    ended, closed = machine.on_tick(state, START_MS + DAY)

    assert told(raised) == [("raised", 60)]
    assert [step.transition for step in escalations(taken)] == ["retracted"]
    assert escalations(closed) == []
    assert ended is not None
    assert machine.next_timer(ended) > START_MS + DAY


def test_a_question_that_came_too_late_for_the_tick_leaves_the_alert() -> None:
    machine = reducer(rules=RULES)
    state, _ = machine.on_message(None, message(1, 0))
    kept, _ = machine.on_tick(state, START_MS + 500_000)
    assert kept is not None

    assert escalations(machine.on_message(kept, message(2, 30))[1]) == []


def test_an_answer_that_is_taken_back_was_none() -> None:
    machine = reducer(rules=RULES)
    history = [message(1, 0), answer(2, 30)]
    _, outputs = live(machine, [*history, retraction(history[1])])

    assert told(outputs) == [("raised", 60), ("cleared", 1800)]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (WAIT.replace("messages: 1, seconds: 60", "messages: 1"), "for.seconds must say how long waiting may last"),
        (WAIT.replace("{waiting: true}", "{not: {waiting: true}}"), "raise.waiting must be true"),
        (WAIT.replace("{waiting: true}", "{waiting: false}"), "raise.waiting must be true"),
    ],
)
def test_a_rule_about_waiting_that_cannot_work_is_refused(rule: str, problem: str) -> None:
    with pytest.raises(RuleError, match=problem):
        Rules.parse(f"schema: undertone.rules/1\nversion: v1\nrules:\n- {rule}\n")


def test_thanks_at_the_end_of_a_chat_wait_for_nothing() -> None:
    history = [message(1, 0, -0.1), answer(2, 60), message(3, 90, 0.9)]

    assert escalations(live(reducer(rules=DEFAULT_RULES), history)[1]) == []
