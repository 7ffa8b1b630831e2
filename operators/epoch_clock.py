"""Synchronises the epoch clocks of the processes' source partitions.

The engine gives each source partition its own clock. An epoch ends at the partition's first poll after the interval,
and the partition reads nothing of the next epoch until all partitions of the cluster have ended theirs and the epoch is
committed. So a partition that ends its epoch slightly early waits. Nothing sets the clocks again, so the wait grows
with each epoch, up to a whole interval: the partition then reads one poll an epoch and waits for the rest of it
(docs/decisions/0007-one-epoch-clock.md). The partitions of one process are polled together and so stay together; where
there are several processes, this module delays the partitions that are early.
"""

from __future__ import annotations

from typing import Final

TOLERANCE_MS: Final = 20
"""A partition that ends an epoch earlier than the latest one by this or less is not held."""
LEAD_MS: Final = 50
"""A hold may begin this long before the moment at which the partition would end its next epoch."""


class EpochClock:
    """For each of the last epochs, when the latest partition of all processes ended it.

    The times come with `StreamTime` through the dataflow. Epochs are counted from the start of the processes, which
    start together. Times are wall clock, in milliseconds.
    """

    def __init__(self) -> None:
        self._latest: dict[int, int] = {}

    def heard(self, epoch: int, ended_ms: int) -> None:
        """Record when one partition ended an epoch; only the last two epochs are kept."""
        self._latest[epoch] = max(self._latest.get(epoch, 0), ended_ms)
        for old in [known for known in self._latest if known < epoch - 1]:
            del self._latest[old]

    def held_until(self, epoch: int, ended_ms: int, interval_ms: int, now_ms: int, spacing_ms: int = 0) -> int | None:
        """Return the time until which a partition that ended `epoch` too early must not be polled; None for no hold.

        It would end the next epoch too early again, one interval after `ended_ms`. The hold covers that moment: it
        begins at most `LEAD_MS` or `spacing_ms` (the time between its polls) before it, whichever is longer, and ends
        at most half an interval after it. None also while that moment is further away.

        >>> clock = EpochClock()
        >>> clock.heard(3, 10_090)
        >>> clock.held_until(3, 10_000, interval_ms=5_000, now_ms=12_000) is None
        True
        >>> clock.held_until(3, 10_000, interval_ms=5_000, now_ms=14_960)
        15090
        """
        behind = self._latest.get(epoch, 0) - ended_ms
        if not TOLERANCE_MS < behind <= interval_ms // 2:
            return None
        due_ms = ended_ms + interval_ms
        return due_ms + behind if due_ms - max(LEAD_MS, spacing_ms) <= now_ms < due_ms + behind else None
