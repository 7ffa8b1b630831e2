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

Two more fields are read where a row has them, as in the live job:
  speaker    customer (also null or none), agent, bot or system. Only customers have moods: whoever else speaks gets
             emotions of 0 and no flags, and what a bot or a system says is not judged at all.
  language   a tag such as en-GB; a row in a language that the bundle does not read (its `languages`) is not judged.
             Null, none, or what is no tag: taken to be one that it reads.
Not judged means p 0, 1, 0, score 0, label neutral, emotions of 0, no flags, abstained.

The text alone is judged: a survey's question or the turns before are not read. A text that is empty or null gets a row
too, and is abstained from. Of a very long text both ends are read. UTF-8, with any line ends; blank lines are left out.
Input is read and written in batches, so any size of file fits; `-` means standard input or output. A line that is no
JSON object with a text ends the run with its number, and no file appears; `--skip-bad` goes on without such lines.

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
    """The rows with the model's fields added; `languages` are those that the model reads, as `spelled`."""
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
    """What the model says of one row; without tags when it is no customer who speaks."""
    p = [round(float(value), 4) for value in scores.p[place]]
    customer = _speaker_of(row) == "customer"
    tags = [round(float(value), 4) if customer else 0.0 for value in scores.tags[place]]
    return {
        **{f"p_{name}": value for name, value in zip(SENTIMENTS, p, strict=True)},
        "score": round(p[2] - p[0], 4),
        "label": SENTIMENTS[int(scores.p[place].argmax())],
        "emotions": dict(zip(TAGS, tags, strict=True)),
        "flags": [tag for tag, flagged in zip(TAGS, scores.flagged[place], strict=True) if customer and flagged],
        "abstained": bool(scores.abstained[place]),
    }


def score_file(
    source: Path, target: Path, scorer: Scorer, languages: Collection[str], skipped: Skipped | None = None
) -> int:
    """Score a file into another; returns the number of rows. The target appears only when all went well.

    Raises:
        RowError: the input cannot be read, or, without `skipped`, one of its rows.
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
