"""Latency from Kafka's timestamp to the escalation in its topic and to the row that can be queried, at a given rate."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

import msgspec
from confluent_kafka import Producer

from infra import traffic
from infra.embedded_kafka import MockCluster
from operators.records import Escalation, Raw
from tests.benchmarks.report import heading, progress, quantile, say
from tests.flows.job import TOPICS, LiveJob, read_topic

TOPIC = "undertone.escalations"
ROWS = "undertone_row_latency_seconds"
TABLE = 'table="scored_events"'
WARM_SECONDS = 6.0
"""Traffic before it counts, at the same rate, over the end of an epoch: opening the store is a cost of the start."""
STORED_SECONDS = 6.0
"""Longer than an epoch: what was sent is stored by then."""


def measure(rate: float, seconds: float) -> None:
    """Drive the job at `rate` events a second for a while and print the percentiles of all but the first seconds."""
    heading(f"Latency at half the greatest rate ({rate:,.0f} events/s for {seconds:.0f} s, warm)")
    with MockCluster(TOPICS) as cluster, tempfile.TemporaryDirectory() as folder:
        brokers = cluster.bootstrap_servers
        settings = {"UNDERTONE_SCORER": "onnx", "UNDERTONE_EPOCH": "5"}
        with LiveJob(brokers, Path(folder), settings) as job:
            job.wait_for("undertone_stream_time_seconds", 0)
            progress("warming up")
            events = traffic.bulk(seed=2, n=int(rate * (WARM_SECONDS + seconds)), customers=2000)
            _pace(brokers, rate, islice(events, int(rate * WARM_SECONDS)))
            time.sleep(STORED_SECONDS)
            cold, began_ms = buckets(job.metrics(), ROWS, TABLE), time.time() * 1000
            progress("sending")
            _pace(brokers, rate, events)
            time.sleep(STORED_SECONDS)
            warm = buckets(job.metrics(), ROWS, TABLE)
            job.drain()
        raised = [_times(raw) for raw in read_topic(brokers, TOPIC)]
    _say("ingest -> escalation", [after for caused_ms, after in raised if caused_ms >= began_ms], 0.25)
    rows = {upper: count - cold.get(upper, 0.0) for upper, count in warm.items()}
    for q, budget in ((0.5, None), (0.95, None), (0.99, 1.5)):
        value = quantile_of(rows, q)
        say(f"ingest -> row queryable p{q * 100:.0f}", f"{value * 1000:,.0f} ms", *_against(value, budget))


def _pace(brokers: str, rate: float, records: Iterable[traffic.Sent]) -> None:
    """Send at `rate` records a second."""
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 1})
    started = time.perf_counter()
    for count, record in enumerate(records):
        ahead = count / rate - (time.perf_counter() - started)
        if ahead > 0.002:
            time.sleep(ahead)
        producer.produce("undertone.events", record.payload, record.key)
        producer.poll(0)
    producer.flush()


def _times(raw: Raw) -> tuple[int, float]:
    """Kafka's timestamp of the message that caused an escalation, in ms, and the seconds until it was published."""
    caused_ms = msgspec.json.decode(raw.payload or b"", type=Escalation).broker_ms
    return caused_ms, (raw.origin.broker_ms - caused_ms) / 1000


def _say(what: str, seconds: list[float], budget: float) -> None:
    if not seconds:
        say(what, "no escalation", f"p99 < {budget * 1000:.0f} ms", False)
        return
    for q, limit in ((0.5, None), (0.95, None), (0.99, budget)):
        value = quantile(seconds, q)
        say(f"{what} p{q * 100:.0f} (n = {len(seconds)})", f"{value * 1000:,.0f} ms", *_against(value, limit))


def _against(value: float, budget: float | None) -> tuple[str, bool | None]:
    return ("", None) if budget is None else (f"< {budget * 1000:.0f} ms", value < budget)


def buckets(page: str, name: str, label: str) -> dict[float, float]:
    """A Prometheus histogram: number of observations up to each upper bound, which is the key."""
    lines = [line for line in page.splitlines() if line.startswith(name + "_bucket{") and label in line]
    bounds = [line.split('le="')[1].split('"')[0].replace("+Inf", "inf") for line in lines]
    return {float(bound): float(line.rsplit(" ", 1)[1]) for bound, line in zip(bounds, lines, strict=True)}


def quantile_of(counts: Mapping[float, float], q: float) -> float:
    """Quantile of a histogram, interpolated within its bucket as Prometheus does.

    >>> quantile_of({0.1: 50.0, 0.2: 100.0, float("inf"): 100.0}, 0.75)
    0.15
    """
    lower, below = 0.0, 0.0
    rank = q * max(counts.values(), default=0.0)
    for upper, count in sorted(counts.items()):
        if count >= rank:
            return upper if upper == float("inf") else lower + (upper - lower) * (rank - below) / max(count - below, 1)
        lower, below = upper, count
    return float("inf")
