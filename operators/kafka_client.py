"""Functions that the Kafka source and sink share: they configure clients, and find and name partitions."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

LOG = logging.getLogger("undertone.kafka")
CONNECT_SECONDS: Final = 30.0
VARIABLE_PREFIX: Final = "UNDERTONE_KAFKA_"
"""Prefix of the variables that become librdkafka settings (`flows.settings.KAFKA_PREFIX`); errors name them."""
LOGIN_ERRORS: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
_TRY_SECONDS: Final = 1.0
_SECURITY: Final = ("sasl.", "ssl.", "security.")
_PROPERTY: Final = re.compile(r"\b[a-z]+(?:\.[a-z]+)+\b")
_Client = TypeVar("_Client")
_COMMON: Final[dict[str, Any]] = {
    "group.id": "undertone",
    "reconnect.backoff.ms": 500,
    "log.connection.close": False,
}


class KafkaSourceError(RuntimeError):
    """Topics cannot be read, or not without loss. The message names them and says what to do."""


class PartitionsAddedError(RuntimeError):
    """A topic got more partitions after the start of the job. The next start reads them from their beginning."""


class KafkaSettingsError(KafkaSourceError):
    """A librdkafka setting is wrong, so a retry does not help. The message names its variable but no value."""


def client_config(brokers: str, defaults: Mapping[str, Any], settings: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a client: `defaults`, which `settings` override.

    >>> client_config("b:9092", {"linger.ms": 2}, {"linger.ms": "5"})["linger.ms"]
    '5'
    """
    return {**_COMMON, **defaults, **settings, "bootstrap.servers": brokers}


