"""One process against two, under the supervisor, all else on the same cores: broker, store front and producer."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from infra import traffic
from infra.embedded_kafka import MockCluster
from tests.benchmarks.report import heading, progress, say
from tests.chaos.stores import SharedStore
from tests.chaos.supervised import SupervisedJob
from tests.flows.job import TOPICS, send

READ = "undertone_records_read_total"
SETTINGS = {
    "UNDERTONE_SCORER": "onnx",
    "UNDERTONE_RECOVERY_PARTITIONS": "16",
    # Records are counted at the end of each epoch: epochs must be short beside the run, yet not all of it.
    "UNDERTONE_EPOCH": "4",
    "UNDERTONE_BATCH": "50",
}


def measure(events: int) -> None:
    """Print how long each takes for the same events, and the ratio."""
    heading(f"One process against two ({events:,} events, {os.cpu_count()} cores shared with broker and store)")
    with MockCluster(TOPICS) as cluster:
        send(cluster.bootstrap_servers, distinct(traffic.bulk(seed=4, n=events, customers=2_000)))
        seconds = {}
        for processes in (1, 2):
            progress(f"{processes} process(es)")
            seconds[processes] = _run(cluster.bootstrap_servers, events, processes)
            say(f"{processes} process(es)", f"{events / seconds[processes]:,.0f} /s")
    ratio = seconds[1] / seconds[2]
    say("two / one", f"{ratio:.2f}", ">= 1.8", ratio >= 1.8)


def distinct(records: Iterable[traffic.Sent]) -> Iterator[traffic.Sent]:
    """The same with a number before each text, so that none is remembered from before."""
    for number, sent in enumerate(records):
        yield sent._replace(payload=sent.payload.replace(b'"text":"', b'"text":"No %d: ' % number, 1))


def _run(brokers: str, events: int, processes: int) -> float:
    with tempfile.TemporaryDirectory() as name, SharedStore(folder := Path(name)) as store:
        settings = {"UNDERTONE_BROKERS": brokers, "UNDERTONE_STORE": store.dsn, **SETTINGS}
        with SupervisedJob(folder, processes, settings) as job:
            seconds = _time(job, events)
            job.drain()
    return seconds


def _time(job: SupervisedJob, events: int) -> float:
    """Seconds for all records at the rate between the first epoch's end and the last one's; starting is not counted."""
    job.wait(lambda: job.metric(READ) > 0)
    began, before = time.perf_counter(), job.metric(READ)
    assert before < events / 2, "too few events to measure a rate: ask for more with --events"
    job.wait(lambda: job.metric(READ) >= events)
    return (time.perf_counter() - began) * events / (events - before)
