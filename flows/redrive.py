"""Send refused records through the pipeline again after a fix: `python -m flows.redrive --help`.

A dead letter says where the refused record is; the record itself is still in its topic. Redrive reads it there,
checks that it would be accepted now, and appends it to the same topic under the same key, so that the live job
(the only owner of the customers' state) processes it like any other record.

Each record is sent again only once. Redrive appends a mark to the dead-letter topic, which later runs read: a record
with the key of the letter (topic, partition and offset of the refused record) and no value. A run that is killed has
sent at most `MARK_EVERY` records without marks. The next run sends these a second time, and the job recognises them as
duplicates while the event is among the last 48 settled events of its customer.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import cast

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from flows.sender import NotSentError, Sender
from flows.settings import Settings, SettingsError
from operators.clock import now_ms
from operators.decode import decode_feedback
from operators.identity import Identity
from operators.kafka_client import (
    KafkaSourceError,
    client_config,
    explain,
    list_partitions,
    open_client,
    split_part_key,
    watermarks,
)
from operators.records import Feedback, Origin, Reason, Rejected, Utterance
from operators.rows import place_of
from operators.utterance import accept

POLL_SECONDS = 10.0
MARK_EVERY = 100
SENT = "sent again"
# Each record needs its own fetch, which is delayed by a pending fetch that waits at the end of another partition.
_CONSUMER = {"group.id": "undertone-redrive", "log_level": 0, "fetch.wait.max.ms": 10}
_CONSUMER_OURS = {"enable.auto.commit": False, "enable.partition.eof": True}


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, redrive, and print the outcomes with their counts. Returns the exit status."""
    options = _parser().parse_args(argv)
    try:
        settings = Settings.from_env(os.environ)
        outcome = redrive(settings, frozenset(options.reason or ()), dry_run=options.dry_run, again=options.again)
    except (SettingsError, KafkaSourceError, NotSentError) as error:
        print(f"flows.redrive: {error}", file=sys.stderr)
        return 2
    for name, count in sorted(outcome.items()):
        print(f"{count:8d}  {name}")
    return 0


def redrive(settings: Settings, reasons: frozenset[str], *, dry_run: bool, again: bool = False) -> Counter[str]:
    """Send the record of each dead letter again if it would be accepted now; return the outcomes with their counts.

    Empty `reasons` selects all reasons; `again` includes records that an earlier run has sent.

    Raises:
        KafkaSourceError: The broker does not answer, refuses the login, or has no such topic.
        NotSentError: A record could not be delivered.
    """
    config = {**client_config(settings.brokers, _CONSUMER, settings.kafka), **_CONSUMER_OURS}
    parts = list_partitions(config, (settings.dead_letter_topic,))
    consumer = open_client(Consumer, config)
    try:
        return _Redrive(settings, consumer, dry_run=dry_run, again=again).run(parts, reasons)
    except KafkaException as error:
        raise KafkaSourceError(f"Kafka at {settings.brokers}: {explain(error.args[0])}") from None
    finally:
        consumer.close()


def place(origin: Origin) -> bytes:
    """Return the key of the mark of a record: the key of its letter, so that compaction drops the letter."""
    return place_of(origin).encode()


class _Letter(msgspec.Struct, frozen=True):
    """A dead letter and its partition. Its mark goes there too, so retention deletes the letter first."""

    rejected: Rejected
    partition: int


