"""Send traffic to Kafka at many times its natural speed, and record what was sent.

Event time runs `speed` times as fast as the wall clock; it begins in the past, so that it never passes the present.
The next round starts where the last one ended, which is near now: from then on, traffic is sent in real time.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Protocol

import msgspec

from infra import traffic

MINUTES = 27.0
"""Event time of one round of traffic."""
LEAD = timedelta(minutes=MINUTES + 2)
"""How long before now a round begins."""


class Producer(Protocol):
    """The methods of a Kafka producer that are used here; `confluent_kafka.Producer` has them."""

    def produce(self, topic: str, value: bytes, key: bytes) -> None:
        """Queue a record."""

    def poll(self, timeout: float) -> int:
        """Serve callbacks."""

    def flush(self, timeout: float) -> int:
        """Wait for delivery; return the number of undelivered records."""


class _Identity(msgspec.Struct):
    event_id: str
    kind: str = "utterance"


class Books:
    """What was sent: the number of records, the events that must become rows, and the refusals expected by reason."""

    def __init__(self) -> None:
        self.sent = 0
        self.expected_rejects: Counter[str] = Counter()
        self.events: set[str] = set()
        self.retracted: set[str] = set()
        self._payloads: set[int] = set()
        self.duplicates = 0

    def enter(self, one: traffic.Sent) -> None:
        """Count one record."""
        self.sent += 1
        if one.expected_reason is not None:
            self.expected_rejects[one.expected_reason] += 1
            return
        fingerprint = hash(one.payload)
        self.duplicates += fingerprint in self._payloads
        self._payloads.add(fingerprint)
        event = msgspec.json.decode(one.payload, type=_Identity)
        self.events.add(event.event_id)
        if event.kind == "retracted":
            self.retracted.add(event.event_id)

    @property
    def rows(self) -> int:
        """Rows that the store must hold in the end."""
        return len(self.events - self.retracted)


class Player(threading.Thread):
    """Sends traffic in the background; `error` holds the exception that stopped it, or None."""

    def __init__(
        self, producer: Producer, topic: str, sent: Iterable[traffic.Sent], speed: float, books: Books
    ) -> None:
        super().__init__(name="traffic", daemon=True)
        self.error: BaseException | None = None
        self._producer, self._topic, self._sent = producer, topic, sent
        self._speed, self._books = speed, books
        self._halt = threading.Event()

    def run(self) -> None:
        """Send every record at its time."""
        try:
            self._play()
        except Exception as error:
            self.error = error

    def stop(self) -> None:
        """Stop sending, and return once the thread has ended."""
        self._halt.set()
        self.join()

    def _play(self) -> None:
        begun: float | None = None
        for one in self._sent:
            due = one.at_ms / 1000 / self._speed
            begun = time.monotonic() - due if begun is None else begun
            ahead = one.at_ms / 1000 - time.time()
            if self._halt.wait(max(0.0, begun + due - time.monotonic(), ahead)):
                break
            self._producer.produce(self._topic, one.payload, one.key)
            self._producer.poll(0)
            self._books.enter(one)
        left = self._producer.flush(30)
        if left:
            raise RuntimeError(f"{left} records could not be delivered to the embedded Kafka within 30 s")


def round_of_traffic(
    seed: int,
    customers: int,
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    after: datetime | None = None,
) -> tuple[list[traffic.Scene], list[traffic.Sent], datetime]:
    """Make one round that begins at `after`, or `LEAD` before now; return its scenes, records and end time."""
    start = now() - LEAD if after is None else after
    scenes = traffic.plan(seed, customers, start, MINUTES)
    return scenes, list(traffic.generate(seed, customers, start, MINUTES)), start + timedelta(minutes=MINUTES)
