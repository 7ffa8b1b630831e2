"""The corpus keeps its contract: size, spread, labels that do not contradict each other, and a leak-free split."""

from collections import Counter
from pathlib import Path

import pytest

from models.agreement import second_pass, tables
from models.labels import CHANNELS, TAGS
from models.posts import read_labels
from models.sources import CORPUS, Example, read_corpus


@pytest.fixture(scope="module")
def corpus() -> list[Example]:
    return list(read_corpus())


def test_it_is_large_and_covers_every_channel_and_industry(corpus: list[Example]) -> None:
    assert sum(example.speaker == "customer" for example in corpus) >= 3000
    channels = Counter(example.channel for example in corpus)
    assert set(channels) == set(CHANNELS)
    assert min(channels.values()) >= 300
    assert len({example.group.split("/")[0] for example in corpus}) >= 8


def test_every_tag_and_sentiment_is_there_in_numbers(corpus: list[Example]) -> None:
    tags = Counter(tag for example in corpus for tag, holds in zip(TAGS, example.tag_targets, strict=True) if holds)
    assert min(tags[tag] for tag in TAGS) >= 200
    assert min(Counter(example.sentiment for example in corpus).values()) >= 600


def test_hard_combinations_exist(corpus: list[Example]) -> None:
    found = {
        (example.sentiment, tag) for example in corpus for tag, on in zip(TAGS, example.tag_targets, strict=True) if on
    }
    assert {(1, "urgency"), (2, "urgency"), (1, "confusion"), (0, "sarcasm"), (0, "urgency")} <= found


def test_agents_have_no_mood(corpus: list[Example]) -> None:
    agents = [example for example in corpus if example.speaker == "agent"]
    assert agents
    assert all(example.sentiment == 1 for example in agents)


def test_satisfied_customers_are_not_labelled_angry(corpus: list[Example]) -> None:
    satisfaction, anger = TAGS.index("satisfaction"), TAGS.index("anger")
    assert not [example.text for example in corpus if example.tag_targets[satisfaction] and example.tag_targets[anger]]


def test_no_scenario_is_on_both_sides_of_the_split(corpus: list[Example]) -> None:
    sides: dict[str, set[str]] = {}
    for example in corpus:
        sides.setdefault(example.group, set()).add(example.part)
    assert all(len(parts) == 1 for parts in sides.values())
    held_out = sum(example.part == "dev" for example in corpus) / len(corpus)
    assert 0.12 < held_out < 0.24


def test_no_utterance_is_written_twice(corpus: list[Example]) -> None:
    repeated = [text for text, times in Counter(example.text.lower() for example in corpus).items() if times > 1]
    assert len(repeated) < 0.01 * len(corpus)


def test_what_is_written_twice_has_one_label(corpus: list[Example]) -> None:
    """Marks may tell two apart: "sorted!!" is relief, "sorted" a report."""
    labels: dict[tuple[str, str, str], set[tuple[int, tuple[float, ...]]]] = {}
    for one in corpus:
        labels.setdefault((one.text.lower().rstrip("."), one.channel, one.speaker), set()).add(
            (one.sentiment, one.tag_targets)
        )
    assert not [text for text, different in labels.items() if len(different) > 1]


def test_a_broken_row_is_named_by_file_and_line(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    header = CORPUS.joinpath("bank.tsv").read_text(encoding="utf-8").splitlines()[0]
    for cells, reason in (("a\tchat\tcustomer\tsour\t\tx", "sour"), ("a\tchat\tx", "3 columns")):
        (folder / "bad.tsv").write_text(f"{header}\n{cells}\n", encoding="utf-8")
        with pytest.raises(ValueError, match=rf"bad\.tsv:2: .*{reason}"):
            list(read_corpus(folder))


def test_the_agreement_in_the_readme_is_that_of_the_two_passes() -> None:
    assert len(second_pass()) >= 200
    readme = (CORPUS / "README.md").read_text(encoding="utf-8")
    assert all(table in readme for table in tables())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("p-1\tsour\t", "unknown label 'sour'"),
        ("p-1\tneutral\tglee", "unknown label"),
        ("p-1\tneutral", "2 columns instead of 3"),
        ("p-0\tneutral\t", "p-0 is labelled twice"),
    ],
)
def test_a_broken_label_of_a_post_is_named_by_file_and_line(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "labels.tsv"
    path.write_text(f"id\tsentiment\ttags\np-0\tneutral\t\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"labels\.tsv:3: {reason}"):
        read_labels(path)
