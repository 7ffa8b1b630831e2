"""The Kafka source: one engine partition per Kafka partition; a snapshot holds its position and greatest event time.

Guarantees: after a restart every record behind the last committed epoch is emitted, in partition order; polling does
not block the worker; an epoch holds at most `credit` records of a partition; every 200 ms the records are followed by
the partition's stream time (its watermark: how far it has been read in event time). Payloads are not decoded here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final, Literal, NamedTuple, cast

import msgspec
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from operators import metrics
from operators.clock import now_ms
from operators.decode import AHEAD_MS
from operators.epoch_clock import EpochClock
from operators.event_time import event_time_ms
from operators.first_failure import watched
from operators.kafka_client import (
    CONNECT_SECONDS,
    LOG,
    LOGIN_ERRORS,
    KafkaSourceError,
    PartitionsAddedError,
    client_config,
    count_partitions,
    explain,
    list_partitions,
    open_client,
    part_key,
    silence_us,
    split_part_key,
    watermarks,
)
from operators.records import Origin, Progress, Raw, StreamTime

__all__ = ["KafkaSource", "KafkaSourceError", "Raw", "ReadOptions", "StreamTime", "event_time_ms"]

IDLE: Final = timedelta(milliseconds=10)
STREAM_INTERVAL_MS: Final = 200
STAMP_EVERY: Final = 16
_DEFAULTS: Final[dict[str, Any]] = {
    "fetch.wait.max.ms": 50,
    "fetch.message.max.bytes": 1_048_576,
    "queued.max.messages.kbytes": 4096,
    "isolation.level": "read_committed",
    "topic.metadata.refresh.interval.ms": 60_000,
}
_OURS: Final[dict[str, Any]] = {
    # Any other value would silently skip records when retention has passed our position.
    "auto.offset.reset": "error",
    # The position is in the engine's snapshots.
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "statistics.interval.ms": 500,
}

State = tuple[Literal[1], int, int]
"""Layout (1, next offset to emit, greatest event time emitted in milliseconds (0 when none))."""


class _Poll(NamedTuple):
    """What one poll of a partition brought."""

    raws: list[Raw]
    end: int | None
    """Where the partition ends, if it was read to its end."""


class ReadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to read the topics."""

    start: Literal["earliest", "latest"] = "earliest"
    """Where a partition without a snapshot is read from, unless `resumed`."""
    resumed: bool = False
    """True when an epoch was committed before: a partition without a snapshot is new, and read from its beginning."""
    batch: int = 500
    """Most records in one poll of all partitions of the process, which the engine passes on as one batch."""
    credit: int = 20_000
    """Most records of a partition in one epoch."""
    epoch_ms: int = 0
    """Length of an epoch, used to align the epochs of several processes; 0: there is only one process."""
    routes: int = 1
    """See `operators.ticks.routes`."""
    share: tuple[int, int] = (0, 1)
    """Number of this process, and number of processes: partitions are assigned in turn. The engine's own assignment,
    by hash, gave one of two processes three of four partitions, and so three quarters of the scoring."""
    recorded_idle_ms: int = 0
    """Above 0: recorded traffic. Stream time follows event time only, and input is over when nothing was read
    for this long. 0: live traffic, where stream time of a partition that is read to its end follows the wall clock."""
    over_ms: int = 0
    """How far stream time advances past the last event when recorded input is over."""


