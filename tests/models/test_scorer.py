"""One battery for both scorers, and what only a real bundle can get wrong."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import DEFAULT, MANIFEST, REQUIRED, BundleError, main, write_manifest
from models.repeats import Repeats
from models.scorer import (
    CALL_TOKENS,
    MOST_ROWS,
    SENTIMENTS,
    TAGS,
    Encodings,
    FakeScorer,
    OnnxScorer,
    Scorer,
    Scores,
    chunk_ends,
)
from tests.models.tiny_onnx import tiny_model

TEXTS = [
    "Where is my parcel?",
    "k",
    "",
    "Thank you so much, that was quick!",
    "This is the third time I call about the same bill and nobody listens \U0001f621",
    "\u00dcber 200 \u20ac? \u0639\u0631\u0628\u064a \u4f60\u597d \x00 \u202e",
    "word " * 600,
]
CHANNELS = ["chat", "chat", "voice", "survey", "voice", "social", "email"]


@pytest.fixture(params=["onnx", "fake", "repeats"])
def scorer(request: pytest.FixtureRequest, shipped: OnnxScorer) -> Scorer:
    made: dict[str, Scorer] = {"onnx": shipped, "fake": FakeScorer(), "repeats": Repeats(shipped, size=3)}
    return made[request.param]


def row(scores: Scores, index: int) -> tuple[list[float], list[float], list[bool], bool, int]:
    return (
        scores.p[index].tolist(),
        scores.tags[index].tolist(),
        scores.flagged[index].tolist(),
        bool(scores.abstained[index]),
        int(scores.tokens[index]),
    )


def test_shapes_and_ranges(scorer: Scorer) -> None:
    scores = scorer.score(TEXTS, CHANNELS)
    size = len(TEXTS)
    assert len(scores) == size
    assert scores.p.shape == (size, len(SENTIMENTS))
    assert scores.tags.shape == (size, len(scorer.tags))
    assert scores.flagged.shape == scores.tags.shape
    assert scores.abstained.shape == scores.tokens.shape == (size,)
    assert [str(x.dtype) for x in (scores.p, scores.tags, scores.tokens)] == ["float32", "float32", "int32"]
    assert ((scores.p >= 0) & (scores.p <= 1)).all()
    assert ((scores.tags >= 0) & (scores.tags <= 1)).all()
    assert np.allclose(scores.p.sum(axis=1), 1, atol=2e-4)
    assert (scores.tokens >= 2).all()
    assert scores.tokens.max() <= 128


def test_outputs_are_rounded(scorer: Scorer) -> None:
    scores = scorer.score(TEXTS, CHANNELS)
    for values in (scores.p, scores.tags):
        assert np.array_equal(values, np.round(values.astype(np.float64), 4).astype(np.float32))


def test_an_empty_batch(scorer: Scorer) -> None:
    scores = scorer.score([], [])
    assert len(scores) == 0
    assert scores.p.shape == (0, 3)
    assert scores.tags.shape == (0, len(TAGS))


def test_a_text_scores_the_same_alone_and_in_any_batch(scorer: Scorer) -> None:
    together = scorer.score(TEXTS, CHANNELS)
    backwards = scorer.score(TEXTS[::-1], CHANNELS[::-1])
    for index, (text, channel) in enumerate(zip(TEXTS, CHANNELS, strict=True)):
        alone = scorer.score([text], [channel])
        assert row(alone, 0) == row(together, index) == row(backwards, len(TEXTS) - 1 - index)


def test_the_channel_changes_calibration_only(scorer: Scorer) -> None:
    scores = scorer.score(["The app is broken again"] * 3, ["voice", "survey", "a channel nobody knows"])
    assert len({int(p.argmax()) for p in scores.p}) == 1


def test_texts_and_channels_must_match(scorer: Scorer) -> None:
    with pytest.raises(ValueError, match="2 texts but 1 channels"):
        scorer.score(["a", "b"], ["chat"])


def test_too_little_text_is_never_a_judgement(scorer: Scorer) -> None:
    assert scorer.score(["k", "?", "", "7"], ["chat"] * 4).abstained.all()


def test_versions_are_named(scorer: Scorer) -> None:
    assert scorer.model_version
    assert scorer.calibration_version.startswith("cal-")
    assert scorer.tags == TAGS


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=6))
def test_no_text_breaks_the_shipped_model(shipped: OnnxScorer, texts: list[str]) -> None:
    scores = shipped.score(texts, ["chat"] * len(texts))
    assert np.isfinite(scores.p).all()
    assert np.isfinite(scores.tags).all()


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", [101, 102]),
        ("Where is my parcel?", [101, 2073, 2003, 2026, 20463, 1029, 102]),
        (
            "Thanks SO much, it's soooo good!!!! \U0001f621 https://t.co/x",
            [101, 4283, 2061, 2172, 1010, 2009, 1005, 1055, 17111, 2204, 999, 999, 18835, 2227, 8299, 102],
        ),
        (
            "my card [CARD] won't work, see [URL] @AcmeHelp",
            [101, 2026, 4003, 4003, 2180, 1005, 1056, 2147, 1010, 2156, 8299, 1030, 5310, 102],
        ),
        ("na\u00efve \u00dcbergr\u00f6\u00dfe 200\u20ac", [101, 15743, 19169, 16523, 2080, 17499, 3263, 30102, 102]),
    ],
)
def test_a_text_has_the_tokens_that_the_weights_were_trained_on(shipped: OnnxScorer, text: str, ids: list[int]) -> None:
    """A release of the tokenizer that cuts words elsewhere would move every score."""
    assert shipped.encode([text]).ids == [ids]


def test_encode_then_run_is_what_score_does(shipped: OnnxScorer) -> None:
    sentiment, tags = shipped.run(shipped.encode(TEXTS))
    assert sentiment.shape == (len(TEXTS), 3)
    assert tags.shape == (len(TEXTS), len(TAGS))
    assert (sentiment.argmax(axis=1) == shipped.score(TEXTS, CHANNELS).p.argmax(axis=1)).all()


def test_chunks_cover_every_row_once_and_stay_short(shipped: OnnxScorer) -> None:
    encodings = shipped.encode([f"message number {i} " + "more " * (i % 9) for i in range(100)])
    chunks = shipped.chunks(encodings)
    assert sorted(int(i) for chunk in chunks for i in chunk.rows) == list(range(100))
    assert all(len(chunk.rows) <= MOST_ROWS for chunk in chunks)
    for chunk in chunks:
        lengths = chunk.feed["attention_mask"].sum(axis=1)
        assert chunk.feed["input_ids"].shape[1] == lengths.max()


@given(st.lists(st.integers(2, 128), max_size=200))
def test_no_chunk_costs_more_padding_than_another_call(lengths: list[int]) -> None:
    lengths.sort()
    ends = chunk_ends(lengths)
    chunks = [lengths[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert [length for chunk in chunks for length in chunk] == lengths
    assert all(1 <= len(chunk) <= MOST_ROWS for chunk in chunks)
    assert all(sum(chunk[-1] - length for length in chunk) <= CALL_TOKENS for chunk in chunks)


def test_padding_does_not_change_a_row(shipped: OnnxScorer) -> None:
    ids = shipped.encode(["Where is my parcel?"]).ids[0]
    pair = Encodings(["", ""], [ids, ids + ids[1:] * 2])
    assert len(shipped.chunks(pair)) == 1
    alone = shipped.run(Encodings([""], [ids]))[0][0]
    padded = shipped.run(pair)[0][0]
    assert np.allclose(alone, padded, atol=1e-4)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(DEFAULT, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.mark.parametrize("name", REQUIRED)
def test_a_changed_file_is_refused_by_name(copy: Path, name: str) -> None:
    with (copy / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(BundleError, match=f"{name}: differs"):
        OnnxScorer.load(copy)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_file_is_refused_by_name(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: missing"):
        OnnxScorer.load(copy)


def test_a_bundle_without_manifest_is_refused(copy: Path) -> None:
    (copy / MANIFEST).unlink()
    with pytest.raises(BundleError, match=MANIFEST):
        OnnxScorer.load(copy)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.onnx", b"no model"),
        ("tokenizer.json", b"{}"),
        ("calibration.json", b"{}"),
        ("config.json", b'{"model_version": 1}'),
    ],
)
def test_a_file_that_matches_but_makes_no_sense_is_refused_by_name(copy: Path, name: str, content: bytes) -> None:
    (copy / name).write_bytes(content)
    write_manifest(copy)
    with pytest.raises(BundleError, match=name):
        OnnxScorer.load(copy)


@pytest.mark.parametrize(
    ("name", "change"), [("tags", sorted), ("tags", lambda all_: all_[1:]), ("sentiments", sorted)]
)
def test_a_bundle_whose_outputs_mean_something_else_is_refused(
    copy: Path, name: str, change: Callable[[list[str]], list[str]]
) -> None:
    config = json.loads((copy / "config.json").read_text())
    config[name] = change(config[name])[::-1]
    (copy / "config.json").write_text(json.dumps(config))
    write_manifest(copy)
    with pytest.raises(BundleError, match=f"config.json: {name} must be"):
        OnnxScorer.load(copy)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda fit: fit["tags"].pop("anger"), "tags lack anger"),
        (lambda fit: fit["temperature"].pop("voice"), "temperature lacks voice"),
        (lambda fit: fit["abstain_below"].pop("global"), "abstain_below lacks global"),
        (lambda fit: fit["tags"]["anger"]["thresholds"].pop("chat"), "thresholds of anger lack chat"),
        (lambda fit: fit["temperature"].update(email=0.0), "temperature of email is 0.0"),
        (lambda fit: fit["temperature"].update(chat=-1.5), "temperature of chat is -1.5"),
        (lambda fit: fit["tags"]["sarcasm"].update(scale=-1.0), "scale of sarcasm is -1.0"),
        (lambda fit: fit["costs"]["social"].update(wrong_sign=0.0), "wrong_sign of social is 0.0"),
        (lambda fit: fit["costs"].update(sms=fit["costs"]["social"]), "costs name sms; known are global, voice"),
    ],
)
def test_a_calibration_with_a_gap_is_refused_by_name(
    copy: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    fit = json.loads((copy / "calibration.json").read_text())
    change(fit)
    (copy / "calibration.json").write_text(json.dumps(fit))
    write_manifest(copy)
    with pytest.raises(BundleError, match=rf"calibration\.json: {reason}"):
        OnnxScorer.load(copy)


@pytest.mark.parametrize(
    ("outputs", "inputs", "reason"),
    [
        ({"sentiment": 3}, ("input_ids", "attention_mask"), "emotions"),
        ({"sentiment": 3, "tags": 7}, ("input_ids", "attention_mask"), "emotions"),
        ({"sentiment": 5, "emotions": 7}, ("input_ids", "attention_mask"), r"\[2, 5\]"),
        ({"sentiment": 1, "emotions": 7}, ("input_ids", "attention_mask"), r"\[2, 1\]"),
        ({"sentiment": 3, "emotions": 28}, ("input_ids", "attention_mask"), r"\[2, 28\]"),
        ({"sentiment": 3, "emotions": 7}, ("input_ids",), "attention_mask"),
        ({"sentiment": 3, "emotions": 7}, ("input_ids", "attention_mask", "position_ids"), "position_ids"),
    ],
)
def test_a_model_with_other_inputs_or_outputs_is_refused_by_name(
    copy: Path, outputs: dict[str, int], inputs: tuple[str, ...], reason: str
) -> None:
    (copy / "model.onnx").write_bytes(tiny_model(inputs, outputs))
    write_manifest(copy)
    with pytest.raises(BundleError, match=rf"model\.onnx: (?s:.)*{reason}"):
        OnnxScorer.load(copy)


def test_any_model_with_the_right_inputs_and_outputs_will_do(copy: Path) -> None:
    (copy / "model.onnx").write_bytes(tiny_model(("input_ids", "attention_mask"), {"sentiment": 3, "emotions": 7}))
    (copy / MANIFEST).unlink()
    written = subprocess.run(
        [sys.executable, "-m", "models.bundle", "--write-manifest", str(copy)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (written.returncode, written.stderr) == (0, "")
    assert OnnxScorer.load(copy).score(["Where is my parcel?"], ["chat"]).p.shape == (1, 3)


def test_no_manifest_is_written_for_half_a_bundle(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / MANIFEST).unlink()
    (copy / "tokenizer.json").unlink()
    assert main(["--write-manifest", str(copy)]) == 2
    assert "tokenizer.json: missing" in capsys.readouterr().err
    assert not (copy / MANIFEST).exists()


def test_the_bundle_is_small_enough_for_the_repository() -> None:
    assert sum(file.stat().st_size for file in DEFAULT.iterdir()) < 30_000_000
