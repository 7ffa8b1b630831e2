"""How long a start with the state of many customers takes, and what they cost in memory."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from infra import traffic
from infra.kafka.broker import KafkaBroker
from tests.benchmarks.report import heading, progress, say
from tests.flows.job import TOPICS, LiveJob, send


def measure(customers: int) -> None:
    """Fill the state with `customers`, drain, start again and time the first epoch."""
    heading(f"Resume with {customers:,} customers")
    # A real broker: the embedded one forgets all but the newest megabytes of a partition.
    with tempfile.TemporaryDirectory() as name, KafkaBroker((folder := Path(name)) / "kafka") as broker:
        for topic, partitions in TOPICS.items():
            broker.create_topic(topic, partitions)
        brokers = broker.bootstrap_servers
        empty = _start(brokers, folder / "empty")
        progress("filling the state")
        send(brokers, traffic.bulk(seed=3, n=customers * 2, customers=customers))
        filled = folder / "filled"
        filled.mkdir()
        with LiveJob(brokers, filled, {"UNDERTONE_EPOCH": "5"}) as job:
            job.wait_for("undertone_records_read_total", customers * 2)
            job.drain()
        progress("starting again")
        took = _start(brokers, filled)
    say("start to first epoch, empty state", f"{empty[0]:.1f} s")
    say("start to first epoch, resumed", f"{took[0]:.1f} s", "< 10 s at 100 k", took[0] < 10)
    say("resident memory, empty / resumed", f"{empty[1]:.0f} / {took[1]:.0f} MB")
    say("memory per customer", f"{(took[1] - empty[1]) * 1e3 / customers:.1f} kB")


def _start(brokers: str, folder: Path) -> tuple[float, float]:
    folder.mkdir(exist_ok=True)
    started = time.perf_counter()
    with LiveJob(brokers, folder, {"UNDERTONE_EPOCH": "0.5"}) as job:
        job.wait_for("undertone_last_commit_seconds", 1.0)
        took = time.perf_counter() - started
        memory = job.resident_mb()
        job.drain()
    return took, memory
