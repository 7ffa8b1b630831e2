"""Measure the model on labelled rows: `python -m models.evaluate --data F.jsonl[.gz] ... [--json]`.

A row needs `text`; `sentiment` (negative, neutral, positive or null) and `emotions` (a list of the tags that hold, or
{tag: true/false}, or null) are what it is measured against; `channel` picks the calibration. Rows of the shared
training sets are read with their own label names (docs/model-training.md); `--held-out` keeps those never trained on.
Printed per channel and overall: macro-F1, macro recall, accuracy with 95 % intervals, expected calibration error,
accuracy on the rows it did not abstain from; per tag: AUC, average precision, precision and recall of its flag.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from models.bundle import DEFAULT, BundleError
from models.calibration import expected_error
from models.jsonl import Progress, Row, RowError, batches, labels_of, read_rows
from models.measures import auc, average_precision, bootstrap, confusion, macro_f1, macro_recall, wilson
from models.scorer import TAGS, OnnxScorer, Scorer, Scores
from models.sources import READERS

BATCH = 512
Block = dict[str, Any]


@dataclass
class Judged:
    """Scores and labels of many rows, as parallel lists of arrays."""

    scores: list[Scores] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    sentiment: list[int] = field(default_factory=list)
    tags: list[list[float]] = field(default_factory=list)
    """1, 0, or NaN where a tag was not annotated."""

    def add(
        self, scores: Scores, channels: Sequence[str], sentiment: Sequence[int], tags: Sequence[list[float]]
    ) -> None:
        """Append a batch."""
        self.scores.append(scores)
        self.channels += channels
        self.sentiment += sentiment
        self.tags += tags


def _tag_row(tags: dict[str, bool]) -> list[float]:
    return [float(tags[tag]) if tag in tags else float("nan") for tag in TAGS]


def _labels(path: Path, number: int, row: Row, held_out: bool) -> tuple[int, list[float]] | None:
    reader = READERS.get(str(row.get("source")))
    if reader is None:
        sentiment, tags = labels_of(path, number, row)
        return None if held_out else (sentiment, _tag_row(tags))
    made = reader(row)
    example = made[0] if isinstance(made, list) else made
    if example is None or (held_out and example.part != "dev"):
        return None
    pairs = zip(example.tag_targets, example.tags_annotated, strict=True)
    return example.sentiment, [target if known else float("nan") for target, known in pairs]


def _labelled(path: Path, held_out: bool) -> Iterator[tuple[Row, int, list[float]]]:
    for number, row in read_rows(path):
        labels = _labels(path, number, row, held_out)
        if labels is not None:
            yield row, *labels


def judge(paths: Sequence[Path], scorer: Scorer, *, held_out: bool = False) -> Judged:
    """Score every labelled row of the files."""
    judged, progress = Judged(), Progress("evaluated")
    for path in paths:
        for batch in batches(_labelled(path, held_out), BATCH):
            rows, sentiment, tags = zip(*batch, strict=True)
            channels = [row.get("channel") or "" for row in rows]
            scores = scorer.score([row["text"] for row in rows], channels)
            judged.add(scores, channels, list(sentiment), list(tags))
            progress.add(len(batch))
    return judged


def sentiment_block(p: Any, abstained: Any, truths: Any) -> Block:
    """Measures of the sentiment of some rows; `p` [n, 3], `truths` [n] without unknowns."""
    labels = p.argmax(axis=1)
    right = labels == truths
    kept = ~abstained
    wrong_sign = ((labels == 0) & (truths == 2)) | ((labels == 2) & (truths == 0))
    return {
        "rows": len(truths),
        "accuracy": round(float(right.mean()), 4),
        "accuracy_interval": wilson(int(right.sum()), len(right)),
        "macro_recall": round(macro_recall(truths, labels), 4),
        "macro_recall_interval": bootstrap(lambda i: macro_recall(truths[i], labels[i]), len(truths)),
        "macro_f1": round(macro_f1(truths, labels), 4),
        "calibration_error": round(expected_error(p, truths), 4),
        "kept_share": round(float(kept.mean()), 4),
        "kept_accuracy": round(float(right[kept].mean()), 4) if kept.any() else None,
        "wrong_sign": round(float(wrong_sign.mean()), 4),
        "confusion": confusion(truths, labels).tolist(),
    }


def tag_block(scores: Any, flags: Any, truths: Any) -> Block:
    """Measures of one tag over the rows where it was annotated."""
    yes = truths > 0.5
    hits, flagged, positives = int((flags & yes).sum()), int(flags.sum()), int(yes.sum())
    return {
        "rows": len(yes),
        "positives": positives,
        "auc": round(auc(yes, scores), 4),
        "auc_interval": bootstrap(lambda i: auc(yes[i], scores[i]), len(yes)),
        "average_precision": round(average_precision(yes, scores), 4),
        "average_precision_interval": bootstrap(lambda i: average_precision(yes[i], scores[i]), len(yes)),
        "flag_precision": round(hits / flagged, 4) if flagged else None,
        "flag_precision_interval": wilson(hits, flagged),
        "flag_recall": round(hits / positives, 4) if positives else None,
    }


def summarise(judged: Judged) -> Block:
    """The report of everything judged."""
    if not judged.scores:
        return {"rows": 0, "channels": {}, "tags": {}}
    p = np.concatenate([scores.p for scores in judged.scores])
    abstained = np.concatenate([scores.abstained for scores in judged.scores])
    tag_scores = np.concatenate([scores.tags for scores in judged.scores])
    flags = np.concatenate([scores.flagged for scores in judged.scores])
    truths, names, tags = np.array(judged.sentiment), np.array(judged.channels), np.array(judged.tags)
    report: Block = {"rows": len(truths), "channels": {}, "tags": {}}
    for channel in ("all", *sorted(set(judged.channels))):
        chosen = (truths >= 0) & ((names == channel) | (channel == "all"))
        if chosen.any():
            report["channels"][channel or "none"] = sentiment_block(p[chosen], abstained[chosen], truths[chosen])
    for place, tag in enumerate(TAGS):
        known = ~np.isnan(tags[:, place])
        if known.any():
            report["tags"][tag] = tag_block(tag_scores[known, place], flags[known, place], tags[known, place])
    return report


def as_text(report: Block) -> str:
    """The report as a table for people."""
    lines = [
        f"{report['rows']} rows",
        "",
        "channel     rows   macro-F1  macro recall  accuracy  ECE     kept   accuracy kept",
    ]
    for channel, b in report["channels"].items():
        lines.append(
            f"{channel:<10} {b['rows']:>6}   {b['macro_f1']:.3f}     {b['macro_recall']:.3f}         "
            f"{b['accuracy']:.3f}     {b['calibration_error']:.3f}   {b['kept_share']:.2f}"
            f"   {b['kept_accuracy'] or 0:.3f}"
        )
    lines += ["", "tag              rows   positives  AUC    average precision  flag precision  flag recall"]
    for tag, b in report["tags"].items():
        lines.append(
            f"{tag:<15} {b['rows']:>6}   {b['positives']:>6}     {b['auc']:.3f}  {b['average_precision']:.3f}"
            f"              {b['flag_precision'] or 0:.3f}           {b['flag_recall'] or 0:.3f}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m models.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="F", help="JSON Lines, .gz or not")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--held-out", action="store_true", help="of the shared sets, only rows never trained on")
    parser.add_argument(
        "--bundle", type=Path, default=DEFAULT, help="folder of the model bundle (default: the shipped)"
    )
    parser.add_argument("--threads", type=int, default=1, help="cores for the model (default: 1)")
    given = parser.parse_args(arguments)
    try:
        scorer = OnnxScorer.load(given.bundle, threads=given.threads)
        report = summarise(judge(given.data, scorer, held_out=given.held_out))
    except (RowError, BundleError) as error:
        print(f"models.evaluate: {error}", file=sys.stderr)
        return 2
    print(msgspec.json.encode(report).decode() if given.json else as_text(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
