"""Times in milliseconds since the Unix epoch. Code that needs the wall clock takes it as an argument."""

from __future__ import annotations

import time
from datetime import datetime


def now_ms() -> int:
    """Return the wall-clock time in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def ms_of(instant: datetime) -> int:
    """Return an instant in milliseconds since the Unix epoch, rounded to the nearest.

    >>> ms_of(datetime.fromisoformat("2026-01-01T00:00:00.250600+00:00"))
    1767225600251
    """
    return round(instant.timestamp() * 1000)
