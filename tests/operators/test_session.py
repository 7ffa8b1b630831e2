"""Sessions are cut by event time alone, across all channels."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given

from operators.parameters import DAY, HOUR, MINUTE, Parameters
from operators.records import Message, Turn
from operators.session import session_id
from tests.operators.customers import (
    DEFAULT_RULES,
    SHORT_GAPS,
    contents,
    escalations,
    reducer,
    run,
    sessions,
    turns,
)
from tests.strategies import START_MS, STEADY, Disorder, disorders, message, retraction


def cut_of(history: list[Message], parameters: Parameters) -> list[tuple[int, int]]:
    """Connected components of [t, t + gap(channel)]: the definition, written once more and differently."""
    spans: list[list[int]] = []
    for at, channel in sorted((sent.event_ms, sent.channel) for sent in history):
        end = at + parameters.gap_ms[channel]
        if spans and at <= spans[-1][2]:
            spans[-1][1], spans[-1][2] = at, max(spans[-1][2], end)
        else:
            spans.append([at, at, end])
    return [(start, last) for start, last, _ in spans]


@STEADY
@given(disorders(corrections=False))
def test_the_cut_is_the_connected_components_of_what_events_cover(disorder: Disorder) -> None:
    _, outputs = run(reducer(SHORT_GAPS), disorder.arrival)

    assert cut_of(disorder.history, SHORT_GAPS) == [(row.started_ms, row.ended_ms) for row in sessions(outputs)]


@STEADY
@given(disorders())
def test_every_turn_names_a_session_that_exists_and_covers_it(disorder: Disorder) -> None:
    _, outputs = run(reducer(SHORT_GAPS), disorder.arrival)
    spans = {row.session_id: (row.started_ms, row.ended_ms) for row in sessions(outputs)}

    for turn in turns(outputs):
        start, end = spans[turn.session_id]
        assert start <= turn.event_ms <= end


@pytest.mark.parametrize(
    ("channel", "gap_s"),
    [("voice", 1800), ("chat", 1800), ("email", 86400), ("social", 86400), ("survey", 1800)],
)
def test_an_event_exactly_one_gap_later_belongs_and_a_millisecond_more_does_not(channel: str, gap_s: float) -> None:
    first = message(1, 0, channel=channel)

    assert len(sessions(run(reducer(), [first, message(2, gap_s)])[1])) == 1
    assert len(sessions(run(reducer(), [first, message(2, gap_s + 0.001)])[1])) == 2


def test_a_chat_that_turns_into_a_call_is_one_session_with_one_hop() -> None:
    history = [message(1, 0), message(2, 60), message(3, 600, channel="voice", interaction_id="call-1")]
    (row,) = sessions(run(reducer(), history)[1])

    assert (row.channels, row.interactions, row.hops) == (("chat", "voice"), ("chat-1", "call-1"), 1)
    assert (row.contacts_24h, row.contacts_7d) == (2, 2)


def test_a_survey_is_on_the_path_but_is_no_hop() -> None:
    survey = message(3, 120, channel="survey", kind="rating", rating=-0.5, interaction_id="survey-1")
    history = [message(1, 0), message(2, 60), survey, message(4, 180), message(5, 200, channel="voice")]
    (row,) = sessions(run(reducer(), history)[1])

    assert (row.channels, row.hops) == (("chat", "survey", "voice"), 1)
    assert sessions(run(reducer(), [survey, message(4, 180)])[1])[0].hops == 0


def test_the_forecast_of_a_survey_is_the_mood_before_it() -> None:
    history = [
        message(1, 0, score=-0.8),
        message(2, 60, score=-0.8),
        message(3, 120, channel="survey", kind="rating", rating=0.5, interaction_id="survey-1"),
        message(4, 130, channel="survey", score=0.9, interaction_id="survey-1"),
    ]
    _, outputs = run(reducer(), history)
    (row,) = sessions(outputs)

    assert row.forecast == turns(outputs)[1].customer_level
    assert row.final_level > row.forecast


def test_a_session_ends_with_the_trend_of_its_last_message() -> None:
    history = [message(number, number * 30, score=0.9 - 0.2 * number) for number in range(9)]
    _, outputs = run(reducer(), history)
    (row,) = sessions(outputs)

    assert row.trend == turns(outputs)[-1].trend == "declining"


def test_a_survey_alone_is_foretold_by_the_mood_carried_in_or_not_at_all() -> None:
    survey = message(3, 3 * DAY / 1000, channel="survey", score=0.9, interaction_id="survey-1")
    _, alone = run(reducer(), [survey])
    _, after = run(reducer(), [message(1, 0, score=-0.8), survey])

    assert sessions(alone)[0].forecast is None
    assert sessions(after)[1].forecast == sessions(after)[1].carried < 0


def test_a_message_between_two_sessions_joins_them_and_takes_the_second_back() -> None:
    ends = [message(1, 0), message(3, 100)]
    late = message(2, 50)
    narrow = Parameters(gap_ms={**Parameters().gap_ms, "chat": MINUTE})
    _, apart = run(reducer(narrow), ends)
    _, joined = run(reducer(narrow), [*ends, late])

    assert [row.started_ms for row in sessions(apart)] == [START_MS, START_MS + 100_000]
    assert [row.started_ms for row in sessions(joined)] == [START_MS]
    assert {session_id("acme", 7, START_MS)} == {turn.session_id for turn in turns(joined)}


def test_taking_back_the_message_that_joined_two_sessions_parts_them_again() -> None:
    history = [message(1, 0), message(2, 50), message(3, 100)]
    narrow = Parameters(gap_ms={**Parameters().gap_ms, "chat": MINUTE})
    _, outputs = run(reducer(narrow), [*history, retraction(history[1])])

    assert [row.started_ms for row in sessions(outputs)] == [START_MS, START_MS + 100_000]


def test_the_wait_runs_from_the_first_unanswered_message_to_the_answer() -> None:
    history = [message(1, 0), message(2, 30), message(3, 90, speaker="agent"), message(4, 100)]
    (row,) = sessions(run(reducer(), history)[1])

    assert row.response_ms == 90_000


def test_silence_and_talk_over_add_up_and_a_rating_is_kept() -> None:
    history = [
        message(1, 0, channel="voice", silence_ms=2000, overtalk_ms=300),
        message(2, 9, channel="voice", silence_ms=1000),
        message(3, 99, channel="survey", kind="rating", rating=-0.5, interaction_id="survey-1"),
    ]
    (row,) = sessions(run(reducer(), history)[1])

    assert (row.silence_ms, row.overtalk_ms, row.rating) == (3000, 300, -0.5)


def test_downtime_neither_cuts_nor_delays_a_backlog() -> None:
    history = [message(number, number * 60) for number in range(8)]
    _, at_once = run(reducer(), history)
    steady = reducer()
    state, outputs = run(steady, history[:4], close=False)
    restored = steady.load(steady.dump(state))
    for sent in history[4:]:
        restored, out = steady.on_message(restored, sent)
        outputs += out
    closed, out = steady.on_tick(restored, START_MS + DAY)

    assert turns(at_once) == turns(outputs)
    assert closed is not None
    assert not any(turn.late for turn in turns(outputs))


def test_the_timer_closes_the_session_once_and_forgets_the_customer_after_eight_days() -> None:
    steady = reducer()
    state, _ = run(steady, [message(1, 0)], close=False)
    due = steady.next_timer(state)
    assert due == START_MS + 30 * MINUTE + 2 * MINUTE + 1

    early, nothing = steady.on_tick(state, due - 1)
    assert (state, []) == (early, nothing)
    closed, (row,) = steady.on_tick(state, due)
    assert closed is not None
    assert getattr(row, "state", None) == "closed"
    assert (steady.on_tick(closed, due + HOUR)[1], steady.next_timer(closed) > due + 7 * DAY) == ([], True)
    assert steady.on_tick(closed, steady.next_timer(closed))[0] is None


def test_a_late_event_of_a_closed_session_corrects_its_row() -> None:
    history = [message(1, 0, -0.5), message(2, 60, -0.5), message(3, 600, 0.5)]
    steady = reducer()
    state, outputs = run(steady, history)
    state, out = steady.on_message(state, message(9, 30, -0.9))
    closed, more = steady.on_tick(state, START_MS + DAY)
    (row,) = sessions([*outputs, *out, *more])

    assert closed is not None
    assert (row.events, row.messages, row.late_events, row.state) == (4, 4, 1, "closed")
    assert [turn.late for turn in turns(out) if turn.event_id == "m-9"] == [True]


def test_a_late_event_far_from_any_session_is_a_session_of_its_own() -> None:
    steady = reducer()
    state, outputs = run(steady, [message(1, 40_000), message(2, 41_000)])
    _, out = steady.on_message(state, message(9, 0, -0.9))

    assert [row.started_ms for row in sessions([*outputs, *out])] == [START_MS, START_MS + 40_000_000]


def test_a_conversation_that_comes_late_as_a_whole_is_one_session() -> None:
    steady = reducer(rules=DEFAULT_RULES)
    chat = [message(number, 7200 + number * 600) for number in range(3)]
    call = [
        message(100 + number, number * 20, -0.9, channel="voice", interaction_id="call-1", label="negative")
        for number in range(12)
    ]
    state, outputs = run(steady, chat, close=False)
    for arrival in (call, [*call[4:], *call[:4]]):
        kept, out = state, list(outputs)
        for index, sent in enumerate(arrival):
            kept, more = steady.on_message(kept, sent)
            out += more
            if index == 6:
                kept = steady.load(steady.dump(kept))
        first, second = sessions(out)

        assert (first.interactions, first.events, first.late_events) == (("call-1",), 12, 12)
        assert (first.ended_ms, first.mean_score, first.state) == (call[-1].event_ms, -0.9, "closed")
        assert (first.escalations, [s for s in escalations(out) if s.session_id == first.session_id]) == (0, [])
        assert (second.events, second.late_events) == (3, 0)
        assert all(turn.late for turn in turns(out) if turn.interaction_id == "call-1")
        assert turns(steady.on_message(kept, message(9, 9000))[1])[-1].contacts_7d == 2


def test_taking_back_what_was_never_heard_of_is_no_session() -> None:
    steady = reducer()
    state, outputs = run(steady, [message(1, 200_000), message(2, 201_000)], close=False)
    for at_s in (0, 200_500):
        _, out = steady.on_message(state, retraction(message(9, at_s, -0.9)))

        assert [row.events for row in sessions([*outputs, *out])] == [2]
        assert all(turn.deleted for turn in out if isinstance(turn, Turn) and turn.event_id == "m-9")


def test_a_correction_of_a_session_that_is_over_leaves_the_current_one_alone() -> None:
    steady = reducer()
    monday = [message(number, number * 200, -0.5) for number in range(4)]
    state, told = run(steady, [*monday, *[message(10 + number, DAY / 1000 + number * 200) for number in range(3)]])
    _, edited = steady.on_message(state, msgspec.structs.replace(monday[1], revision=1, score=0.9))
    _, taken = steady.on_message(state, retraction(monday[1]))

    assert contents(told) == contents([*told, *edited])
    assert sessions(told)[0] == sessions([*told, *taken])[0]
    assert [turn.event_id for turn in turns([*told, *taken]) if turn.event_ms < START_MS + DAY] == ["m-0", "m-2", "m-3"]


def test_a_survey_is_no_contact() -> None:
    survey = message(2, 4000, channel="survey", kind="rating", interaction_id="survey-1", rating=-0.5)
    chats = [message(1, 0), survey, message(3, DAY / 1000, interaction_id="chat-2")]
    _, outputs = run(reducer(rules=DEFAULT_RULES), chats)
    first, asked, second = sessions(outputs)

    assert turns(outputs)[-1].contacts_7d == 2
    assert [row.contacts_before for row in (first, asked, second)] == [0, 1, 1]
    assert not [step for step in escalations(outputs) if step.rule == "repeat-contact"]


def test_an_interaction_that_goes_on_or_that_changes_channel_is_no_contact_before() -> None:
    mail: dict[str, Any] = {"channel": "email", "interaction_id": "mail-1"}
    _, outputs = run(reducer(), [message(1, 0, **mail), message(2, 2 * DAY / 1000, **mail)])
    _, moved = run(reducer(), [message(1, 0), message(2, 60, channel="voice", interaction_id="call-1")])

    assert [row.contacts_before for row in (*sessions(outputs), *sessions(moved))] == [0, 0, 0]
