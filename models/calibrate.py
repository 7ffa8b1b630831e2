"""Refit the calibration from your own labels, without retraining: `python -m models.calibrate --labels F`.

F is JSON Lines (.gz or not) with `text`, `channel`, `sentiment` and, where known, `emotions`: what the feedback table
exports. The shipped fit is drawn towards your labels as far as their number allows: a channel with n rows counts
n / (n + 200), a tag with k positives k / (k + 15). Under 50 labelled rows, or with fewer than 5 of any sentiment,
nothing is written and the reason is said. The weights of the model stay as they are.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from models.bundle import DEFAULT, BundleError, write_manifest
from models.calibration import Calibration, LabelledLogits, expected_error, fit, softmax
from models.jsonl import RowError, labels_of, read_rows
from models.scorer import SENTIMENTS, TAGS, OnnxScorer

MIN_ROWS = 50
MIN_EACH = 5


class TooFewLabels(ValueError):
    """The labels do not carry a fit; the message says what is missing."""


def read_labels(path: Path, scorer: OnnxScorer) -> LabelledLogits:
    """Labelled rows of a file with the model's logits.

    Raises:
        TooFewLabels: under `MIN_ROWS` rows with a sentiment, or under `MIN_EACH` of one of the three.
        RowError: a row cannot be read.
    """
    texts, channels, sentiments, tags = [], [], [], []
    for number, row in read_rows(path):
        sentiment, named = labels_of(path, number, row)
        if sentiment < 0 and not named:
            continue
        texts.append(row["text"])
        channels.append(row.get("channel") or "")
        sentiments.append(sentiment)
        tags.append([float(named[tag]) if tag in named else float("nan") for tag in TAGS])
    _enough(path, sentiments)
    targets = np.array(tags).reshape(len(texts), len(TAGS))
    known = ~np.isnan(targets)
    logits, tag_logits = scorer.run(scorer.encode(texts))
    return LabelledLogits(
        logits.astype(np.float64),
        tag_logits.astype(np.float64),
        channels,
        np.array(sentiments, np.int64),
        np.where(known, targets, 0.0),
        known.astype(np.float64),
    )


def _enough(path: Path, sentiments: Sequence[int]) -> None:
    counts = Counter(sentiment for sentiment in sentiments if sentiment >= 0)
    if counts.total() < MIN_ROWS:
        raise TooFewLabels(f"{path}: {counts.total()} rows with a sentiment; at least {MIN_ROWS} are needed")
    for index, name in enumerate(SENTIMENTS):
        if counts[index] < MIN_EACH:
            raise TooFewLabels(f"{path}: {counts[index]} rows labelled {name}; at least {MIN_EACH} of each are needed")


def _error(rows: LabelledLogits, calibration: Calibration) -> float:
    known = rows.sentiment >= 0
    names = [name for name, is_known in zip(rows.channels, known, strict=True) if is_known]
    each = np.array([calibration.temperature.get(name, calibration.temperature["global"]) for name in names])
    return expected_error(softmax(rows.sentiment_logits[known] / each[:, None]), rows.sentiment[known])


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m models.calibrate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=Path, required=True, metavar="F", help="JSON Lines, .gz or not")
    parser.add_argument("--bundle", type=Path, default=DEFAULT, help="bundle to refit, in place (default: the shipped)")
    parser.add_argument("--precision", type=float, default=None, help="what a tag's flag should be right at")
    parser.add_argument("--dry-run", action="store_true", help="fit and report, write nothing")
    given = parser.parse_args(arguments)
    try:
        scorer = OnnxScorer.load(given.bundle)
        rows = read_labels(given.labels, scorer)
    except (RowError, BundleError, TooFewLabels) as error:
        print(f"models.calibrate: {error}", file=sys.stderr)
        return 2
    before = scorer.calibration
    fitted = fit(rows, precision=given.precision or before.precision, prior=before)
    print(f"{len(rows.sentiment)} rows; calibration error on them", end=" ")
    print(f"{_error(rows, before):.3f} -> {_error(rows, fitted):.3f}")
    print(f"calibration {before.version} -> {fitted.version}{' (not written)' if given.dry_run else ''}")
    if not given.dry_run:
        content = msgspec.json.format(msgspec.json.encode(fitted, order="sorted"), indent=2)
        (given.bundle / "calibration.json").write_bytes(content + b"\n")
        write_manifest(given.bundle)
    return 0


if __name__ == "__main__":
    sys.exit(main())
