"""Measures of a classifier, in numpy: macro recall and F1, AUC, average precision, intervals. No data, no model."""

from collections import Counter
from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
RESAMPLED_ROWS = 20_000


def confusion(truths: Ints, labels: Ints, classes: int = 3) -> Ints:
    """Confusion matrix: number of rows by [truth, label]."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (truths, labels), 1)
    return table


def macro_recall(truths: Ints, labels: Ints, classes: int = 3) -> float:
    """Mean recall over the classes that occur.

    >>> macro_recall(np.array([0, 0, 1]), np.array([0, 1, 1]))
    0.75
    """
    table = confusion(truths, labels, classes)
    found = table.sum(axis=1)
    return float((np.diag(table)[found > 0] / found[found > 0]).mean()) if found.any() else float("nan")


def macro_f1(truths: Ints, labels: Ints, classes: int = 3) -> float:
    """Mean F1 over the classes that occur, as truth or as label.

    >>> round(macro_f1(np.array([0, 0, 1]), np.array([0, 1, 1])), 4)
    0.6667
    """
    table = confusion(truths, labels, classes)
    both = table.sum(axis=0) + table.sum(axis=1)
    return float((2 * np.diag(table)[both > 0] / both[both > 0]).mean()) if both.any() else float("nan")


def kappa(first: Sequence[object], second: Sequence[object]) -> tuple[float, float]:
    """Share of equal labels of two raters, and Cohen's kappa: how far that share exceeds chance, 1 being perfect.

    Cohen (1960), A coefficient of agreement for nominal scales.

    >>> kappa("aabb", "aaba")
    (0.75, 0.5)
    """
    size = len(first)
    equal = sum(ours == theirs for ours, theirs in zip(first, second, strict=True)) / size
    ours, theirs = Counter(first), Counter(second)
    chance = sum(ours[label] * theirs[label] for label in ours) / size**2
    return equal, (equal - chance) / (1 - chance) if chance < 1 else 1.0


def auc(truths: Bools, scores: Floats) -> float:
    """Probability that a positive row has a higher score than a negative row; a tie counts half.

    >>> auc(np.array([False, True, True]), np.array([0.1, 0.1, 0.9]))
    0.75
    """
    positives = int(truths.sum())
    negatives = len(truths) - positives
    if not positives or not negatives:
        return float("nan")
    _, where, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    ranks = middle[where]
    return float((ranks[truths].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(truths: Bools, scores: Floats) -> float:
    """Area under the precision-recall steps; equal scores form one step.

    >>> average_precision(np.array([True, False, True]), np.array([0.9, 0.8, 0.7]))
    0.8333333333333333
    """
    positives = int(truths.sum())
    if not positives:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truths[order])
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    gains = np.diff(np.concatenate([[0], hits[ends]]))
    return float((gains / positives * (hits[ends] / (ends + 1))).sum())


def wilson(hits: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson score).

    >>> wilson(8, 10)
    (0.4902, 0.9433)
    """
    if not total:
        return (0.0, 1.0)
    share, spread = hits / total, z * z / total
    middle = share + spread / 2
    half = z * sqrt(share * (1 - share) / total + spread / (4 * total))
    return (round((middle - half) / (1 + spread), 4), round((middle + half) / (1 + spread), 4))


def bootstrap(measure: Callable[[npt.NDArray[np.intp]], float], rows: int, repeats: int = 200) -> tuple[float, float]:
    """95 % interval of `measure(row numbers)` over seeded resamples of the rows; NaN where it is never defined.

    Each resample has at most `RESAMPLED_ROWS` rows. If there are more rows, the spread found is scaled down by the
    square root of the ratio (the m out of n bootstrap): a file of millions then costs no more than one of thousands.
    """
    dice = np.random.default_rng(0)
    size = min(rows, RESAMPLED_ROWS)
    values = np.array([measure(dice.integers(0, rows, size)) for _ in range(repeats)])
    defined = values[~np.isnan(values)]
    if not len(defined):
        return (float("nan"), float("nan"))
    spread = sqrt(size / rows) if rows else 1.0
    low, high = spread * np.quantile(defined, [0.025, 0.975]) + (1 - spread) * defined.mean()
    return (round(float(low), 4), round(float(high), 4))
