"""Read the event time of a payload without decoding the rest."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from operators.clock import ms_of
from operators.decode import MAX_BYTES


class _Stamp(msgspec.Struct):
    event_time: Annotated[datetime, Meta(tz=True)]


_STAMP: Final = msgspec.json.Decoder(_Stamp)


def event_time_ms(payload: bytes | None) -> int | None:
    """Return the event time of an `undertone.event/1` payload in milliseconds; None if it has none.

    None also for a payload that `decode` rejects for its size: it is not parsed.

    >>> event_time_ms(b'{"event_time": "2026-01-01T00:00:00.25Z", "text": "..."}')
    1767225600250
    >>> event_time_ms(b"{") is None
    True
    """
    if payload is None or len(payload) > MAX_BYTES:
        return None
    try:
        return ms_of(_STAMP.decode(payload).event_time)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return None
