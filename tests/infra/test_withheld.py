"""What an operator sees when the job cannot go on: one line with what is missing, and the fix."""

from __future__ import annotations

import shutil
import socket
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from infra import traffic
from infra.embedded_kafka import MockCluster
from infra.ports import free_port
from infra.traffic import Sent
from tests.chaos.stores import EmbeddedStore, SharedStore
from tests.chaos.supervised import SupervisedJob
from tests.flows.job import TOPICS, LiveJob, send

EVENTS = "undertone.events"
ON_ITS_OWN = "ended with status 3: the job cannot go on before somebody mends what it says above"


def load(seed: int) -> list[Sent]:
    start = datetime.now(timezone.utc) - timedelta(days=1)
    return list(traffic.generate(seed=seed, customers=5, start=start, minutes=20))


def made(cluster: MockCluster, **partitions: int) -> None:
    for name, count in {**TOPICS, **partitions}.items():
        if count:
            cluster.create_topic(name, count)


def lines(job: SupervisedJob, said: str) -> list[str]:
    return [line for line in job.log.splitlines() if said in line]


def test_a_missing_topic_is_named_at_each_attempt_until_somebody_makes_it(
    tmp_path: Path, mock_cluster: MockCluster
) -> None:
    made(mock_cluster)
    with EmbeddedStore(tmp_path) as store:
        settings = {"UNDERTONE_BROKERS": mock_cluster.bootstrap_servers, "UNDERTONE_STORE": store.dsn}
        with SupervisedJob(tmp_path, 1, {**settings, "UNDERTONE_TOPICS": "calls.2026"}) as job:
            job.wait(lambda: job.starts() == 3)
            told = lines(job, "calls.2026")
            assert len(told) == 2
            assert {line.partition(": create it")[0] for line in told} == {
                "flows.live stopped: KafkaSourceError: Kafka has no topic calls.2026,"
                " or does not show it to the job's user"
            }
            assert len(lines(job, ON_ITS_OWN)) == 2
            assert "Traceback" not in job.log
            mock_cluster.create_topic("calls.2026", 1)
            send(mock_cluster.bootstrap_servers, load(1), "calls.2026")
            job.wait(lambda: job.metric("undertone_records_read_total") > 0)
            assert job.drain() == 0


def test_each_of_several_processes_says_what_it_lacks(tmp_path: Path, mock_cluster: MockCluster) -> None:
    made(mock_cluster)
    with EmbeddedStore(tmp_path) as store:
        settings = {"UNDERTONE_BROKERS": mock_cluster.bootstrap_servers, "UNDERTONE_STORE": store.dsn}
        with SupervisedJob(tmp_path, 2, {**settings, "UNDERTONE_TOPICS": "calls.2026"}) as job:
            job.wait(lambda: job.starts() == 3)
            assert len(lines(job, ON_ITS_OWN)) == 2
            assert len(lines(job, "flows.live stopped: KafkaSourceError: Kafka has no topic calls.2026,")) >= 2
            assert "Traceback" not in job.log


def test_a_store_without_tables_is_told_by_the_process_that_met_it(tmp_path: Path, mock_cluster: MockCluster) -> None:
    made(mock_cluster)
    (tmp_path / "db").mkdir()
    send(mock_cluster.bootstrap_servers, load(1))
    with SharedStore(tmp_path, migrated=False) as store:
        settings = {"UNDERTONE_BROKERS": mock_cluster.bootstrap_servers, "UNDERTONE_STORE": store.dsn}
        with SupervisedJob(tmp_path, 2, settings) as job:
            job.wait(lambda: job.starts() == 2)
            assert [line for line in lines(job, "flows.live stopped: StoreError: ") if line.endswith("`make migrate`")]
            assert "Traceback" not in job.log


def test_a_store_that_hangs_is_told_before_the_watchdog_ends_the_job(tmp_path: Path, mock_cluster: MockCluster) -> None:
    made(mock_cluster)
    with SharedStore(tmp_path) as store:
        settings = {"UNDERTONE_BROKERS": mock_cluster.bootstrap_servers, "UNDERTONE_STORE": store.dsn}
        with SupervisedJob(tmp_path, 1, {**settings, "UNDERTONE_WATCHDOG": "24"}) as job:
            send(mock_cluster.bootstrap_servers, load(1))
            job.wait(lambda: job.metric("undertone_rows_written_total") > 0)
            store.hang()
            send(mock_cluster.bootstrap_servers, load(2))
            job.wait(lambda: job.starts() == 2)
            assert lines(job, ": OperationalError; tried again for ")
            assert lines(job, "flows.live stopped: StoreError: ")[0].endswith(": OperationalError")
            assert not lines(job, "no epoch was committed")
            assert "Traceback" not in job.log