def producer_config(brokers: str, defaults: Mapping[str, Any], settings: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of a producer, without the consumer group, which librdkafka would warn about.

    >>> "group.id" in producer_config("b:9092", {}, {"group.id": "mine"})
    False
    """
    config = client_config(brokers, defaults, settings)
    del config["group.id"]
    return config


def part_key(topic: str, partition: int) -> str:
    """Return the name of a partition: its key in the engine's recovery store.

    >>> part_key("undertone.events", 3)
    '3-undertone.events'
    """
    return f"{partition}-{topic}"


def split_part_key(key: str) -> tuple[str, int]:
    """Return the topic and partition of a name made by `part_key`.

    >>> split_part_key("3-undertone.events")
    ('undertone.events', 3)
    """
    partition, _, topic = key.partition("-")
    return topic, int(partition)


def variable(name: str) -> str:
    """Return the environment variable of a librdkafka setting.

    >>> variable("ssl.ca.location")
    'UNDERTONE_KAFKA_SSL_CA_LOCATION'
    """
    return VARIABLE_PREFIX + name.upper().replace(".", "_")


def open_client(kind: Callable[[dict[str, Any]], _Client], config: Mapping[str, Any]) -> _Client:
    """Make a consumer or producer. Raises `KafkaSettingsError` when librdkafka refuses a setting."""
    try:
        return kind({**config, "logger": LOG})
    except KafkaException as error:
        said = _PROPERTY.sub(lambda name: variable(name[0]), _without_values(error.args[0].str(), config))
        hint = "" if VARIABLE_PREFIX in said else f"; check {VARIABLE_PREFIX}*"
    raise KafkaSettingsError(f"Kafka settings: {said}{hint}")


def _without_values(said: str, config: Mapping[str, Any]) -> str:
    """Mask the values of security settings, and of settings that the message names: a secret may be misplaced there."""
    suspects = [value for name, value in config.items() if name in said or name.startswith(_SECURITY)]
    values = sorted((value for value in suspects if isinstance(value, str) and value), key=len, reverse=True)
    return re.sub("|".join(map(re.escape, values)), "***", said) if values else said


def explain(error: KafkaError) -> str:
    """Return why a connection failed, and which variables to check.

    >>> explain(KafkaError(KafkaError._SSL, "certificate verify failed"))
    'certificate verify failed; check UNDERTONE_KAFKA_SSL_CA_LOCATION'
    >>> explain(KafkaError(KafkaError._TRANSPORT, "Connection refused"))
    'Connection refused; check UNDERTONE_BROKERS, UNDERTONE_KAFKA_SECURITY_PROTOCOL'
    """
    names: tuple[str, ...] = ()
    first = ""
    if error.code() in LOGIN_ERRORS:
        names = ("sasl.username", "sasl.password", "sasl.mechanism")
    elif error.code() == KafkaError._SSL:
        names = ("ssl.ca.location",)
    elif error.code() in {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}:
        first, names = "UNDERTONE_BROKERS, ", ("security.protocol",)
    hint = "; check " + first + ", ".join(map(variable, names)) if names else ""
    return str(error.str()) + hint


def telling(errors: Sequence[KafkaError]) -> KafkaError | None:
    """Pick the most informative error: the last refused login or certificate, else the last error.

    >>> telling([KafkaError(KafkaError._SSL), KafkaError(KafkaError._ALL_BROKERS_DOWN)]).name()
    '_SSL'
    """
    decisive = [error for error in errors if _is_decisive(error)]
    return next(reversed(decisive or list(errors)), None)


def _is_decisive(error: KafkaError) -> bool:
    return error.code() == KafkaError._SSL or error.code() in LOGIN_ERRORS


def list_partitions(config: Mapping[str, Any], topics: tuple[str, ...]) -> list[str]:
    """Name all partitions of `topics`. Raises `KafkaSourceError` if a topic is missing or no broker answers."""
    errors: list[KafkaError] = []
    consumer = open_client(Consumer, {**config, "error_cb": errors.append})
    try:
        known = _known_topics(consumer, errors)
    finally:
        consumer.close()
    if known is None:
        what, cause = "no Kafka broker answers at", telling(errors)
        if cause is not None and _is_decisive(cause):
            what = "this job may not talk to Kafka at"
        said = explain(cause) if cause else f"nothing within {CONNECT_SECONDS:.0f} s"
        raise KafkaSourceError(f"{what} {config['bootstrap.servers']}: {said}")
    missing = [topic for topic in topics if topic not in known]
    if missing:
        raise KafkaSourceError(
            f"Kafka has no topic {', '.join(missing)}, or does not show it to the job's user:"
            " create it, grant access to it, or name another topic in the settings"
        )
    return [part_key(topic, number) for topic in topics for number in sorted(known[topic].partitions)]


def _known_topics(consumer: Consumer, errors: list[KafkaError]) -> Mapping[str, Any] | None:
    """Return all topics; None when no broker answers in time. A refused login or certificate ends the attempts."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while time.monotonic() < deadline and not any(map(_is_decisive, errors)):
        with suppress(KafkaException):
            return dict(consumer.list_topics(timeout=_TRY_SECONDS).topics)
        consumer.poll(_TRY_SECONDS / 4)  # runs the error callback
    return None


def watermarks(consumer: Consumer, where: TopicPartition) -> tuple[int, int]:
    """Ask the broker for the oldest offset and the end offset of a partition."""
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


_UNASSIGNED: Final = "-1"
"""The pseudo-partition in which librdkafka keeps records that have no partition yet."""
_STATISTICS: Final = msgspec.json.Decoder(_Statistics)


def silence_us(statistics: str | bytes, topic: str, partition: int) -> int | None:
    """Return the microseconds since the leader of a partition last sent anything; None when it is not connected.

    `statistics` is the JSON that librdkafka reports (its STATISTICS.md).
    """
    known = _STATISTICS.decode(statistics)
    leader = known.topics.get(topic, _Topic()).partitions.get(str(partition), _Partition()).leader
    idle = [b.rxidle for b in known.brokers.values() if b.nodeid == leader >= 0 and b.rxidle >= 0]
    return min(idle, default=None)


def count_partitions(statistics: str | bytes, topic: str) -> int:
    """Count the partitions of a topic as the client knows them, updated every `topic.metadata.refresh.interval.ms`.

    >>> count_partitions('{"topics": {"t": {"partitions": {"-1": {}, "0": {}, "1": {}}}}}', "t")
    2
    """
    known = _STATISTICS.decode(statistics).topics.get(topic, _Topic())
    return sum(number != _UNASSIGNED for number in known.partitions)
