"""The live job as a process of its own, on a given broker, with an embedded store in a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from confluent_kafka import Consumer, Producer, TopicPartition

from infra.mortal import bound
from infra.ports import free_port
from infra.traffic import Sent
from operators.records import Origin, Raw
from tests.metrics_page import page, total, wait_until_quiet
from tests.store_reader import ROOT

__all__ = ["PATIENCE_SECONDS", "TOPICS", "LiveJob", "read_topic", "send"]

TOPICS = {"undertone.events": 4, "undertone.escalations": 2, "undertone.dead_letters": 2, "undertone.feedback": 1}
PATIENCE_SECONDS = 90.0


class LiveJob:
    """Start with `with`; `drain` ends it as an operator would, `kill` as the world does."""

    def __init__(self, brokers: str, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.store = f"chdb://{folder}/db"
        self._port = free_port()
        self._log = folder / "job.log"
        self.environment = {
            "PATH": os.environ["PATH"],
            "UNDERTONE_BROKERS": brokers,
            "UNDERTONE_STORE": self.store,
            "UNDERTONE_STATE_DIR": str(folder / "state"),
            "UNDERTONE_SCORER": "fake",
            "UNDERTONE_EPOCH": "0.5",
            "UNDERTONE_METRICS_PORT": str(self._port),
            "UNDERTONE_DEMO": "1",
            **(settings or {}),
        }

    def __enter__(self) -> LiveJob:
        if not (self.folder / "db").exists():
            command = [sys.executable, "-m", "infra.clickhouse", "migrate", "--store", self.store]
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                bound([sys.executable, "-m", "flows.live"]), cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self.kill()

    @property
    def log(self) -> str:
        """All that the job printed so far."""
        return self._log.read_text()

    def metrics(self) -> str:
        """The metrics page; empty while the job starts."""
        return page(self._port)

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels; -1 when it is not there."""
        return total([self.metrics()], name)

    def wait_for(self, name: str, at_least: float) -> None:
        """Wait until a metric has reached a value; fails loudly when the job died or nothing moves."""
        deadline, before = time.monotonic() + PATIENCE_SECONDS, -1.0
        while (now := self.metric(name)) < at_least:
            if now > before:
                deadline, before = time.monotonic() + PATIENCE_SECONDS, now
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{name} is {now}, not {at_least}; the job said: {self.log[-2000:]}")
            time.sleep(0.1)

    def wait_until_quiet(self) -> None:
        """Wait until the job has written all that it will write of what is in its topics."""
        self.wait_for("undertone_rows_written_total", 1)
        wait_until_quiet(self.metric, PATIENCE_SECONDS, lambda: self.log)

    def resident_mb(self) -> float:
        """Memory of the process, in megabytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(float(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("VmRSS"))

    def drain(self) -> int:
        """Ask it to end; returns its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE_SECONDS)

    def wait(self) -> int:
        """Let it end by itself; the exit status."""
        return self._process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait(PATIENCE_SECONDS)


def send(
    brokers: str,
    records: Iterable[Sent],
    topic: str = "undertone.events",
    settings: Mapping[str, str] | None = None,
    at_ms: int = 0,
) -> int:
    """Produce, with the timestamp `at_ms` or that of now; wait for the acknowledgements, and return how many."""
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 5, **(settings or {})})
    count = 0
    for record in records:
        producer.produce(topic, record.payload, record.key, timestamp=at_ms)
        producer.poll(0)
        count += 1
    assert producer.flush(PATIENCE_SECONDS) == 0
    return count


def read_topic(brokers: str, topic: str) -> list[Raw]:
    """All records of a topic, partition by partition."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test", "auto.offset.reset": "earliest"})
    try:
        return [raw for partition in range(TOPICS[topic]) for raw in _read_partition(consumer, topic, partition)]
    finally:
        consumer.close()


def _read_partition(consumer: Consumer, topic: str, partition: int) -> list[Raw]:
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
    if low == high:
        return []
    consumer.assign([TopicPartition(topic, partition, low)])
    found: list[Raw] = []
    while not found or found[-1].origin.offset < high - 1:
        for message in consumer.consume(500, 1.0):
            assert message.error() is None
            offset, broker_ms = message.offset(), message.timestamp()[1]
            assert offset is not None
            origin = Origin(topic=topic, partition=partition, offset=offset, broker_ms=broker_ms)
            found.append(Raw(payload=message.value(), origin=origin))
    return found
