"""Labelled text: every source read into one shape, with a weight of nought where a label was not annotated.

Each source says what its own labels mean for ours (`docs/model-training.md` gives the table). Nothing is guessed from
silence: a tag that a source did not annotate has weight 0 and does not enter the loss. Held-out rows ("dev") are chosen
here once, by published split or by a hash of the group, and never change with the seed of a training run. No text is on
both sides of the split, whatever its punctuation and case (`parted`).
"""

import csv
import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from models.labels import SENTIMENTS, TAGS
from models.posts import parse_labels, read_labels
from models.text import normalise

Row = dict[str, Any]
CORPUS = Path(__file__).parent / "corpus"
CORPUS_COLUMNS = ["scenario", "channel", "speaker", "sentiment", "tags", "text"]
OWN_LABELS = {"corpus": "corpus", "twitter_customer_care_unlabelled": "posts"}
"""Sources that we labelled, so that their labels mean what the product means, with a short name of each."""
HELD_OUT_PERCENT = {"corpus": 18, "nhs": 10, "se": 10, "nlupp": 15, "isarcasm": 12, "posts": 22}

_ANNOYED = re.compile(
    r"!|\b(why (?:on earth|hasn|havent|haven)|still (?:waiting|not|hasn|haven)|upset|angry|ridiculous|annoy\w*"
    r"|disappoint\w*|unhappy|terrible|awful|hate|worst|unacceptable|sick of|fed up|frustrat\w*|love|great"
    r"|thanks?|thank you|confus\w*"
    r"|don'?t understand|makes? no sense|worried|scared|stupid|rip ?off|unfair)\b",
    re.IGNORECASE,
)
_PRESSING = re.compile(
    r"\b(asap|urgent\w*|immediately|right (?:away|now)|as soon as possible|quickly|emergency|help me"
    r"|straight away|now)\b",
    re.IGNORECASE,
)
_URGENT_INTENTS = """
lost_or_stolen_card lost_or_stolen_phone compromised_card card_swallowed cash_withdrawal_not_recognised
"""
_CALM_INTENTS = """
exchange_rate country_support age_limit supported_cards_and_currencies visa_or_mastercard apple_pay_or_google_pay
card_about_to_expire getting_virtual_card disposable_card_limits fiat_currency_support automatic_top_up card_linking
edit_personal_details order_physical_card exchange_via_app getting_spare_card top_up_limits verify_top_up
card_delivery_estimate topping_up_by_card transfer_timing receiving_money exchange_charge why_verify_identity
"""


@dataclass(frozen=True)
class Example:
    """One labelled text; `tag_weights[i] == 0` means that tag i was not annotated."""

    text: str
    channel: str
    source: str
    part: str
    sentiment: int = -1
    sentiment_weight: float = 1.0
    tag_targets: tuple[float, ...] = (0.0,) * len(TAGS)
    tag_weights: tuple[float, ...] = (0.0,) * len(TAGS)
    tags_annotated: tuple[bool, ...] = field(default=(False,) * len(TAGS))
    """True where the label is a judgement by people, not a weak guess: only these are evaluated."""
    group: str = ""
    speaker: str = "customer"


def percent(group: str) -> int:
    """A stable number 0-99 of a group's name, for splits; rows that share a text share a group.

    >>> percent("bank/card-declined") == percent("bank/card-declined")
    True
    """
    return int(hashlib.md5(group.encode(), usedforsecurity=False).hexdigest()[:8], 16) % 100


def _part(group: str, held_out: int) -> str:
    return "dev" if percent(group) < held_out else "train"


class Tags:
    """Collects tag labels by name: `yes`, `no`, or a weak value with a weight."""

    def __init__(self) -> None:
        self.targets = [0.0] * len(TAGS)
        self.weights = [0.0] * len(TAGS)
        self.annotated = [False] * len(TAGS)

    def put(self, tag: str, target: float, weight: float = 1.0, *, annotated: bool = False) -> "Tags":
        """Set one tag."""
        index = TAGS.index(tag)
        self.targets[index], self.weights[index], self.annotated[index] = target, weight, annotated
        return self

    def all(self, named: frozenset[str]) -> "Tags":
        """Every tag was judged: those named hold, the others do not."""
        for tag in TAGS:
            self.put(tag, float(tag in named), annotated=True)
        return self

    def no(self, *tags: str, weight: float = 1.0, annotated: bool = False) -> "Tags":
        """Say that these tags do not hold."""
        for tag in tags:
            self.put(tag, 0.0, weight, annotated=annotated)
        return self


