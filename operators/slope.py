"""Trend of the score: a weighted line through the latest points, with its 90 % interval and a class.

docs/formulas.md, "Trend"; the names and cut points of the classes are those of Genesys Cloud.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import msgspec

from operators.parameters import MINUTE, SCALE, Parameters
from operators.records import Trend


class Point(NamedTuple):
    """Score and weight of one message, in units of 1e-4, with its event time."""

    event_ms: int
    score: int
    weight: int
    id: int = 0
    """Low 32 bits of the hash of the event's id; 0 in snapshots before version 3."""


STUDENT_95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812)
"""0.95 quantiles of Student's t for 1 to 10 degrees of freedom; they give both ends of a 90 % interval."""


class Slope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Trend of the score per minute with its 90 % interval."""

    value: float
    low: float
    high: float
    points: int
    """Number of points in the window."""


def fit_slope(points: Sequence[Point], now_ms: int, window_ms: int, least: int) -> Slope | None:
    """Weighted least squares of s on t over the trailing window, per minute.

    beta = sum w (t - t')(s - s') / sum w (t - t')^2, where t' and s' are weighted means; its variance comes from the
    residuals with n - 2 degrees of freedom. None with fewer than `least` points, or when all have the same time.

    >>> fit_slope(
    ...     [Point(0, 5000, 9000), Point(60000, 3000, 9000), Point(120000, 1000, 9000), Point(180000, -1000, 9000)],
    ...     now_ms=180000,
    ...     window_ms=180001,
    ...     least=4,
    ... )
    Slope(value=-0.2, low=-0.2, high=-0.2, points=4)
    """
    since = now_ms - window_ms
    count = 0
    w_sum = wt = ws = wtt = wts = wss = 0.0
    for at, score, weight, _ in points:
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
    """Classify the trend by half the change over the window (Genesys cut points).

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
