"""Dead letters, after a fix, back through the same pipeline: `python -m flows.redrive --help`.

A dead letter says where the refused record is; the record itself is still in its topic. Redrive reads it there,
checks that it would be accepted now, and appends it to the same topic under the same key, so that the live job
(the one owner of the customers' state) takes it like any other. Twice is harmless: events have an identity.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from flows.settings import Settings, SettingsError
from operators.decode import decode, decode_feedback
from operators.records import Origin, Reason, Rejected

POLL_SECONDS = 10.0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, redrive, print what was done. Returns the exit status."""
    options = _parser().parse_args(argv)
    try:
        settings = Settings.from_env(os.environ)
        outcome = redrive(settings, frozenset(options.reason or ()), dry_run=options.dry_run)
    except (SettingsError, KafkaException) as error:
        print(f"flows.redrive: {error}", file=sys.stderr)
        return 2
    for name, count in sorted(outcome.items()):
        print(f"{count:8d}  {name}")
    return 0


def redrive(settings: Settings, reasons: frozenset[str], *, dry_run: bool) -> Counter[str]:
    """Send each dead letter's record again if it would be accepted now; count what became of them.

    `reasons` empty means all. Raises `KafkaException` when the broker is away or a record cannot be delivered.
    """
    config = {"bootstrap.servers": settings.brokers, **settings.kafka}
    consumer = Consumer(
        {**config, "group.id": "undertone-redrive", "enable.auto.commit": False, "enable.partition.eof": True}
    )
    producer = Producer({**config, "enable.idempotence": True})
    outcome: Counter[str] = Counter()
    try:
        letters = {letter.origin: letter for letter in _dead_letters(consumer, settings.dead_letter_topic)}
        for origin, letter in letters.items():
            if not reasons or letter.reason.value in reasons:
                outcome[_send_again(consumer, producer, origin, settings, dry_run)] += 1
        producer.flush()
    finally:
        consumer.close()
    return outcome


def _send_again(consumer: Consumer, producer: Producer, origin: Origin, settings: Settings, dry_run: bool) -> str:
    record = _fetch(consumer, origin)
    if record is None:
        return "gone: the topic's retention has passed"
    now_ms = time.time_ns() // 1_000_000
    accept = decode_feedback if origin.topic == settings.feedback_topic else decode
    verdict = accept(record.value(), origin, now_ms)
    if isinstance(verdict, Rejected):
        return f"still rejected: {verdict.reason.value}"
    if dry_run:
        return "would be sent again"
    producer.produce(
        origin.topic, value=record.value(), key=record.key(), partition=origin.partition, on_delivery=_raise_undelivered
    )
    producer.poll(0)
    return "sent again"


def _raise_undelivered(error: object, _message: Message) -> None:
    if error is not None:
        raise KafkaException(error)


def _dead_letters(consumer: Consumer, topic: str) -> Iterator[Rejected]:
    partitions = consumer.list_topics(topic, timeout=POLL_SECONDS).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    ended = 0
    while ended < len(partitions):
        message = consumer.poll(POLL_SECONDS)
        if message is None:
            raise KafkaException(f"{topic}: the broker sent nothing for {POLL_SECONDS:.0f} s")
        error = message.error()
        if error is None:
            yield msgspec.json.decode(message.value() or b"", type=Rejected)
        elif error.code() == KafkaError._PARTITION_EOF:
            ended += 1
        else:
            raise KafkaException(error)


def _fetch(consumer: Consumer, origin: Origin) -> Message | None:
    where = TopicPartition(origin.topic, origin.partition, origin.offset)
    low, high = consumer.get_watermark_offsets(where, timeout=POLL_SECONDS)
    if not low <= origin.offset < high:
        return None
    consumer.assign([where])
    message = consumer.poll(POLL_SECONDS)
    # Compaction leaves gaps: the next record then comes in place of the one asked for.
    if message is None or message.error() is not None or message.offset() != origin.offset:
        return None
    return message


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m flows.redrive",
        description="Send dead letters that would be accepted now back to the topic they came from."
        " Brokers and topics come from UNDERTONE_* variables (docs/data-engineers.md).",
        epilog="example: python -m flows.redrive --reason wrong_schema --dry-run",
    )
    parser.add_argument(
        "--reason",
        action="append",
        choices=[reason.value for reason in Reason],
        metavar="REASON",
        help="only these reasons (may be repeated): " + ", ".join(reason.value for reason in Reason),
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, send nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