def _example(row: Row, part: str, tags: Tags | None = None, *, weight: float = 1.0, **more: Any) -> Example:
    tags = tags or Tags()
    sentiment = more.pop("sentiment", row.get("sentiment"))
    return Example(
        text=normalise(row["text"]),
        channel=row.get("channel") or "",
        source=row["source"],
        part=part,
        sentiment=SENTIMENTS.index(sentiment) if sentiment else -1,
        sentiment_weight=weight,
        tag_targets=tuple(tags.targets),
        tag_weights=tuple(tags.weights),
        tags_annotated=tuple(tags.annotated),
        **more,
    )


def _goemotions(row: Row) -> Example:
    named = set(row["emotions"])
    tags = Tags()
    strong = {
        "frustration": ({"annoyance"}, {"disapproval", "anger"}),
        "anger": ({"anger"}, {"disgust", "annoyance"}),
        "confusion": ({"confusion"}, {"curiosity"}),
        "disappointment": ({"disappointment", "sadness", "grief"}, {"remorse"}),
        "satisfaction": (
            {"gratitude", "admiration", "joy", "relief"},
            {"approval", "love", "excitement", "amusement", "pride", "optimism"},
        ),
    }
    for tag, (yes, weak) in strong.items():
        target = 1.0 if named & yes else 0.0
        tags.put(tag, target, 0.25 if not target and named & weak else 1.0, annotated=True)
    return _example(row, row["split"], tags, weight=0.6)


def _semeval(row: Row) -> Example:
    return _example(row, "dev" if row["meta"].get("tweeteval_val") else "train")


def _nhs(row: Row) -> Example | None:
    question = str(row["meta"].get("question", ""))
    if len(row["text"].split()) < 4 and "Why" not in question:
        return None
    part = _part(row.get("dialogue_id") or row["id"], HELD_OUT_PERCENT["nhs"])
    tags = Tags()
    named = set(row["emotions"] or ())
    if "Positive experience & gratitude" in named:
        tags.put("satisfaction", 1.0, 0.7).no("frustration", "anger", weight=0.5)
    if row["sentiment"] == "negative":
        tags.put("satisfaction", 0.0, 0.6)
        if "Negative experience & dissatisfaction" in named:
            tags.put("disappointment", 1.0, 0.4)
        if {"Timeliness of care", "Contacting services"} & set(row["meta"].get("aspects") or ()):
            tags.put("frustration", 0.6, 0.2)
    elif row["sentiment"] == "neutral":
        tags.no("anger", weight=0.5)
    return _example(row, part, tags)


def _isarcasm(row: Row) -> list[Example]:
    part = _part(row["text"].lower(), HELD_OUT_PERCENT["isarcasm"])
    sarcastic = "sarcastic" in row["emotions"]
    tags = Tags().put("sarcasm", float(sarcastic), 0.4, annotated=True)
    made = [_example(row, part, tags)]
    plain = row["meta"].get("rephrase") if row.get("meta") else None
    if plain and part == "train":
        made.append(_example({**row, "text": plain}, part, Tags().no("sarcasm", weight=0.4)))
    return made


def _xed(row: Row) -> Example | None:
    named = set(row["emotions"])
    tags = Tags()
    if not named:
        tags.no("anger", "disappointment", "satisfaction", weight=0.4)
        return _example(row, "train", tags, weight=0.25)
    tags.put("anger", float("anger" in named), 0.4 if "disgust" not in named else 0.0)
    tags.put("disappointment", float("sadness" in named), 0.3)
    tags.put("satisfaction", 0.8 if "joy" in named else 0.0, 0.3)
    clear = named <= {"anger", "disgust", "sadness"} or named <= {"joy", "trust"}
    return _example(row, "train", tags, weight=0.3) if clear else _example(row, "train", tags, sentiment=None)


