"""The live job from a broker to a store, as a process: what it writes, what it keeps to itself, and a downtime."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec

from flows.live import now_ms
from infra import traffic
from infra.embedded_kafka import MockCluster
from tests.flows.job import TOPICS, LiveJob, read_topic, send
from tests.flows.test_pipeline import SETTINGS
from tests.oracle import expected, stub_parts
from tests.outputs import files_text, leaks, table_texts, topic_text
from tests.store_reader import comparable, dump, tables

SEED = 20
CUSTOMERS = 25


def days_ago(days: int) -> datetime:
    return datetime.now(timezone.utc) - timedelta(days=days)


def prepared(cluster: MockCluster) -> str:
    for topic, partitions in TOPICS.items():
        cluster.create_topic(topic, partitions)
    return cluster.bootstrap_servers


def test_no_personal_data_leaves_by_any_way(tmp_path: Path, mock_cluster: MockCluster) -> None:
    brokers = prepared(mock_cluster)
    sent = send(brokers, traffic.generate(seed=SEED, customers=CUSTOMERS, start=days_ago(1), minutes=30))
    with LiveJob(brokers, tmp_path) as job:
        job.wait_for("undertone_records_read_total", sent)
        page = job.metrics()
        assert job.drain() == 0
        log = job.log

    outputs = {
        "log": log,
        "metrics": page,
        "recovery store": files_text(tmp_path / "state"),
        **{topic: topic_text(brokers, topic) for topic in ("undertone.escalations", "undertone.dead_letters")},
        **table_texts(dump(job.store, final=False)),
    }
    secrets = traffic.planted(SEED, CUSTOMERS)
    sources = topic_text(brokers, "undertone.events")
    used = [secret for secret in secrets if secret in sources]
    assert len(used) > 20
    assert "[CARD]" in outputs["scored_events"]
    assert "undertone.customer" in outputs["recovery store"], "the states of the customers are in it"
    assert "undertone_rows_written_total" in page
    assert leaks(outputs, used) == {}


def test_a_downtime_neither_cuts_sessions_nor_makes_the_backlog_late(tmp_path: Path, mock_cluster: MockCluster) -> None:
    brokers = prepared(mock_cluster)
    # To events of three days ago, the time between the two runs is a downtime of three days.
    sent = send(brokers, traffic.generate(seed=SEED, customers=CUSTOMERS, start=days_ago(3), minutes=30, late=0.0))
    few = {"UNDERTONE_CREDIT": "40", "UNDERTONE_BATCH": "20"}
    with LiveJob(brokers, tmp_path, few) as job:
        job.wait_for("undertone_records_read_total", 40)
        job.kill()
    with LiveJob(brokers, tmp_path) as job:
        job.wait_for("undertone_kafka_lag_records", 0)
        job.wait_for("undertone_stream_time_seconds", 1)
        job.wait_until_quiet()
        assert job.drain() == 0

    parts = stub_parts(msgspec.structs.replace(SETTINGS, reject_run_limit=1000), now_ms())
    want = expected(read_topic(brokers, "undertone.events"), *parts)
    got = comparable(tables(dump(job.store)))
    wanted = comparable(want.tables)
    assert sent == len(read_topic(brokers, "undertone.events"))
    assert {table: rows.keys() for table, rows in got.items()} == {table: rows.keys() for table, rows in wanted.items()}
    assert got == wanted
    assert not any(dict(row)["late"] for row in got["trajectory"].values())
