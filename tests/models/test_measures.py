"""Measures against their definitions, computed the slow way."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.measures import (
    RESAMPLED_ROWS,
    auc,
    average_precision,
    bootstrap,
    confusion,
    macro_f1,
    macro_recall,
    wilson,
)

PAIRS = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30)
LABELS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40)


@given(PAIRS)
def test_auc_is_the_share_of_pairs_in_order(pairs: list[tuple[bool, int]]) -> None:
    positives = [score for truth, score in pairs if truth]
    negatives = [score for truth, score in pairs if not truth]
    found = auc(np.array([t for t, _ in pairs]), np.array([float(s) for _, s in pairs]))
    if not positives or not negatives:
        assert np.isnan(found)
        return
    wins = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positives for n in negatives]
    assert found == pytest.approx(sum(wins) / len(wins))


@given(PAIRS)
def test_average_precision_by_thresholds(pairs: list[tuple[bool, int]]) -> None:
    truths = np.array([t for t, _ in pairs])
    scores = np.array([float(s) for _, s in pairs])
    if not truths.any():
        assert np.isnan(average_precision(truths, scores))
        return
    area, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        flagged = scores >= threshold
        recall = (truths & flagged).sum() / truths.sum()
        area += (recall - before) * truths[flagged].mean()
        before = recall
    assert average_precision(truths, scores) == pytest.approx(area)


@given(LABELS)
def test_macro_measures_by_class(pairs: list[tuple[int, int]]) -> None:
    truths, labels = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    recalls = [float((labels[truths == c] == c).mean()) for c in range(3) if (truths == c).any()]
    assert macro_recall(truths, labels) == pytest.approx(sum(recalls) / len(recalls))
    f1s = [
        2 * ((truths == c) & (labels == c)).sum() / ((truths == c).sum() + (labels == c).sum())
        for c in range(3)
        if (truths == c).any() or (labels == c).any()
    ]
    assert macro_f1(truths, labels) == pytest.approx(sum(f1s) / len(f1s))
    assert confusion(truths, labels).sum() == len(pairs)


def test_intervals_hold_the_estimate_and_shrink_with_rows() -> None:
    small, large = wilson(8, 10), wilson(800, 1000)
    assert small[0] < large[0] < 0.8 < large[1] < small[1]
    assert wilson(0, 0) == (0.0, 1.0)
    values = np.arange(100.0)
    low, high = bootstrap(lambda i: float(values[i].mean()), 100)
    assert low < 49.5 < high
    assert bootstrap(lambda i: float(values[i].mean()), 100) == (low, high)


def test_the_interval_of_many_rows_is_found_from_smaller_resamples() -> None:
    sizes: list[int] = []

    def mean(index: npt.NDArray[np.intp]) -> float:
        sizes.append(len(index))
        return float(values[index].mean())

    values = np.random.default_rng(1).normal(5.0, 2.0, 16 * RESAMPLED_ROWS)
    low, high = bootstrap(mean, len(values))
    assert max(sizes) == RESAMPLED_ROWS
    expected = 2 * 1.96 * 2.0 / np.sqrt(len(values))
    assert high - low == pytest.approx(expected, rel=0.25)
    assert low < values.mean() < high
