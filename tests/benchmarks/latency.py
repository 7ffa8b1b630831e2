"""Latency from Kafka's timestamp to the escalation in its topic and to the row that can be queried, at a given rate."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import msgspec
from confluent_kafka import Producer

from infra import traffic
from infra.embedded_kafka import MockCluster
from operators.records import Escalation
from tests.benchmarks.report import heading, progress, quantile, say
from tests.flows.job import TOPICS, LiveJob, read_topic

ROWS = "undertone_row_latency_seconds"


def measure(rate: float, seconds: float) -> None:
    """Drive the job at `rate` events a second for a while and print the percentiles."""
    heading(f"Latency at half the greatest rate ({rate:,.0f} events/s for {seconds:.0f} s)")
    with MockCluster(TOPICS) as cluster, tempfile.TemporaryDirectory() as folder:
        brokers = cluster.bootstrap_servers
        settings = {"UNDERTONE_SCORER": "onnx", "UNDERTONE_EPOCH": "5"}
        with LiveJob(brokers, Path(folder), settings) as job:
            job.wait_for("undertone_stream_time_seconds", 0)
            progress("sending")
            sent = _pace(brokers, rate, seconds)
            job.wait_for("undertone_records_read_total", sent * 0.9)
            time.sleep(6)
            page = job.metrics()
            job.drain()
        escalations = [_delay(raw.payload or b"", raw.origin.broker_ms) for raw in read_topic(brokers, TOPIC)]
    _say("ingest -> escalation", escalations, 0.25)
    for q, budget in ((0.5, None), (0.95, None), (0.99, 1.5)):
        value = from_histogram(page, ROWS, 'table="scored_events"', q)
        say(f"ingest -> row queryable p{q * 100:.0f}", f"{value * 1000:,.0f} ms", *_against(value, budget))


TOPIC = "undertone.escalations"


def _pace(brokers: str, rate: float, seconds: float) -> int:
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 1})
    started = time.perf_counter()
    count = 0
    for record in traffic.bulk(seed=2, n=int(rate * seconds), customers=2000):
        ahead = count / rate - (time.perf_counter() - started)
        if ahead > 0.002:
            time.sleep(ahead)
        producer.produce("undertone.events", record.payload, record.key)
        producer.poll(0)
        count += 1
    producer.flush()
    return count


def _delay(payload: bytes, published_ms: int) -> float:
    return (published_ms - msgspec.json.decode(payload, type=Escalation).broker_ms) / 1000


def _say(what: str, seconds: list[float], budget: float) -> None:
    if not seconds:
        say(what, "no escalation", f"p99 < {budget * 1000:.0f} ms", False)
        return
    for q, limit in ((0.5, None), (0.95, None), (0.99, budget)):
        value = quantile(seconds, q)
        say(f"{what} p{q * 100:.0f} (n = {len(seconds)})", f"{value * 1000:,.0f} ms", *_against(value, limit))


def _against(value: float, budget: float | None) -> tuple[str, bool | None]:
    return ("", None) if budget is None else (f"< {budget * 1000:.0f} ms", value < budget)


def from_histogram(page: str, name: str, label: str, q: float) -> float:
    """Quantile of a Prometheus histogram, interpolated within its bucket as Prometheus does."""
    buckets: list[tuple[float, float]] = []
    for line in page.splitlines():
        if line.startswith(name + "_bucket{") and label in line:
            bound = line.split('le="')[1].split('"')[0]
            buckets.append((float(bound.replace("+Inf", "inf")), float(line.rsplit(" ", 1)[1])))
    buckets.sort()
    rank = q * buckets[-1][1]
    lower, below = 0.0, 0.0
    for upper, count in buckets:
        if count >= rank:
            return upper if upper == float("inf") else lower + (upper - lower) * (rank - below) / max(count - below, 1)
        lower, below = upper, count
    return float("inf")
