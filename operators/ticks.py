"""Timers of the keyed step: a heap of deadlines in event time, and the ticks that tell what is due.

Stream time comes in band: the Kafka source puts a `StreamTime` behind the records that it was computed from, the
flow gathers those of one poll and spreads them over enough keys that every worker gets them (`routes`), and the keyed
step hands them to `Timers`.
So time never overtakes the records: a worker that hears of 12:00 has had every record that was read before. Time
stands still until each partition was heard of, and is that of the slowest one. Ticks go the same way, behind the next
stream time: a source of their own would have an epoch clock of its own (docs/decisions/0007-one-epoch-clock.md).

There is one `Timers` to a process, as there is one worker to a process. Nothing of it is stored: keys arm
themselves again when the engine rebuilds them.
"""

from __future__ import annotations

import heapq
from typing import Final

from operators import metrics
from operators.epoch_clock import EpochClock
from operators.records import StreamTime, Tick

ROUTES_PER_WORKER: Final = 24
"""Keys are spread by hash: 24 a worker leave one without any in fewer than 1 of 10^8 cluster sizes."""


def routes(workers: int) -> int:
    """Over how many keys a `StreamTime` must be spread to reach every one of `workers` workers.

    >>> routes(1), routes(2)
    (1, 48)
    """
    return 1 if workers == 1 else ROUTES_PER_WORKER * workers


class Timers:
    """Deadlines by key, and the stream time that makes them due. All times in milliseconds of event time.

    >>> timers = Timers()
    >>> timers.arm("7", 1_000)
    >>> timers.advance(StreamTime(partition_key="0-events", partitions=1, stream_ms=1_500, caught_up=False))
    >>> timers.due()
    ['7']
    """

    def __init__(self) -> None:
        self.epochs = EpochClock()
        self._heap: list[tuple[int, str]] = []
        self._armed: dict[str, int] = {}
        self._streams: dict[str, int] = {}
        self._partitions = 0
        self._caught_up: set[str] = set()

    def __len__(self) -> int:
        return len(self._armed)

    def arm(self, key: str, due_ms: int) -> None:
        """Fire `key` once stream time reaches `due_ms`; of several deadlines of a key the earliest counts."""
        armed = self._armed.get(key)
        if armed is None or due_ms < armed:
            self._armed[key] = due_ms
            heapq.heappush(self._heap, (due_ms, key))

    def advance(self, time: StreamTime) -> None:
        """Take note of one partition's stream time; it never goes back."""
        self.epochs.heard(time.epoch, time.ended_ms)
        self._partitions = time.partitions
        before = self._streams.get(time.partition_key, time.stream_ms)
        self._streams[time.partition_key] = max(before, time.stream_ms)
        if time.progress is not None:  # a process without partitions of its own learns it here alone
            metrics.COMMITTED.set(time.progress.committed_ms / 1000)
        if time.caught_up:
            self._caught_up.add(time.partition_key)

    @property
    def stream_ms(self) -> int | None:
        """Stream time of the job: that of its slowest partition; None until each was heard of."""
        if not self._streams or len(self._streams) < self._partitions:
            return None
        return min(self._streams.values())

    @property
    def overdue(self) -> bool:
        """Whether a deadline has come that was not fired yet."""
        now = self.stream_ms
        return now is not None and bool(self._heap) and self._heap[0][0] <= now

    def has_caught_up(self) -> bool:
        """Whether each partition was once read to its end since the start, and all that was due by then was fired.

        Whatever an earlier run of the live job has read or fired, this one then has too.
        """
        return 0 < self._partitions <= len(self._caught_up) and not self.overdue

    def due(self, limit: int = 1_000) -> list[str]:
        """Disarm and return at most `limit` keys whose deadline has come, earliest first."""
        now = self.stream_ms
        keys: list[str] = []
        while now is not None and self._heap and self._heap[0][0] <= now and len(keys) < limit:
            due_ms, key = heapq.heappop(self._heap)
            if self._armed.get(key) == due_ms:  # else an earlier deadline took this one's place
                del self._armed[key]
                keys.append(key)
        return keys


def ticks(timers: Timers) -> list[tuple[str, Tick]]:
    """Return `(key, Tick)` for keys that are due, at most a thousand; the rest of many at the next stream time.

    >>> timers = Timers()
    >>> timers.arm("7", 1_000)
    >>> timers.advance(StreamTime(partition_key="0-events", partitions=1, stream_ms=1_500, caught_up=False))
    >>> ticks(timers)
    [('7', Tick(stream_ms=1500))]
    """
    keys = timers.due()
    metrics.TIMERS.set(len(timers))
    stream_ms = timers.stream_ms or 0
    return [(key, Tick(stream_ms=stream_ms)) for key in keys]
