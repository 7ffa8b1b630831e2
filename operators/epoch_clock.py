"""Keeps the epoch clocks of all source partitions together.

The engine gives each partition of a source a clock of its own: an epoch ends at the first poll after its interval, and
nothing of the next is read before every partition of the cluster has ended it and all is committed. Who ends a little
earlier than the others therefore waits, and as nothing sets the clocks again, a little more each time, up to a whole
interval: then all but one poll of an epoch is waiting (docs/decisions/0007-one-epoch-clock.md). Partitions of one
process are polled together; those of several processes are kept together here.
"""

from __future__ import annotations

from typing import Final

TOLERANCE_MS: Final = 20
LEAD_MS: Final = 50


class EpochClock:
    """When the latest partition of all processes ended each of the last epochs, as told in band.

    Epochs are counted from the start of the processes, which start together. Times are wall clock, in milliseconds.
    """

    def __init__(self) -> None:
        self._latest: dict[int, int] = {}

    def heard(self, epoch: int, ended_ms: int) -> None:
        """Take note of when one partition ended an epoch; only the last two epochs are remembered."""
        self._latest[epoch] = max(self._latest.get(epoch, 0), ended_ms)
        for old in [known for known in self._latest if known < epoch - 1]:
            del self._latest[old]

    def held_until(self, epoch: int, ended_ms: int, interval_ms: int, now_ms: int, spacing_ms: int = 0) -> int | None:
        """Until when a partition that ended `epoch` too early must not be polled; None: no need, or not yet.

        It is held once, over the moment at which it would end the next epoch too early again: for at most half an
        interval, and no more than `spacing_ms`, the time between its polls, before that moment.

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
