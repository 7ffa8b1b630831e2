"""Add the model's judgement to each row of a file: `python -m models.score --in F.jsonl[.gz] --out G.jsonl[.gz]`.

A row is a JSON object with `text`. Its `channel` picks the calibration: voice, chat, email, social or survey; a row
with any other name, null or no channel gets the fit for all channels. Every other field is copied unchanged, and rows
keep their order. These fields are added, and replace fields of the same name:
  p_negative p_neutral p_positive   calibrated, sum 1
  score                             p_positive - p_negative
  label                             negative, neutral or positive: the least costly on average (`costs` of
                                    calibration.json), which as a rule is the most probable
  emotions                          {tag: calibrated probability}
  flags                             tags whose probability reaches the threshold of the row's channel
  abstained                         true: too unsure, or the text too short, to be shown as a judgement

  {"text": "Where is my order?", "channel": "chat"}   may become   {"text": "Where is my order?", "channel": "chat",
  "p_negative": 0.03, "p_neutral": 0.95, "p_positive": 0.02, "score": -0.01, "label": "neutral", "emotions": {...}, ...}

Two more fields are read where a row has them, as in the live job:
  speaker    customer (also null or missing), agent, bot or system. Only customers get emotions and flags: a row of any
             other speaker gets emotions of 0 and no flags, and a row of a bot or a system is not judged at all.
  language   a tag such as en-GB; a row in a language that the bundle does not read (its `languages`) is not judged.
             If it is null, missing or not a language tag, the row is judged.
Not judged means p_negative 0, p_neutral 1, p_positive 0, score 0, label neutral, emotions 0, no flags, abstained true.

Only the text is judged: a survey's question and earlier turns are not read. A row whose text is empty or null is
written with abstained true. Of a very long text, the beginning and the end are read. UTF-8, with any line ends; blank
lines are left out. Input is read and written in batches, so files of any size fit in memory; `-` means standard input
or output. A line that is not a JSON object with `text` ends the run with an error that names the line, and no output
file is made; `--skip-bad` leaves such lines out instead.

Exit status: 0 all rows are written; 2 wrong arguments, input, bundle or output (the reason is on standard error).
"""

import argparse
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from models.bundle import DEFAULT, BundleError
from models.jsonl import Progress, Row, RowError, Skipped, Writer, batches, channel_of, read_rows, stop, text_of
from models.language import is_one_of, looks_like_tag, spelled
from models.scorer import SENTIMENTS, TAGS, OnnxScorer, Scorer, Scores

UNJUDGED: Row = {
    "p_negative": 0.0,
    "p_neutral": 1.0,
    "p_positive": 0.0,
    "score": 0.0,
    "label": "neutral",
    "emotions": dict.fromkeys(TAGS, 0.0),
    "flags": [],
    "abstained": True,
}


def judged(rows: Sequence[Row], scorer: Scorer, languages: Collection[str]) -> list[Row]:
    """Add the model's fields to the rows; `languages` are those that the model reads, as returned by `spelled`."""
    known = [_is_to_be_scored(row, languages) for row in rows]
    chosen = [row for row, is_known in zip(rows, known, strict=True) if is_known]
    scores = scorer.score([text_of(row) for row in chosen], [channel_of(row) for row in chosen])
    made = iter([_fields(row, scores, place) for place, row in enumerate(chosen)])
    return [{**row, **(next(made) if is_known else UNJUDGED)} for row, is_known in zip(rows, known, strict=True)]


def _speaker_of(row: Row) -> str:
    speaker = row.get("speaker")
    return ("" if speaker is None else str(speaker)).strip().lower() or "customer"


def _is_to_be_scored(row: Row, languages: Collection[str]) -> bool:
    named = row.get("language")
    language = named.strip() if isinstance(named, str) else ""
    foreign = looks_like_tag(language) and not is_one_of(spelled(language), languages)
    return not foreign and _speaker_of(row) not in ("bot", "system")


def _fields(row: Row, scores: Scores, place: int) -> Row:
    """The model's fields of one row; emotions are 0 and flags empty when the speaker is not a customer."""
    p = [round(float(value), 4) for value in scores.p[place]]
    customer = _speaker_of(row) == "customer"
    tags = [round(float(value), 4) if customer else 0.0 for value in scores.tags[place]]
    return {
        **{f"p_{name}": value for name, value in zip(SENTIMENTS, p, strict=True)},
        "score": round(p[2] - p[0], 4),
        "label": SENTIMENTS[int(scores.labels[place])],
        "emotions": dict(zip(TAGS, tags, strict=True)),
        "flags": [tag for tag, flagged in zip(TAGS, scores.flagged[place], strict=True) if customer and flagged],
        "abstained": bool(scores.abstained[place]),
    }


def score_file(
    source: Path, target: Path, scorer: Scorer, languages: Collection[str], skipped: Skipped | None = None
) -> int:
    """Score one file into another; return the number of rows. The target appears only when all rows are written.

    Raises:
        RowError: the input cannot be read or, without `skipped`, one of its rows cannot be used.
        OSError: the target cannot be written.
    """
    progress = Progress("scored")
    with Writer(target) as writer:
        for batch in batches(read_rows(source, skipped or stop), lambda line: line.size):
            writer.write(judged([line.row for line in batch], scorer, languages))
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
        languages = frozenset(map(spelled, scorer.config.languages))
        count = score_file(given.source, given.target, scorer, languages, skipped)
    except BrokenPipeError:
        # The reader of our output has closed the pipe, so Python must not flush the remaining output when it exits.
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
