"""Numbers that the formulas use, in one frozen struct; every result row carries its version.

The formulas are in docs/formulas.md. Whoever changes a number changes `version` too, so that rows computed with
different numbers can be told apart.
"""

from __future__ import annotations

import msgspec

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

SCALE = 10_000
"""Scores and weights are integers in units of 1e-4, so that their sums are exact in any order."""

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
    """Evidence of the neutral prior: S = A / (B + kappa), so that one message alone cannot give a level of -1."""
    half_life_ms: dict[str, int] = msgspec.field(default_factory=HALF_LIFE_MS.copy)
    """Per channel: time after which a message counts half in the level of its interaction."""
    customer_half_life_ms: int = 3 * DAY
    """The same for the level of the customer over all channels."""

    gap_ms: dict[str, int] = msgspec.field(default_factory=GAP_MS.copy)
    """Per channel: how long an event keeps its session open. A survey is one answer, so its gap is that of a chat."""

    window_ms: dict[str, int] = msgspec.field(default_factory=WINDOW_MS.copy)
    """Per channel: trailing window of the slope."""
    slope_points: int = 4
    """With fewer points there is no slope."""
    trend_points: int = 6
    """With fewer points there is no trend class."""
    trend_cuts: tuple[float, float] = (0.20, 0.55)
    """Lower and upper bound of the `slightly_` classes, for half the change over the window."""

    under: float = -0.2
    """Time with the customer level below this is added to `under_ms`."""
    reversal: float = 0.2
    """Scores closer to 0 than this have no sign, so they make no reversal."""
    turned: float = 0.2
    """A session recovered when it began at or below -turned and ended at or above +turned; soured: the reverse."""
    cusum_slack: float = 0.25
    cusum_alarm: float = 1.0

    forget_ms: int = 8 * DAY
    """A customer without events for this long is forgotten; longer than the 7 days of `contacts_7d`."""
    tail: int = 128
    """Most messages of one customer that stay open for reordering: about one a second for the default lateness. With
    more, the oldest settle early, and an event that comes before them is late."""
