"""Add the model's judgement to each row of a file: `python -m models.score --in F.jsonl[.gz] --out G.jsonl[.gz]`.

A row is a JSON object with `text`; `channel` (voice, chat, email, social, survey; any other name, null or none at all:
the fit for all channels) picks its calibration. Every other field is passed on untouched, in the order of the input.
Added, in place of fields of the same name:
  p_negative p_neutral p_positive   calibrated, sum 1
  score                             p_positive - p_negative
  label                             the likeliest of the three
  emotions                          {tag: calibrated probability}
  flags                             tags over the threshold of their channel
  abstained                         too unsure, or too little text, to be shown as a judgement

  {"text": "Where is my order?", "channel": "chat"}   may become   {"text": "Where is my order?", "channel": "chat",
  "p_negative": 0.03, "p_neutral": 0.95, "p_positive": 0.02, "score": -0.01, "label": "neutral", "emotions": {...}, ...}

The text alone is judged: a survey's question or the turns before are not read. A text that is empty or null gets a row
too, and is abstained from. Of a very long text both ends are read. UTF-8, with any line ends; blank lines are left out.
Input is read and written in batches, so any size of file fits; `-` means standard input or output. A line that is no
JSON object with a text ends the run with its number, and no file appears; `--skip-bad` goes on without such lines.

Exit status: 0 all rows are written; 2 wrong arguments, input, bundle or output (the reason is on standard error).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from models.bundle import DEFAULT, BundleError
from models.jsonl import Progress, Row, RowError, Skipped, Writer, batches, channel_of, read_rows, stop, text_of
from models.scorer import SENTIMENTS, OnnxScorer, Scorer


def judged(rows: Sequence[Row], scorer: Scorer) -> list[Row]:
    """The rows with the model's fields added."""
    scores = scorer.score([text_of(row) for row in rows], [channel_of(row) for row in rows])
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


def score_file(source: Path, target: Path, scorer: Scorer, skipped: Skipped | None = None) -> int:
    """Score a file into another; returns the number of rows. The target appears only when all went well.

    Raises:
        RowError: the input cannot be read, or, without `skipped`, one of its rows.
        OSError: the target cannot be written.
    """
    progress = Progress("scored")
    with Writer(target) as writer:
        for batch in batches(read_rows(source, skipped or stop), lambda line: line.size):
            writer.write(judged([line.row for line in batch], scorer))
            progress.add(len(batch))
    return progress.done


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.score", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--in", dest="source", type=Path, required=True, metavar="F", help="JSON Lines, gzipped or not")
    parser.add_argument(
        "--out", dest="target", type=Path, required=True, metavar="G", help="where to write them; .gz is gzipped"
    )
    parser.add_argument("--skip-bad", action="store_true", help="leave bad lines out, and say how many there were")
    parser.add_argument(
        "--bundle", type=Path, default=DEFAULT, help="folder of the model bundle (default: the shipped)"
    )
    parser.add_argument("--threads", type=int, default=1, help="cores for the model (default: 1)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    given = _parser().parse_args(arguments)
    skipped = Skipped() if given.skip_bad else None
    try:
        scorer = OnnxScorer.load(given.bundle, threads=given.threads)
        count = score_file(given.source, given.target, scorer, skipped)
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not try to flush the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (RowError, BundleError, OSError) as error:
        print(f"models.score: {error}", file=sys.stderr)
        return 2
    if skipped and skipped.count:
        print(f"left out {skipped.count:,} bad lines, the first: {skipped.first}", file=sys.stderr)
    print(f"scored {count:,} rows", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
