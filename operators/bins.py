"""Weighted sums over equal runs of messages: mean score at the beginning and end of a session in bounded space.

In a session of at most 16 messages each message has its own bin. After 16 messages, and again after 32, 64 ...,
neighbouring bins merge in pairs.
The formulas are in docs/formulas.md, "Course of a session".
"""

from __future__ import annotations

import msgspec

from operators.parameters import SCALE

BINS = 16


class Bins(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Weighted sums over at most 16 runs of `size` messages each; when all runs are full, neighbours merge."""

    size: int = 1
    last: int = 0
    """Number of messages in the last bin."""
    weights: tuple[int, ...] = ()
    sums: tuple[int, ...] = ()


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
    """Weighted means of the first and the last quarter of the messages, by count.

    Exact up to 16 messages. With more messages a quarter ends at the edge of a bin, so it holds at least a quarter
    of all messages, and at most 1/8 of all messages more than that.

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
    """Weighted mean of scores from their integer sums, rounded to 1e-4; 0.0 when the weight is 0."""
    return round(weighted / weight) / SCALE if weight else 0.0


def _pairs(values: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([left + right for left, right in zip(values[::2], values[1::2], strict=True)])
