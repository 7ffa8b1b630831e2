"""Numbers that the formulas use, in one frozen struct whose version every result row names.

The formulas are in docs/formulas.md. Change a number and change `version` with it: rows computed with different
numbers must stay tellable apart.
"""

from __future__ import annotations

import msgspec

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

SCALE = 10_000
"""Scores and weights are quantised to 1e-4 and added up as integers of that unit: sums are exact in any order."""

HALF_LIFE_MS = {"voice": 90 * SECOND, "chat": 5 * MINUTE, "email": DAY, "social": DAY, "survey": 7 * DAY}
GAP_MS = {"voice": 30 * MINUTE, "chat": 30 * MINUTE, "email": DAY, "social": DAY, "survey": 30 * MINUTE}
WINDOW_MS = {"voice": 3 * MINUTE, "chat": 15 * MINUTE, "email": 7 * DAY, "social": 7 * DAY, "survey": 7 * DAY}


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Defaults of every formula. Durations in milliseconds, scores in [-1, 1].

    >>> Parameters().half_life_ms["voice"]
    90000
    """

    version: str = "parameters/2"

    kappa: float = 1.0
    """Evidence of the neutral prior: S = A / (B + kappa), so that one message cannot read as -1."""
    half_life_ms: dict[str, int] = msgspec.field(default_factory=HALF_LIFE_MS.copy)
    """Per channel: after so long a message counts half in the level of its interaction."""
    customer_half_life_ms: int = 3 * DAY
    """The same for the level of the customer over all channels."""

    gap_ms: dict[str, int] = msgspec.field(default_factory=GAP_MS.copy)
    """Per channel: an event keeps its session open for so long. A survey is one answer, so it waits like a chat."""

    window_ms: dict[str, int] = msgspec.field(default_factory=WINDOW_MS.copy)
    """Per channel: trailing window of the slope."""
    slope_points: int = 4
    """Fewer points carry no slope."""
    trend_points: int = 6
    """Fewer points carry no trend class."""
    trend_cuts: tuple[float, float] = (0.20, 0.55)
    """Where `slightly_` begins and where it ends, of the half change over the window."""

    under: float = -0.2
    """Below this customer level the clock of `under_ms` runs."""
    reversal: float = 0.2
    """Scores closer to 0 than this have no sign."""
    turned: float = 0.2
    """A session recovered when it began at or below -turned and ended at or above +turned; soured the other way."""
    cusum_slack: float = 0.25
    cusum_alarm: float = 1.0

    forget_ms: int = 8 * DAY
    """A customer without events for so long is forgotten; longer than the 7 days of `contacts_7d`."""
    tail: int = 128
    """Messages of one customer kept open for reordering at most: one a second for the default lateness. Beyond it the
    oldest settle early, and what comes before them is late."""
