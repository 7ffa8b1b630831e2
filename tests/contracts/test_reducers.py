"""One battery for whatever folds a customer's messages: purity, snapshots, independence, bounds."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators import snapshots
from operators.customer_state import CustomerState
from operators.entry import entry_of, hash64
from operators.escalation import ACTIVE, Alarms, Track
from operators.parameters import DAY, Parameters
from operators.records import Channel, Kind, Polarity, Speaker
from operators.snapshots import AtRest, Judged, SnapshotError
from tests.operators.customers import (
    DEFAULT_RULES,
    SHORT_GAPS,
    contents,
    escalations,
    final_rows,
    reducer,
    run,
    sessions,
    turns,
)
from tests.strategies import START_MS, STEADY, Disorder, disorders, histories, message, retraction

SNAPSHOTS = Path(__file__).resolve().parents[1] / "snapshots"


@STEADY
@given(disorders(), st.data())
def test_a_step_leaves_its_input_untouched_and_gives_the_same_again(disorder: Disorder, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(disorder.arrival)))
    steady = reducer(SHORT_GAPS, DEFAULT_RULES)
    state, _ = run(steady, disorder.arrival[:cut], close=False)
    before = steady.dump(state)
    for sent in disorder.arrival[cut:] or disorder.arrival[:1]:
        once = steady.on_message(state, sent)
        again = steady.on_message(state, sent)

        assert once == again
        assert before == steady.dump(state)


@STEADY
@given(disorders())
def test_loading_what_was_dumped_is_the_same_state(disorder: Disorder) -> None:
    steady = reducer(rules=DEFAULT_RULES)
    state, _ = run(steady, disorder.arrival, close=False)

    assert state == steady.load(steady.dump(state))


@STEADY
@given(disorders())
def test_the_whole_history_again_changes_nothing_and_gives_nothing(disorder: Disorder) -> None:
    steady = reducer(rules=DEFAULT_RULES)
    state, _ = run(steady, disorder.arrival, close=False)
    for sent in disorder.arrival:
        again, outputs = steady.on_message(state, sent)

        assert outputs == []
        assert state == again


@STEADY
@given(histories(corrections=False), st.data())
def test_retracted_is_as_if_never_sent(history: list, data: st.DataObject) -> None:  # type: ignore[type-arg]
    at = data.draw(st.integers(0, len(history) - 1))
    history = [*history, message(99, (history[-1].event_ms - START_MS) / 1000)]
    taken = retraction(history[at])
    _, with_it = run(reducer(SHORT_GAPS), [*history[: at + 1], taken, *history[at + 1 :]])
    _, without = run(reducer(SHORT_GAPS), [*history[:at], *history[at + 1 :]])

    assert contents(without) == contents(with_it)


@STEADY
@given(histories(corrections=False), st.data())
def test_the_final_revision_replaces_the_provisional_one(history: list, data: st.DataObject) -> None:  # type: ignore[type-arg]
    at = data.draw(st.integers(0, len(history) - 1))
    final = msgspec.structs.replace(history[at], revision=1)
    partial = msgspec.structs.replace(history[at], final=False, score=-0.9, label="negative", weight=0.2)
    _, replaced = run(reducer(SHORT_GAPS), [*history[:at], partial, final, *history[at + 1 :]])
    _, at_once = run(reducer(SHORT_GAPS), [*history[:at], final, *history[at + 1 :]])

    assert final_rows(at_once) == final_rows(replaced)
    assert not any(turn.provisional for turn in turns(replaced))


def test_a_revision_may_move_a_message_in_time() -> None:
    partial = message(1, 30, -0.5, final=False)
    final = message(1, 10, -0.6, revision=1)
    other = message(2, 20, 0.1)
    for arrival in ([partial, other, final], [final, partial, other], [other, partial, final]):
        rows = turns(run(reducer(), arrival)[1])

        assert [(row.event_id, row.event_ms, row.score) for row in rows] == [
            ("m-1", START_MS + 10_000, -0.6),
            ("m-2", START_MS + 20_000, 0.1),
        ]
        assert [row.messages for row in rows] == [1, 2]


def test_retraction_and_revision_of_a_settled_message_correct_the_sums() -> None:
    history = [message(1, 0, -0.8), message(2, 300, -0.4), message(3, 900, 0.2)]
    for fix, expected in (
        (retraction(history[1]), [history[0], history[2]]),
        (message(2, 300, 0.6, revision=1), [history[0], message(2, 300, 0.6), history[2]]),
    ):
        _, outputs = run(reducer(), [*history, fix])
        _, ideal = run(reducer(), expected)

        assert sessions(ideal)[0].mean_score == sessions(outputs)[0].mean_score
        assert turns(ideal)[-1].customer_level == pytest.approx(turns(outputs)[-1].customer_level, abs=1e-4)


def test_taking_back_the_agents_line_leaves_what_the_customer_said_in_the_same_millisecond() -> None:
    agent = message(1, 0, speaker="agent")
    angry, sad = message(2, 0, -0.9), message(3, 0, -0.5)
    rest = [message(4, 300, 0.1), message(5, 900, 0.2)]
    _, with_it = run(reducer(), [agent, angry, sad, *rest, retraction(agent)])
    _, corrected = run(reducer(), [agent, angry, sad, *rest, retraction(sad)])
    _, expected = run(reducer(), [angry, sad, *rest])
    _, without = run(reducer(), [agent, angry, *rest])

    assert sessions(with_it)[0].mean_score == sessions(expected)[0].mean_score
    assert sessions(corrected)[0].mean_score == sessions(without)[0].mean_score
    assert turns(corrected)[-1].customer_level == pytest.approx(turns(without)[-1].customer_level, abs=1e-4)


def test_ten_thousand_messages_leave_a_small_state() -> None:
    steady = reducer(rules=DEFAULT_RULES)
    state, worst = None, 0
    for number in range(10_000):
        sent = message(
            number,
            number * 3,
            ((number * 37) % 200 - 100) / 100,
            event_id=f"{number:08d}-4b1f-4f9e-9c1d-0123456789ab",
            channel=("voice", "chat", "email", "social")[number // 7 % 4],
            interaction_id=f"interaction-{number // 50:05d}-0123456789ab",
            speaker="customer" if number % 3 else "agent",
            flags=number % 128,
        )
        state, _ = steady.on_message(state, sent)
        if number % 50 == 0:
            worst = max(worst, len(steady.dump(state)))

    assert worst < 5 * 1024  # of which 41 messages within the allowed lateness are the most


def test_a_typical_customer_takes_less_than_a_kilobyte() -> None:
    steady = reducer(rules=DEFAULT_RULES)
    ids = [f"{number:08d}-4b1f-4f9e-9c1d-0123456789ab" for number in range(8)]
    scores = [-0.4, 0.1, -0.6, -0.5, -0.7, 0.0, 0.2, 0.3]
    history = [message(0, at * 40, score, event_id=ids[at]) for at, score in enumerate(scores)]
    state, _ = run(steady, history)

    assert len(steady.dump(state)) < 1024


def test_timers_terminate() -> None:
    steady = reducer()
    state, _ = run(steady, [message(1, 0)], close=False)
    fired = 0
    kept: CustomerState | None = state
    while kept is not None:
        left, _ = steady.on_tick(kept, steady.next_timer(kept))
        fired, kept = fired + 1, left

    assert fired == 2


@pytest.mark.parametrize("path", sorted(SNAPSHOTS.glob("v*.msgpack")), ids=lambda path: path.stem)
def test_old_snapshots_load_and_go_on(path: Path) -> None:
    steady = reducer(Parameters(), DEFAULT_RULES)
    state = steady.load(path.read_bytes())
    _, outputs = steady.on_message(state, message(100, 400, -0.9))

    assert (state.tenant, state.customer_key, state.current.trajectory.messages) == ("acme", 7, 8)
    assert turns(outputs)[-1].messages == 9
    assert any(item.rule == "angry" for item in state.published)


def test_what_a_snapshot_holds_of_alerts_since_version_2() -> None:
    steady = reducer(Parameters(), DEFAULT_RULES)
    first, second = (steady.load((SNAPSHOTS / f"v{version}.msgpack").read_bytes()) for version in (1, 2))
    _, outputs = steady.on_tick(first, START_MS + 3 * DAY)
    closed = [step for step in escalations(outputs) if step.rule == "angry"]

    assert [(item.state, item.remind_ms) for item in second.published if item.rule == "angry"] == [("acked", 0)]
    assert [(kept.alert, kept.action) for kept in second.answers] == [("00000000abcd", "acknowledged")]
    assert (first.passed_ms, first.answers) == (0, ())
    assert [(step.escalation_id, step.transition) for step in closed] == [("9ce8455720ec8def", "cleared")]


def test_what_a_snapshot_tells_at_a_glance_since_version_3() -> None:
    steady = reducer(Parameters(), DEFAULT_RULES)
    second, third = ((SNAPSHOTS / f"v{version}.msgpack").read_bytes() for version in (2, 3))
    state = steady.load(third)

    assert steady.glance(second) is None
    assert steady.glance(third) == steady.at_rest(state)
    assert steady.at_rest(state).is_open
    assert state.past is not None
    assert state.past.session is not None
    assert state.past.session.interactions == ("call-0",)


def test_what_a_snapshot_holds_of_its_rules_since_version_4() -> None:
    (_, before), (state, judged) = (
        snapshots.load((SNAPSHOTS / f"v{version}.msgpack").read_bytes()) for version in (3, 4)
    )
    tracks = {track.rule: track.phase for track in judged.alarms.tracks} if judged else {}

    assert before is None
    assert [track.rule for track in state.settled.alarms.tracks] == ["unanswered-live"]
    assert tracks["angry"] == ACTIVE


def test_every_channel_kind_speaker_and_label_has_its_place_in_a_snapshot() -> None:
    named = {"channel": Channel, "kind": Kind, "speaker": Speaker, "label": Polarity}
    sent = [message(1, **{name: value}) for name, values in named.items() for value in get_args(values)]
    tail = tuple(entry_of(each, hash64(each.event_id)) for each in sent)
    written = CustomerState("acme", 7, tail=tail)
    judged = Judged(9, Alarms((Track("angry", 2),)))

    assert snapshots.load(snapshots.dump(written, AtRest(7, 0, False), judged)) == (written, judged)


def test_a_snapshot_of_the_future_is_refused_in_words() -> None:
    with pytest.raises(SnapshotError, match="snapshot version 99 is not known"):
        reducer().load(msgspec.msgpack.encode([99]))
