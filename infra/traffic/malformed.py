"""Records that a consumer must refuse, each with the expected reason (`operators.records.Reason`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

Fields = dict[str, Any]
"""The wire event as a mapping, before it is encoded as JSON."""


def _with(**changes: object) -> Callable[[Fields], bytes]:
    return lambda event: msgspec.json.encode({**event, **changes})


def _without(field: str) -> Callable[[Fields], bytes]:
    return lambda event: msgspec.json.encode({name: value for name, value in event.items() if name != field})


def _said(text: str) -> Callable[[Fields], bytes]:
    return _with(kind="utterance", speaker="customer", text=text)


KINDS: tuple[tuple[str, Callable[[Fields], bytes]], ...] = (
    ("not_json", lambda event: msgspec.json.encode(event)[:-20]),
    ("missing_field", _without("interaction_id")),
    ("wrong_schema", _with(schema="undertone.event/9")),
    ("invalid_field", _with(channel="fax")),
    ("empty_text", _said("   ")),
    ("time_in_future", _with(event_time="2999-01-01T00:00:00Z")),
    ("control_characters", _said("it keeps\x00 beeping\x07")),
    ("empty", lambda _: b""),
    ("missing_rating", _with(kind="rating", rating=None)),
    ("not_utf8", lambda event: msgspec.json.encode({**event, "text": "caf"}).replace(b'"caf"', b'"caf\xe9"')),
    ("time_too_old", _with(event_time="1970-01-01T00:00:00Z")),
    ("not_an_object", lambda event: msgspec.json.encode([event["event_id"]])),
    ("text_too_long", _said("and then " * 3000)),
    ("too_large", _said("on and on " * 8000)),
    ("missing_field", _without("event_time")),
    ("invalid_field", _with(offset_ms="soon")),
)


def spoil(event: Fields, turn: int) -> tuple[bytes, str]:
    """Make the `turn`-th malformed record from a good one; return its bytes and the expected reason.

    The kinds rotate, so that each occurs before one repeats.

    >>> spoil({"schema": "undertone.event/1"}, 7)
    (b'', 'empty')
    """
    reason, make = KINDS[turn % len(KINDS)]
    return make(event), reason
