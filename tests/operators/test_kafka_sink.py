"""The Kafka sink when deliveries fail and when its process is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.embedded_kafka import MockCluster
from operators.kafka_client import KafkaSourceError
from operators.kafka_sink import KafkaSink, KafkaSinkError, Outgoing
from tests.kafka_traffic import PATIENCE_SECONDS, count, fill, fresh_topic, identities, read_all

PRODUCE = 0
INVALID_RECORD = 87
NOT_LEADER = 6
ROOT = Path(__file__).resolve().parents[2]


def part_of(cluster: MockCluster, topic: str, **settings: str) -> Any:
    sink = KafkaSink(cluster.bootstrap_servers, topic, settings=settings, settle_seconds=0.0)
    return sink.build_part("out", f"0-{topic}", None)


def outgoing(count: int) -> list[Outgoing]:
    return [Outgoing(identity=str(number), payload=b"x") for number in range(count)]


def test_a_refused_record_keeps_its_epoch_from_being_committed(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    part = part_of(mock_cluster, topic)
    mock_cluster.fail_requests(PRODUCE, [INVALID_RECORD])
    part.write_batch(outgoing(1))
    with pytest.raises(KafkaSinkError, match=f"{topic} partition 0: a record was not delivered"):
        part.snapshot()


def test_a_failure_between_two_batches_is_told_at_the_next(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    part = part_of(mock_cluster, topic)
    mock_cluster.fail_requests(PRODUCE, [INVALID_RECORD])
    part.write_batch(outgoing(1))
    with pytest.raises(KafkaSinkError):
        wait(lambda: part.write_batch([]))


def test_errors_that_pass_are_retried_in_order_and_once(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    part = part_of(mock_cluster, topic)
    mock_cluster.fail_requests(PRODUCE, [NOT_LEADER, NOT_LEADER])
    part.write_batch(outgoing(20))
    part.snapshot()
    assert identities(mock_cluster.bootstrap_servers, topic) == [str(number) for number in range(20)]


def test_a_broker_that_stays_away_fails_the_snapshot(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    part = part_of(mock_cluster, topic, **{"message.timeout.ms": "500"})
    mock_cluster.set_down()
    part.write_batch(outgoing(3))
    with pytest.raises(KafkaSinkError):
        part.snapshot()


def test_more_than_the_client_can_queue_is_waited_for(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    part = part_of(mock_cluster, topic, **{"queue.buffering.max.messages": "10"})
    part.write_batch(outgoing(100))
    part.snapshot()
    assert len(read_all(mock_cluster.bootstrap_servers, topic)) == 100


def test_records_are_sent_before_the_epoch_ends(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    part = part_of(mock_cluster, topic)
    part.write_batch(outgoing(1))
    wait(lambda: count(mock_cluster.bootstrap_servers, topic) == 1)
    part.snapshot()


def test_only_the_newest_records_are_compared_with_a_replay(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    part_of(mock_cluster, topic).write_batch(outgoing(5))
    sink = KafkaSink(mock_cluster.bootstrap_servers, topic, settle_seconds=0.5, scan_limit=2)
    assert sink.scan(topic, 0, None) == ({"3": 3, "4": 4}, 5)


def test_records_of_other_writers_are_passed_over(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    fill(mock_cluster.bootstrap_servers, topic, [b"no header"] * 3)
    assert KafkaSink(mock_cluster.bootstrap_servers, topic, settle_seconds=0.0).scan(topic, 0, None) == ({}, 3)


def test_a_missing_topic_is_named(mock_cluster: MockCluster) -> None:
    with pytest.raises(KafkaSourceError, match="no topic never-made"):
        KafkaSink(mock_cluster.bootstrap_servers, "never-made").list_parts()


def test_killed_again_and_again_it_loses_and_repeats_nothing(broker: Any, tmp_path: Path) -> None:
    source, target = fresh_topic(broker, 2), fresh_topic(broker, 2)
    rng, per_partition = random.Random(7), 0
    for _ in range(3):
        job = start_copy(broker.bootstrap_servers, source, target, tmp_path / "state")
        per_partition += load(broker.bootstrap_servers, source)
        wait_for_output(job, broker.bootstrap_servers, target, 2 * per_partition - 400)
        time.sleep(rng.random())
        os.kill(job.pid, signal.SIGKILL)
        job.wait()
    job = start_copy(broker.bootstrap_servers, source, target, tmp_path / "state")
    per_partition += load(broker.bootstrap_servers, source)
    wait_for_output(job, broker.bootstrap_servers, target, 2 * per_partition)
    job.terminate()
    assert job.wait(PATIENCE_SECONDS) == 0
    expected = [f"{partition}-{offset}" for partition in (0, 1) for offset in range(per_partition)]
    assert sorted(identities(broker.bootstrap_servers, target)) == sorted(expected)


def wait_for_output(job: subprocess.Popen[bytes], brokers: str, topic: str, records: int) -> None:
    wait(lambda: job.poll() is not None or count(brokers, topic) >= records)
    assert job.poll() is None, "the job ended by itself"


def load(brokers: str, topic: str) -> int:
    """Send for about a second; tells how many records went to each of two partitions."""
    for _ in range(6):
        for partition in (0, 1):
            fill(brokers, topic, [b"x"] * 50, partition)
        time.sleep(0.15)
    return 300


def start_copy(*arguments: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "tests/operators/copy_job.py", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def wait(reached: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)
