"""Timers of the keyed step: a heap of deadlines in event time, and the ticks for deadlines that have come.

Stream time is the job's watermark. It passes through the dataflow with the records: the Kafka source emits a
`StreamTime` behind the records that it was computed from, the flow collects those of one poll and sends copies under
enough keys to reach every worker (`routes`), and the keyed step passes them to `Timers`. So time never overtakes the
records: a worker that receives 12:00 has received every record that was read before it. Stream time starts once each
partition has reported, and is that of the slowest partition. Ticks are emitted with the next stream time: a source of
their own would have its own epoch clock (docs/decisions/0007-one-epoch-clock.md).

A process has one worker and one `Timers`. Its deadlines are not in any snapshot: each key arms its timer again when
the engine rebuilds it.
"""

from __future__ import annotations

import heapq
from typing import Final

from operators import metrics
from operators.epoch_clock import EpochClock
from operators.records import StreamTime, Tick

ROUTES_PER_WORKER: Final = 24
"""Keys go to workers by hash. With 24 keys per worker, the chance that some worker of 250 or fewer gets none is below
1e-8; its timers would never fire."""


def routes(workers: int) -> int:
    """Return the number of keys to which a `StreamTime` is copied so that each of `workers` workers gets it.

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
        """Make `key` due once stream time reaches `due_ms`; the earliest of several deadlines of a key counts."""
        armed = self._armed.get(key)
        if armed is None or due_ms < armed:
            self._armed[key] = due_ms
            heapq.heappush(self._heap, (due_ms, key))

    def advance(self, time: StreamTime) -> None:
        """Record one partition's stream time; it never decreases."""
        self.epochs.heard(time.epoch, time.ended_ms)
        self._partitions = time.partitions
        before = self._streams.get(time.partition_key, time.stream_ms)
        self._streams[time.partition_key] = max(before, time.stream_ms)
        if time.progress is not None:  # a process without partitions has no other way to learn it
            metrics.COMMITTED.set(time.progress.committed_ms / 1000)
        if time.caught_up:
            self._caught_up.add(time.partition_key)

    @property
    def stream_ms(self) -> int | None:
        """Stream time of the job: that of its slowest partition; None until each has reported."""
        if not self._streams or len(self._streams) < self._partitions:
            return None
        return min(self._streams.values())

    @property
    def overdue(self) -> bool:
        """Whether a deadline has come whose key `due` has not returned yet."""
        now = self.stream_ms
        return now is not None and bool(self._heap) and self._heap[0][0] <= now

    def has_caught_up(self) -> bool:
        """Whether each partition has been read to its end since the start, and no deadline is overdue.

        This run has then read and fired everything that an earlier run of the live job had read and fired.
        """
        return 0 < self._partitions <= len(self._caught_up) and not self.overdue

    def due(self, limit: int = 1_000) -> list[str]:
        """Disarm and return at most `limit` keys whose deadline has come, earliest first."""
        now = self.stream_ms
        keys: list[str] = []
        while now is not None and self._heap and self._heap[0][0] <= now and len(keys) < limit:
            due_ms, key = heapq.heappop(self._heap)
            if self._armed.get(key) == due_ms:  # else an earlier deadline replaced this one
                del self._armed[key]
                keys.append(key)
        return keys


def ticks(timers: Timers) -> list[tuple[str, Tick]]:
    """Return `(key, Tick)` for at most 1,000 keys that are due; the others follow with the next stream time.

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
