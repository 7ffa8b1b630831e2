"""Texts remixed from training rows: of training rows alone, without labels, the same for the same seed."""

from models.remix import SHORTEST, SOURCE, remixed
from models.sources import Example, read_corpus

ROWS = list(read_corpus())


def test_they_are_made_of_training_rows_of_customers_alone() -> None:
    held_out = {row.group for row in ROWS if row.part == "dev"}
    made = remixed(ROWS, seed=1)
    assert len(made) > sum(row.part == "train" for row in ROWS)
    assert not held_out & {row.group for row in made}
    assert {(row.source, row.part, row.speaker) for row in made} == {(SOURCE, "train", "customer")}


def test_none_is_a_row_already_and_none_comes_twice() -> None:
    texts = [made.text.lower() for made in remixed(ROWS, seed=1)]
    assert len(texts) == len(set(texts))
    assert not set(texts) & {row.text.lower() for row in ROWS}
    assert min(len(text.split()) for text in texts) >= SHORTEST


def test_they_have_no_labels() -> None:
    for made in remixed(ROWS, seed=1):
        assert made.sentiment == -1
        assert not any(made.tag_weights)
        assert not any(made.tags_annotated)


def test_the_seed_decides_them() -> None:
    assert remixed(ROWS, seed=1) == remixed(ROWS, seed=1)
    assert remixed(ROWS, seed=1) != remixed(ROWS, seed=2)


def test_rows_that_others_labelled_are_left_as_they_are() -> None:
    assert remixed([Example("It was fine. Then it broke.", "social", "goemotions", "train")], seed=1) == []
