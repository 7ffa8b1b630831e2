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
from confluent_kafka import Producer

from infra.embedded_kafka import MockCluster
from infra.mortal import bound
from operators import metrics
from operators.clock import now_ms
from operators.kafka_client import KafkaSourceError
from operators.kafka_sink import EPOCHS_TO_FORGET, KafkaSink, KafkaSinkError, Outgoing
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
    part = part_of(mock_cluster, topic)
    part.write_batch(outgoing(5))
    part.snapshot()
    sink = KafkaSink(mock_cluster.bootstrap_servers, topic, settle_seconds=0.0, scan_limit=2)
    assert sink.scan(topic, 0, None) == ({"3": 3, "4": 4}, 5)


def test_what_no_replay_brings_is_forgotten_once_it_is_over(mock_cluster: MockCluster) -> None:
    """A start from `latest` after a lost state folder, for one: the tail would be read again at each later start."""
    topic = fresh_topic(mock_cluster)
    first = part_of(mock_cluster, topic)
    first.write_batch(outgoing(3))
    first.snapshot()
    is_over = False
    sink = KafkaSink(mock_cluster.bootstrap_servers, topic, settle_seconds=0.0, is_replay_over=lambda: is_over)
    part = sink.build_part("out", f"0-{topic}", None)
    part.write_batch(outgoing(1))
    assert [part.snapshot() for _ in range(EPOCHS_TO_FORGET)] == [(1, 1)] * EPOCHS_TO_FORGET
    is_over = True
    held = [part.snapshot() for _ in range(EPOCHS_TO_FORGET)]
    assert held == [(1, 1)] * (EPOCHS_TO_FORGET - 1) + [(1, 3)]


def test_a_record_that_kafka_dates_after_our_clock_has_no_negative_latency(mock_cluster: MockCluster) -> None:
    def told(sample: str) -> float:
        return metrics.REGISTRY.get_sample_value(f"undertone_escalation_latency_seconds_{sample}") or 0.0

    part = part_of(mock_cluster, fresh_topic(mock_cluster))
    before = told("count"), told("sum")
    part.write_batch([Outgoing(identity="1", payload=b"x", broker_ms=now_ms() + 60_000)])
    part.snapshot()
    assert (told("count"), told("sum")) == (before[0] + 1, before[1])


def test_records_of_other_writers_are_passed_over(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    fill(mock_cluster.bootstrap_servers, topic, [b"no header"] * 3)
    assert KafkaSink(mock_cluster.bootstrap_servers, topic, settle_seconds=0.0).scan(topic, 0, None) == ({}, 3)


def test_a_missing_topic_is_named(mock_cluster: MockCluster) -> None:
    with pytest.raises(KafkaSourceError, match="no topic never-made"):
        KafkaSink(mock_cluster.bootstrap_servers, "never-made").list_parts()


def test_killed_again_and_again_it_loses_and_repeats_nothing(broker: Any, tmp_path: Path) -> None:
    found, expected = copy_under_fire(broker, tmp_path / "state", kills=4, scan_limit=100_000)
    assert sorted(found) == sorted(expected)


def test_without_reading_its_own_tail_it_would_repeat(mock_cluster: MockCluster, tmp_path: Path) -> None:
    found, expected = copy_under_fire(mock_cluster, tmp_path / "state", kills=2, scan_limit=0)
    assert set(found) == set(expected)
    assert len(found) > len(expected)


def copy_under_fire(broker: Any, state: Path, kills: int, scan_limit: int) -> tuple[list[str], list[str]]:
    """Kill the copying job while it copies, let the last one finish; what the target holds, what it should hold."""
    brokers, source, target = broker.bootstrap_servers, fresh_topic(broker, 2), fresh_topic(broker, 2)
    rng, sent = random.Random(7), 0
    for round_ in range(kills + 1):
        before = count(brokers, target)
        job = start_copy(brokers, source, target, state, scan_limit)
        sent += load(brokers, source, 20)
        wait_for_output(job, brokers, target, before + 1)
        if round_ < kills:
            sent += load(brokers, source, rng.randint(100, 400))
            os.kill(job.pid, signal.SIGKILL)
            job.wait()
    wait_for_output(job, brokers, target, 2 * sent)
    job.terminate()
    assert job.wait(PATIENCE_SECONDS) == 0
    expected = [f"{partition}-{offset}" for partition in (0, 1) for offset in range(sent)]
    return identities(brokers, target), expected


def wait_for_output(job: subprocess.Popen[bytes], brokers: str, topic: str, records: int) -> None:
    wait(lambda: job.poll() is not None or count(brokers, topic) >= records)
    assert job.poll() is None, "the job ended by itself"


def load(brokers: str, topic: str, records: int) -> int:
    """Send so many records to each of two partitions, about a thousand a second."""
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0})
    for _ in range(records):
        for partition in (0, 1):
            producer.produce(topic, b"x", partition=partition)
        producer.poll(0.001)
    assert producer.flush(PATIENCE_SECONDS) == 0
    return records


def start_copy(*arguments: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "tests/operators/copy_job.py", *map(str, arguments)]
    return subprocess.Popen(bound(command), cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def wait(reached: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)
