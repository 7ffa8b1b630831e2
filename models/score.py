"""Add the model's judgement to each row of a file: `python -m models.score --in F.jsonl[.gz] --out G.jsonl[.gz]`.

A row needs `text`; `channel` (voice, chat, email, social, survey) picks its calibration. Other fields are passed on.
Added: `p_negative p_neutral p_positive` (calibrated, sum 1), `score` (p_positive - p_negative), `label` (likeliest),
`emotions` {tag: probability}, `flags` (tags over their channel's threshold), `abstained` (too unsure to be shown).
Reads and writes one batch at a time, so any size of file fits; `-` means standard input or output.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models.bundle import DEFAULT, BundleError
from models.jsonl import Progress, Row, RowError, Writer, batches, read_rows
from models.scorer import SENTIMENTS, OnnxScorer, Scorer

BATCH = 512


def judged(rows: Sequence[Row], scorer: Scorer) -> list[Row]:
    """The rows with the model's fields added."""
    scores = scorer.score([row["text"] for row in rows], [row.get("channel") or "" for row in rows])
    made = []
    for index, row in enumerate(rows):
        p = [round(float(value), 4) for value in scores.p[index]]
        tags = {tag: round(float(scores.tags[index, place]), 4) for place, tag in enumerate(scorer.tags)}
        added = {
            **{f"p_{name}": value for name, value in zip(SENTIMENTS, p, strict=True)},
            "score": round(p[2] - p[0], 4),
            "label": SENTIMENTS[int(scores.p[index].argmax())],
            "emotions": tags,
            "flags": [tag for place, tag in enumerate(scorer.tags) if scores.flagged[index, place]],
            "abstained": bool(scores.abstained[index]),
        }
        made.append({**row, **added})
    return made


def score_file(source: Path, target: Path, scorer: Scorer) -> int:
    """Score a file into another; returns the number of rows. The target appears only when all went well."""
    progress = Progress("scored")
    with Writer(target) as writer:
        for batch in batches(read_rows(source), BATCH):
            writer.write(judged([row for _, row in batch], scorer))
            progress.add(len(batch))
    return progress.done


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m models.score", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--in", dest="source", type=Path, required=True, metavar="F", help="JSON Lines, .gz or not")
    parser.add_argument("--out", dest="target", type=Path, required=True, metavar="G", help="where to write them")
    parser.add_argument(
        "--bundle", type=Path, default=DEFAULT, help="folder of the model bundle (default: the shipped)"
    )
    parser.add_argument("--threads", type=int, default=1, help="cores for the model (default: 1)")
    given = parser.parse_args(arguments)
    try:
        count = score_file(given.source, given.target, OnnxScorer.load(given.bundle, threads=given.threads))
    except (RowError, BundleError) as error:
        print(f"models.score: {error}", file=sys.stderr)
        return 2
    print(f"scored {count:,} rows", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
