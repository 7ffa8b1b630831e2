"""Fold a customer's scores into slope, shift, volatility and change points, one message after the other.

Scores and weights arrive as integers in units of 1e-4 (see `entry.py`); what leaves is rounded to 1e-4. Every
formula stands in a function of its own and cites the definition that it implements (section 9 of the mission
anchors: Genesys cut points for the trend, Vonage bands, one-sided CUSUM of Page 1954). The fold runs in event order.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Literal

import msgspec

from operators.entry import Entry
from operators.parameters import MINUTE, SCALE, Parameters

POINTS = 12
BINS = 16

Trend = Literal["improving", "slightly_improving", "no_change", "slightly_declining", "declining", "not_calculated"]
Outcome = Literal["recovered", "soured", "steady", "unknown"]
Point = tuple[int, int, int]
"""(event time, score, weight), the last two in units of 1e-4."""

STUDENT_95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812)
"""0.95 quantiles of Student's t for 1 to 10 degrees of freedom: both ends of a 90 % interval."""


class Slope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Trend of the score per minute with its 90 % interval."""

    value: float
    low: float
    high: float
    points: int
    """Points in the window."""


class Bins(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Weighted sums over runs of `size` messages each; at most 16, neighbours merge when all are full."""

    size: int = 1
    last: int = 0
    """Messages in the last bin."""
    weights: tuple[int, ...] = ()
    sums: tuple[int, ...] = ()


