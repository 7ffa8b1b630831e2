"""The life of alerts: de-bounce, hysteresis, cooldown, level-up, budget, retraction; and the default rules."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.records import Escalation, Message
from operators.rules import Rules
from tests.operators.customers import DEFAULT_RULES, SHORT_GAPS, escalations, reducer, run
from tests.strategies import START_MS, STEADY, Disorder, disorders, message, retraction

ANGER = 1 << 1
URGENCY = 1 << 2


def rules(*nodes: str, keywords: str = "{}") -> Rules:
    head = f"schema: undertone.rules/1\nversion: v7\nkeywords: {keywords}\nrules:\n"
    return Rules.parse(head + "".join(f"- {node}\n" for node in nodes))


ANGRY = (
    "{id: angry, family: angry, raise: {last: {below: -0.4}}, clear: {last: {above: 0.0}}, level: 2, "
    "route: supervisor, cooldown: 600}"
)
GRAVER = ANGRY.replace("cooldown: 600", "cooldown: 600, level_up: {level: 3, when: {last: {below: -0.8}}}")


def steps(outputs: Sequence[object]) -> list[tuple[str, str, int, int]]:
    """(rule, transition, level, second of the message) of every escalation, in order."""
    found = [out for out in outputs if isinstance(out, Escalation)]
    return [(out.rule, out.transition, out.level, (out.event_ms - START_MS) // 1000) for out in found]


def said(*scores: float, every_s: int = 60) -> list[Message]:
    return [message(number, number * every_s, score) for number, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("rule", "history", "expected"),
    [
        pytest.param(ANGRY, said(-0.5, 0.5, -0.5, 0.5), [], id="one outburst is not enough"),
        pytest.param(ANGRY, said(-0.5, -0.5), [("raised", 2, 60)], id="two in a row raise"),
        pytest.param(ANGRY, said(-0.5, -0.5, -0.2, -0.1), [("raised", 2, 60)], id="between the bounds it stays"),
        pytest.param(ANGRY, said(-0.5, -0.5, 0.1), [("raised", 2, 60), ("cleared", 2, 120)], id="clear holds"),
        pytest.param(
            ANGRY,
            said(-0.5, -0.5, 0.1, -0.5, -0.5, -0.5),
            [("raised", 2, 60), ("cleared", 2, 120), ("suppressed", 2, 240)],
            id="cooling down, it is suppressed once",
        ),
        pytest.param(
            ANGRY,
            said(-0.5, -0.5, 0.1, -0.5, -0.5, every_s=400),
            [("raised", 2, 400), ("cleared", 2, 800), ("raised", 2, 1600)],
            id="after the cooldown it raises again",
        ),
        pytest.param(
            ANGRY,
            said(-0.5, -0.5, 0.1, -0.5, -0.5, *[-0.5] * 8),
            [("raised", 2, 60), ("cleared", 2, 120), ("suppressed", 2, 240), ("raised", 2, 720)],
            id="suppressed through the cooldown, raised when it ends",
        ),
        pytest.param(
            GRAVER, said(-0.5, -0.5, -0.9, -0.9), [("raised", 2, 60), ("level_up", 3, 120)], id="it gets graver once"
        ),
        pytest.param(
            GRAVER,
            said(-0.5, -0.5, 0.1, -0.5, -0.9),
            [("raised", 2, 60), ("cleared", 2, 120), ("raised", 3, 240)],
            id="a graver one passes through the cooldown",
        ),
        pytest.param(
            ANGRY.replace("cooldown: 600", "cooldown: 0, for: {messages: 1, seconds: 100}"),
            said(-0.5, -0.5, -0.5, -0.5),
            [("raised", 2, 120)],
            id="it must last for so many seconds",
        ),
        pytest.param(
            ANGRY.replace("cooldown: 600", "cooldown: 0, budget: 2, for: {messages: 1}"),
            said(-0.5, 0.1, -0.5, 0.1, -0.5, 0.1),
            [("raised", 2, 0), ("cleared", 2, 60), ("raised", 2, 120), ("cleared", 2, 180), ("suppressed", 2, 240)],
            id="the budget of an hour is spent",
        ),
        pytest.param(
            ANGRY.replace(", clear: {last: {above: 0.0}}", ""),
            said(-0.5, -0.5, -0.3),
            [("raised", 2, 60), ("cleared", 2, 120)],
            id="without a clear it clears when raise no longer holds",
        ),
    ],
)
def test_state_machine(rule: str, history: list[Message], expected: list[tuple[str, int, int]]) -> None:
    _, outputs = run(reducer(rules=rules(rule)), history, close=False)

    assert [("angry", *step) for step in expected] == steps(outputs)


def test_an_event_without_words_does_not_raise_what_was_held_back() -> None:
    lasting = ANGRY.replace("last: {below: -0.4}", "streak: {at_least: 1}").replace("last: {above", "level: {above")
    held_back = said(-0.5, -0.5, 0.9, 0.9, -0.5, -0.5)
    closed = message(8, 1000, kind="closed", speaker="system")
    _, outputs = run(reducer(rules=rules(lasting)), [*held_back, closed, message(9, 1010, -0.5)], close=False)

    assert [step[1:] for step in steps(outputs)] == [
        ("raised", 2, 60),
        ("cleared", 2, 120),
        ("suppressed", 2, 300),
        ("raised", 2, 1010),
    ]


def phoned(number: int, score: float, **changes: object) -> Message:
    return message(number, number * 60, score, channel="voice", interaction_id="call-1", **changes)


@pytest.mark.parametrize("clear", ["clear: {last: {above: 0.0}}, ", ""], ids=["clear", "raise no longer holds"])
def test_an_alert_is_cleared_wherever_the_customer_goes_and_raised_in_its_scope_alone(clear: str) -> None:
    scoped = GRAVER.replace("clear: {last: {above: 0.0}}, ", clear + "scope: {channels: [chat]}, ")
    angry = [*said(-0.5, -0.5), phoned(2, -0.9), phoned(3, 0.9, final=False)]
    _, still = run(reducer(rules=rules(scoped)), angry, close=False)
    _, moved = run(
        reducer(rules=rules(scoped)), [*angry, phoned(4, 0.9), phoned(5, -0.9), phoned(6, -0.9)], close=False
    )

    assert steps(still) == [("angry", "raised", 2, 60)]
    assert steps(moved) == [("angry", "raised", 2, 60), ("angry", "cleared", 2, 240)]


def test_the_end_of_the_session_clears_once_by_timer_or_by_the_next_session() -> None:
    history = said(-0.5, -0.5)
    end = ("angry", "cleared", 2, 60 + 1800)
    _, by_timer = run(reducer(rules=rules(ANGRY)), history)
    _, by_event = run(reducer(rules=rules(ANGRY)), [*history, message(9, 7200, 0.5)])

    assert end == steps(by_timer)[-1]
    assert [end] == [step for step in steps(by_event) if step[1] == "cleared"]
    assert escalations(by_timer)[-1].reason == "the session ended"


def test_an_alert_carries_its_evidence_and_an_id_that_replays_agree_on() -> None:
    history = [
        message(1, 0, -0.6),
        message(2, 30, 0.0, speaker="agent"),
        message(3, 60, -0.7, flags=0b11, tags=(0.6, 0.9, 0, 0, 0, 0, 0), excerpt="this is a joke"),
    ]
    (raised,) = escalations(run(reducer(rules=rules(ANGRY)), history, close=False)[1])
    (again,) = escalations(run(reducer(rules=rules(ANGRY)), history, close=False)[1])

    assert raised == again
    assert raised.evidence.event_ids == ("m-3", "m-1")
    assert (raised.evidence.tags, raised.evidence.excerpt) == (("anger", "frustration"), "this is a joke")
    assert (
        raised.customer_key,
        raised.rule_version,
        raised.route,
        raised.version,
    ) == ("0000000000000007", "v7", "supervisor", 1)
    assert raised.reason == "last -0.70 < -0.40"
    assert history[-1].broker_ms == raised.broker_ms


def test_a_retracted_trigger_takes_the_alert_back_and_a_restart_does_not_forget_it() -> None:
    history = said(-0.5, -0.5, -0.1)
    machine = reducer(rules=rules(ANGRY))
    state, raised = run(machine, history, close=False)
    state = machine.load(machine.dump(state))
    _, out = machine.on_message(state, retraction(history[1]))

    assert steps(raised) == [("angry", "raised", 2, 60)]
    assert [step[1] for step in steps(out)] == ["retracted"]
    assert (escalations(out)[0].version, escalations(out)[0].state) == (2, "resolved")


def test_a_retracted_clearing_message_opens_the_alert_again() -> None:
    history = said(-0.5, -0.5, 0.1)
    machine = reducer(rules=rules(ANGRY))
    state, _ = run(machine, history, close=False)
    _, out = machine.on_message(state, retraction(history[2]))

    assert [(step.transition, step.version) for step in escalations(out)] == [("raised", 3)]


def test_a_final_revision_that_is_kinder_takes_the_alert_back() -> None:
    first, second = said(-0.5, -0.5)
    kinder = msgspec.structs.replace(second, revision=1, score=0.3, label="positive")
    _, outputs = run(reducer(rules=rules(ANGRY)), [first, second, kinder], close=False)

    assert [step[1] for step in steps(outputs)] == ["raised", "retracted"]


def partial(sent: Message, **changes: object) -> Message:
    return msgspec.structs.replace(sent, final=False, **changes)


def test_a_partial_transcript_raises_nothing_and_its_final_words_do() -> None:
    cue = ANGRY.replace("id: angry", "id: cue").replace("level: 2", "level: 1").replace("600", "0, for: {messages: 1}")
    machine = reducer(rules=rules(ANGRY, cue))
    first, second = said(-0.5, -0.5)
    state, heard = run(machine, [partial(first), partial(second)], close=False)
    finals = [msgspec.structs.replace(sent, revision=1) for sent in (first, second)]
    state, once = machine.on_message(state, finals[0])
    state, again = machine.on_message(state, finals[1])

    assert steps(heard) == []
    assert steps(once) == [("cue", "raised", 1, 0)]
    assert steps(again) == [("angry", "raised", 2, 60)]


@pytest.mark.parametrize("level", [1, 2])
def test_a_partial_transcript_neither_clears_nor_raises_again(level: int) -> None:
    rule = ANGRY.replace("cooldown: 600", "cooldown: 0").replace("level: 2", f"level: {level}")
    history = said(-0.5, -0.5, -0.6)
    growing = [partial(history[2], score=score, label="neutral", revision=at) for at, score in enumerate((0.1, 0.2))]
    final = msgspec.structs.replace(history[2], revision=2)
    _, outputs = run(reducer(rules=rules(rule)), [*history[:2], *growing, final], close=False)

    assert [step[1] for step in steps(outputs)] == ["raised"]


def test_a_partial_transcript_does_not_break_what_is_pending() -> None:
    first, between, last = said(-0.5, 0.4, -0.5)
    machine = reducer(rules=rules(ANGRY))
    state, outputs = run(machine, [first, partial(between), last], close=False)
    _, final = machine.on_message(state, msgspec.structs.replace(between, revision=1))

    assert [step[1] for step in steps(outputs)] == ["raised"]
    assert [step[1] for step in steps(final)] == ["retracted"]


@STEADY
@given(disorders())
def test_what_is_told_agrees_with_itself_in_any_order(disorder: Disorder) -> None:
    """Versions count up from 1, each alert begins with raised or suppressed, and no state is told twice."""
    _, outputs = run(reducer(SHORT_GAPS, DEFAULT_RULES), disorder.arrival)
    by_alert: dict[str, list[Escalation]] = {}
    for out in escalations(outputs):
        by_alert.setdefault(out.escalation_id, []).append(out)

    for life in by_alert.values():
        assert list(range(1, len(life) + 1)) == [step.version for step in life]
        assert life[0].transition in ("raised", "suppressed")
        assert len({step.raised_ms for step in life}) == 1
        assert life[-1].state != "active"


def standing(outputs: Sequence[object]) -> set[tuple[str, str, str, int]]:
    """Alerts that were not taken back: id, rule, last state and level."""
    last = {out.escalation_id: out for out in outputs if isinstance(out, Escalation)}
    return {(key, out.rule, out.state, out.level) for key, out in last.items() if out.transition != "retracted"}


RESTLESS = rules(
    GRAVER.replace("600", "60"), ANGRY.replace("id: angry", "id: cue").replace("600", "0, for: {messages: 1}")
)


@STEADY
@given(disorders(), st.sampled_from([DEFAULT_RULES, RESTLESS]))
def test_what_stands_in_the_end_is_the_same_in_any_order(disorder: Disorder, some: Rules) -> None:
    _, in_order = run(reducer(SHORT_GAPS, some), disorder.history)
    _, as_arrived = run(reducer(SHORT_GAPS, some), disorder.arrival)

    assert standing(in_order) == standing(as_arrived)


def test_a_level_goes_back_with_the_message_that_raised_it() -> None:
    history = said(-0.7, -0.7, -0.9)
    _, outputs = run(reducer(rules=RESTLESS), [*history, retraction(history[-1])], close=False)
    angry = [(out.transition, out.level, out.state) for out in escalations(outputs) if out.rule == "angry"]

    assert angry == [("raised", 2, "active"), ("level_up", 3, "active"), ("raised", 2, "active")]


def test_an_alert_that_moved_to_a_later_message_goes_with_that() -> None:
    first, second = message(1, 0, -0.7), message(2, 20, -0.7)
    better = msgspec.structs.replace(first, revision=1, score=0.7, label="positive")
    _, outputs = run(reducer(rules=RESTLESS), [first, second, better, retraction(second)], close=False)

    assert [out.transition for out in escalations(outputs) if out.rule == "cue"] == ["raised", "retracted"]


def test_an_alert_that_rose_anew_is_taken_back_once_more_with_its_second_reason() -> None:
    first = message(1, 0, 0.1)
    once, again = message(2, 10, -0.5), message(3, 20, -0.5)
    machine = reducer(rules=rules(ANGRY.replace("600", "0, for: {messages: 1}")))
    _, outputs = run(machine, [first, once, retraction(once), again, retraction(again)], close=False)

    assert [step[1] for step in steps(outputs)] == ["raised", "retracted", "raised", "retracted"]
    assert {out.raised_ms for out in escalations(outputs)} == {once.event_ms}


@pytest.mark.parametrize("number", range(90, 96))
def test_a_message_of_the_same_millisecond_leaves_what_was_held_back(number: int) -> None:
    """Whichever side of the other its id puts it on."""
    machine = reducer(rules=rules(ANGRY))
    state, outputs = run(machine, said(-0.5, -0.5, 0.1, -0.5, -0.5, -0.2), close=False)
    _, out = machine.on_message(state, message(number, 240, 0.5, speaker="agent"))

    assert [step[1] for step in steps(outputs)] == ["raised", "cleared", "suppressed"]
    assert escalations(out) == []


CALM = [0.1, 0.4, 0.0, -0.15, 0.3, -0.1, 0.5, 0.2, 0.6, 0.0, 0.3, 0.7]


@pytest.mark.parametrize("channel", ["voice", "chat", "email", "social"])
def test_a_calm_conversation_raises_nothing(channel: str) -> None:
    history = []
    for number, score in enumerate(CALM):
        history.append(message(2 * number, number * 60, score, channel=channel))
        history.append(message(2 * number + 1, number * 60 + 20, 0.2, channel=channel, speaker="agent"))

    assert escalations(run(reducer(rules=DEFAULT_RULES), history)[1]) == []


CALL_OPENS = message(9, 300, kind="opened", speaker="system", weight=0.0, channel="voice", interaction_id="call-1")


@pytest.mark.parametrize(
    ("family", "history"),
    [
        ("cue_souring", said(0.2, -0.6, -0.7, every_s=20)),
        ("sliding", said(0.6, 0.4, 0.2, 0.0, -0.3, -0.6, -0.9, every_s=45)),
        ("angry", said(-0.7, -0.8, -0.9, every_s=20)),
        ("wants_manager", [message(1, 0, -0.1, keywords=DEFAULT_RULES.keyword_bits("Let me talk to a manager"))]),
        ("threat_to_leave", [message(1, 0, -0.3, keywords=DEFAULT_RULES.keyword_bits("cancel my contract!"))]),
        ("frustrated", [message(number, number * 60, -0.3, flags=0b1) for number in range(3)]),
        ("urgent", [message(1, 0, 0.0, flags=URGENCY)]),
        (
            "arrives_angry",
            [*said(-0.8, -0.8, every_s=20), CALL_OPENS],
        ),
        (
            "repeat_contact",
            [message(number, number * 40_000, -0.6, interaction_id=f"chat-{number}") for number in range(3)],
        ),
        ("unanswered", said(0.0, 0.0, every_s=400)),
        (
            "low_rating",
            [message(1, 0, 0.3), message(2, 60, -0.9, kind="rating", rating=-1.0, channel="survey")],
        ),
    ],
)
def test_each_default_family_raises_on_what_it_is_for(family: str, history: list[Message]) -> None:
    raised = [step for step in escalations(run(reducer(rules=DEFAULT_RULES), history)[1]) if step.version == 1]

    assert family in {step.family for step in raised}


def test_anger_in_a_chat_is_known_when_the_call_starts() -> None:
    chat = said(-0.7, -0.8, -0.8, every_s=20)
    last = escalations(run(reducer(rules=DEFAULT_RULES), [*chat, CALL_OPENS], close=False)[1])[-1]

    assert (last.family, last.channel, last.interaction_id, last.route) == ("arrives_angry", "voice", "call-1", "agent")
    assert "customer_level -0.54 < -0.30" in last.reason
