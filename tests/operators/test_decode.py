"""What is accepted, what is refused, and that a refusal tells nothing of the payload."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.decode import AHEAD_MS, MAX_BYTES, MAX_TEXT, decode, decode_feedback
from operators.records import Event, Feedback, Reason, Rejected
from tests.operators.wire import NOW_MS, ORIGIN, fields, payload


def refused(data: bytes | None) -> tuple[str, str]:
    result = decode(data, ORIGIN, NOW_MS)
    assert isinstance(result, Rejected), result
    assert result.stage == "decode"
    assert result.origin == ORIGIN
    return result.reason.value, result.field


def test_a_sound_message_is_an_event() -> None:
    event = decode(payload(), ORIGIN, NOW_MS)
    assert isinstance(event, Event)
    assert (event.tenant, event.channel, event.text) == ("acme", "chat", "Nobody answers.")


def test_unknown_fields_pass() -> None:
    assert isinstance(decode(payload(from_the_future={"a": [1, {"b": None}]}), ORIGIN, NOW_MS), Event)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b" " * (MAX_BYTES + 1), "too_large"),
        (b"{" + b'"a":' * 10, "not_json"),
        (b"\xff\xfe{}", "not_utf8"),
        (b'{"unknown": "\xff"}', "not_utf8"),
        (b"[]", "not_an_object"),
        (b"7", "not_an_object"),
        (b"null", "not_an_object"),
        (b'{"a": NaN}', "not_json"),
        (b"[" * 60_000, "not_an_object"),
        (b'{"a":' * 10_000, "not_json"),
        (b'{"unknown": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", "not_json"),
        (b'{"text": "\\ud800 alone"}', "not_json"),
    ],
)
def test_what_is_no_message_is_refused(data: bytes | None, reason: str) -> None:
    assert refused(data)[0] == reason


def test_the_largest_message_is_accepted() -> None:
    head = payload()[:-1] + b', "padding": "'
    data = head + b"x" * (MAX_BYTES - len(head) - 2) + b'"}'
    assert len(data) == MAX_BYTES
    assert isinstance(decode(data, ORIGIN, NOW_MS), Event)
    assert refused(data + b" ") == ("too_large", "")


@pytest.mark.parametrize("name", ["schema", "event_id", "tenant", "channel", "interaction_id", "event_time"])
def test_a_missing_field_is_named(name: str) -> None:
    assert refused(payload(**{name: None})) == ("missing_field", name)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"channel": "fax"}, "channel"),
        ({"event_id": ""}, "event_id"),
        ({"event_id": 7}, "event_id"),
        ({"tenant": "a b"}, "tenant"),
        ({"revision": -1}, "revision"),
        ({"revision": 10**300}, "revision"),
        ({"customer": {"refs": [{"type": "email", "value": 3}]}}, "customer.refs[0].value"),
        ({"attributes": {"secret-name": 3}}, "attributes[...]"),
        ({"attributes": {"secret-name" * 9: "x"}}, "attributes"),
        ({"event_time": "2026-03-02T10:15:30"}, "event_time"),
        ({"event_time": "yesterday"}, "event_time"),
        ({"rating": {"scale": "csat5", "value": 9}}, "rating.value"),
        ({"rating": {"scale": "ces7", "value": 0}}, "rating.value"),
        ({"rating": {"scale": "stars", "value": 1}}, "rating.scale"),
        ({"asr_confidence": 1.5}, "asr_confidence"),
    ],
)
def test_an_invalid_field_is_named_by_its_path(changes: dict[str, Any], field: str) -> None:
    assert refused(payload(**changes)) == ("invalid_field", field)


def test_a_missing_field_inside_another_is_named_by_its_path() -> None:
    assert refused(payload(rating={"value": 3})) == ("missing_field", "rating.scale")


def test_a_foreign_schema_is_told_before_its_fields_are_judged() -> None:
    assert refused(b'{"event_id": 7, "schema": "undertone.event/2"}') == ("wrong_schema", "schema")
    assert refused(payload(schema=3)) == ("wrong_schema", "schema")


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        ("1999-12-31T23:59:59.999Z", "time_too_old"),
        ("0001-01-01T00:00:00+14:00", "time_too_old"),
        ("9999-12-31T23:59:59-14:00", "time_in_future"),
        ("2026-03-02T10:25:00.001Z", "time_in_future"),
    ],
)
def test_impossible_times_are_refused(time: str, reason: str) -> None:
    assert refused(payload(event_time=time)) == (reason, "event_time")


def test_the_edges_of_time_are_accepted() -> None:
    for time in ("2000-01-01T00:00:00Z", "2026-03-02T10:25:00Z", "2026-03-02T15:55:00+05:30"):
        assert isinstance(decode(payload(event_time=time), ORIGIN, NOW_MS), Event)
    assert AHEAD_MS == 300_000


def test_text_has_a_longest_length() -> None:
    assert isinstance(decode(payload(text="x" * MAX_TEXT), ORIGIN, NOW_MS), Event)
    assert refused(payload(text="x" * (MAX_TEXT + 1))) == ("text_too_long", "text")


@pytest.mark.parametrize("sign", ["\x00", "\x07", "\x1b", "\x7f", "\x85", "\x9f"])
def test_control_characters_are_refused_wherever_they_are(sign: str) -> None:
    assert refused(payload(text=f"a{sign}b")) == ("control_characters", "text")
    for name in ("event_id", "interaction_id", "queue", "agent_id"):
        assert refused(payload(**{name: f"a{sign}b"})) == ("control_characters", name)


def test_line_breaks_belong_to_text_and_not_to_ids() -> None:
    assert isinstance(decode(payload(text="a\r\n\tb"), ORIGIN, NOW_MS), Event)
    assert refused(payload(event_id="a\nb")) == ("control_characters", "event_id")
    assert refused(payload(tenant="acme\n")) == ("control_characters", "tenant")


def test_words_and_ratings_must_be_there_where_the_kind_promises_them() -> None:
    assert refused(payload(text=None)) == ("empty_text", "text")
    assert refused(payload(text=" \n\u00a0")) == ("empty_text", "text")
    assert refused(payload(kind="rating", text=None)) == ("missing_rating", "rating")
    for kind in ("opened", "closed", "hold", "resume", "transfer", "retracted"):
        assert isinstance(decode(payload(kind=kind, text=None), ORIGIN, NOW_MS), Event)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_value_is_refused_or_accepted_and_never_quoted(value: str) -> None:
    canary = "canary" + value
    for name in fields():
        for data in (payload(**{name: canary}), payload(**{name: {canary: canary}})):
            result = decode(data, ORIGIN, NOW_MS)
            if isinstance(result, Rejected):
                assert b"canary" not in msgspec.json.encode(result)


@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5), st.lists, max_leaves=8)
)
def test_any_json_in_any_field_ends_as_a_value(value: object) -> None:
    for name in fields():
        assert isinstance(decode(json.dumps({**fields(), name: value}).encode(), ORIGIN, NOW_MS), Event | Rejected)


def test_feedback_is_read_by_the_same_rules() -> None:
    sound = {
        "schema": "undertone.feedback/1",
        "feedback_id": "f1",
        "tenant": "acme",
        "escalation_id": "e1",
        "action": "good_catch",
        "event_time": "2026-03-02T10:15:30Z",
    }

    def read(**changes: object) -> Feedback | Rejected:
        return decode_feedback(json.dumps({**sound, **changes}).encode(), ORIGIN, NOW_MS)

    def reason(result: Feedback | Rejected) -> Reason | None:
        return result.reason if isinstance(result, Rejected) else None

    assert isinstance(read(), Feedback)
    assert reason(read(schema="undertone.event/1")) is Reason.WRONG_SCHEMA
    assert reason(read(action="shrug")) is Reason.INVALID_FIELD
    assert reason(read(event_time="2999-01-01T00:00:00Z")) is Reason.TIME_IN_FUTURE
    assert reason(read(by="a\x00b")) is Reason.CONTROL_CHARACTERS
    assert reason(decode_feedback(b"", ORIGIN, NOW_MS)) is Reason.EMPTY