class _Partition(StatefulSourcePartition[Raw | StreamTime, State]):
    """One Kafka partition, read by its own consumer."""

    def __init__(self, source: KafkaSource, topic: str, partition: int, state: State | None) -> None:
        self._source = source
        self._topic = topic
        self._partition = partition
        self._key = part_key(topic, partition)
        self._where = TopicPartition(topic, partition)
        self._fatal: KafkaError | None = None
        self._last_error: KafkaError | None = None
        self._heard_ms = 0
        self._of_topic = self._found = source.partitions_of(topic)
        self._consumer = open_client(
            Consumer, {**source.config, "error_cb": self._on_error, "stats_cb": self._on_stats}
        )
        self._offset = self._first_offset(state)
        source.opened(topic, partition, self._offset, is_new=state is None)
        self._max_ms = state[2] if state is not None else 0
        source.heard_of(self._max_ms)
        self._stream_ms = 0
        self._at_end = False
        self._emitted_step = 0
        self._held = _Poll([], None)
        self._batch = max(1, source.options.batch // len(source.list_parts()))
        self._credit = source.options.credit
        self._empty = False
        self._closing: float | None = None
        self._epoch = 0
        self._ended_ms = 0
        self._polled_ms = 0
        self._progress: Progress | None = None
        self._consumer.assign([TopicPartition(topic, partition, self._offset)])

    @watched
    def next_batch(self) -> list[Raw | StreamTime]:
        """Return the available records, at most this partition's share of `batch`, and the stream time every 200 ms."""
        if self._source.stop():
            raise StopIteration
        if self._closing is not None:
            self._epoch_committed(self._closing)
        polled = self._poll()
        if self._source.on_read is not None:
            if polled.raws:
                self._source.on_read(polled.raws)
            polled, self._held = self._held, polled
        self._empty = not (polled.raws or self._held.raws)
        self._emit(polled)
        return [*polled.raws, *self._stream_time()]

    def _emit(self, polled: _Poll) -> None:
        """Move the position past the records that are emitted now."""
        if polled.raws:
            self._offset = polled.raws[-1].origin.offset + 1
            self._at_end = False
            self._credit -= len(polled.raws)
        if polled.end is not None:
            # Transaction markers may follow the last record, so take the end that the broker reports.
            self._offset = max(self._offset, polled.end)
            self._at_end = True
        self._note_event_time(polled.raws)

    def _note_event_time(self, raws: list[Raw]) -> None:
        """Examine every 16th record and the last: an estimate below the true maximum can only delay closing."""
        latest_ms = self._source.clock() + AHEAD_MS
        for raw in (*raws[:-1:STAMP_EVERY], *raws[-1:]):
            event_ms = self._source.event_time(raw.payload)
            if event_ms is not None and self._max_ms < event_ms <= latest_ms:
                self._max_ms = event_ms
        if raws:
            self._source.heard_of(self._max_ms)

    def _poll(self) -> _Poll:
        room = min(self._batch, self._credit - len(self._held.raws))
        messages = self._consumer.consume(room, 0) if room > 0 else []
        if self._fatal is not None:
            raise KafkaSourceError(f"{self._name()}: {explain(self._fatal)}")
        if self._found > self._of_topic:
            raise PartitionsAddedError(
                f"Kafka topic {self._topic} has {self._found} partitions, {self._of_topic} when the job started:"
                " after a restart it reads them all"
            )
        raws: list[Raw] = []
        end: int | None = None
        for message in messages:
            error = message.error()
            if error is None:
                raws.append(self._raw(message))
                end = None
            else:
                end = self._end(error, message)
        return _Poll(raws, end)

    def _raw(self, message: Message) -> Raw:
        broker_ms = max(0, message.timestamp()[1])  # -1 without one
        offset = cast(int, message.offset())
        origin = Origin(topic=self._topic, partition=self._partition, offset=offset, broker_ms=broker_ms)
        return Raw(payload=message.value(), origin=origin)

    def _end(self, error: KafkaError, message: Message) -> int:
        """Return where the partition ends if that is what `error` says; raise any other."""
        if error.code() == KafkaError._PARTITION_EOF:
            return cast(int, message.offset())
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise KafkaSourceError(self._gone(f"offset {self._offset} is no longer there"))
        raise KafkaSourceError(f"{self._name()} at offset {self._offset}: {error.str()}")

    def _stream_time(self) -> list[StreamTime]:
        now = self._source.clock()
        # Compare steps of the clock, not elapsed time: so a clock that is set back does not stop the emission, and all
        # partitions of a process emit together.
        step = now // STREAM_INTERVAL_MS
        if step == self._emitted_step:
            return []
        high = self._high()
        at_end = self._is_at_end()
        caught_up = self._heard_ms > 0 and (at_end or 0 <= high <= self._offset)
        self._stream_ms = max(self._stream_ms, self._time_at(now, caught_up))
        if at_end or high >= 0:
            self._report(0 if at_end else max(high - self._offset, 0))
        if not self._stream_ms:
            return []
        self._emitted_step = step
        progress, self._progress = self._progress, None
        return [
            StreamTime(
                partition_key=self._key,
                partitions=len(self._source.all_parts()),
                stream_ms=self._stream_ms,
                caught_up=caught_up,
                routes=self._source.options.routes,
                progress=progress,
                epoch=self._epoch,
                ended_ms=self._ended_ms,
            )
        ]

    def _is_at_end(self) -> bool:
        return self._at_end and not self._held.raws

    def _time_at(self, now: int, caught_up: bool) -> int:
        if caught_up and self._source.options.recorded_idle_ms:
            return self._source.recorded_ms(now)
        # A producer's clock may be ahead of ours: event times in the future must not close sessions.
        return self._heard_ms if caught_up else min(self._max_ms, now)

    def _progress_now(self) -> Progress:
        """Return the progress. Call it before anything is emitted after a snapshot: the position is then the same."""
        return Progress(
            topic=self._topic,
            partition=self._partition,
            committed_ms=self._source.clock(),
            position=self._offset,
            end_offset=self._offset if self._is_at_end() else max(self._high(), self._offset),
            stream_ms=self._stream_ms,
        )

    def _high(self) -> int:
        """Return the end of the partition as of the last fetch; negative before the first."""
        known = self._consumer.get_watermark_offsets(self._where, cached=True)
        return -1 if known is None else int(known[1])

    def _report(self, lag: int) -> None:
        metrics.LAG.labels(self._topic, self._partition).set(lag)
        metrics.STREAM_TIME.labels(self._topic, self._partition).set(self._stream_ms / 1000)

    def next_awake(self) -> datetime | None:
        """Return when to poll next: at once (None) after records, else in 10 ms.

        Later while `EpochClock` holds the partition because its epochs end before those of others.
        """
        now = self._source.clock()
        spacing, self._polled_ms = now - self._polled_ms, now
        interval = self._source.options.epoch_ms
        held = self._source.epochs.held_until(self._epoch, self._ended_ms, interval, now, spacing)
        if held is not None:
            return datetime.now(timezone.utc) + timedelta(milliseconds=held - now)
        return datetime.now(timezone.utc) + IDLE if self._empty else None

    @watched
    def snapshot(self) -> State:
        """Return the state to resume from. The engine calls this at the end of an epoch, so the credit is renewed."""
        options = self._source.options
        used = options.credit - self._credit
        metrics.CREDIT_USED.labels(self._topic, self._partition).set(used / options.credit)
        metrics.RECORDS.labels(self._topic, self._partition).inc(used)
        self._credit = options.credit
        self._closing = time.monotonic()
        self._epoch += 1
        self._ended_ms = self._source.clock()
        return (1, self._offset, self._max_ms)

    def _epoch_committed(self, since: float) -> None:
        """Record the commit: the engine polls again only after every worker has committed the epoch of the snapshot.

        `since` is the monotonic time of the snapshot.
        """
        metrics.EPOCH_CLOSE.observe(time.monotonic() - since)
        metrics.COMMITTED.set_to_current_time()
        self._closing = None
        self._polled_ms = self._source.clock()  # the time between polls excludes the wait for the commit
        self._progress = self._progress_now() if self._stream_ms else None
        self._source.on_commit()
        try:
            # For display in consumer-lag tools only; our position is in the snapshot.
            self._consumer.commit(
                offsets=[TopicPartition(self._topic, self._partition, self._offset)], asynchronous=True
            )
        except KafkaException as error:
            LOG.debug("%s: offset not shown to the group: %s", self._key, error.args[0].name())

    def close(self) -> None:
        self._consumer.close()

    def _first_offset(self, state: State | None) -> int:
        """Return a concrete start offset: `latest` would skip records that arrive before the first snapshot.

        Raises:
            KafkaSourceError: The broker does not answer, or the partition does not hold the next offset of `state`.
        """
        try:
            low, high = watermarks(self._consumer, self._where)
        except KafkaException as error:
            cause = explain(self._last_error or error.args[0])
            raise KafkaSourceError(f"{self._name()}: no answer within {CONNECT_SECONDS:.0f} s: {cause}") from None
        if state is None:
            options = self._source.options
            return high if options.start == "latest" and not options.resumed else low
        if state[1] < low:
            raise KafkaSourceError(self._gone(f"offset {state[1]} was next, the oldest is {low}"))
        if state[1] > high:
            raise KafkaSourceError(
                f"{self._name()}: offset {state[1]} was next, but the partition ends at {high}: the topic was made anew"
                " or lost records. Start with an empty state folder to read it from its beginning."
            )
        return state[1]

    def _gone(self, what: str) -> str:
        return (
            f"{self._name()}: {what}: the topic's retention has passed the position of the job, and records are lost."
            " Lengthen the retention; to go on without them, start with an empty state folder."
        )

    def _name(self) -> str:
        return f"Kafka topic {self._topic} partition {self._partition}"

    def _on_error(self, error: KafkaError) -> None:
        self._last_error = error
        if error.fatal() or error.code() in LOGIN_ERRORS:
            self._fatal = error

    def _on_stats(self, stats: str) -> None:
        self._found = count_partitions(stats, self._topic)
        silence = silence_us(stats, self._topic, self._partition)
        if silence is not None:
            self._heard_ms = max(self._heard_ms, self._source.clock() - silence // 1000)


class KafkaSource(FixedPartitionedSource[Raw | StreamTime, State]):
    """The partitions of the topics; they emit `Raw` records, followed by a `StreamTime` when one is due.

    Args:
        brokers: Bootstrap list.
        topics: Topics to read; each must exist.
        settings: librdkafka settings passed through; they cannot override those that prevent loss.
        options: Batch, credit, start and so on.
        stop: Returns True to request a drain: every partition ends and the engine takes a last snapshot.
        clock: Wall clock, milliseconds since the Unix epoch.
        event_time: Event time of a payload in milliseconds, None if it has none.
        on_commit: Called after each committed epoch; `flows.parts` touches the supervisor's heartbeat file with it.
        on_read: Called with the records of each poll of a partition; they are then emitted at the next poll, so that
            work on them can begin in another thread while the worker is busy with those before. None: emit at once.
        epochs: Holds when the partitions of all processes ended their last epochs.
    """

    def __init__(
        self,
        brokers: str,
        topics: tuple[str, ...],
        *,
        settings: Mapping[str, str] | None = None,
        options: ReadOptions | None = None,
        stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], int] = now_ms,
        event_time: Callable[[bytes | None], int | None] = event_time_ms,
        on_commit: Callable[[], object] = lambda: None,
        on_read: Callable[[Sequence[Raw]], object] | None = None,
        epochs: EpochClock | None = None,
    ) -> None:
        self.config = {**client_config(brokers, _DEFAULTS, settings or {}), **_OURS}
        self.options = options or ReadOptions()
        self.stop = stop
        self.clock = clock
        self.event_time = event_time
        self.on_commit = on_commit
        self.on_read = on_read
        self.epochs = epochs or EpochClock()
        self._topics = topics
        self._parts: list[str] = []
        self._begins: list[str] = []
        self._latest_ms = 0
        self._read_ms = clock()

    @watched
    def list_parts(self) -> list[str]:
        """Return the names of the partitions that this process reads."""
        number, processes = self.options.share
        return self.all_parts()[number::processes]

    def all_parts(self) -> list[str]:
        """Return the names of all partitions of all topics; asks the broker only once."""
        if not self._parts:
            self._parts = list_partitions(self.config, self._topics)
        return self._parts

    def partitions_of(self, topic: str) -> int:
        """Return the number of partitions that a topic had at the start."""
        return sum(split_part_key(part)[0] == topic for part in self.all_parts())

    @watched
    def build_part(self, _step_id: str, for_part: str, resume_state: State | None) -> _Partition:
        """Open one partition at the position in its snapshot."""
        topic, partition = split_part_key(for_part)
        return _Partition(self, topic, partition, resume_state)

    def opened(self, topic: str, partition: int, offset: int, *, is_new: bool) -> None:
        """Record the first offset of a partition; log all of them in one line once all of this process are open."""
        self._begins.append(f"{topic}[{partition}]@{offset}{' (new)' if is_new else ''}")
        if len(self._begins) == len(self.list_parts()):
            LOG.info("reads %s", ", ".join(self._begins))

    def heard_of(self, event_ms: int) -> None:
        """Record the greatest event time that a partition has read, and that something was read now."""
        self._latest_ms = max(self._latest_ms, event_ms)
        self._read_ms = self.clock()

    def recorded_ms(self, now_ms: int) -> int:
        """Return the stream time of a partition that was read to its end, in recorded traffic.

        It is the greatest event time of all partitions of the process, plus `over_ms` once the input is over, so that
        all open sessions close.
        """
        is_over = now_ms - self._read_ms >= self.options.recorded_idle_ms
        return self._latest_ms + self.options.over_ms if self._latest_ms and is_over else self._latest_ms
