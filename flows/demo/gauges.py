"""Read the job's metrics from its Prometheus endpoint: how much it has read, and its latency."""

from __future__ import annotations

from collections.abc import Iterator

import requests
from prometheus_client.parser import text_string_to_metric_families

from infra.wallboard import Latency

HISTOGRAMS = {"undertone_row_latency_seconds": "to row", "undertone_escalation_latency_seconds": "to escalation"}

Buckets = list[tuple[float, float]]
"""(upper bound in seconds, number of observations at or below it), ascending."""
Sample = tuple[str, dict[str, str], float]


class Gauges:
    """Reads `http://127.0.0.1:port/metrics`; without an answer, all figures are empty or 0."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/metrics"

    def reading(self) -> bool:
        """Whether the job is running and has its partitions."""
        return any(name == "undertone_kafka_lag_records" for name, _, _ in self._samples())

    def records_read(self) -> int:
        """Records that the job has read so far."""
        return int(sum(value for name, _, value in self._samples() if name == "undertone_records_read_total"))

    def open_sessions(self) -> int:
        """Sessions that are still open."""
        return int(sum(value for name, _, value in self._samples() if name == "undertone_open_sessions"))

    def latencies(self) -> tuple[Latency, ...]:
        """Latency percentiles since the job started, measured from Kafka's timestamp."""
        samples = list(self._samples())
        found = ((title, cumulated(samples, f"{name}_bucket")) for name, title in HISTOGRAMS.items())
        return tuple(
            Latency(name=title, p50=1000 * quantile(buckets, 0.5), p95=1000 * quantile(buckets, 0.95))
            for title, buckets in found
            if buckets and buckets[-1][1]
        )

    def _samples(self) -> Iterator[Sample]:
        for family in text_string_to_metric_families(self._scrape()):
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value

    def _scrape(self) -> str:
        try:
            return requests.get(self._address, timeout=2).text
        except requests.RequestException:
            return ""


def cumulated(samples: list[Sample], name: str) -> Buckets:
    """Add up the buckets of one histogram over its labels; with a label `table`, only `scored_events` counts.

    >>> cumulated([("x_bucket", {"le": "0.1"}, 3.0), ("x_bucket", {"le": "+Inf"}, 4.0)], "x_bucket")
    [(0.1, 3.0), (inf, 4.0)]
    """
    counts: dict[float, float] = {}
    for sample, labels, value in samples:
        if sample == name and labels.get("table", "scored_events") == "scored_events":
            bound = float(labels["le"])
            counts[bound] = counts.get(bound, 0.0) + value
    return sorted(counts.items())


def quantile(buckets: Buckets, share: float) -> float:
    """Estimate a quantile from cumulative buckets, linear within a bucket, as Prometheus does.

    >>> quantile([(0.1, 50.0), (0.2, 100.0), (float("inf"), 100.0)], 0.75)
    0.15
    """
    wanted = share * buckets[-1][1]
    below, lower = 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted and count > below:
            return lower if bound == float("inf") else lower + (bound - lower) * (wanted - below) / (count - below)
        below, lower = count, bound
    return lower
