"""All metrics of the job, and the endpoint that serves them.

`python -m operators.metrics` prints them as the table in docs/data-engineers.md.
Labels are topics, partitions, tables, stages, reasons and the like: a bounded set of values, never a text or an id.
Instants are in Unix seconds, durations in seconds, which is the convention of Prometheus.
"""

from __future__ import annotations

import sys
import time
from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.metrics import MetricWrapperBase

REGISTRY: Final = CollectorRegistry()
_LATENCY_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_PARTITION: Final = ("topic", "partition")

LAG = Gauge("undertone_kafka_lag_records", "Records of the partition not read yet", _PARTITION, registry=REGISTRY)
STREAM_TIME = Gauge(
    "undertone_stream_time_seconds",
    "How far the partition has come in event time, as a Unix time",
    _PARTITION,
    registry=REGISTRY,
)
CREDIT_USED = Gauge(
    "undertone_source_credit_used_ratio",
    "Share of what the partition may read in one epoch that the last epoch used; 1 means that it was held back",
    _PARTITION,
    registry=REGISTRY,
)
RECORDS = Counter("undertone_records_read", "Records read from the partition", _PARTITION, registry=REGISTRY)
SCORED = Counter(
    "undertone_messages_scored",
    "Messages of customers and agents that the model scored, those that it was unsure about included",
    ("channel",),
    registry=REGISTRY,
)
DRIFT = Gauge(
    "undertone_drift_psi",
    "Stability index of the last messages against those the model was calibrated on: above 0.25 look, and refit",
    ("channel", "measure"),
    registry=REGISTRY,
)
REJECTED = Counter(
    "undertone_rejected", "Records that a stage refused, by its reason", ("stage", "reason"), registry=REGISTRY
)
DUPLICATES = Counter(
    "undertone_duplicate_events",
    "Events that changed nothing: seen before, or older than a revision already known",
    registry=REGISTRY,
)
LATE = Counter("undertone_late_events", "Turns of events that came later than the allowed lateness", registry=REGISTRY)
ROWS = Counter("undertone_rows_written", "Rows that the store acknowledged", ("table",), registry=REGISTRY)
PUBLISHED = Counter("undertone_published", "Records that Kafka acknowledged", ("topic",), registry=REGISTRY)
REPEATS_HELD = Counter(
    "undertone_publications_held_back",
    "Records of a replay that the topic held already and that were not sent again",
    ("topic",),
    registry=REGISTRY,
)
ESCALATIONS = Counter(
    "undertone_escalations", "Transitions of escalations", ("transition", "route", "family"), registry=REGISTRY
)
ROW_LATENCY = Histogram(
    "undertone_row_latency_seconds",
    "From Kafka's timestamp of a record to its row acknowledged by the store",
    ("table",),
    buckets=_LATENCY_BUCKETS,
    registry=REGISTRY,
)
EVENT_LATENCY = Histogram(
    "undertone_event_latency_seconds",
    "From the time of an event, as its source gives it, to its row acknowledged by the store; negative ones count as 0",
    ("table",),
    buckets=(*_LATENCY_BUCKETS, 1800.0, 7200.0, 86400.0),
    registry=REGISTRY,
)
ESCALATION_LATENCY = Histogram(
    "undertone_escalation_latency_seconds",
    "From Kafka's timestamp of the triggering record to its escalation acknowledged by Kafka",
    buckets=_LATENCY_BUCKETS,
    registry=REGISTRY,
)
EPOCH_CLOSE = Histogram(
    "undertone_epoch_close_seconds",
    "How long reading stood still while an epoch was drained, flushed and committed",
    buckets=_LATENCY_BUCKETS,
    registry=REGISTRY,
)
COMMITTED = Gauge(
    "undertone_last_commit_seconds", "When the last epoch was known to be committed, as a Unix time", registry=REGISTRY
)
COMMIT_AGE = Gauge(
    "undertone_last_epoch_age_seconds", "Age of the last committed epoch; alert on this above all", registry=REGISTRY
)
OPEN_SESSIONS = Gauge("undertone_open_sessions", "Sessions that this process holds open", registry=REGISTRY)
TIMERS = Gauge("undertone_timers", "Customers whose timer is armed in this process", registry=REGISTRY)
RECOVERY_SIZE = Gauge(
    "undertone_recovery_store_bytes",
    "Size of the recovery store on disk, told by the first process; a drain and a start end its growth",
    registry=REGISTRY,
)

_STARTED: Final = time.time()
PROCESS_START = Gauge(
    "undertone_process_start_seconds",
    "When this process started, as a Unix time: it changes with each restart",
    registry=REGISTRY,
)
PROCESS_START.set(_STARTED)
BUILD = Gauge(
    "undertone_build_info",
    "Always 1; the labels say what runs",
    ("version", "model", "calibration", "rules"),
    registry=REGISTRY,
)


def _commit_age() -> float:
    last = next(iter(COMMITTED.collect())).samples[0].value
    return time.time() - (last or _STARTED)


COMMIT_AGE.set_function(_commit_age)


def observe_all(histogram: Histogram, values: Iterable[float]) -> None:
    """Observe many values at once, which is much cheaper than one by one: each single call takes two locks."""
    ordered = sorted(values)
    counted = 0
    for bucket, bound in zip(histogram._buckets, histogram._upper_bounds, strict=True):
        within = bisect_right(ordered, bound)
        if within > counted:
            bucket.inc(within - counted)
        counted = within
    histogram._sum.inc(sum(ordered))


def start_server(host: str, port: int) -> None:
    """Serve `/metrics` on `host:port` in its own thread; with port 0 do nothing.

    Raises:
        OSError: The address cannot be bound; the message names it and the variables to check.
    """
    if not port:
        return
    try:
        start_http_server(port, addr=host, registry=REGISTRY)
    except OSError as error:
        why = f"{error.strerror}: metrics cannot be served at {host}:{port}; check UNDERTONE_METRICS_PORT and _HOST"
        raise OSError(error.errno, why) from None


def table() -> str:
    """Return a Markdown table of all metrics, in the order of this file, with the names that the endpoint shows."""
    rows = ["| metric | kind | labels | meaning |", "| --- | --- | --- | --- |"]
    for metric in globals().copy().values():
        if isinstance(metric, MetricWrapperBase):
            (told,) = metric.describe()
            name = f"{told.name}_total" if told.type == "counter" else told.name
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            rows.append(f"| `{name}` | {told.type} | {labels} | {told.documentation} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
