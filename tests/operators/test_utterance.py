"""What leaves the first stage: clean, redacted, pseudonymous, and never an exception."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.scorer import FakeScorer
from operators import utterance
from operators.channels import clean
from operators.identity import Identity
from operators.records import Event, Reason, Rejected, Scored, Utterance
from operators.utterance import accept, is_impersonal, to_utterance
from tests.operators.wire import NOW_MS, ORIGIN, event, payload
from tests.scoring import score

IDENTITY = Identity("a secret of the tests")


def made(**changes: Any) -> Utterance:
    return to_utterance(event(**changes), clean(event(**changes)), ORIGIN, IDENTITY)


def taken(data: bytes | None, **options: Any) -> Utterance | Rejected:
    return accept(data, ORIGIN, NOW_MS, IDENTITY, **options)


def test_a_chat_line_passes_with_its_facts() -> None:
    result = taken(payload(queue="billing", language="en-US", agent_id="a1"))
    assert isinstance(result, Utterance)
    assert (result.text, result.redactions, result.skipped) == ("Nobody answers.", 0, "")
    assert (result.event_id, result.interaction_id) == ("chat-0001-m03", "chat-0001")
    assert (result.queue, result.language, result.region) == ("billing", "en-US", "US")
    assert result.event_ms == 1_772_446_530_250
    assert result.customer_key == IDENTITY.customer_key(event())
    assert result.agent_key == IDENTITY.agent_key("acme", "a1")
    assert result.origin == ORIGIN


def test_text_is_cleaned_before_it_is_redacted() -> None:
    result = made(channel="email", text="<p>My card is 4111<b></b> 1111 1111 1111</p><blockquote>old</blockquote>")
    assert (result.text, result.redactions) == ("My card is [CARD]", 1)


def test_skipped_text_says_why() -> None:
    result = made(channel="email", text="away", attributes={"auto_submitted": "auto-replied"})
    assert (result.text, result.skipped) == ("", "auto_reply")


@pytest.mark.parametrize("channel", ["voice", "chat", "email", "social", "survey"])
def test_a_retraction_keeps_no_text(channel: str) -> None:
    result = made(channel=channel, kind="retracted", text="I am furious, call +1 212 736 5000")
    assert (result.kind, result.text, result.redactions) == ("retracted", "", 0)
    (scored,) = score([result], FakeScorer(), lambda: NOW_MS)
    assert isinstance(scored, Scored)
    assert (scored.abstained, scored.weight, scored.label) == (True, 0.0, "neutral")


@pytest.mark.parametrize(
    ("scale", "value", "rating"),
    [
        ("csat5", 1, -1),
        ("csat5", 3, 0),
        ("csat5", 5, 1),
        ("nps", 0, -1),
        ("nps", 6, 0.2),
        ("ces7", 1, -1),
        ("ces7", 7, 1),
    ],
)
def test_ratings_are_mapped_to_one_scale(scale: str, value: int, rating: float) -> None:
    result = made(channel="survey", kind="rating", text=None, rating={"scale": scale, "value": value})
    assert result.rating == pytest.approx(rating)
    assert made().rating is None


def test_confidence_is_of_speech_alone() -> None:
    assert made(channel="voice", asr_confidence=0.6).asr_confidence == 0.6
    assert made(channel="voice").asr_confidence == 1.0
    assert made(channel="chat", asr_confidence=0.6).asr_confidence == 1.0


def test_timing_of_speech_is_used_where_allowed_and_of_customers_only() -> None:
    def timing(allowed: bool, **changes: Any) -> tuple[int, int]:
        source = event(channel="voice", acoustic={"silence_ms": 700, "overtalk_ms": 90}, **changes)
        result = to_utterance(source, clean(source), ORIGIN, IDENTITY, acoustic_allowed=lambda tenant, region: allowed)
        return result.silence_ms, result.overtalk_ms

    assert timing(allowed=True) == (700, 90)
    assert timing(allowed=False) == (0, 0)
    assert timing(allowed=True, speaker="agent") == (0, 0)
    assert made(channel="voice", acoustic={"silence_ms": 700}).silence_ms == 0


def test_phone_numbers_are_read_in_the_region_of_the_event_or_the_default() -> None:
    assert made(region="DE", text="Ruf 030 901820 an").text == "Ruf [PHONE] an"
    assert made(region="UK", text="call 020 7946 0018 now").text == "call [PHONE] now"
    for region in (None, "EU", "ZZ", "asia"):
        source = event(region=region, text="Ruf 030 901820 an")
        assert to_utterance(source, clean(source), ORIGIN, IDENTITY, default_region="DE").text == "Ruf [PHONE] an"


@pytest.mark.parametrize(
    "value",
    [
        "chat-0001",
        "call-001234",
        "order-42",
        "6fd1a2f0-1c3b-4a58-9d1e-2b4c6d8e0f11",
        "evt:550e8400-e29b-41d4-a716-446655440000",
        "9f86d081884c7d659a2feaa0c55ad015",
        "03-02/7",
        "A",
    ],
)
def test_impersonal_ids_pass(value: str) -> None:
    assert is_impersonal(value)
    assert made(event_id=value, interaction_id=value).event_id == value


@pytest.mark.parametrize(
    "value",
    [
        "<CAF.17@mail.example>",
        "jo.berg@mail.example",
        "+12127365000",
        "call-212-736-5000",
        "212.736.5000",
        "4111111111111111",
        "4111-1111-1111-1111",
        "case_536-22-1234",
        "dni_54362315K",
        "RSSMRA85T10A562S",
        "cf:RSSMRA85T10A562S",
        "DE89370400440532013000",
        "4111111111111111aaaaaaaa@",
        "Jo Berg, Main Street 1",
        "https://shop.example/jo",
        "x" * 200,
        "\uff11\uff12\uff13",
    ],
)
def test_personal_ids_are_replaced_by_a_keyed_hash(value: str) -> None:
    assert not is_impersonal(value)
    result = made(event_id=value, interaction_id=value)
    assert result.event_id.startswith("h_")
    assert len(result.event_id) == 26
    assert result.event_id == result.interaction_id == made(event_id=value).event_id
    assert (
        result.event_id
        != to_utterance(event(event_id=value), clean(event(event_id=value)), ORIGIN, Identity("other")).event_id
    )


def test_labels_hold_nothing_personal() -> None:
    result = made(queue="direct line +1 212 736 5000", language="jo@mail.example", region="DE-12345678")
    assert (result.queue, result.language, result.region) == ("direct line [PHONE]", "", "")
    assert (made(language="zh-Hant-TW").language, made(region="eu-central-1").region) == ("zh-Hant-TW", "eu-central-1")


PLANTED = [
    "4111 1111 1111 1111",
    "5500005555555559",
    "DE89 3704 0044 0532 0130 00",
    "+1 212 736 5000",
    "(212) 736-5000",
    "jo.berg@mail.example",
    "536-22-1234",
    "54362315K",
    "RSSMRA85T10A562S",
    "987654321012",
    "https://shop.example/reset?token=s3cr3t",
]
"""Each must be recognisable in whatever holds it: no piece of one is a word of our own fields."""


def pieces(planted: str) -> list[str]:
    """What must not be seen again: the whole, and the whole without its separators."""
    bare = "".join(sign for sign in planted if sign.isalnum())
    return [planted, bare, planted.replace(" ", "")]


@pytest.mark.parametrize("channel", ["voice", "chat", "email", "social", "survey"])
@pytest.mark.parametrize("planted", PLANTED)
def test_planted_personal_data_is_nowhere_in_the_result(planted: str, channel: str) -> None:
    places: list[dict[str, Any]] = [
        {"text": f"my number is {planted} thank you"},
        {"text": planted},
        {"text": f"<p>({planted})</p>"},
        {"event_id": planted},
        {"interaction_id": planted},
        {"event_id": f"evt-{planted.replace(' ', '')}"},
        {"customer": {"id": planted}},
        {"customer": {"refs": [{"type": "phone", "value": planted}, {"type": planted[:40], "value": planted}]}},
        {"agent_id": planted},
        {"queue": planted},
        {"attributes": {"subject": planted, planted[:60]: planted}},
        {"region": planted[:16]},
        {"language": planted[:35]},
    ]
    for place in places:
        for kind in ({}, {"tenant": "not allowed"}, {"revision": "none"}):
            result = taken(payload(channel=channel, **{**place, **kind}))
            seen = msgspec.json.encode(result).decode()
            assert not [piece for piece in pieces(planted) if piece in seen], place


def test_bad_records_come_out_as_rejected() -> None:
    result = taken(b"no json")
    assert isinstance(result, Rejected)
    assert result.reason is Reason.NOT_JSON


@pytest.mark.parametrize(("step", "stage"), [("clean", "channel"), ("redact", "redact")])
def test_a_failure_inside_costs_one_record(monkeypatch: pytest.MonkeyPatch, step: str, stage: str) -> None:
    def fails(subject: Event | str, *_: object, **__: object) -> None:
        raise RecursionError(subject)

    monkeypatch.setattr(utterance, step, fails)
    result = taken(payload(text="a secret word"))
    assert isinstance(result, Rejected)
    assert (result.stage, result.reason, result.origin) == (stage, Reason.NOT_SCORABLE, ORIGIN)
    assert b"secret" not in msgspec.json.encode(result)


def test_the_same_message_gives_the_same_result() -> None:
    results = [taken(payload(text="call +1 212 736 5000")) for _ in range(3)]
    assert all(one == other for one, other in pairwise(results))


@given(st.from_regex(utterance._COUNTED, fullmatch=True).filter(lambda value: len(value) <= 128))
def test_an_id_that_is_spared_the_search_would_pass_it(value: str) -> None:
    assert is_impersonal(value)
