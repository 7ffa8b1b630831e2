"""What the Kafka source and sink share: how clients are set up, and how partitions are found and named."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

LOG = logging.getLogger("undertone.kafka")
CONNECT_SECONDS: Final = 30.0
_COMMON: Final[dict[str, Any]] = {
    "group.id": "undertone",
    "reconnect.backoff.ms": 500,
    "log.connection.close": False,
}


class KafkaSourceError(RuntimeError):
    """The topics cannot be read, or not without loss. The message says which and what to do."""


def client_config(brokers: str, defaults: Mapping[str, Any], settings: Mapping[str, str]) -> dict[str, Any]:
    """Settings of a client: ours unless the configuration says otherwise.

    >>> client_config("b:9092", {"linger.ms": 2}, {"linger.ms": "5"})["linger.ms"]
    '5'
    """
    return {**_COMMON, **defaults, **settings, "bootstrap.servers": brokers}


def part_key(topic: str, partition: int) -> str:
    """Name a partition as the engine's recovery store does.

    >>> part_key("undertone.events", 3)
    '3-undertone.events'
    """
    return f"{partition}-{topic}"


def split_part_key(key: str) -> tuple[str, int]:
    """Topic and partition of a name.

    >>> split_part_key("3-undertone.events")
    ('undertone.events', 3)
    """
    partition, _, topic = key.partition("-")
    return topic, int(partition)


def list_partitions(config: Mapping[str, Any], topics: tuple[str, ...]) -> list[str]:
    """Keys of all partitions of `topics`. Raises `KafkaSourceError` when a topic is missing or no broker answers."""
    errors: list[KafkaError] = []
    consumer = Consumer({**config, "error_cb": errors.append, "logger": LOG})
    try:
        known = consumer.list_topics(timeout=CONNECT_SECONDS).topics
    except KafkaException as error:
        cause = errors[-1] if errors else error.args[0]
        where = config["bootstrap.servers"]
        raise KafkaSourceError(f"no Kafka broker answers at {where}: {cause.str()}") from None
    finally:
        consumer.close()
    missing = [topic for topic in topics if topic not in known]
    if missing:
        raise KafkaSourceError(f"Kafka has no topic {', '.join(missing)}: make it, or name another in the settings")
    return [part_key(topic, number) for topic in topics for number in sorted(known[topic].partitions)]


def watermarks(consumer: Consumer, where: TopicPartition) -> tuple[int, int]:
    """Oldest offset and end of a partition, asked of the broker."""
    answer = consumer.get_watermark_offsets(where, timeout=CONNECT_SECONDS)
    if answer is None:
        raise KafkaSourceError(f"Kafka does not say where topic {where.topic} partition {where.partition} ends")
    low, high = answer
    return int(low), int(high)


class _Broker(msgspec.Struct):
    nodeid: int = -1
    rxidle: int = -1


class _Partition(msgspec.Struct):
    leader: int = -1


class _Topic(msgspec.Struct):
    partitions: dict[str, _Partition] = {}


class _Statistics(msgspec.Struct):
    brokers: dict[str, _Broker] = {}
    topics: dict[str, _Topic] = {}


_STATISTICS: Final = msgspec.json.Decoder(_Statistics)


def silence_us(statistics: str | bytes, topic: str, partition: int) -> int | None:
    """Microseconds since the leader of a partition last sent us anything; None when it is not connected.

    `statistics` is what librdkafka reports (its STATISTICS.md).
    """
    known = _STATISTICS.decode(statistics)
    leader = known.topics.get(topic, _Topic()).partitions.get(str(partition), _Partition()).leader
    idle = [b.rxidle for b in known.brokers.values() if b.nodeid == leader >= 0 and b.rxidle >= 0]
    return min(idle, default=None)
