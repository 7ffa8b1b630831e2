"""The wall clock of the job, handed to what needs one, so that a test can hand over another."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Wall clock in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000
