"""Promised scores are the scores, whatever else waits, and a text that the model refuses harms no other."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ahead import Ahead
from models.scorer import Encodings, FakeScorer, Scores

TEXTS = ["thanks, sorted", "awful, nobody answers", "where is my parcel", "ok"]


class Busy(FakeScorer):
    """Begins only when it is told to, and cannot take some texts."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.calls: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> Encodings:
        if "no text at all" in texts:
            raise TypeError("tokenizer")
        return super().encode(texts)

    def score_encoded(self, encodings: Encodings, channels: Sequence[str]) -> Scores:
        self.free.wait(60)
        self.calls.append(list(encodings.texts))
        if "poison" in encodings.texts:
            raise ValueError("poison")
        return super().score_encoded(encodings, channels)


def equal(left: Scores, right: Scores) -> bool:
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in vars(right))


@given(pieces=st.lists(st.lists(st.sampled_from(TEXTS), max_size=4), max_size=6))
def test_each_promise_is_kept_with_its_own_scores(pieces: list[list[str]]) -> None:
    ahead = Ahead(FakeScorer())
    promised = [ahead.begin(piece, ["chat"] * len(piece)) for piece in pieces]
    for piece, scores in zip(pieces, promised, strict=True):
        assert equal(scores.result(), FakeScorer().score(piece, ["chat"] * len(piece)))


def test_what_waits_while_the_model_works_is_scored_in_one_call() -> None:
    busy = Busy()
    ahead = Ahead(busy)
    promised = [ahead.begin([text], ["chat"]) for text in TEXTS]
    assert not any(scores.done() for scores in promised)
    busy.free.set()
    assert [len(scores.result()) for scores in promised] == [1] * len(TEXTS)
    assert [text for call in busy.calls for text in call] == TEXTS
    assert len(busy.calls) <= 2


def test_a_refused_text_fails_its_own_piece_alone() -> None:
    busy = Busy()
    ahead = Ahead(busy)
    texts = ("ok", "poison", "no text at all", "thanks")
    first, poisoned, unread, last = (ahead.begin([text], ["chat"]) for text in texts)
    busy.free.set()
    assert (len(first.result()), len(last.result())) == (1, 1)
    with pytest.raises(ValueError, match="poison"):
        poisoned.result()
    with pytest.raises(TypeError, match="tokenizer"):
        unread.result()
