"""The figures of one session counted from its stored messages, each by its definition and none by the job's code.

Every function takes the session's messages in event order, as rows of `scored_events`. Scores are stored to 1e-4, so
sums of them agree to a few of those; counts, times and names agree exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

Record = dict[str, Any]
LevelAt = Callable[[int], float]
"""The customer's level, unrounded, some time after the messages up to now."""

MINUTE, DAY = 60_000, 86_400_000
SLOPE_WINDOW = {"voice": 3 * MINUTE, "chat": 15 * MINUTE, "email": 7 * DAY, "social": 7 * DAY, "survey": 7 * DAY}
SLOPE_POINTS = (4, 12)
"""Fewer have no slope, and it looks at no more."""
STUDENT_95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812)
"""0.95 quantiles of Student's t by degrees of freedom, from 1 on, as any table has them."""
UNDER = -0.2
SIGN = 0.2
TURNED = 0.2
SLACK, ALARM = 0.25, 1.0
EXACT_QUARTERS = 16
"""Messages up to which a session's first and last quarter are kept message by message."""
TAGS = ("frustration", "anger", "urgency", "confusion", "disappointment", "satisfaction", "sarcasm")


def spoken(messages: Sequence[Record]) -> list[Record]:
    """What the customer said."""
    return [message for message in messages if message["speaker"] == "customer" and message["kind"] == "utterance"]


def counted(messages: Sequence[Record]) -> list[Record]:
    """What the customer said that the model was sure enough of."""
    return [message for message in spoken(messages) if not message["abstained"]]


def sums(messages: Sequence[Record]) -> Record:
    """Counts and means, whatever the order."""
    sure = counted(messages)
    weight = sum(message["weight"] for message in sure)
    return {
        "negatives": sum(message["label"] == "negative" for message in sure),
        "positives": sum(message["label"] == "positive" for message in sure),
        "mean_score": sum(m["weight"] * m["score"] for m in sure) / weight if weight else 0.0,
        "silence_ms": sum(message["silence_ms"] for message in messages),
        "overtalk_ms": sum(message["overtalk_ms"] for message in messages),
        **{f"n_{tag}": sum(tag in message["tags"] for message in spoken(messages)) for tag in TAGS},
    }


def course(messages: Sequence[Record], carried: float) -> Record:
    """How the score moved: volatility, reversals, change points by one-sided CUSUM from what was carried in."""
    scores = [round(message["score"], 4) for message in counted(messages)]
    steps = [abs(after - before) for before, after in pairwise(scores)]
    signs = [score > 0 for score in scores if abs(score) >= SIGN]
    fallen, alarms = 0.0, 0
    for score in scores:
        fallen = max(0.0, fallen + carried - score - SLACK)
        if fallen > ALARM:
            fallen, alarms = 0.0, alarms + 1
    return {
        "volatility": float(np.mean(steps)) if steps else 0.0,
        "reversals": sum(before != after for before, after in pairwise(signs)),
        "change_points": alarms,
    }


def ends(messages: Sequence[Record]) -> Record:
    """First and last quarter, the shift between them, and what became of the session; {} of one too long to say."""
    sure = counted(messages)
    if len(sure) > EXACT_QUARTERS:
        return {}
    quarter = max(1, len(sure) // 4)
    first, last = _mean(sure[:quarter]), _mean(sure[-quarter:])
    outcome = "steady" if len(sure) >= 4 else "unknown"
    if outcome == "steady" and min(abs(first), abs(last)) >= TURNED and first * last < 0:
        outcome = "recovered" if last > 0 else "soured"
    return {"begin": first, "end": last, "shift": last - first, "outcome": outcome}


def _mean(messages: Sequence[Record]) -> float:
    if not messages:
        return 0.0
    return float(np.average([m["score"] for m in messages], weights=[m["weight"] for m in messages]))


def longest_wait(messages: Sequence[Record]) -> int:
    """Longest time from the first of the customer's unanswered messages to an answer, in milliseconds."""
    since, longest = None, 0
    for message in messages:
        if message["kind"] == "closed":
            since = None
        elif message["kind"] != "utterance":
            continue
        elif message["speaker"] == "customer":
            since = message["event_time"] if since is None else since
        elif message["speaker"] != "system":
            longest = max(longest, message["event_time"] - since) if since is not None else longest
            since = None
    return longest


def slope(messages: Sequence[Record]) -> Record:
    """Score by minute over the window of the last counted message's channel, by weighted least squares.

    With the ends of its 90 % interval, by Student's t with two degrees of freedom fewer than points.
    """
    unknown = dict.fromkeys(("slope", "slope_low", "slope_high"))
    sure = counted(messages)[-SLOPE_POINTS[1] :]
    if not sure:
        return unknown
    now = sure[-1]["event_time"]
    points = [message for message in sure if message["event_time"] > now - SLOPE_WINDOW[sure[-1]["channel"]]]
    times = np.array([(message["event_time"] - now) / MINUTE for message in points])
    if len(points) < SLOPE_POINTS[0] or np.ptp(times) == 0:
        return unknown
    scores = np.array([message["score"] for message in points])
    weights = np.array([message["weight"] for message in points])
    line, spread = np.polyfit(times, scores, 1, w=np.sqrt(weights), cov="unscaled")
    freedom = len(points) - 2
    variance = float(np.sum(weights * (scores - np.polyval(line, times)) ** 2)) / freedom * float(spread[0][0])
    value, half = float(line[0]), STUDENT_95[freedom - 1] * variance**0.5
    return {"slope": value, "slope_low": value - half, "slope_high": value + half}


def streak(messages: Sequence[Record]) -> int:
    """Negative messages of the customer in a row, up to the last."""
    run = 0
    for message in counted(messages):
        run = run + 1 if message["label"] == "negative" else 0
    return run


def time_under(since: int, until: int, level_at: LevelAt) -> int:
    """Milliseconds from `since` to `until` in which the level is under the threshold; by itself it only rises."""
    if level_at(since) >= UNDER:
        return 0
    low, high = since, until
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if level_at(middle) < UNDER else (low, middle)
    return high - since
