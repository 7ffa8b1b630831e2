"""Arrival order, repeats, restarts and corrections do not change what is finally known of a customer."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from operators.parameters import DAY, Parameters
from operators.records import Feedback, Kind
from tests.operators.customers import DEFAULT_RULES, SHORT_GAPS, contents, escalations, live, reducer, run, turns
from tests.strategies import STEADY, Disorder, disorders, message, retraction

PARAMETERS = st.sampled_from([Parameters(), SHORT_GAPS])
CORRECTED: dict[str, Any] = {"revision": 9}
LATE: dict[str, Any] = {"speaker": "agent", "event_id": "late-1"}


@STEADY
@given(disorders(), PARAMETERS)
def test_any_order_within_lateness_and_any_repeat_give_the_same_final_rows(
    disorder: Disorder, parameters: Parameters
) -> None:
    _, in_order = run(reducer(parameters), disorder.history)
    _, as_arrived = run(reducer(parameters), disorder.arrival)

    assert contents(in_order) == contents(as_arrived)
    assert turns(in_order) == turns(as_arrived)


@settings(STEADY, max_examples=15)
@given(disorders(spoken=[message(number, number * 1.5, (number % 7 - 3) / 4) for number in range(160)]))
def test_a_fast_talker_too_may_come_in_any_order(disorder: Disorder) -> None:
    assert turns(run(reducer(), disorder.history)[1]) == turns(run(reducer(), disorder.arrival)[1])


@STEADY
@given(disorders(), PARAMETERS, st.data())
def test_a_restart_anywhere_gives_the_same_outputs(
    disorder: Disorder, parameters: Parameters, data: st.DataObject
) -> None:
    restarts = frozenset(data.draw(st.sets(st.integers(0, len(disorder.arrival)))))
    steady, expected = run(reducer(parameters, DEFAULT_RULES), disorder.arrival)
    restarted, outputs = run(reducer(parameters, DEFAULT_RULES), disorder.arrival, restarts)

    assert expected == outputs
    assert steady == restarted


@STEADY
@given(disorders(), PARAMETERS)
def test_stream_time_that_passes_between_the_messages_changes_no_final_row(
    disorder: Disorder, parameters: Parameters
) -> None:
    machine = reducer(parameters, DEFAULT_RULES)
    _, without_time = live(machine, disorder.history, ticks=False)
    _, as_it_happened = live(machine, disorder.arrival)

    assert contents(without_time) == contents(as_it_happened)


@STEADY
@given(disorders(), st.data())
def test_what_comes_after_the_session_is_closed_raises_nothing_again(disorder: Disorder, data: st.DataObject) -> None:
    machine = reducer(rules=DEFAULT_RULES)
    state, outputs = live(machine, disorder.arrival)
    last = {step.escalation_id: step.transition for step in escalations(outputs)}
    gone = {sent.event_id for sent in disorder.history if sent.kind == "retracted"}
    standing = [sent for sent in disorder.history if sent.event_id not in gone]
    assume(standing)  # in the place of what was taken back an event could prolong its session, and so open it again
    for sent in data.draw(st.lists(st.sampled_from(standing), min_size=1, max_size=4)):
        change = data.draw(st.sampled_from([CORRECTED, LATE]))
        state, out = machine.on_message(state, msgspec.structs.replace(sent, **change))
        kept, more = machine.on_tick(state, state.current.place[0] + 3 * DAY)
        assert kept is not None
        state = kept
        for step in escalations([*out, *more]):
            known = last.get(step.escalation_id, "retracted")
            last[step.escalation_id] = step.transition

            assert known == "retracted" or step.transition in ("cleared", "retracted")


@STEADY
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(-DAY, 4 * DAY), st.booleans(), st.booleans()), max_size=12))
def test_no_revision_whatever_its_time_or_place_leads_out_of_the_scale(
    changes: list[tuple[int, int, bool, bool]],
) -> None:
    """A revision should repeat the time and the interaction of its event; some producers give those of the edit."""
    interactions = ("call-0", "call-1")
    call = [message(n, n * 45, -0.8, channel="voice", interaction_id=interactions[n % 2]) for n in range(12)]
    edits = []
    for revision, (at, by_ms, is_elsewhere, is_gone) in enumerate(changes, 1):
        edit = retraction(call[at], revision) if is_gone else msgspec.structs.replace(call[at], revision=revision)
        place = interactions[(at + is_elsewhere) % 2]
        edits.append(msgspec.structs.replace(edit, event_ms=edit.event_ms + by_ms, interaction_id=place))
    _, outputs = run(reducer(rules=DEFAULT_RULES), [*call, *edits, *[message(20 + n, 600 + n, 0.9) for n in range(3)]])

    for turn in turns(outputs):
        assert max(abs(turn.level), abs(turn.customer_level), abs(turn.carried)) < 1


@pytest.mark.parametrize("kind", ["utterance", "retracted"])
def test_the_time_of_an_edit_does_not_move_a_settled_message(kind: Kind) -> None:
    """A call of six minutes, its second message edited an hour later: as if the edit bore the time of the message."""
    machine = reducer(rules=DEFAULT_RULES)
    call = [message(number, number * 60, -0.8, channel="voice") for number in range(6)]
    state, outputs = run(machine, call, close=False)
    edit = msgspec.structs.replace(call[1], kind=kind, revision=1, score=0.5)
    _, proper = machine.on_message(state, edit)
    _, moved = machine.on_message(state, msgspec.structs.replace(edit, event_ms=edit.event_ms + 3_600_000))

    assert contents([*outputs, *proper]) == contents([*outputs, *moved])
    assert escalations(moved) == escalations(proper) == []


def test_a_transcript_corrected_after_the_call_raises_nothing_again() -> None:
    machine = reducer(rules=DEFAULT_RULES)
    call = [message(number, number * 10, -0.9, channel="voice") for number in range(6)]
    state, outputs = live(machine, call)
    for change in (CORRECTED, LATE):
        sent = msgspec.structs.replace(call[2], **change)
        after, out = machine.on_message(state, sent)
        _, more = machine.on_tick(after, machine.next_timer(after))

        assert {step.transition for step in escalations(outputs)} >= {"raised", "cleared"}
        assert escalations([*out, *more]) == []


def test_feedback_that_names_a_wrong_tenant_leaves_the_customer_alone() -> None:
    machine = reducer(rules=DEFAULT_RULES)
    call = [message(number, number * 10, -0.9, channel="voice") for number in range(6)]
    _, outputs = live(machine, call)
    named = escalations(outputs)[0].escalation_id
    wrong = Feedback(
        schema="undertone.feedback/1",
        feedback_id="f-1",
        tenant="demo",
        escalation_id=named,
        action="acknowledged",
        event_time=datetime(2026, 1, 1, tzinfo=timezone.utc),
    )
    state, nothing = machine.on_feedback(None, wrong)
    state, rows = machine.on_message(state, call[0])

    assert nothing == []
    assert {row.tenant for row in rows} == {"acme"}