def test_a_port_that_is_taken_is_named(tmp_path: Path, mock_cluster: MockCluster) -> None:
    made(mock_cluster)
    with EmbeddedStore(tmp_path) as store, socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        settings = {"UNDERTONE_BROKERS": mock_cluster.bootstrap_servers, "UNDERTONE_STORE": store.dsn}
        settings["UNDERTONE_BASE_PORT"] = str(taken.getsockname()[1])
        with SupervisedJob(tmp_path, 2, settings) as job:
            job.wait(lambda: job.starts() == 2)
            (told,) = lines(job, "UNDERTONE_BASE_PORT")
            assert told.startswith(
                "flows.live stopped: EngineError: failed to initialize networking: Address already in"
            )
            assert "Traceback" not in job.log


def test_a_position_that_retention_has_passed_is_named_and_nothing_is_skipped(
    tmp_path: Path, mock_cluster: MockCluster
) -> None:
    made(mock_cluster, **{EVENTS: 1})
    brokers = mock_cluster.bootstrap_servers
    read, forgotten = send(brokers, load(1)), 5
    with EmbeddedStore(tmp_path) as store:
        settings = {"UNDERTONE_BROKERS": brokers, "UNDERTONE_STORE": store.dsn}
        with SupervisedJob(tmp_path, 1, settings) as job:
            job.wait(lambda: job.metric("undertone_records_read_total") == read)
            assert job.drain() == 0
        send(brokers, load(2))
        mock_cluster.delete_records(EVENTS, 0, read + forgotten)
        with SupervisedJob(tmp_path, 1, settings) as job:
            job.wait(lambda: len(lines(job, ON_ITS_OWN)) == 1)
            told = lines(job, "flows.live stopped: ")
            assert set(told) == {
                f"flows.live stopped: KafkaSourceError: Kafka topic {EVENTS} partition 0: offset {read} was next, the"
                f" oldest is {read + forgotten}: the topic's retention has passed the position of the job, and records"
                " are lost. Lengthen the retention; to go on without them, start with an empty state folder."
            }
            assert "Traceback" not in job.log
            assert job.drain() == 1, "there was nothing to drain"
        shutil.rmtree(tmp_path / "state")
        with SupervisedJob(tmp_path, 1, settings) as job:
            job.wait(lambda: job.metric("undertone_records_read_total") > 0)
            assert job.drain() == 0


@pytest.mark.parametrize("renamed", ["UNDERTONE_TOPICS", "UNDERTONE_FEEDBACK_TOPIC", "UNDERTONE_ESCALATION_TOPIC"])
def test_a_topic_that_is_not_named_any_more_is_told_and_nothing_is_started_again(
    tmp_path: Path, mock_cluster: MockCluster, renamed: str
) -> None:
    made(mock_cluster, other=1)
    send(mock_cluster.bootstrap_servers, load(1))
    with EmbeddedStore(tmp_path) as store:
        settings = {"UNDERTONE_BROKERS": mock_cluster.bootstrap_servers, "UNDERTONE_STORE": store.dsn}
        with SupervisedJob(tmp_path, 1, settings) as job:
            job.wait(lambda: job.metric("undertone_published_total") > 0)
            assert job.drain() == 0
        with SupervisedJob(tmp_path, 1, {**settings, renamed: "other"}) as job:
            assert job.end() == 2
            (told,) = lines(job, "any more, but the state in")
            topic = {"UNDERTONE_TOPICS": EVENTS}.get(renamed, f"undertone.{renamed.split('_')[1].lower()}")
            assert renamed in told
            assert topic.rstrip("s") in told
            assert "Traceback" not in job.log


@pytest.mark.parametrize("processes", [1, 2])
def test_nothing_but_rejects_ends_the_supervised_job_and_it_is_not_started_again(
    tmp_path: Path, mock_cluster: MockCluster, processes: int
) -> None:
    made(mock_cluster)
    good = load(1)[0]
    send(mock_cluster.bootstrap_servers, [good._replace(payload=b"{", key=b"%d" % n) for n in range(400)])
    with SharedStore(tmp_path) as store:
        settings = {"UNDERTONE_BROKERS": mock_cluster.bootstrap_servers, "UNDERTONE_STORE": store.dsn}
        with SupervisedJob(tmp_path, processes, {**settings, "UNDERTONE_REJECT_RUN_LIMIT": "50"}) as job:
            assert job.end() == 4
            assert job.starts() == 1
            assert len(lines(job, "nothing was accepted for too long, see above; not started again")) == 1
            told = (
                "flows.live stopped: TooManyRejectsError: 50 records in a row were rejected, the last for not_json at"
            )
            assert lines(job, told)
            assert "Traceback" not in job.log


def test_a_store_without_tables_ends_the_job_with_the_fix_in_one_line(
    tmp_path: Path, mock_cluster: MockCluster
) -> None:
    made(mock_cluster)
    (tmp_path / "db").mkdir()
    send(mock_cluster.bootstrap_servers, load(1))
    with LiveJob(mock_cluster.bootstrap_servers, tmp_path) as job:
        assert job.wait() == 1
        (told,) = [line for line in job.log.splitlines() if line.startswith("flows.live stopped: ")]
    assert told.startswith("flows.live stopped: StoreError: ")
    assert told.endswith("run `make migrate`")
    assert "Traceback" not in job.log
