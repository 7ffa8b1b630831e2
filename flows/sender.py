"""Send records to Kafka from a command line, and wait until the broker has stored them.

For commands that send something and then end; the job itself publishes through `operators.kafka_sink`. An error
message names the environment variable to check.
"""

from __future__ import annotations

import time

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from flows.settings import Settings
from operators.kafka_client import explain, open_client, producer_config, telling

ANY_PARTITION = -1
"""Kafka's partitioner chooses by the key."""
DEADLINE_S = 10.0
"""Seconds in which the broker must store a record."""


class NotSentError(RuntimeError):
    """The broker did not store a record. The message says why; it holds no value of a setting or a record."""


class Sender:
    """A producer with the brokers and the Kafka settings of the job.

    Args:
        settings: The job's settings; they hold the brokers' addresses, the login and the certificates.
    """

    def __init__(self, settings: Settings) -> None:
        """Open the producer; raise `KafkaSettingsError` when librdkafka refuses a setting."""
        self._brokers = settings.brokers
        self._deadline_s = DEADLINE_S
        self._troubles: list[KafkaError] = []
        self._refused: KafkaError | None = None
        defaults = {"linger.ms": 5, "delivery.timeout.ms": int(self._deadline_s * 1000), "log_level": 0}
        config = producer_config(settings.brokers, defaults, settings.kafka)
        ours = {"enable.idempotence": True, "error_cb": self._troubles.append}
        self._producer = open_client(Producer, {**config, **ours})

    def send(self, topic: str, value: bytes | None, key: bytes | None, partition: int = ANY_PARTITION) -> None:
        """Queue one record; the broker has stored it only when `flush` has returned.

        Raises:
            NotSentError: This record or an earlier one was refused, or the queue stayed full for 10 s.
        """
        deadline = time.monotonic() + self._deadline_s
        while not self._queued(topic, value, key, partition):
            self._producer.poll(0.1)
            if time.monotonic() > deadline:
                raise self._not_sent(topic)
        self._producer.poll(0)
        if self._refused is not None:
            raise self._not_sent(topic)

    def flush(self, topic: str) -> None:
        """Wait until the broker has stored every record sent so far, then clear the errors; errors name `topic`.

        Raises:
            NotSentError: The broker did not store every record.
        """
        if self._producer.flush(self._deadline_s + 1) or self._refused is not None:
            raise self._not_sent(topic)
        self._troubles.clear()

    def _queued(self, topic: str, value: bytes | None, key: bytes | None, partition: int) -> bool:
        """Queue the record in the client; return False when the queue is full."""
        try:
            self._producer.produce(topic, value, key, partition, on_delivery=self._delivered)
        except BufferError:
            return False
        except KafkaException as error:
            self._refused = error.args[0]
            raise self._not_sent(topic) from None
        return True

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        self._refused = self._refused or error

    def _not_sent(self, topic: str) -> NotSentError:
        """Make the error; for a timeout, prefer the error of the connection, because it says why."""
        cause, self._refused = self._refused, None
        if cause is None or cause.code() == KafkaError._MSG_TIMED_OUT:
            cause = telling(self._troubles) or cause
        self._troubles.clear()
        why = explain(cause) if cause is not None else f"no answer within {self._deadline_s:.0f} s"
        return NotSentError(f"topic {topic} at {self._brokers}: {why}")
