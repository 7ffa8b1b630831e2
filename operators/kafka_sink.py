"""The Kafka sink, effectively once: records that a replay produces again are not sent if the topic holds them already.

Guarantees: when an epoch is committed, all in-sync replicas have acknowledged every record of it; after a crash the
sink reads the records between the last snapshot and the end of the topic, and drops each when the replay produces it
again. This requires one writer and an identity that depends on the data alone. Records are sent when they arrive, not
at the end of the epoch: records of an uncommitted epoch may be published before a crash, but no record is sent twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, cast
from zlib import crc32

import msgspec
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from operators import metrics
from operators.first_failure import watched
from operators.kafka_client import (
    client_config,
    explain,
    list_partitions,
    open_client,
    producer_config,
    split_part_key,
    watermarks,
)

IDENTITY_HEADER: Final = "id"
SETTLE_SECONDS: Final = 1.0
SCAN_LIMIT: Final = 500_000
DELIVERY_SECONDS: Final = 30.0
EPOCHS_TO_FORGET: Final = 3
"""Epochs from the end of a replay until its last records have arrived here, from whichever process."""
_PRODUCER: Final[dict[str, Any]] = {
    "linger.ms": 2,
    "compression.type": "lz4",
    "message.timeout.ms": int(DELIVERY_SECONDS * 1000),
}
_PRODUCER_OURS: Final[dict[str, Any]] = {"enable.idempotence": True, "acks": "all"}
_SCANNER_OURS: Final[dict[str, Any]] = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 20,
}

State = tuple[int, int]
"""Layout (1, offset): records of the topic from `offset` on may be produced again by a replay."""


class KafkaSinkError(RuntimeError):
    """Records could not be delivered, so their epoch must not be committed. The message contains no payload."""


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """One record to publish."""

    identity: str
    """Deterministic and unique within the topic; travels in the header `id`."""
    payload: bytes
    key: bytes | None = None
    """Kafka key of the record; the partition follows from the key of the engine's item, not from this one."""
    broker_ms: int = 0
    """Kafka timestamp, in milliseconds, of the record that caused this one, to measure latency; 0 when unknown."""


class _Partition(StatefulSinkPartition[Outgoing, State]):
    def __init__(self, sink: KafkaSink, topic: str, partition: int, state: State | None) -> None:
        self._producer = sink.producer  # made now, so that a wrong setting fails at the start, not at the first record
        self._topic = topic
        self._partition = partition
        self._failure: KafkaError | None = None
        self._in_flight = 0
        self._is_replay_over = sink.is_replay_over
        self._epochs_left = EPOCHS_TO_FORGET
        self._published, self._end = sink.scan(topic, partition, None if state is None else state[1])

    @watched
    def write_batch(self, values: list[Outgoing]) -> None:
        """Send the records that the topic does not hold yet, without waiting for acknowledgements."""
        self._raise_failure()
        for item in values:
            if self._published.pop(item.identity, None) is None:
                self._send(item)
            else:
                metrics.REPEATS_HELD.labels(self._topic).inc()
        self._producer.poll(0)

    @watched
    def snapshot(self) -> State:
        """Wait for every acknowledgement; the engine commits the epoch only after this returns."""
        deadline = time.monotonic() + DELIVERY_SECONDS + 5
        while self._in_flight and time.monotonic() < deadline:
            self._producer.flush(0.5)
            self._raise_failure()
        self._raise_failure()
        if self._in_flight:
            raise KafkaSinkError(f"{self._name()}: {self._in_flight} records are not acknowledged")
        self._forget()
        # Records found at the start that were not replayed yet may still be replayed, even after another crash.
        return (1, min(self._published.values(), default=self._end))

    def _forget(self) -> None:
        """Once the replay is over, forget records that it did not produce, or each later start would read them."""
        if self._published and self._is_replay_over():
            self._epochs_left -= 1
            if self._epochs_left == 0:
                self._published.clear()

    def _send(self, item: Outgoing) -> None:
        deadline = time.monotonic() + DELIVERY_SECONDS
        while not self._queued(item):
            self._producer.poll(0.1)
            self._raise_failure()
            if time.monotonic() > deadline:
                raise KafkaSinkError(f"{self._name()}: Kafka takes no records")
        self._in_flight += 1

    def _queued(self, item: Outgoing) -> bool:
        """Pass one record to the client; return False when its queue is full."""
        headers: list[tuple[str, str | bytes | None]] = [(IDENTITY_HEADER, item.identity.encode())]
        try:
            self._producer.produce(
                self._topic,
                item.payload,
                item.key,
                self._partition,
                on_delivery=lambda error, message: self._delivered(error, message, item.broker_ms),
                headers=headers,
            )
        except BufferError:
            return False
        except KafkaException as error:
            raise KafkaSinkError(f"{self._name()}: {error.args[0].str()}") from None
        return True

    def _delivered(self, error: KafkaError | None, message: Message, broker_ms: int) -> None:
        self._in_flight -= 1
        if error is not None:
            self._failure = error
            return
        self._end = max(self._end, cast(int, message.offset()) + 1)
        metrics.PUBLISHED.labels(self._topic).inc()
        if broker_ms:
            # Clocks differ, and a negative latency would decrease the histogram's sum.
            metrics.ESCALATION_LATENCY.observe(max(0.0, time.time() - broker_ms / 1000))

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise KafkaSinkError(f"{self._name()}: a record was not delivered: {explain(self._failure)}")

    def _name(self) -> str:
        return f"Kafka topic {self._topic} partition {self._partition}"


