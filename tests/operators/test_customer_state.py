"""Arrival order, repeats, restarts and corrections do not change what is finally known of a customer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from operators.parameters import Parameters
from tests.operators.customers import DEFAULT_RULES, SHORT_GAPS, contents, live, reducer, run, turns
from tests.strategies import STEADY, Disorder, disorders

PARAMETERS = st.sampled_from([Parameters(), SHORT_GAPS])


@STEADY
@given(disorders(), PARAMETERS)
def test_any_order_within_lateness_and_any_repeat_give_the_same_final_rows(
    disorder: Disorder, parameters: Parameters
) -> None:
    _, in_order = run(reducer(parameters), disorder.history)
    _, as_arrived = run(reducer(parameters), disorder.arrival)

    assert contents(in_order) == contents(as_arrived)
    assert turns(in_order) == turns(as_arrived)


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
