"""The wall clock of the job. Code that needs the time takes it as an argument, so that a test can pass another."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Return the wall-clock time in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000