class _Redrive:
    def __init__(self, settings: Settings, consumer: Consumer, *, dry_run: bool, again: bool) -> None:
        self._settings = settings
        self._consumer = consumer
        self._dry_run = dry_run
        self._again = again
        self._identity = Identity(settings.customer_secret, settings.default_region)
        self._out = Sender(settings)

    def run(self, parts: Sequence[str], reasons: frozenset[str]) -> Counter[str]:
        outcome: Counter[str] = Counter()
        letters, marked = self._read(parts, outcome)
        unmarked: list[_Letter] = []
        for key, letter in letters.items():
            if reasons and letter.rejected.reason.value not in reasons:
                continue
            done = key in marked and not self._again
            became = f"{SENT} by an earlier run" if done else self._send_again(letter.rejected.origin)
            outcome[became] += 1
            if became == SENT:
                unmarked.append(letter)
            if len(unmarked) == MARK_EVERY:
                self._mark(unmarked)
                unmarked = []
        self._mark(unmarked)
        return outcome

    def _read(self, parts: Sequence[str], outcome: Counter[str]) -> tuple[dict[bytes, _Letter], set[bytes]]:
        """Return the letters by their Kafka key, and the marked keys; count records that are not dead letters."""
        letters: dict[bytes, _Letter] = {}
        marked: set[bytes] = set()
        for message in self._read_to_the_end(parts):
            payload, key = message.value(), message.key()
            if payload is None and key is not None:
                marked.add(key)
                continue
            try:
                letter = msgspec.json.decode(payload or b"", type=Rejected)
            except msgspec.MsgspecError:
                outcome["not a dead letter"] += 1
                continue
            letters[place(letter.origin)] = _Letter(letter, cast(int, message.partition()))
        return letters, marked

    def _mark(self, letters: Sequence[_Letter]) -> None:
        """Wait until the broker has the records, then write their marks, so that later runs do not send them."""
        if not letters:
            return
        self._out.flush(", ".join(sorted({letter.rejected.origin.topic for letter in letters})))
        for letter in letters:
            self._out.send(self._settings.dead_letter_topic, None, place(letter.rejected.origin), letter.partition)
        self._out.flush(self._settings.dead_letter_topic)

    def _read_to_the_end(self, parts: Sequence[str]) -> Iterator[Message]:
        places = [TopicPartition(*split_part_key(part), OFFSET_BEGINNING) for part in parts]
        self._consumer.assign(places)
        unread = {place.partition for place in places}
        while unread:
            message = self._poll(self._settings.dead_letter_topic)
            if message.error() is None:
                yield message
            else:  # librdkafka reports the end again after each new record, so ends cannot just be counted
                unread.discard(cast(int, message.partition()))

    def _send_again(self, origin: Origin) -> str:
        record = self._fetch(origin)
        if record is None:
            return "gone: the topic's retention has passed"
        verdict = self._judge(record.value(), origin)
        if isinstance(verdict, Rejected):
            return f"still rejected: {verdict.reason.value}"
        if self._dry_run:
            return "would be sent again"
        self._out.send(origin.topic, record.value(), record.key(), origin.partition)
        return SENT

    def _judge(self, payload: bytes | None, origin: Origin) -> Feedback | Utterance | Rejected:
        """Decode, clean and redact the record as the job would now; it is not scored."""
        if origin.topic == self._settings.feedback_topic:
            return decode_feedback(payload, origin, now_ms())
        return accept(payload, origin, now_ms(), self._identity, self._settings.default_region)

    def _fetch(self, origin: Origin) -> Message | None:
        where = TopicPartition(origin.topic, origin.partition, origin.offset)
        low, high = watermarks(self._consumer, where)
        if not low <= origin.offset < high:
            return None
        self._consumer.assign([where])
        message = self._poll(origin.topic)
        # Compaction leaves gaps: the consumer then returns the next record, or the end, in place of the requested one.
        return message if message.error() is None and message.offset() == origin.offset else None

    def _poll(self, topic: str) -> Message:
        """Return the next record, or the end of a partition, which is a message with an error."""
        message = self._consumer.poll(POLL_SECONDS)
        if message is None:
            raise KafkaSourceError(f"Kafka sent nothing of topic {topic} for {POLL_SECONDS:.0f} s")
        error = message.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return message
        raise KafkaException(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m flows.redrive",
        description="Send dead letters that would be accepted now back to the topic they came from, each once."
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
    parser.add_argument(
        "--again",
        action="store_true",
        help="also send what an earlier run has sent; events older than the last 48 settled ones of their customer are"
        " then counted twice",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, send nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
