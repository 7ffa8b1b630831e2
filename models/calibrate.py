"""Refit the calibration from your own labels, without retraining: `python -m models.calibrate --labels F`.

F is JSON Lines (gzipped or not). A row has `text` and `channel` of a message as it came, `sentiment` as people judged
it (negative, neutral, positive) and, if they judged them, `emotions` (a list of the tags that hold, or {tag:
true/false}). Draw the messages at random from the traffic: labels of disputed messages alone give the wrong shares.

The new calibration is a weighted mean of the fit that the bundle came with and a fit of your labels. Your labels weigh
n / (n + 200) for a channel with n rows and k / (k + 15) for a tag with k positives; a tag with under 5 positives is not
refitted. The fit that the bundle came with is kept as `calibration.shipped.json`, and every run begins from it, so
labels never count twice: give all labels that you have, not only the new ones. With fewer than 50 labelled rows, or
fewer than 5 of any sentiment, the command writes nothing and gives the reason. It never changes the model's weights.
The gain is measured on labels that the fit did not see: each half of the labels is judged by a fit of the other half.

Exit status: 0; 2 too few labels, wrong arguments, labels or bundle (the reason is on standard error).
"""

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from models.bundle import DEFAULT, SHIPPED_FIT, BundleError, write_manifest
from models.calibration import (
    GLOBAL,
    MIN_POSITIVES,
    SHRINK_ROWS,
    Calibration,
    Floats,
    LabelledLogits,
    expected_error,
    fit,
    read_calibration,
    softmax,
)
from models.jsonl import RowError, channel_of, labels_of, read_rows, text_of
from models.labelled import take
from models.labels import CHANNELS
from models.scorer import SENTIMENTS, TAGS, OnnxScorer

MIN_ROWS = 50
MIN_EACH = 5


class TooFewLabels(ValueError):
    """There are too few labels for a fit; the message says which ones are missing."""


def read_labels(path: Path, scorer: OnnxScorer) -> LabelledLogits:
    """Read the labelled rows of a file and run the model over them; rows without text or without labels are skipped.

    Raises:
        TooFewLabels: under `MIN_ROWS` rows with a sentiment, or under `MIN_EACH` of one of the three.
        RowError: a row cannot be read.
    """
    texts, channels, sentiments, tags = [], [], [], []
    for line in read_rows(path):
        sentiment, named = labels_of(path, line.number, line.row)
        if not text_of(line.row).strip() or (sentiment < 0 and not named):
            continue
        texts.append(text_of(line.row))
        channels.append(channel_of(line.row))
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


def _probabilities(rows: LabelledLogits, calibration: Calibration) -> Floats:
    each = np.array([calibration.temperature.get(name, calibration.temperature[GLOBAL]) for name in rows.channels])
    return softmax(rows.sentiment_logits / each[:, None])


def gain(rows: LabelledLogits, precision: float, before: Calibration) -> tuple[float, float]:
    """Calibration errors of the sentiment: under `before`, and under refits that did not see the rows they judge."""
    known = np.flatnonzero(rows.sentiment >= 0)
    judged = take(rows, known.tolist())
    refitted = np.zeros((len(known), len(SENTIMENTS)))
    for side in (0, 1):
        others = fit(take(rows, known[1 - side :: 2].tolist()), precision=precision, prior=before)
        refitted[side::2] = _probabilities(take(rows, known[side::2].tolist()), others)
    shipped = _probabilities(judged, before)
    return expected_error(shipped, judged.sentiment), expected_error(refitted, judged.sentiment)


def _summary(rows: LabelledLogits, before: Calibration, after: Calibration) -> str:
    """What changed against the shipped fit `before`, by channel, and which tags had too few labels to change."""
    old, new = gain(rows, after.precision, before)
    lines = [
        f"{len(rows.sentiment)} rows, drawn from the shipped fit, {before.version};"
        f" calibration error on labels the fit did not see: {old:.3f} -> {new:.3f}"
    ]
    if new > old:
        lines.append("The refit is no better than the shipped fit on these labels: label more before you rely on it.")
    counted = Counter(name for name, sentiment in zip(rows.channels, rows.sentiment, strict=True) if sentiment >= 0)
    lines += [
        f"{channel}: {counted[channel]} rows count {counted[channel] / (counted[channel] + SHRINK_ROWS):.0%},"
        f" temperature {before.temperature[channel]:.2f} -> {after.temperature[channel]:.2f}"
        for channel in CHANNELS
        if counted[channel]
    ]
    positives = dict(zip(TAGS, (rows.tags * rows.tag_weights).sum(axis=0).astype(int).tolist(), strict=True))
    few = [f"{tag} ({count})" for tag, count in positives.items() if count < MIN_POSITIVES]
    if few:
        lines.append(f"left as they were, with under {MIN_POSITIVES} positives: {', '.join(few)}")
    return "\n".join(lines)


def _precision(given: str) -> float:
    value = float(given)
    if not 0.0 < value < 1.0:
        raise argparse.ArgumentTypeError("must be between 0 and 1")
    return value


def shipped_fit(bundle: Path) -> Calibration:
    """The calibration that the bundle came with, even if it has been refitted since."""
    kept = bundle / SHIPPED_FIT
    return read_calibration(kept if kept.exists() else bundle / "calibration.json")


def _write(bundle: Path, calibration: Calibration) -> None:
    if not (bundle / SHIPPED_FIT).exists():
        shutil.copyfile(bundle / "calibration.json", bundle / SHIPPED_FIT)
    content = msgspec.json.format(msgspec.json.encode(calibration, order="sorted"), indent=2)
    (bundle / "calibration.json").write_bytes(content + b"\n")
    write_manifest(bundle)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m models.calibrate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=Path, required=True, metavar="F", help="JSON Lines, gzipped or not")
    parser.add_argument("--bundle", type=Path, default=DEFAULT, help="bundle to refit, in place (default: the shipped)")
    parser.add_argument(
        "--precision", type=_precision, help="share of a tag's flags that should be right (default: as before)"
    )
    parser.add_argument("--dry-run", action="store_true", help="fit and report, write nothing")
    given = parser.parse_args(arguments)
    try:
        scorer = OnnxScorer.load(given.bundle)
        rows = read_labels(given.labels, scorer)
        before, shipped = scorer.calibration, shipped_fit(given.bundle)
        prior = msgspec.structs.replace(shipped, costs=before.costs)  # decided by people: not the shipped ones again
        fitted = fit(rows, precision=given.precision or before.precision, prior=prior)
        if not given.dry_run:
            _write(given.bundle, fitted)
    except (RowError, BundleError, TooFewLabels, OSError) as error:
        print(f"models.calibrate: {error}", file=sys.stderr)
        return 2
    print(_summary(rows, shipped, fitted))
    print(f"calibration {before.version} -> {fitted.version}{' (not written)' if given.dry_run else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