class Trajectory(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the customer's messages of one session add up to."""

    messages: int = 0
    negatives: int = 0
    positives: int = 0
    tag_counts: tuple[int, ...] = (0, 0, 0, 0, 0, 0, 0)
    scored: int = 0
    """Messages that were sure enough to count."""
    weight: int = 0
    weighted: int = 0
    """Sums of w and of w x s over the scored messages."""
    last: int = 0
    """Score of the last scored message."""
    moved: int = 0
    """Sum of absolute differences of successive scores."""
    sign: int = 0
    reversals: int = 0
    streak: int = 0
    cusum: float = 0.0
    change_points: int = 0
    changed: bool = False
    """Whether the last message was a change point."""
    low: float = 1.0
    low_ms: int = 0
    under_ms: int = 0
    points: tuple[Point, ...] = ()
    bins: Bins = Bins()
    slope: Slope | None = None
    trend: Trend = "not_calculated"


def observe(
    before: Trajectory, entry: Entry, level: float, carried: float, under_ms: int, parameters: Parameters
) -> Trajectory:
    """Take in the customer's next message in event order.

    `level` is the interaction's level after this message, `carried` the customer's at the start of the session,
    `under_ms` the time below the threshold so far.
    """
    if not entry.weight:
        return _unscored(before, entry, level, under_ms)
    lower = level < before.low
    now, score, weight = entry.event_ms, entry.score, entry.weight
    points = (*before.points[1 - POINTS :], (now, score, weight))
    window = parameters.window_ms[entry.channel]
    slope = fit_slope(points, now, window, parameters.slope_points)
    cusum, alarm = step_cusum(before.cusum, score / SCALE, carried, parameters)
    sign = _sign(score, parameters.reversal)
    return Trajectory(
        before.messages + 1,
        before.negatives + (entry.label == "negative"),
        before.positives + (entry.label == "positive"),
        _count_tags(before.tag_counts, entry.flags) if entry.flags else before.tag_counts,
        before.scored + 1,
        before.weight + weight,
        before.weighted + weight * score,
        score,
        before.moved + (abs(score - before.last) if before.scored else 0),
        sign or before.sign,
        before.reversals + (sign * before.sign < 0),
        before.streak + 1 if entry.label == "negative" else 0,
        cusum,
        before.change_points + alarm,
        alarm,
        level if lower else before.low,
        now if lower else before.low_ms,
        under_ms,
        points,
        with_score(before.bins, weight, score),
        slope,
        classify_trend(slope, window, parameters),
    )


def late_message(before: Trajectory, entry: Entry) -> Trajectory:
    """Take in a message whose place is settled: only what adds up in any order moves."""
    return msgspec.structs.replace(
        before,
        messages=before.messages + 1,
        negatives=before.negatives + (_counts(entry, "negative")),
        positives=before.positives + (_counts(entry, "positive")),
        tag_counts=_count_tags(before.tag_counts, entry.flags),
        weight=before.weight + entry.weight,
        weighted=before.weighted + entry.weight * entry.score,
    )


def replaced(before: Trajectory, old: Point, new: Point) -> Trajectory:
    """Put a corrected point in the place of an old one; weight 0 leaves nothing of it.

    The slope follows at the customer's next message.
    """
    points = tuple([new if point == old else point for point in before.points if point != old or new[2]])
    return msgspec.structs.replace(
        before,
        weight=before.weight - old[2] + new[2],
        weighted=before.weighted - old[1] * old[2] + new[1] * new[2],
        points=points,
    )


def fit_slope(points: Sequence[Point], now_ms: int, window_ms: int, least: int) -> Slope | None:
    """Weighted least squares of s on t over the trailing window, per minute (section 9.3).

    beta = sum w (t - t')(s - s') / sum w (t - t')^2, its variance from the residuals with n - 2 degrees of
    freedom. None with fewer than `least` points, or when all carry the same time.

    >>> fit_slope(
    ...     [(0, 5000, 9000), (60000, 3000, 9000), (120000, 1000, 9000), (180000, -1000, 9000)],
    ...     now_ms=180000,
    ...     window_ms=180001,
    ...     least=4,
    ... )
    Slope(value=-0.2, low=-0.2, high=-0.2, points=4)
    """
    since = now_ms - window_ms
    count = 0
    w_sum = wt = ws = wtt = wts = wss = 0.0
    for at, score, weight in points:
        if at > since:
            t = (at - now_ms) / MINUTE
            count += 1
            w_sum += weight
            wt += weight * t
            ws += weight * score
            wtt += weight * t * t
            wts += weight * t * score
            wss += weight * score * score
    if count < least:
        return None
    spread = wtt - wt * wt / w_sum
    if spread <= 1e-9 * w_sum:
        return None
    shared = wts - wt * ws / w_sum
    value = shared / spread
    residual = max(0.0, wss - ws * ws / w_sum - value * shared)
    half = STUDENT_95[count - 3] * sqrt(residual / (count - 2) / spread)
    return Slope(round(value) / SCALE, round(value - half) / SCALE, round(value + half) / SCALE, count)


def classify_trend(slope: Slope | None, window_ms: int, parameters: Parameters) -> Trend:
    """Name the trend after half the change over the window (section 9.3, Genesys cut points).

    `not_calculated` with fewer than six points, or when the interval contains 0.

    >>> classify_trend(Slope(-0.2, -0.3, -0.1, 6), 180_000, Parameters())
    'slightly_declining'
    >>> classify_trend(Slope(-0.2, -0.5, 0.1, 6), 180_000, Parameters())
    'not_calculated'
    """
    if slope is None or slope.points < parameters.trend_points or slope.low <= 0.0 <= slope.high:
        return "not_calculated"
    half = max(-2.0, min(2.0, slope.value * window_ms / MINUTE)) / 2
    small, large = parameters.trend_cuts
    if abs(half) <= small:
        return "no_change"
    if half > 0:
        return "improving" if half > large else "slightly_improving"
    return "declining" if half < -large else "slightly_declining"


def step_cusum(cusum: float, score: float, base: float, parameters: Parameters) -> tuple[float, bool]:
    """One-sided CUSUM: C <- max(0, C + (base - s) - slack), alarm above the limit, then reset (section 9.3).

    >>> step_cusum(0.5, score=-0.9, base=0.0, parameters=Parameters())
    (0.0, True)
    >>> step_cusum(0.0, score=-0.5, base=0.0, parameters=Parameters())
    (0.25, False)
    """
    raised = max(0.0, cusum + (base - score) - parameters.cusum_slack)
    return (0.0, True) if raised > parameters.cusum_alarm else (raised, False)


def with_score(bins: Bins, weight: int, score: int) -> Bins:
    """Add one message to the last bin, or begin a new one.

    >>> with_score(with_score(Bins(), 10000, -5000), 10000, 2000)
    Bins(size=1, last=1, weights=(10000, 10000), sums=(-50000000, 20000000))
    """
    weights, sums, size, last = bins.weights, bins.sums, bins.size, bins.last
    if last < size and weights:
        return Bins(size, last + 1, (*weights[:-1], weights[-1] + weight), (*sums[:-1], sums[-1] + weight * score))
    if len(weights) == BINS:
        weights, sums, size = _pairs(weights), _pairs(sums), size * 2
    return Bins(size, 1, (*weights, weight), (*sums, weight * score))


def quarters(bins: Bins) -> tuple[float, float]:
    """Weighted means of the first and the last quarter of the messages, by count (section 9.3).

    Exact up to 16 messages; beyond that the quarters end at the edge of a bin, so each holds at least a quarter
    and at most 1/8 of all messages more.

    >>> quarters(Bins(1, 1, (10000,) * 4, (-50000000, 0, 0, 20000000)))
    (-0.5, 0.2)
    """
    count = (len(bins.weights) - 1) * bins.size + bins.last
    if count <= 0:
        return 0.0, 0.0
    quarter = max(1, count // 4)
    first = -(-quarter // bins.size)
    final = 1 + max(0, -(-(quarter - bins.last) // bins.size))
    begin = mean(sum(bins.weights[:first]), sum(bins.sums[:first]))
    return begin, mean(sum(bins.weights[-final:]), sum(bins.sums[-final:]))


def mean(weight: int, weighted: int) -> float:
    """Weighted mean of scores from their integer sums, rounded to 1e-4; 0.0 of nothing."""
    return round(weighted / weight) / SCALE if weight else 0.0


def volatility(trajectory: Trajectory) -> float:
    """Mean absolute successive difference, sum |s_i - s_(i-1)| / (n - 1), in [0, 2] (section 9.3).

    >>> volatility(Trajectory(scored=3, moved=16000))
    0.8
    """
    return round(trajectory.moved / (trajectory.scored - 1)) / SCALE if trajectory.scored > 1 else 0.0


def shift(trajectory: Trajectory) -> float:
    """Mean of the last quarter minus mean of the first, in [-2, 2]."""
    begin, end = quarters(trajectory.bins)
    return round((end - begin) * SCALE) / SCALE


def outcome(begin: float, end: float, scored: int, parameters: Parameters) -> Outcome:
    """Say how a session went; with fewer than four scored messages nothing is known.

    >>> outcome(-0.6, 0.3, scored=8, parameters=Parameters())
    'recovered'
    """
    if scored < 4:
        return "unknown"
    turned = parameters.turned
    if begin <= -turned and end >= turned:
        return "recovered"
    return "soured" if begin >= turned and end <= -turned else "steady"


def _unscored(before: Trajectory, entry: Entry, level: float, under_ms: int) -> Trajectory:
    """Counts, low point and time under: all that a message without weight moves."""
    lower = level < before.low
    return msgspec.structs.replace(
        before,
        messages=before.messages + 1,
        negatives=before.negatives + _counts(entry, "negative"),
        positives=before.positives + _counts(entry, "positive"),
        tag_counts=_count_tags(before.tag_counts, entry.flags) if entry.flags else before.tag_counts,
        changed=False,
        low=level if lower else before.low,
        low_ms=entry.event_ms if lower else before.low_ms,
        under_ms=under_ms,
    )


def _counts(entry: Entry, label: str) -> bool:
    return not entry.abstained and entry.label == label


def _count_tags(counts: tuple[int, ...], flags: int) -> tuple[int, ...]:
    return tuple([count + (flags >> bit & 1) for bit, count in enumerate(counts)])


def _sign(score: int, least: float) -> int:
    if abs(score) < least * SCALE:
        return 0
    return 1 if score > 0 else -1


def _pairs(values: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([left + right for left, right in zip(values[::2], values[1::2], strict=True)])
