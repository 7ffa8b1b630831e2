"""Measure the model on labelled rows: `python -m models.evaluate --data F.jsonl[.gz] ... [--json]`.

A row needs `text`. Its labels are `sentiment` (negative, neutral, positive or null) and `emotions` (a list of the tags
that hold, or {tag: true/false}, or null); `channel` picks the calibration, as in `models.score`.
Rows of the shared training sets (known by their `source`) are read with their own label names (docs/model-training.md);
`--held-out` measures only those never trained on. Some 380 of their texts also occur in training rows with other
punctuation; only `models.report`, which reads all sets, can leave them out. Rows that are not measured are counted as
left out: those not held out, survey answers that are unclear without their question, posts that we did not label.
Printed overall and per channel: macro-F1, macro recall, accuracy, expected calibration error, share of wrong signs,
accuracy on the rows where the model did not abstain; per tag: AUC, average precision, precision and recall of its flag.
Brackets are 95 % intervals. `--json` adds the intervals that the tables lack, confusion matrices (rows are truths), and
the tags of each channel.

Exit status: 0; 2 wrong arguments, data or bundle (the reason, with file and line, is on standard error).
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from models.bundle import DEFAULT, BundleError
from models.calibration import expected_error
from models.jsonl import Line, Progress, RowError, batches, channel_of, labels_of, read_rows, text_of
from models.measures import auc, average_precision, bootstrap, confusion, macro_f1, macro_recall, wilson
from models.scorer import TAGS, OnnxScorer, Scorer, Scores
from models.sources import READERS, Example

Block = dict[str, Any]


class Labelled(NamedTuple):
    """A text with people's labels: sentiment -1 and NaN for a tag mean 'not annotated'."""

    text: str
    channel: str
    sentiment: int
    tags: list[float]


@dataclass
class Judged:
    """Scores and labels of many rows, one array per batch; `left_out` counts rows that are not measured."""

    scores: list[Scores] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    sentiment: list[npt.NDArray[np.int64]] = field(default_factory=list)
    tags: list[npt.NDArray[np.float32]] = field(default_factory=list)
    left_out: int = 0

    def add(self, batch: Sequence[Labelled], scores: Scores) -> None:
        """Append a batch."""
        self.scores.append(scores)
        self.channels += [sys.intern(row.channel) for row in batch]
        self.sentiment.append(np.array([row.sentiment for row in batch], np.int64))
        self.tags.append(np.array([row.tags for row in batch], np.float32))


def _labels(path: Path, line: Line, held_out: bool) -> tuple[int, list[float]] | None:
    reader = READERS.get(str(line.row.get("source")))
    if reader is None:
        sentiment, named = labels_of(path, line.number, line.row)
        return None if held_out else (sentiment, [float(named.get(tag, "nan")) for tag in TAGS])
    try:
        made = reader(line.row)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"a row of source '{line.row['source']}' lacks the fields of the shared sets"
        raise RowError(f"{path}:{line.number}: {reason} ({type(error).__name__}: {error})") from error
    example: Example | None = made[0] if isinstance(made, list) else made
    if example is None or (held_out and example.part != "dev"):
        return None
    pairs = zip(example.tag_targets, example.tags_annotated, strict=True)
    return example.sentiment, [target if known else float("nan") for target, known in pairs]


def _labelled(path: Path, held_out: bool, judged: Judged) -> Iterator[Labelled]:
    for line in read_rows(path):
        labels = _labels(path, line, held_out)
        if labels is None:
            judged.left_out += 1
        else:
            yield Labelled(text_of(line.row), channel_of(line.row), *labels)


def judge(paths: Sequence[Path], scorer: Scorer, *, held_out: bool = False) -> Judged:
    """Score every labelled row of the files."""
    judged, progress = Judged(), Progress("evaluated")
    for path in paths:
        for batch in batches(_labelled(path, held_out, judged), lambda row: len(row.text)):
            judged.add(batch, scorer.score([row.text for row in batch], [row.channel for row in batch]))
            progress.add(len(batch))
    return judged


