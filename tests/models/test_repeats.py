"""Remembered scores are the scores, the model is spared, and memory is bounded."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.repeats import Repeats
from models.scorer import Encodings, FakeScorer, Scores


class Counting(FakeScorer):
    """Keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []

    def score_encoded(self, encodings: Encodings, channels: Sequence[str]) -> Scores:
        self.asked += zip(channels, encodings.texts, strict=True)
        return super().score_encoded(encodings, channels)


def test_each_text_is_scored_once_for_each_channel() -> None:
    behind = Counting()
    repeats = Repeats(behind)
    repeats.score(["thanks", "ok", "thanks"], ["chat", "chat", "voice"])
    repeats.score(["ok", "thanks"], ["chat", "chat"])
    assert behind.asked == [("chat", "thanks"), ("chat", "ok"), ("voice", "thanks")]


def test_the_text_used_longest_ago_is_forgotten() -> None:
    behind = Counting()
    repeats = Repeats(behind, size=2)
    for text in ("one", "two", "one", "three", "one", "two"):
        repeats.score([text], ["chat"])
    assert [text for _, text in behind.asked] == ["one", "two", "three", "two"]
    assert len(repeats) == 2


def test_long_texts_are_not_kept() -> None:
    repeats = Repeats(FakeScorer(), longest=10)
    repeats.score(["a much longer text", "short"], ["email", "chat"])
    assert len(repeats) == 1


batches = st.lists(
    st.lists(st.sampled_from(["ok", "thanks", "again?", "bad " * 40]), min_size=1), min_size=1, max_size=8
)


@given(batches)
def test_any_batches_score_as_without_it(texts: list[list[str]]) -> None:
    plain, repeats = FakeScorer(), Repeats(FakeScorer(), size=2)
    for batch in texts:
        channels = ["chat", "voice"] * len(batch)
        expected, got = plain.score(batch, channels[: len(batch)]), repeats.score(batch, channels[: len(batch)])
        for name in ("p", "labels", "tags", "flagged", "abstained", "tokens"):
            left, right = getattr(expected, name), getattr(got, name)
            assert left.dtype == right.dtype
            assert np.array_equal(left, right)
