"""Our labels of posts to companies that were published without labels. The files have a post's id, never its text."""

import csv
from pathlib import Path
from typing import NamedTuple

from models.labels import SENTIMENTS, TAGS

POSTS = Path(__file__).parent / "corpus" / "published-posts"
LABELS, SECOND_PASS = POSTS / "labels.tsv", POSTS / "second-pass.tsv"
COLUMNS = ["id", "sentiment", "tags"]


class Labels(NamedTuple):
    """The labels that one labelling pass gave to one text."""

    sentiment: str
    tags: frozenset[str]


def parse_labels(sentiment: str, named: str) -> Labels:
    """Parse the labels in two cells of a file; tags are separated by spaces.

    Raises:
        ValueError: the sentiment or a tag is not one of ours.

    >>> parse_labels("negative", "anger").sentiment
    'negative'
    """
    tags = frozenset(named.split())
    unknown = sorted(tags.difference(TAGS))
    if unknown or sentiment not in SENTIMENTS:
        raise ValueError(f"unknown label {unknown or sentiment!r}")
    return Labels(sentiment, tags)


def read_labels(path: Path = LABELS) -> dict[str, Labels]:
    """Read the labels of a file, by the id of the post.

    Raises:
        ValueError: a row breaks the format of the file; the message names file and line.
    """
    found: dict[str, Labels] = {}
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        if next(rows) != COLUMNS:
            raise ValueError(f"{path}:1: the header must be {COLUMNS}")
        for number, cells in enumerate(rows, start=2):
            if len(cells) != len(COLUMNS):
                raise ValueError(f"{path}:{number}: {len(cells)} columns instead of {len(COLUMNS)}")
            post, sentiment, named = cells
            if post in found:
                raise ValueError(f"{path}:{number}: {post} is labelled twice")
            try:
                found[post] = parse_labels(sentiment, named)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from None
    return found
