"""Decode the bytes of a Kafka record to `Event`, `Feedback` or `Rejected`.

Cheap checks come first. A `Rejected` holds the reason and the path of a field of our own schema, and never anything
copied from the payload. Numbers that are too large, nesting that is too deep and bytes that are not UTF-8 also give a
`Rejected`; `decode` does not raise.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from operators.records import SCHEMA, Event, Feedback, Origin, Reason, Record, Rejected

MAX_BYTES = 64 * 1024
MAX_TEXT = 20_000
"""Characters."""
OLDEST_MS = 946_684_800_000
"""2000-01-01T00:00:00Z: an earlier time comes from a clock that was never set."""
AHEAD_MS = 5 * 60 * 1000
"""How far a producer's clock may run ahead of Kafka's."""

_FEEDBACK_SCHEMA = "undertone.feedback/1"
_TOP_OF_SCALE = {"csat5": 5, "nps": 10, "ces7": 7}
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_PATH = re.compile(r"^[a-z_]+(?:\.[a-z_]+|\[(?:\d+|\.\.\.)\])*$")
_MISSING = "Object missing required field `"

RecordT = TypeVar("RecordT", bound=Record)


class _Envelope(msgspec.Struct):
    """The field that all versions of all contracts have."""

    schema: object = None


_EVENT: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_FEEDBACK: msgspec.json.Decoder[Feedback] = msgspec.json.Decoder(Feedback)
_ENVELOPE: msgspec.json.Decoder[_Envelope] = msgspec.json.Decoder(_Envelope)


def received_ms(origin: Origin, now_ms: int) -> int:
    """Return when Kafka got a record: its Kafka timestamp, so that a replay refuses the same records as the live job.

    If it has none, or one that lies more than `AHEAD_MS` after `now_ms` (a wrong clock), return `now_ms`.

    >>> [received_ms(Origin(topic="t", partition=0, offset=7, broker_ms=ms), 10**9) for ms in (7, -1, 10**9 + 300_001)]
    [7, 1000000000, 1000000000]
    """
    return origin.broker_ms if 0 < origin.broker_ms <= now_ms + AHEAD_MS else now_ms


def decode(payload: bytes | None, origin: Origin, at_ms: int) -> Event | Rejected:
    """Decode one `undertone.event/1`. `at_ms` is when Kafka got it: event times more than `AHEAD_MS` later are wrong.

    >>> origin = Origin(topic="t", partition=0, offset=7, broker_ms=0)
    >>> decode(b'{"schema": "undertone.event/9"}', origin, 0).reason.value
    'wrong_schema'
    >>> decode(b'{"schema": "undertone.event/1"}', origin, 0).field
    'event_id'
    """
    event = _parse(payload, _EVENT, SCHEMA, origin)
    if isinstance(event, Rejected):
        return event
    wrong = _wrong_time(event.event_time.timestamp() * 1000, at_ms) or _wrong_text(event) or _wrong_rating(event)
    return event if wrong is None else Rejected(stage="decode", reason=wrong[0], origin=origin, field=wrong[1])


def decode_feedback(payload: bytes | None, origin: Origin, at_ms: int) -> Feedback | Rejected:
    """Decode one `undertone.feedback/1`; the reasons for a refusal are those of `decode`."""
    feedback = _parse(payload, _FEEDBACK, _FEEDBACK_SCHEMA, origin)
    if isinstance(feedback, Rejected):
        return feedback
    wrong = _wrong_time(feedback.event_time.timestamp() * 1000, at_ms)
    for name in ("feedback_id", "tenant", "escalation_id", "by"):
        wrong = wrong or _control(name, getattr(feedback, name))
    return feedback if wrong is None else Rejected(stage="decode", reason=wrong[0], origin=origin, field=wrong[1])


def _parse(
    payload: bytes | None, decoder: msgspec.json.Decoder[RecordT], schema: str, origin: Origin
) -> RecordT | Rejected:
    """Decode bytes to a record whose fields have the right types, or to a `Rejected`."""
    if not payload:
        return Rejected(stage="decode", reason=Reason.EMPTY, origin=origin)
    if len(payload) > MAX_BYTES:
        return Rejected(stage="decode", reason=Reason.TOO_LARGE, origin=origin)
    field = ""
    try:
        payload.decode()  # msgspec skips unknown fields unread; bad bytes in them would pass
        return decoder.decode(payload)
    except UnicodeDecodeError:
        reason = Reason.NOT_UTF8
    except msgspec.ValidationError as error:
        reason, field = _explain(payload, str(error), schema)
    except (msgspec.DecodeError, RecursionError):
        reason = Reason.NOT_JSON
    return Rejected(stage="decode", reason=reason, origin=origin, field=field)


def _explain(payload: bytes, problem: str, schema: str) -> tuple[Reason, str]:
    """Return reason and field of a validation error. A foreign schema comes first: its other fields do not matter."""
    try:
        named = _ENVELOPE.decode(payload).schema
    except msgspec.ValidationError:
        return Reason.NOT_AN_OBJECT, ""
    except (msgspec.DecodeError, RecursionError):
        return Reason.NOT_JSON, ""
    if named is not None and named != schema:
        return Reason.WRONG_SCHEMA, "schema"
    what, _, path = problem.rpartition(" - at ")
    path = path.removeprefix("`key` in ").strip("`").removeprefix("$").removeprefix(".") if what else ""
    if problem.startswith(_MISSING):
        missing = problem[len(_MISSING) :].partition("`")[0]
        return Reason.MISSING_FIELD, _known(f"{path}.{missing}" if path else missing)
    return Reason.INVALID_FIELD, _known(path)


def _known(path: str) -> str:
    """Return the path if it has the form of our field paths, else the empty string: it may be data."""
    return path if _PATH.match(path) else ""


def _wrong_time(event_ms: float, at_ms: int) -> tuple[Reason, str] | None:
    if event_ms < OLDEST_MS:
        return Reason.TIME_TOO_OLD, "event_time"
    if event_ms > at_ms + AHEAD_MS:
        return Reason.TIME_IN_FUTURE, "event_time"
    return None


def _wrong_text(event: Event) -> tuple[Reason, str] | None:
    text = event.text
    if len(text) > MAX_TEXT:
        return Reason.TEXT_TOO_LONG, "text"
    # isprintable() is several times as fast as the pattern and true for most ids and chat lines.
    if not text.isprintable() and _CONTROL.search(text):
        return Reason.CONTROL_CHARACTERS, "text"
    if event.kind == "utterance" and (not text or text.isspace()):
        return Reason.EMPTY_TEXT, "text"
    if (event.event_id + event.interaction_id + event.tenant + event.queue + event.agent_id).isprintable():
        return None
    for name in ("event_id", "interaction_id", "tenant", "queue", "agent_id"):
        wrong = _control(name, getattr(event, name))
        if wrong is not None:
            return wrong
    return None


def _control(name: str, value: str) -> tuple[Reason, str] | None:
    """Check an identifier: unlike a text, it may not contain line breaks or tabs either."""
    if _CONTROL.search(value) or any(sign in value for sign in "\r\n\t"):
        return Reason.CONTROL_CHARACTERS, name
    return None


def _wrong_rating(event: Event) -> tuple[Reason, str] | None:
    rating = event.rating
    if rating is None:
        return (Reason.MISSING_RATING, "rating") if event.kind == "rating" else None
    if rating.value > _TOP_OF_SCALE[rating.scale] or (rating.value == 0 and rating.scale != "nps"):
        return Reason.INVALID_FIELD, "rating.value"
    return None