def sentiment_block(p: Any, labels: Any, abstained: Any, truths: Any) -> Block:
    """Measures of the sentiment of some rows; `p` [n, 3], the others [n], `truths` without unknowns."""
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
    """Make the report: measures of all rows and of each channel."""
    report: Block = {"rows": len(judged.channels), "left_out": judged.left_out, "channels": {}, "tags": {}}
    report["channel_tags"] = {}
    if not judged.scores:
        return report
    p = np.concatenate([scores.p for scores in judged.scores])
    labels = np.concatenate([scores.labels for scores in judged.scores])
    abstained = np.concatenate([scores.abstained for scores in judged.scores])
    tag_scores = np.concatenate([scores.tags for scores in judged.scores])
    flags = np.concatenate([scores.flagged for scores in judged.scores])
    truths, tags = np.concatenate(judged.sentiment), np.concatenate(judged.tags)
    names = np.array(judged.channels)
    for channel in ("all", *sorted(set(judged.channels))):
        mine = (names == channel) | (channel == "all")
        known = mine & (truths >= 0)
        if known.any():
            report["channels"][channel or "none"] = sentiment_block(
                p[known], labels[known], abstained[known], truths[known]
            )
        of_tags = _tag_blocks(tag_scores[mine], flags[mine], tags[mine])
        if channel == "all":
            report["tags"] = of_tags
        elif of_tags:
            report["channel_tags"][channel or "none"] = of_tags
    return report


def _tag_blocks(scores: Any, flags: Any, truths: Any) -> Block:
    """Measures of each tag that any row annotates; arrays are [n, tags], NaN in `truths` means not annotated."""
    found: Block = {}
    for place, tag in enumerate(TAGS):
        known = ~np.isnan(truths[:, place])
        if known.any():
            found[tag] = tag_block(scores[known, place], flags[known, place], truths[known, place])
    return found


def _number(value: float | None, interval: Sequence[float] | None = None) -> str:
    """A measure as text, with its interval; "-" where it is not defined.

    >>> _number(0.71234, (0.7, 0.72)), _number(None), _number(float("nan"))
    ('0.712 (0.700-0.720)', '-', '-')
    """
    if value is None or np.isnan(value):
        return "-"
    return f"{value:.3f}" + (f" ({interval[0]:.3f}-{interval[1]:.3f})" if interval else "")


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in columns as wide as their widest cell: the first to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]


def as_text(report: Block) -> str:
    """The report as tables of plain text."""
    left_out = f", {report['left_out']} left out" if report["left_out"] else ""
    sentiment = [
        ("channel", "rows", "macro recall", "macro-F1", "accuracy", "ECE", "wrong sign", "kept", "accuracy kept"),
        *(
            (
                channel,
                str(b["rows"]),
                _number(b["macro_recall"], b["macro_recall_interval"]),
                _number(b["macro_f1"]),
                _number(b["accuracy"], b["accuracy_interval"]),
                _number(b["calibration_error"]),
                _number(b["wrong_sign"]),
                _number(b["kept_share"]),
                _number(b["kept_accuracy"]),
            )
            for channel, b in report["channels"].items()
        ),
    ]
    tags = [
        ("tag", "rows", "positives", "AUC", "average precision", "flag precision", "flag recall"),
        *(
            (
                tag,
                str(b["rows"]),
                str(b["positives"]),
                _number(b["auc"], b["auc_interval"]),
                _number(b["average_precision"], b["average_precision_interval"]),
                _number(b["flag_precision"], b["flag_precision_interval"]),
                _number(b["flag_recall"]),
            )
            for tag, b in report["tags"].items()
        ),
    ]
    tables = [line for table in (sentiment, tags) if len(table) > 1 for line in ("", *_table(table))]
    return "\n".join([f"{report['rows']} rows{left_out}", *tables])


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m models.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="F", help="JSON Lines, gzipped or not")
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
