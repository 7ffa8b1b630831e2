"""The sentences that a bundle must get right, each with its sign and its tags; none was trained on."""

import pytest

from models.scorer import SENTIMENTS, TAGS, OnnxScorer
from models.sources import read_corpus
from models.text import normalise

SENTENCES = [
    pytest.param("Oh, great, another hold.", "chat", {"negative"}, {"sarcasm", "frustration"}, id="sarcasm-typed"),
    pytest.param("Oh, great, another hold.", "voice", {"negative"}, {"sarcasm", "frustration"}, id="sarcasm"),
    pytest.param("I guess it's fine.", "chat", {"negative", "neutral"}, set(), id="lukewarm"),
    pytest.param("Thanks so much, that sorted it.", "chat", {"positive"}, {"satisfaction"}, id="thanks"),
    pytest.param(
        "My flight leaves in two hours, can you fix the booking now?",
        "chat",
        {"negative", "neutral"},
        {"urgency"},
        id="urgent",
    ),
    pytest.param(
        "Please freeze my card right away.",
        "voice",
        {"negative", "neutral"},
        {"urgency"},
        id="urgent-calm",
    ),
    pytest.param("I don't understand which form you want.", "email", set(SENTIMENTS), {"confusion"}, id="confused"),
    pytest.param(
        "I've been waiting three weeks and nobody calls me back!!", "email", {"negative"}, {"frustration"}, id="waiting"
    ),
    pytest.param(
        "With respect, this is the fourth time I explain it.", "voice", {"negative"}, {"frustration"}, id="polite"
    ),
    pytest.param("What time do you open?", "chat", {"neutral"}, set(), id="question"),
    pytest.param("Not bad at all, cheers.", "chat", {"positive"}, set(), id="negation"),
]


def judged(scorer: OnnxScorer, text: str, channel: str) -> tuple[str, set[str]]:
    scores = scorer.score([text], [channel])
    flags = {tag for place, tag in enumerate(TAGS) if scores.flagged[0, place]}
    return SENTIMENTS[int(scores.labels[0])], flags


@pytest.mark.parametrize(("text", "channel", "allowed", "tags"), SENTENCES)
def test_sign_and_tags(shipped: OnnxScorer, text: str, channel: str, allowed: set[str], tags: set[str]) -> None:
    label, flags = judged(shipped, text, channel)
    assert label in allowed
    assert tags <= flags


def test_an_urgent_request_is_not_anger(shipped: OnnxScorer) -> None:
    assert "anger" not in judged(shipped, "Please freeze my card right away.", "voice")[1]


def test_a_plain_question_has_no_tag(shipped: OnnxScorer) -> None:
    assert judged(shipped, "What time do you open?", "chat")[1] == set()


def test_a_single_letter_is_neutral_and_no_judgement(shipped: OnnxScorer) -> None:
    scores = shipped.score(["k"], ["chat"])
    assert scores.abstained[0]
    assert SENTIMENTS[int(scores.labels[0])] == "neutral"


def test_none_of_them_is_in_our_corpus() -> None:
    asked = {normalise(str(case.values[0])).lower().strip(".!?") for case in SENTENCES}
    assert not asked & {example.text.lower().strip(".!?") for example in read_corpus()}
