"""The live job from a broker to a store, as a process: what it writes, what it keeps to itself, and a downtime."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO

import msgspec
import pytest
from bytewax.dataflow import Dataflow

from flows import live, parts
from flows.settings import Settings, SettingsError
from infra import traffic
from infra.embedded_kafka import MockCluster
from infra.recovery_store import keys
from infra.state_folder import FolderInUseError, lock
from infra.traffic.people import person
from models.calibration import identity
from operators.clickhouse_sink import PARTITIONS, ClickHouseSink
from operators.clock import now_ms
from operators.kafka_sink import KafkaSink
from operators.kafka_source import KafkaSource
from operators.records import StreamTime
from operators.ticks import Timers, routes
from tests.flows.job import TOPICS, LiveJob, read_topic, send
from tests.flows.test_pipeline import SETTINGS
from tests.metrics_page import total
from tests.oracle import expected, stub_parts
from tests.outputs import files_text, leaks, table_texts, topic_text
from tests.store_reader import ROOT, comparable, dump, tables

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
    people = [person(SEED, number).personal() for number in range(CUSTOMERS)]
    assert {kind for one in people for kind, secret in one.items() if secret in used} == people[0].keys()
    assert "[CARD]" in outputs["scored_events"]
    assert "undertone.customer" in outputs["recovery store"], "the states of the customers are in it"
    assert "undertone_rows_written_total" in page
    assert total([page], "undertone_recovery_store_bytes") > 0
    assert leaks(outputs, used) == {}


def test_a_start_says_what_runs_and_where_it_begins(tmp_path: Path, mock_cluster: MockCluster) -> None:
    brokers = prepared(mock_cluster)
    sent = send(brokers, traffic.generate(seed=SEED, customers=2, start=days_ago(1), minutes=5))
    secret = "a secret that nobody must see"
    for first in (True, False):
        with LiveJob(brokers, tmp_path, {"UNDERTONE_CUSTOMER_SECRET": secret}) as job:
            job.wait_for("undertone_records_read_total", sent if first else 0)
            page = job.metrics()
            assert job.drain() == 0

    started = [line.partition(" ") for line in job.log.splitlines() if " undertone.start: " in line]
    versions = f"model fake-1, calibration {identity().version}, rules default/2"
    what = f"undertone.start: undertone 0.1.0, process 0 of 1, {versions}"
    assert [line for _, _, line in started] == [f"{what}, state in {tmp_path}/state"] * 2
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time) for time, _, _ in started)
    fresh, resumed = [line for line in job.log.splitlines() if " undertone.kafka: reads " in line]
    assert "undertone.events[0]@0 (new), " in fresh
    assert "undertone.feedback[0]@0 (new)" in fresh
    assert "(new)" not in resumed
    positions = sum(map(int, re.findall(r"events\[\d\]@(\d+)", resumed)))
    assert positions == sent
    labels = f'calibration="{identity().version}",model="fake-1",rules="default/2",version="0.1.0"'
    assert f"undertone_build_info{{{labels}}} 1.0" in page
    assert secret not in job.log


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


def test_every_part_of_the_job_goes_by_one_number_of_processes() -> None:
    ends = parts.make_ends(Settings(processes=3), Timers(), lambda: False, process_id=1)

    assert isinstance(ends.source, KafkaSource)
    assert isinstance(ends.store, ClickHouseSink)
    assert ends.source.options.share == (1, 3)
    assert ends.source.options.routes == routes(3)
    assert ends.source.options.epoch_ms > 0
    assert ends.store.list_parts()[:2] == ["rows-00001", "rows-00004"]


def test_there_are_no_more_processes_than_the_store_sink_has_partitions() -> None:
    assert Settings.from_env({"UNDERTONE_PROCESSES": str(PARTITIONS)}).processes == PARTITIONS
    with pytest.raises(SettingsError, match="UNDERTONE_PROCESSES"):
        Settings.from_env({"UNDERTONE_PROCESSES": str(PARTITIONS + 1)})


def test_a_replay_is_over_once_live_traffic_was_read_to_its_end_and_never_for_recorded_traffic() -> None:
    timers = Timers()
    live, recorded = (parts.make_ends(Settings(recorded_idle=idle), timers, lambda: False) for idle in (0.0, 1.0))
    sinks = [live.escalations, live.dead_letters, recorded.escalations, recorded.dead_letters]
    read = StreamTime(partition_key="0-undertone.events", partitions=1, stream_ms=1, caught_up=True)

    assert [isinstance(sink, KafkaSink) and sink.is_replay_over() for sink in sinks] == [False] * 4
    timers.advance(read)
    assert [isinstance(sink, KafkaSink) and sink.is_replay_over() for sink in sinks] == [True, True, False, False]


@pytest.mark.parametrize(
    ("processes", "arguments", "told"),
    [
        ("1", ["--addresses", "a:1;b:2"], "processes by --addresses: 2; set UNDERTONE_PROCESSES to 2"),
        (
            "3",
            ["--process-id", "1", "--addresses", "a:1;b:2"],
            "processes by --addresses: 2; set UNDERTONE_PROCESSES to 2",
        ),
        ("2", [], "processes by --addresses: 1; set UNDERTONE_PROCESSES to 1, or let infra.launch start them all"),
        ("2", ["--process-id", "2", "--addresses", "a:1;b:2"], "--process-id must be from 0 to 1"),
        ("1", ["--process-id", "1"], "--process-id must be from 0 to 0"),
        ("2", ["--process-id", "-1", "--addresses", "a:1;b:2"], "--process-id must be from 0 to 1"),
    ],
)
def test_a_process_that_is_told_two_numbers_of_processes_does_not_start(
    processes: str,
    arguments: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("UNDERTONE_PROCESSES", processes)

    assert live.cli(arguments) == 2
    assert told in capsys.readouterr().err


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What `live.main` keeps locked until its process ends, it gives up after the test."""
    opened: list[IO[str]] = []
    monkeypatch.setattr(live, "_held", opened)
    yield
    for file in opened:
        file.close()


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["-i", "0", "-a", "localhost:2101;localhost:2102"], {}),
        (["-i", "1", "-a", "localhost:2101;localhost:2102"], {"UNDERTONE_PROCESSES": "2"}),
        (["-w", "2"], {}),
        ([], {"BYTEWAX_PROCESS_ID": "0", "BYTEWAX_ADDRESSES": "localhost:2101;localhost:2102"}),
        ([], {"BYTEWAX_WORKERS_PER_PROCESS": "2"}),
    ],
    ids=["processes", "processes as set", "workers", "processes by variable", "workers by variable"],
)
def test_the_command_line_of_the_engine_runs_one_worker_and_refuses_more(
    arguments: list[str], environ: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bytewax.run", "flows.live:main", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "UNDERTONE_SCORER": "fake", **environ},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert done.returncode != 0
    told = "bytewax.run runs this job as one process with one worker: for more, set UNDERTONE_PROCESSES"
    assert told in done.stderr.splitlines()[-1]


def test_two_jobs_without_a_launcher_cannot_share_a_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNDERTONE_STATE_DIR", str(tmp_path))
    with lock(tmp_path, name="lock-0"):
        assert live.cli([]) == 2
    assert f"flows.live: another job (process {os.getpid()}) or one of its workers runs on" in capsys.readouterr().err


@pytest.mark.usefixtures("held")
def test_the_command_line_of_the_engine_gets_the_graph_and_its_state_folder_is_locked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UNDERTONE_SCORER", "fake")
    monkeypatch.setenv("UNDERTONE_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["run.py", "flows.live:main", "-s", "5"])

    assert isinstance(live.main(), Dataflow)
    with pytest.raises(FolderInUseError):
        lock(tmp_path, patience=0.0, name="lock-0")


@pytest.mark.usefixtures("held")
def test_the_command_line_of_the_engine_reads_no_snapshot_of_an_uncommitted_epoch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = parts.recovery_store(Settings(state_dir=tmp_path))
    with closing(sqlite3.connect(store / "part-0.sqlite3")) as file, file:
        file.execute("INSERT INTO snaps (step_id, state_key, snap_epoch) VALUES ('undertone.customer', '7', 1)")
    monkeypatch.setenv("UNDERTONE_SCORER", "fake")
    monkeypatch.setenv("UNDERTONE_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["run.py", "flows.live:main", "-r", str(store), "-s", "5", "-b", "0"])

    live.main()
    assert keys(store, "undertone.customer") == set()


@pytest.mark.usefixtures("held")
def test_the_command_line_of_the_engine_may_name_no_other_recovery_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UNDERTONE_STATE_DIR", str(tmp_path / "mine"))
    monkeypatch.setattr(sys, "argv", ["run.py", "flows.live:main", "-r", str(tmp_path), "-s", "5", "-b", "0"])

    with pytest.raises(SettingsError, match=f"-r must be {tmp_path}/mine/recovery"):
        live.main()
