"""Kafka in tests: fill topics, read them to the end, drive a source partition by hand."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition

from operators.kafka_source import KafkaSource
from operators.records import Progress, Raw, StreamTime

PATIENCE_SECONDS = 60.0
FAST = {"fetch.wait.max.ms": "5", "statistics.interval.ms": "100"}
_NUMBERS = itertools.count()


def fresh_topic(broker: Any, partitions: int = 1) -> str:
    """Make a topic that no other test uses."""
    name = f"topic-{time.time_ns()}-{next(_NUMBERS)}"
    broker.create_topic(name, partitions)
    return name


def fill(brokers: str, topic: str, payloads: Iterable[bytes], partition: int = 0) -> None:
    """Append records and wait until the broker has them."""
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    for payload in payloads:
        producer.produce(topic, payload, partition=partition)
    assert producer.flush(PATIENCE_SECONDS) == 0


def read_all(brokers: str, topic: str) -> list[Message]:
    """Every record of a topic, partition by partition."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test", "enable.partition.eof": True})
    try:
        partitions = consumer.list_topics(topic, timeout=PATIENCE_SECONDS).topics[topic].partitions
        messages: list[Message] = []
        for number in sorted(partitions):
            consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING)])
            while (message := consumer.poll(PATIENCE_SECONDS)) is not None:
                error = message.error()
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    break
                messages.append(message)
        return messages
    finally:
        consumer.close()


def count(brokers: str, topic: str) -> int:
    """How many records a topic that was never trimmed holds."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test"})
    try:
        partitions = consumer.list_topics(topic, timeout=PATIENCE_SECONDS).topics[topic].partitions
        ends = [
            consumer.get_watermark_offsets(TopicPartition(topic, number), PATIENCE_SECONDS) for number in partitions
        ]
        return sum(end[1] for end in ends if end is not None)
    finally:
        consumer.close()


def identities(brokers: str, topic: str) -> list[str]:
    """The `id` headers of a topic's records."""
    return [dict(message.headers() or {})["id"].decode() for message in read_all(brokers, topic)]  # type: ignore[union-attr]


class Reader:
    """A source partition polled as the engine polls it."""

    def __init__(self, source: KafkaSource, part: str, state: Any = None) -> None:
        self.partition = source.build_part("kafka", part, state)
        self.raws: list[Raw] = []
        self.times: list[StreamTime] = []
        self.told: list[Progress] = []

    def poll(self) -> None:
        for item in self.partition.next_batch():
            if isinstance(item, Raw):
                self.raws.append(item)
            else:
                self.times.append(item)
                self.told += [item.progress] if item.progress else []

    def until(self, reached: Callable[[], bool]) -> None:
        """Poll until `reached`; fail when that takes too long."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            assert time.monotonic() < deadline, f"{len(self.raws)} records, last time {self.times[-1:]}"
            self.poll()
            time.sleep(0.005)

    def until_read(self, count: int) -> None:
        self.until(lambda: len(self.raws) >= count)

    def until_caught_up(self) -> None:
        seen = len(self.times)
        self.until(lambda: any(t.caught_up for t in self.times[seen:]))

    def offsets(self) -> list[int]:
        return [raw.origin.offset for raw in self.raws]


def event(second: int) -> bytes:
    """A payload whose event time is so many seconds after the start of 2026."""
    return b'{"event_time": "2026-01-01T%02d:%02d:%02dZ"}' % (second // 3600, second // 60 % 60, second % 60)