class KafkaSink(FixedPartitionedSink[Outgoing, State]):
    """One topic; the partition of an item is the CRC-32 of its key, modulo the number of partitions.

    Args:
        brokers: Bootstrap list.
        topic: Must exist. Add partitions only after a drain: a replay must find each record in its old partition.
        settings: librdkafka settings passed through.
        settle_seconds: How long after a crash a request of the dead process may still reach the broker.
        scan_limit: Most records of a partition, the newest ones, that are compared with a replay.
        is_replay_over: Returns True once everything that was read before this start has been read again.
    """

    def __init__(
        self,
        brokers: str,
        topic: str,
        *,
        settings: Mapping[str, str] | None = None,
        settle_seconds: float = SETTLE_SECONDS,
        scan_limit: int = SCAN_LIMIT,
        is_replay_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self.is_replay_over = is_replay_over
        self._producer_config = {**producer_config(brokers, _PRODUCER, settings or {}), **_PRODUCER_OURS}
        self._scanner_config = {**client_config(brokers, {}, settings or {}), **_SCANNER_OURS}
        self._topic = topic
        self._scan_limit = scan_limit
        self._settled_at = time.monotonic() + settle_seconds
        self._producer: Producer | None = None

    @property
    def producer(self) -> Producer:
        """The one producer of this process for this topic."""
        if self._producer is None:
            self._producer = open_client(Producer, self._producer_config)
        return self._producer

    @watched
    def list_parts(self) -> list[str]:
        """Return one sink partition for each partition of the topic."""
        return list_partitions(self._scanner_config, (self._topic,))

    def part_fn(self, item_key: str) -> int:
        """Hash a key; the engine takes it modulo the number of partitions."""
        return crc32(item_key.encode())

    @watched
    def build_part(self, _step_id: str, for_part: str, resume_state: State | None) -> _Partition:
        """Open one partition, and read the records that were sent after the snapshot."""
        topic, partition = split_part_key(for_part)
        return _Partition(self, topic, partition, resume_state)

    def scan(self, topic: str, partition: int, start: int | None) -> tuple[dict[str, int], int]:
        """Return the identities with their offsets from `start` on (None: from the beginning), and the end offset."""
        time.sleep(max(0.0, self._settled_at - time.monotonic()))
        consumer = open_client(Consumer, self._scanner_config)
        try:
            low, high = watermarks(consumer, TopicPartition(topic, partition))
            first = max(low if start is None else start, low, high - self._scan_limit)
            consumer.assign([TopicPartition(topic, partition, first)])
            return (_identities(consumer, high) if first < high else {}), high
        except KafkaException as error:
            raise KafkaSinkError(f"cannot read the end of Kafka topic {topic}: {explain(error.args[0])}") from None
        finally:
            consumer.close()


def _identities(consumer: Consumer, end: int) -> dict[str, int]:
    found: dict[str, int] = {}
    deadline = time.monotonic() + DELIVERY_SECONDS
    while time.monotonic() < deadline:
        for message in consumer.consume(1000, 0.1):
            deadline = time.monotonic() + DELIVERY_SECONDS
            error = message.error()
            offset = cast(int, message.offset())
            if error is None:
                found.update((identity, offset) for identity in _identity(message))
            elif error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            if offset + (error is None) >= end:
                return found
    raise KafkaSinkError(f"the end of a Kafka topic could not be read within {DELIVERY_SECONDS:.0f} s")


def _identity(message: Message) -> list[str]:
    """Return the record's identity in a list; the list is empty if another program wrote the record."""
    headers = cast("list[tuple[str, bytes]]", message.headers() or [])
    return [value.decode() for name, value in headers if name == IDENTITY_HEADER]
