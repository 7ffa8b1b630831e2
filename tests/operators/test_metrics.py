"""The metrics page: explained, bounded, on loopback, off when asked."""

from __future__ import annotations

import socket
import time
import urllib.request
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Histogram

from infra.ports import free_port
from operators import metrics

BOUNDED_LABELS = {
    "topic",
    "partition",
    "channel",
    "stage",
    "reason",
    "table",
    "transition",
    "route",
    "family",
    "measure",
    "version",
    "model",
    "calibration",
    "rules",
    "le",
}


def test_every_metric_is_ours_and_explained() -> None:
    families = list(metrics.REGISTRY.collect())
    assert len(families) > 15
    assert all(family.name.startswith("undertone_") and len(family.documentation) > 15 for family in families)


def test_the_page_for_data_engineers_has_every_metric() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "data-engineers.md").read_text(encoding="utf-8")
    assert metrics.table() in page, "the metrics changed: put what `python -m operators.metrics` prints into the page"
    assert metrics.table().count("\n") == len(list(metrics.REGISTRY.collect())) + 2


def test_no_label_can_hold_a_text_or_an_id() -> None:
    metrics.REJECTED.labels("decode", "not_json").inc(0)
    metrics.ROW_LATENCY.labels("sessions")
    used = {label for family in metrics.REGISTRY.collect() for sample in family.samples for label in sample.labels}
    assert used <= BOUNDED_LABELS


@given(st.lists(st.lists(st.floats(0, 20) | st.sampled_from([0.0, 1.0, 2.5]), max_size=20), max_size=3))
def test_many_values_at_once_count_as_one_after_the_other(blocks: list[list[float]]) -> None:
    together, alone = (Histogram("h", "h", buckets=(1.0, 2.5, 10.0), registry=None) for _ in range(2))
    for block in blocks:
        metrics.observe_all(together, block)
        for value in block:
            alone.observe(value)
    (got,), (wanted,) = together.collect(), alone.collect()
    for sample, expected in zip(got.samples, wanted.samples, strict=True):
        assert sample.name == expected.name
        if not sample.name.endswith("_created"):
            assert sample.value == pytest.approx(expected.value)


def test_the_age_of_the_last_epoch_grows_from_the_start_and_falls_at_a_commit() -> None:
    metrics.COMMITTED.set(time.time() - 100)
    old = metrics.REGISTRY.get_sample_value("undertone_last_epoch_age_seconds")
    metrics.COMMITTED.set_to_current_time()
    new = metrics.REGISTRY.get_sample_value("undertone_last_epoch_age_seconds")
    assert old is not None
    assert new is not None
    assert old >= 100 > new


def test_the_page_is_served_on_the_given_address_only() -> None:
    port = free_port()
    metrics.start_server("127.0.0.1", port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        assert b"undertone_kafka_lag_records" in page.read()


def test_a_taken_port_is_named_with_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            OSError, match=f"metrics cannot be served at 127.0.0.1:{port}; check UNDERTONE_METRICS_PORT"
        ):
            metrics.start_server("127.0.0.1", port)


def test_port_zero_serves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was bound")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    metrics.start_server("127.0.0.1", 0)
