"""Fold a customer's scores into slope, shift, volatility and change points, one message at a time in event order.

Scores and weights are integers in units of 1e-4 on input (see `entry.py`); results are rounded to 1e-4. Each formula
has its own function; docs/formulas.md has them all, with their sources.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from operators.bins import Bins, quarters, with_score
from operators.entry import Entry
from operators.parameters import SCALE, Parameters
from operators.records import Trend
from operators.slope import Point, Slope, classify_trend, fit_slope

POINTS = 12

Outcome = Literal["recovered", "soured", "steady", "unknown"]


class Trajectory(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Running values over the customer's messages in one session."""

    messages: int = 0
    negatives: int = 0
    positives: int = 0
    tag_counts: tuple[int, ...] = (0, 0, 0, 0, 0, 0, 0)
    scored: int = 0
    """Number of messages with a weight above 0."""
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
    """Add the customer's next message in event order.

    `level` is the level of the interaction after this message, `carried` the customer level at the start of the
    session, `under_ms` the time that the customer level has been below its threshold so far.
    """
    if not entry.weight:
        return _unscored(before, entry, level, under_ms)
    lower = level < before.low
    now, score, weight = entry.event_ms, entry.score, entry.weight
    points = (*before.points[1 - POINTS :], Point(now, score, weight, entry.short_hash))
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
    """Add a late message, whose place is settled: only sums and counts that do not depend on the order change."""
    return msgspec.structs.replace(
        before,
        messages=before.messages + 1,
        negatives=before.negatives + (_counts(entry, "negative")),
        positives=before.positives + (_counts(entry, "positive")),
        tag_counts=_count_tags(before.tag_counts, entry.flags),
        weight=before.weight + entry.weight,
        weighted=before.weighted + entry.weight * entry.score,
    )


def point_of(trajectory: Trajectory, entry: Entry) -> Point | None:
    """What an earlier revision of the entry added; None once it is no longer among the latest points."""
    return next((point for point in trajectory.points if point.id == entry.short_hash), None)


def replaced(before: Trajectory, old: Point, new: Point) -> Trajectory:
    """Replace an old point with a corrected one; a corrected point of weight 0 is removed.

    The slope is computed again only at the customer's next message.
    """
    points = tuple([new if point == old else point for point in before.points if point != old or new.weight])
    return msgspec.structs.replace(
        before,
        weight=before.weight - old.weight + new.weight,
        weighted=before.weighted - old.score * old.weight + new.score * new.weight,
        points=points,
    )


def step_cusum(cusum: float, score: float, base: float, parameters: Parameters) -> tuple[float, bool]:
    """One-sided CUSUM: C <- max(0, C + (base - s) - slack); above the limit it alarms and restarts at 0 (Page 1954).

    >>> step_cusum(0.5, score=-0.9, base=0.0, parameters=Parameters())
    (0.0, True)
    >>> step_cusum(0.0, score=-0.5, base=0.0, parameters=Parameters())
    (0.25, False)
    """
    raised = max(0.0, cusum + (base - score) - parameters.cusum_slack)
    return (0.0, True) if raised > parameters.cusum_alarm else (raised, False)


def volatility(trajectory: Trajectory) -> float:
    """Mean absolute successive difference, sum |s_i - s_(i-1)| / (n - 1), in [0, 2].

    >>> volatility(Trajectory(scored=3, moved=16000))
    0.8
    """
    return round(trajectory.moved / (trajectory.scored - 1)) / SCALE if trajectory.scored > 1 else 0.0


def shift(trajectory: Trajectory) -> float:
    """Mean score of the last quarter of the messages minus that of the first quarter, in [-2, 2]."""
    begin, end = quarters(trajectory.bins)
    return round((end - begin) * SCALE) / SCALE


def outcome(begin: float, end: float, scored: int, parameters: Parameters) -> Outcome:
    """Classify how a session went; "unknown" with fewer than four scored messages.

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
    """Add a message without weight: it changes only counts, the low point and the time below the threshold."""
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