def _labelled_only(row: Row) -> Example:
    return _example(row, _part(row["text"].lower(), HELD_OUT_PERCENT["se"]))


def _jira(row: Row) -> Example:
    part = _part(row["text"].lower(), HELD_OUT_PERCENT["se"])
    named = set(row["emotions"])
    tags = Tags()
    if row["source"] == "jira_deva":
        tags.put("satisfaction", 0.8 if named & {"Excited", "Relax"} else 0.0, 0.4)
        tags.put("frustration", 0.7 if "Stress" in named else 0.0, 0.3)
        tags.put("disappointment", 0.7 if "Depression" in named else 0.0, 0.3)
        return _example(row, part, tags)
    judged = {"anger": "anger", "sadness": "disappointment", "joy": "satisfaction", "love": "satisfaction"}
    emotion = row["meta"]["annotated_for"]
    tags.put(judged[emotion], float(emotion in named), 0.6)
    return _example(row, part, tags)


def _stackoverflow(row: Row) -> Example:
    part = _part(row["text"].lower(), HELD_OUT_PERCENT["se"])
    named = set(row["emotions"])
    tags = Tags().put("anger", float("anger" in named), 0.6)
    tags.put("disappointment", float("sadness" in named), 0.6)
    tags.put("satisfaction", float(bool(named & {"joy", "love"})), 0.6)
    if "anger" in named:
        tags.put("frustration", 0.8, 0.3)
    moods = {"negative": named & {"anger", "sadness"}, "positive": named & {"joy", "love"}, "neutral": not named}
    found = [name for name, holds in moods.items() if holds]
    return _example(row, part, tags, weight=0.3, sentiment=found[0] if len(found) == 1 else None)


def _task_talk(row: Row, part: str, urgency: float | None) -> Example:
    """Plain requests and questions: weakly neutral, without tags, unless the words say otherwise."""
    tags = Tags()
    if _ANNOYED.search(row["text"]):
        return _example(row, part, tags, sentiment=None)
    tags.no("frustration", "anger", "disappointment", "satisfaction", "sarcasm", "confusion", weight=0.5)
    if urgency is not None:
        tags.put("urgency", urgency, 0.4)
    return _example(row, part, tags, weight=0.4, sentiment="neutral")


def _banking77(row: Row) -> Example:
    pressing = bool(_PRESSING.search(row["text"]))
    urgency: float | None = None
    if row["meta"]["intent"] in _URGENT_INTENTS.split() or pressing:
        urgency = 0.9 if pressing else None
    elif row["meta"]["intent"] in _CALM_INTENTS.split():
        urgency = 0.0
    return _task_talk(row, "train" if row["split"] == "train" else "dev", urgency)


def _nlupp(row: Row) -> Example:
    intents = set(row["meta"]["intents"])
    part = _part(row["text"].lower(), HELD_OUT_PERCENT["nlupp"])
    if "thank" in intents:
        return _example(row, part)
    pressing = bool(_PRESSING.search(row["text"]))
    unclear = intents & {"lost_stolen", "cancel_close_leave_freeze", "wrong_notworking_notshowing"}
    urgency = 0.9 if pressing else None if unclear else 0.0
    return _task_talk(row, part, urgency)


_our_labels = cache(read_labels)


def _post(row: Row) -> Example | None:
    """A customer's post to a company; published without labels, which are ours."""
    labels = _our_labels().get(row["id"])
    if labels is None:
        return None
    tags = Tags().all(labels.tags)
    group = row.get("dialogue_id") or row["id"]
    part = _part(group, HELD_OUT_PERCENT["posts"])
    return _example(row, part, tags, sentiment=labels.sentiment, group=group)


