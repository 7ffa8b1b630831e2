"""Messages as producers send them, for the tests of what reads them."""

from __future__ import annotations

import json
from typing import Any

from operators.records import Event, Origin

ORIGIN = Origin(topic="undertone.events", partition=3, offset=41, broker_ms=1_772_446_531_000)
NOW_MS = 1_772_446_800_000
"""2026-03-02T10:20:00Z, a few minutes after the messages below."""

FIELDS: dict[str, Any] = {
    "schema": "undertone.event/1",
    "event_id": "chat-0001-m03",
    "tenant": "acme",
    "region": "US",
    "channel": "chat",
    "interaction_id": "chat-0001",
    "customer": {"id": "C-20417"},
    "text": "Nobody answers.",
    "event_time": "2026-03-02T10:15:30.250Z",
}


def fields(**changes: Any) -> dict[str, Any]:
    """The fields of a sound message with some changed; None takes one out."""
    return {name: value for name, value in {**FIELDS, **changes}.items() if value is not None}


def payload(**changes: Any) -> bytes:
    """The bytes of such a message."""
    return json.dumps(fields(**changes)).encode()


def event(**changes: Any) -> Event:
    """Such a message, decoded."""
    from operators.decode import decode

    decoded = decode(payload(**changes), ORIGIN, NOW_MS)
    assert isinstance(decoded, Event), decoded
    return decoded
