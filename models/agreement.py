"""Measure how far two labelling passes over the same texts agree: `python -m models.agreement`.

`corpus/agreement/second-pass.tsv` holds the labels of a second pass over a random sample of the corpus; that pass saw
text and channel alone. `corpus/published-posts/second-pass.tsv` holds a second pass over some of the posts that we
labelled. The command prints the two tables that `corpus/README.md` contains; a test compares them.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from models.labels import SENTIMENTS, TAGS
from models.measures import kappa
from models.posts import SECOND_PASS as POSTS_AGAIN
from models.posts import Labels, read_labels
from models.sources import CORPUS, read_corpus
from models.text import normalise

SECOND_PASS = CORPUS / "agreement" / "second-pass.tsv"


def second_pass(path: Path = SECOND_PASS) -> dict[str, Labels]:
    """Read the labels of the second pass over the corpus, by normalised text."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {normalise(row["text"]): Labels(row["sentiment"], frozenset(row["tags"].split())) for row in rows}


def first_pass() -> dict[str, Labels]:
    """Read the labels of the corpus, by normalised text."""
    return {
        example.text: Labels(
            SENTIMENTS[example.sentiment],
            frozenset(tag for tag, holds in zip(TAGS, example.tag_targets, strict=True) if holds),
        )
        for example in read_corpus()
    }


def table(first: Sequence[Labels], second: Sequence[Labels]) -> Iterator[str]:
    """The lines of the table of agreement, as Markdown."""
    yield "| label | share equal | kappa | first pass, second pass |"
    yield "| --- | --- | --- | --- |"
    share, chance_free = kappa([one.sentiment for one in first], [one.sentiment for one in second])
    yield f"| sentiment (three classes) | {share:.3f} | {chance_free:.3f} | |"
    for tag in TAGS:
        ours, theirs = [tag in one.tags for one in first], [tag in one.tags for one in second]
        share, chance_free = kappa(ours, theirs)
        yield f"| {tag} | {share:.3f} | {chance_free:.3f} | {sum(ours)}, {sum(theirs)} |"


def agreement(first: Mapping[str, Labels], second: Mapping[str, Labels]) -> str:
    """The table over all texts that were labelled twice.

    Raises:
        KeyError: the second pass has a text or post that the first lacks; the error names the text or the post's id.
    """
    return "\n".join(table([first[text] for text in second], list(second.values())))


def tables() -> tuple[str, str]:
    """The tables of agreement of the corpus and of the posts, in this order."""
    return agreement(first_pass(), second_pass()), agreement(read_labels(), read_labels(POSTS_AGAIN))


if __name__ == "__main__":
    print("\n\n".join(tables()))