Reader = Callable[[Row], "Example | list[Example] | None"]
_FILES: dict[str, Reader] = {
    "semeval_twitter_2013_2016": _semeval,
    "goemotions": _goemotions,
    "nhs_fft_survey": _nhs,
    "nhs_phase1_survey": _nhs,
    "isarcasmeval": _isarcasm,
    "xed_en": _xed,
    "senti4sd": _labelled_only,
    "se_github_jira": _labelled_only,
    "jira_emotion": _jira,
    "stackoverflow_emotion": _stackoverflow,
    "banking77": _banking77,
    "nlupp": _nlupp,
    "twitter_customer_care_unlabelled": _post,
}
READERS: dict[str, Reader] = {
    **{name: reader for name, reader in _FILES.items() if name not in ("se_github_jira", "jira_emotion")},
    **dict.fromkeys(("se_github", "se_jira"), _labelled_only),
    **dict.fromkeys(("jira_deva", "jira_emotion_binary"), _jira),
}
"""By the `source` of a row."""


def read_corpus(folder: Path = CORPUS) -> Iterator[Example]:
    """Read our own corpus; raises `ValueError` naming file and line for a row that breaks its contract."""
    for path in sorted(folder.glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as lines:
            rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
            if next(rows) != CORPUS_COLUMNS:
                raise ValueError(f"{path}:1: the header must be {CORPUS_COLUMNS}")
            for number, cells in enumerate(rows, start=2):
                yield _corpus_example(path, number, cells)


def _corpus_example(path: Path, number: int, cells: list[str]) -> Example:
    if len(cells) != len(CORPUS_COLUMNS):
        raise ValueError(f"{path}:{number}: {len(cells)} columns instead of {len(CORPUS_COLUMNS)}")
    scenario, channel, speaker, sentiment, named, text = cells
    try:
        labels = parse_labels(sentiment, named)
    except ValueError as error:
        raise ValueError(f"{path}:{number}: {error}") from None
    tags = Tags().all(labels.tags)
    group = f"{path.stem}/{scenario}"
    row = {"text": text, "channel": channel, "source": "corpus", "sentiment": sentiment}
    return _example(row, _part(group, HELD_OUT_PERCENT["corpus"]), tags, group=group, speaker=speaker)


def read_shared(folder: Path) -> Iterator[Example]:
    """Read the shared sets under `folder` (`UNDERTONE_TRAINING_DATA`), in the order of their names."""
    for name, reader in sorted(_FILES.items()):
        path = folder / f"{name}.jsonl.gz"
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                made = reader(json.loads(line))
                yield from made if isinstance(made, list) else [made] if made else []


def bare(text: str) -> str:
    """The letters and digits of a text in one case: equal for texts that differ in punctuation, spacing or case alone.

    >>> bare("Can you hear me?") == bare("can you  hear me"), bare(":("), bare(":)")
    (True, ':(', ':)')
    """
    folded = text.casefold()
    # An emoticon has no letters or digits but shows the mood, so it is kept as it is.
    return "".join(sign for sign in folded if sign.isalnum()) or folded


def read_all(folder: Path) -> list[Example]:
    """Every example, each text on one side of the split, without repeated training rows."""
    return without_repeats(parted([*read_corpus(), *read_shared(folder)]))


def parted(everything: Sequence[Example]) -> list[Example]:
    """Drop texts that would be on both sides of the split; texts are compared by `bare`.

    A training row that equals a held-out row, apart from case, is dropped and the held-out row is kept. If the two also
    differ in punctuation or spacing, both are dropped: the shipped weights were trained on such training rows, so the
    held-out rows do not measure them.
    """
    held_out = {example.text.lower() for example in everything if example.part == "dev"}
    held_out_bare = {bare(text) for text in held_out}
    trained = [
        example.text for example in everything if example.part == "train" and example.text.lower() not in held_out
    ]
    on_both = held_out_bare & {bare(text) for text in trained}
    return [
        example
        for example in everything
        if bare(example.text) not in on_both and (example.part == "dev" or example.text.lower() not in held_out)
    ]


def without_repeats(examples: Sequence[Example]) -> list[Example]:
    """Drop training rows that repeat an earlier one, and texts of less than two characters."""
    seen: set[tuple[object, ...]] = set()
    kept = []
    for example in examples:
        key = (example.text.lower(), example.part, example.source, example.sentiment, example.tag_weights)
        if len(example.text) > 1 and (example.part != "train" or key not in seen):
            seen.add(key)
            kept.append(example)
    return kept
