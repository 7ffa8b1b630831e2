"""The formulas against numbers worked out by hand, and the folds against the definitions."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.bins import Bins, quarters, with_score
from operators.mood import Sums, add, level_at, under_until
from operators.parameters import DAY, MINUTE, Parameters
from operators.slope import Point, Slope, classify_trend, fit_slope
from operators.trajectory import outcome, step_cusum
from tests.operators.customers import reducer, run, sessions, turns
from tests.strategies import message

P = Parameters()


def test_rolling_score_by_hand() -> None:
    """Two messages of weight 0.8 one half-life (5 min) apart: A = -0.64/2 - 0.32, B = 0.4 + 0.8, S = A / (B + 1)."""
    first, second = turns(run(reducer(), [message(1, 0, -0.8), message(2, 300, -0.4)])[1])

    assert (first.level, first.level_evidence) == (-0.3556, 0.8)
    assert (round(-0.64 / 2.2, 4), 1.2) == (second.level, second.level_evidence)


def test_the_mood_of_a_chat_is_carried_into_a_call_hours_later() -> None:
    """A = -1.28, B = 1.6 at the end of the chat, decayed over a third of the half-life of three days."""
    chat = [message(1, 0, -0.8), message(2, 0, -0.8)]
    call = message(3, 86_400, channel="voice", interaction_id="call-1", kind="opened", speaker="system")
    decay = 2 ** (-1 / 3)
    last = turns(run(reducer(), [*chat, call])[1])[-1]

    assert round(-1.28 * decay / (1.6 * decay + 1), 4) == last.carried == last.customer_level
    assert last.level == 0.0


@pytest.mark.parametrize(
    ("scores", "seconds", "value", "half"),
    [
        pytest.param([0.5, 0.3, 0.1, -0.1], 60, -0.2, 0.0, id="a straight fall has an interval without width"),
        # s = 0, 1, 0, 1 at t = 0..3 min: beta = 0.2, residual sum 0.8, se = sqrt(0.4 / 5), t = 2.920.
        pytest.param([0.0, 1.0, 0.0, 1.0], 60, 0.2, 2.920 * math.sqrt(0.4 / 5), id="a zigzag is wide"),
        pytest.param([0.0, 0.0, 0.0, 0.0], 30, 0.0, 0.0, id="flat"),
    ],
)
def test_slope_by_hand(scores: list[float], seconds: int, value: float, half: float) -> None:
    last = turns(run(reducer(), [message(i, i * seconds, s) for i, s in enumerate(scores)])[1])[-1]

    assert value == pytest.approx(last.slope, abs=1e-4)
    assert (value - half, value + half) == pytest.approx((last.slope_low, last.slope_high), abs=2e-4)


def test_slope_needs_four_points_two_instants_and_forgets_what_left_the_window() -> None:
    points = [Point(second * 1000, 1000 * second, 8000) for second in range(4)]

    assert fit_slope(points[:3], 3000, 10_000, 4) is None
    assert fit_slope([Point(0, 1, 8000)] * 4, 0, 10_000, 4) is None
    assert fit_slope(points, 3000, 3000, 4) is None


@pytest.mark.parametrize(
    ("slope", "trend"),
    [
        (Slope(-0.40, -0.5, -0.3, 6), "declining"),
        (Slope(-0.20, -0.3, -0.1, 6), "slightly_declining"),
        (Slope(0.10, 0.05, 0.2, 6), "no_change"),
        (Slope(0.20, 0.1, 0.3, 6), "slightly_improving"),
        (Slope(0.40, 0.3, 0.5, 6), "improving"),
        (Slope(0.40, -0.1, 0.9, 6), "not_calculated"),
        (Slope(0.40, 0.3, 0.5, 5), "not_calculated"),
        (None, "not_calculated"),
    ],
)
def test_trend_class_of_a_three_minute_window(slope: Slope | None, trend: str) -> None:
    assert trend == classify_trend(slope, 3 * MINUTE, P)


def test_cusum_by_hand() -> None:
    """0 -> 0.35 -> 0.70 -> 1.05 > 1: alarm and reset."""
    history, cusum = [], 0.0
    for _ in range(4):
        cusum, alarm = step_cusum(cusum, -0.6, 0.0, P)
        history.append((round(cusum, 4), alarm))

    assert history == [(0.35, False), (0.7, False), (0.0, True), (0.35, False)]


def test_shape_of_a_session_by_hand() -> None:
    scores = [-0.6, -0.4, -0.3, 0.1, 0.3, 0.5, 0.6, 0.8]
    (row,) = sessions(run(reducer(), [message(i, i * 20, s) for i, s in enumerate(scores)])[1])

    assert (row.begin, row.end, row.shift, row.outcome) == (-0.5, 0.7, 1.2, "recovered")
    assert round(sum(abs(b - a) for a, b in pairwise(scores)) / 7, 4) == row.volatility
    assert (row.reversals, row.negatives, row.positives) == (1, 3, 4)
    assert (row.mean_score, row.messages) == (0.125, 8)


@given(st.lists(st.tuples(st.integers(1, 10_000), st.integers(-10_000, 10_000)), min_size=1, max_size=16))
def test_quarters_are_exact_up_to_sixteen_messages(terms: list[tuple[int, int]]) -> None:
    bins = Bins()
    for weight, score in terms:
        bins = with_score(bins, weight, score)
    quarter = max(1, len(terms) // 4)
    expected = [sum(w * s for w, s in part) / sum(w for w, _ in part) for part in (terms[:quarter], terms[-quarter:])]

    assert expected == pytest.approx([mean * 10_000 for mean in quarters(bins)], abs=0.51)


@given(st.integers(17, 2000))
def test_bins_stay_sixteen_and_keep_every_message(count: int) -> None:
    bins = Bins()
    for number in range(count):
        bins = with_score(bins, 1, number)

    assert len(bins.weights) <= 16
    assert (count, count * (count - 1) // 2) == (sum(bins.weights), sum(bins.sums))
    first, last = quarters(bins)
    assert 0 <= first < last


def test_time_under_ends_where_decay_alone_lifts_the_level() -> None:
    """S = -0.5 from A = -1, B = 1 rises to -0.2 at d = 1 / 4: after two half-lives, six days."""
    until = under_until(Sums(0, -1.0, 1.0, 0), -0.2, 3 * DAY, 1.0)

    assert until == 6 * DAY
    assert level_at(Sums(0, -1.0, 1.0, 0), until, 3 * DAY, 1.0)[0] == -0.2


def test_time_under_counts_from_the_message_that_sank_it() -> None:
    history = [message(1, 0, 0.0), message(2, 60, -0.9), message(3, 160, -0.9), message(4, 170, speaker="agent")]
    last = turns(run(reducer(), history)[1])[-1]

    assert last.under_ms == 110_000


@given(st.lists(st.tuples(st.integers(0, 10**8), st.floats(-1, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_a_late_message_adds_what_it_would_have_added_in_time(terms: list[tuple[int, float, float]]) -> None:
    in_order = late = Sums(at_ms=max(at for at, _, _ in terms))
    ordered = Sums()
    for at, score, weight in sorted(terms):
        ordered = add(ordered, at, score, weight, DAY)
    for at, score, weight in terms:
        late = add(late, at, score, weight, DAY)

    assert in_order.at_ms == ordered.at_ms
    assert (ordered.a, ordered.b) == pytest.approx((late.a, late.b), abs=1e-9)


def test_abstentions_move_nothing_and_do_not_break_a_streak() -> None:
    history = [message(1, 0, -0.6), message(2, 10, 0.9, abstained=True, weight=0.0), message(3, 20, -0.6)]
    first, unsure, last = turns(run(reducer(), history)[1])

    assert (first.streak, unsure.streak, last.streak) == (1, 1, 2)
    assert (unsure.messages, last.messages) == (2, 3)
    assert unsure.low == first.low


def test_what_agents_say_never_moves_the_customer() -> None:
    said = [message(1, 0, 0.4), message(2, 0.001, -0.9, speaker="agent")]
    customer, agent = turns(run(reducer(), said)[1])

    assert (customer.level, customer.customer_level) == (agent.level, agent.customer_level)
    assert (agent.weight, agent.messages, agent.streak) == (0.0, 1, 0)


def test_few_messages_have_no_outcome() -> None:
    assert outcome(-0.9, 0.9, 3, P) == "unknown"
    assert outcome(0.5, -0.5, 4, P) == "soured"
