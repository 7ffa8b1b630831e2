"""What each source's labels mean for ours: nothing annotated is lost, nothing unannotated is invented."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from models.labels import SENTIMENTS, TAGS
from models.posts import read_labels
from models.sources import _FILES, READERS, Example, bare, read_all


def row(source: str, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": "1",
        "text": "some text of four words",
        "channel": "social",
        "sentiment": None,
        "emotions": [],
    }
    return {**made, "source": source, "split": "train", "meta": {}, **fields}


def read(made: dict[str, Any]) -> Example:
    example = READERS[made["source"]](made)
    assert isinstance(example, Example)
    return example


def tag(example: Example, name: str) -> tuple[float, float]:
    place = TAGS.index(name)
    return example.tag_targets[place], example.tag_weights[place]


def test_goemotions_maps_and_masks() -> None:
    example = read(row("goemotions", emotions=["annoyance", "confusion"], sentiment="negative"))
    assert tag(example, "frustration") == (1.0, 1.0)
    assert tag(example, "confusion") == (1.0, 1.0)
    assert tag(example, "satisfaction") == (0.0, 1.0)
    assert tag(example, "urgency")[1] == tag(example, "sarcasm")[1] == 0.0


def test_semeval_annotates_no_tag_and_keeps_the_dev_set_apart() -> None:
    example = read(row("semeval_twitter_2013_2016", emotions=None, sentiment="negative", meta={"tweeteval_val": True}))
    assert example.part == "dev"
    assert example.sentiment == 0
    assert not any(example.tag_weights)


def test_short_answers_to_how_could_we_improve_are_dropped() -> None:
    improve = {"question": "How could we improve?", "aspects": []}
    assert READERS["nhs_fft_survey"](row("nhs_fft_survey", text="Nothing.", sentiment="positive", meta=improve)) is None


def test_a_jira_sentence_judged_for_one_emotion_masks_the_others() -> None:
    example = read(row("jira_emotion_binary", emotions=["anger"], meta={"annotated_for": "anger"}))
    assert [name for name in TAGS if tag(example, name)[1] > 0] == ["anger"]


def test_a_rephrased_sarcasm_is_a_contrast_pair() -> None:
    made = READERS["isarcasmeval"](
        row("isarcasmeval", text="lovely weather for a flood", emotions=["sarcastic"], meta={"rephrase": "bad weather"})
    )
    assert isinstance(made, list)
    pairs = [(example.text, tag(example, "sarcasm")[0]) for example in made]
    assert pairs[0] == ("lovely weather for a flood", 1.0)
    assert pairs[1:] in ([], [("bad weather", 0.0)])
    assert all(example.sentiment == -1 for example in made)


@pytest.mark.parametrize(
    ("text", "intent", "urgency"),
    [
        ("What currencies do you support?", "fiat_currency_support", (0.0, 0.4)),
        ("My card was stolen, block it immediately", "lost_or_stolen_card", (0.9, 0.4)),
        ("My card was stolen", "lost_or_stolen_card", (0.0, 0.0)),
    ],
)
def test_task_talk_is_weakly_neutral(text: str, intent: str, urgency: tuple[float, float]) -> None:
    example = read(row("banking77", text=text, emotions=None, meta={"intent": intent}))
    assert example.sentiment == 1
    assert example.sentiment_weight < 0.5
    assert tag(example, "urgency") == urgency
    assert tag(example, "anger") == (0.0, 0.5)


def test_annoyed_task_talk_is_not_called_neutral() -> None:
    example = read(row("banking77", text="Why on earth is it still not here", emotions=None, meta={"intent": "x"}))
    assert example.sentiment == -1
    assert not any(example.tag_weights)


def write_sets(folder: Path, **given: list[dict[str, Any]]) -> None:
    assert set(given) <= set(_FILES)
    for name in _FILES:
        with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in given.get(name, []))


def tweet(text: str, *, held_out: bool = False) -> dict[str, Any]:
    meta = {"tweeteval_val": held_out}
    return row("semeval_twitter_2013_2016", text=text, emotions=None, sentiment="neutral", meta=meta)


def parts(folder: Path) -> list[tuple[str, str]]:
    return sorted((example.text, example.part) for example in read_all(folder) if example.source != "corpus")


def test_held_out_texts_never_reach_training(tmp_path: Path) -> None:
    write_sets(
        tmp_path,
        semeval_twitter_2013_2016=[
            tweet("The SAME words here", held_out=True),
            tweet("the same words here"),
            tweet("other words here"),
        ],
    )
    assert parts(tmp_path) == [("The SAME words here", "dev"), ("other words here", "train")]


def post(name: str) -> dict[str, Any]:
    return row("twitter_customer_care_unlabelled", id=name, emotions=None, dialogue_id=name.rpartition("-")[0])


def test_a_published_post_has_our_labels_and_its_conversation_one_side() -> None:
    labels = read_labels()
    name, ours = next((name, one) for name, one in labels.items() if one.tags)
    example = read(post(name))
    assert example.sentiment == SENTIMENTS.index(ours.sentiment)
    assert {tag for tag, holds in zip(TAGS, example.tag_targets, strict=True) if holds} == ours.tags
    assert all(example.tags_annotated)
    parts_of: dict[str, set[str]] = {}
    for one in labels:
        parts_of.setdefault(one.rpartition("-")[0], set()).add(read(post(one)).part)
    assert all(len(sides) == 1 for sides in parts_of.values())
    assert set().union(*parts_of.values()) == {"train", "dev"}


def test_a_published_post_that_nobody_labelled_teaches_nothing() -> None:
    assert READERS["twitter_customer_care_unlabelled"](post("ibmcare-dev-0-agent")) is None


def test_a_text_of_both_sides_in_other_punctuation_or_case_is_on_neither(tmp_path: Path) -> None:
    """The shipped weights have seen the training row, so its like does not measure them."""
    write_sets(
        tmp_path,
        semeval_twitter_2013_2016=[
            tweet("Fixed it, thanks.", held_out=True),
            tweet("Word for word", held_out=True),
            tweet("Word for word", held_out=False),
            tweet(":( :(", held_out=True),
            tweet(":) :)"),
            tweet("fixed its thanks"),
        ],
        goemotions=[row("goemotions", text="FIXED IT thanks!"), row("goemotions", text="STRASSE 5!", split="dev")],
        xed_en=[row("xed_en", text="Stra\u00dfe, 5")],
    )
    assert parts(tmp_path) == [
        (":( :(", "dev"),
        (":) :)", "train"),
        ("Word for word", "dev"),
        ("fixed its thanks", "train"),
    ]
    assert read_all(tmp_path) == read_all(tmp_path)


def test_no_corpus_text_is_on_both_sides(tmp_path: Path) -> None:
    write_sets(tmp_path)
    sides: dict[str, set[str]] = {}
    for example in read_all(tmp_path):
        sides.setdefault(bare(example.text), set()).add(example.part)
    assert {len(parts) for parts in sides.values()} == {1}
