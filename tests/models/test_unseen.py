"""The list that nothing is trained on stays apart, and measures as the card says."""

from typing import Any

import msgspec
import pytest

from models import sources
from models.bundle import DEFAULT
from models.labels import CHANNELS
from models.scorer import OnnxScorer
from models.sources import bare, read_all, read_corpus
from models.unseen import UNSEEN, measure, read_unseen


def test_it_is_of_a_size_to_measure_on_and_covers_every_channel() -> None:
    rows = read_unseen()
    assert len(rows) == len({bare(row.text) for row in rows}) >= 200
    assert {row.channel for row in rows} == set(CHANNELS)
    assert all(sum(row.sentiment == sentiment for row in rows) >= 25 for sentiment in range(3))


def test_no_row_of_it_is_in_the_corpus() -> None:
    assert not {bare(row.text) for row in read_unseen()} & {bare(row.text) for row in read_corpus()}


def test_training_never_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "read_shared", lambda folder: ())
    mine = {bare(row.text) for row in read_unseen()}
    assert not [one.text for one in read_all(UNSEEN) if bare(one.text) in mine or one.source == "unseen"]


def test_it_measures_as_the_card_says(shipped: OnnxScorer) -> None:
    """A processor that rounds otherwise may flip a row or two."""
    said: dict[str, Any] = msgspec.json.decode((DEFAULT / "evaluation.json").read_bytes())["unseen"]
    found = measure(shipped)
    assert found["rows"] == said["rows"]
    for name in ("accuracy", "macro_recall", "wrong_sign"):
        assert found[name] == pytest.approx(said[name], abs=0.01)
