"""Drift: nothing moved gives nothing, a real shift is seen, and the bundle brings references for every channel."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bundle import DEFAULT
from models.drift import EDGES, Monitor, Reference, Window, compare, counts, load, psi, reference, save
from models.labels import CHANNELS, TAGS
from models.scorer import FakeScorer, Scores

COUNTS = st.lists(st.integers(0, 500), min_size=5, max_size=5)


def window(shift: float, rows: int = 2000, anger: int = 40) -> Window:
    dice = np.random.default_rng(int(abs(shift) * 10))
    return Window(
        score=np.clip(dice.normal(shift, 0.4, rows), -1, 1).tolist(),
        length=dice.integers(3, 40, rows).tolist(),
        unknown=[0.0] * rows,
        flags={"anger": anger},
    )


@given(COUNTS, COUNTS)
def test_psi_is_never_negative_and_symmetric(a: list[int], b: list[int]) -> None:
    assert psi(a, b) >= 0
    assert psi(a, b) == pytest.approx(psi(b, a), abs=1e-4)
    assert psi(a, a) == 0


def test_psi_by_hand() -> None:
    assert psi([50, 50], [25, 75]) == pytest.approx(0.25 * np.log(2) + 0.25 * np.log(1.5), abs=1e-4)


def test_psi_wants_the_same_bins() -> None:
    with pytest.raises(ValueError, match="different bins"):
        psi([1, 2], [1, 2, 3])


@given(st.lists(st.floats(-1, 1), max_size=50))
def test_every_value_falls_into_one_bin(values: list[float]) -> None:
    assert sum(counts(values, EDGES["score"])) == len(values)


def test_a_shift_is_seen_and_stillness_is_not() -> None:
    base = reference(window(0.0))
    still = compare(base, reference(window(0.0)))
    moved = compare(base, reference(window(-0.5, anger=600)))
    assert max(still.values()) < 0.1
    assert moved["score"] > 0.25
    assert moved["tag_anger"] > 0.25
    assert moved["length"] < 0.1
    assert set(moved) == {*EDGES, *(f"tag_{tag}" for tag in TAGS)}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save(tmp_path, {"chat": window(0.0)})
    assert load(tmp_path) == {"chat": reference(window(0.0))}


def test_a_bundle_without_references_gives_none(tmp_path: Path) -> None:
    assert load(tmp_path) == {}


def test_the_shipped_bundle_has_every_channel() -> None:
    references = load(DEFAULT)
    assert set(references) == set(CHANNELS)
    assert all(one.rows >= 100 and sum(one.bins["score"]) == one.rows for one in references.values())


CALM = ["what time do you open", "where is my parcel", "thanks that is great", "please send the form", "ok"]
ANGRY = ["this is ridiculous and awful", "nobody answers again", "you are useless", "still waiting", "worst ever again"]


def scored(texts: list[str], rows: int) -> Scores:
    """`rows` messages that repeat `texts`."""
    chosen = [texts[i % len(texts)] for i in range(rows)]
    return FakeScorer().score(chosen, ["chat"] * rows)


def referred(texts: list[str]) -> dict[str, Reference]:
    scores = scored(texts, 1000)
    flags = dict(zip(TAGS, scores.flagged.sum(axis=0).tolist(), strict=True))
    score = (scores.p[:, 2] - scores.p[:, 0]).tolist()
    return {"chat": reference(Window(score, scores.tokens.tolist(), [0.0] * 1000, flags))}


def test_live_traffic_like_the_reference_is_stable_and_other_traffic_is_not() -> None:
    monitor = Monitor(referred(CALM), every=100)
    chats = ["chat"] * 100
    still = monitor.add(chats, scored(CALM, 100))["chat"]
    assert max(still.values()) < 0.02
    assert set(still) == {"score", "length", *(f"tag_{tag}" for tag in TAGS)}
    for _ in range(20):
        moved = monitor.add(chats, scored(ANGRY, 100))["chat"]
    assert moved["score"] > 0.25
    assert moved["tag_frustration"] > 0.25


def test_old_traffic_is_forgotten() -> None:
    monitor = Monitor(referred(CALM), every=100, window=200)
    chats = ["chat"] * 100
    for texts in [ANGRY] * 20 + [CALM] * 20:
        last = monitor.add(chats, scored(texts, 100))["chat"]
    assert last["score"] < 0.1


def test_an_index_is_told_when_enough_is_new_and_for_known_channels_only() -> None:
    monitor = Monitor(referred(CALM), every=100)
    mixed = ["chat", "telex"] * 40
    told = [sorted(monitor.add(mixed, scored(CALM, 80))) for _ in range(6)]
    assert told == [[], [], [], ["chat"], [], []]


def test_batches_may_be_cut_anywhere() -> None:
    whole, parts = Monitor(referred(CALM), every=300), Monitor(referred(CALM), every=300)
    at_once = whole.add(["chat"] * 300, scored(ANGRY, 300))
    for size in (7, 200, 93):
        last = parts.add(["chat"] * size, scored(ANGRY[:1], size))
    one_by_one = Monitor(referred(CALM), every=300).add(["chat"] * 300, scored(ANGRY[:1], 300))
    assert last == one_by_one
    assert at_once != one_by_one


def test_nothing_and_a_batch_without_customers_are_fine() -> None:
    monitor = Monitor({}, every=1)
    assert monitor.add([], scored(CALM, 0)) == {}
    assert monitor.add(["chat"], scored(CALM, 1)) == {}
