"""Replay gives the same numbers as the live run; redrive brings back what was refused and is right now."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
from confluent_kafka import Producer
from msgspec.structs import replace

from flows.redrive import redrive
from flows.replay import ALWAYS, Window
from flows.settings import Settings
from infra import traffic
from infra.embedded_kafka import MockCluster
from operators.records import Origin, Reason, Rejected, StreamTime
from operators.ticks import Timers
from tests.flows.job import TOPICS, LiveJob, read_topic, send
from tests.oracle import Tables, stub_parts
from tests.samples import ONE_OF_EACH
from tests.store_reader import ROOT, comparable, dump, tables


def test_replay_gives_the_numbers_of_the_live_run(tmp_path: Path) -> None:
    with MockCluster(TOPICS) as cluster:
        brokers = cluster.bootstrap_servers
        start = datetime.now(timezone.utc) - timedelta(days=3)
        sent = send(brokers, traffic.generate(seed=5, customers=15, start=start, minutes=30))
        live = tmp_path / "live"
        live.mkdir()
        with LiveJob(brokers, live) as job:
            job.wait_for("undertone_records_read_total", sent)
            job.wait_until_quiet()
            assert job.drain() == 0
        again = _replay(job, tmp_path / "again")
        nothing = _replay(job, tmp_path / "nothing", "--from", "2001-01-01", "--to", "2001-01-02")

    assert _numbers(again) == _numbers(job.store)
    assert "scored_events" not in _numbers(nothing)
    assert dump(job.store)["progress"] != [], "the job tells how far it has come"
    assert dump(again)["progress"] == [], "a replay says nothing of how far the job has come"


def test_a_replay_keeps_quiet_about_how_far_the_job_has_come() -> None:
    window = Window(stub_parts(Settings(), 0)[0], Timers(), *ALWAYS)
    heard = StreamTime(
        partition_key="0-undertone.events",
        partitions=2,
        stream_ms=1,
        caught_up=False,
        progress=ONE_OF_EACH["progress"],
    )

    assert window([heard]) == [replace(heard, progress=None)]


def _replay(job: LiveJob, folder: Path, *arguments: str) -> str:
    store = f"chdb://{folder}"
    subprocess.run(
        [sys.executable, "-m", "infra.clickhouse", "migrate", "--store", store],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    command = [sys.executable, "-m", "flows.replay", "--store", store, *arguments]
    subprocess.run(command, cwd=ROOT, check=True, env=job.environment, capture_output=True)
    return store


def _numbers(store: str) -> Tables:
    return comparable(tables(dump(store)))


def test_redrive_sends_again_what_is_accepted_now() -> None:
    with MockCluster(TOPICS) as cluster:
        settings = Settings(brokers=cluster.bootstrap_servers)
        good = next(iter(traffic.bulk(seed=1, n=1, customers=1)))
        send(settings.brokers, [good, good._replace(payload=b"{", key=b"k")])
        originals = read_topic(settings.brokers, "undertone.events")
        _write_dead_letters(settings, [raw.origin for raw in originals])

        rehearsed = redrive(settings, frozenset(), dry_run=True)
        assert rehearsed == {"would be sent again": 1, "still rejected: not_json": 1}
        assert len(read_topic(settings.brokers, "undertone.events")) == 2

        done = redrive(settings, frozenset({Reason.TIME_IN_FUTURE.value}), dry_run=False)
        assert done == {"sent again": 1, "still rejected: not_json": 1}
        payloads = [raw.payload for raw in read_topic(settings.brokers, "undertone.events")]
        assert payloads.count(good.payload) == 2


def _write_dead_letters(settings: Settings, origins: list[Origin]) -> None:
    producer = Producer({"bootstrap.servers": settings.brokers})
    for origin in origins:
        letter = Rejected(stage="decode", reason=Reason.TIME_IN_FUTURE, origin=origin, field="event_time")
        producer.produce(settings.dead_letter_topic, msgspec.json.encode(letter))
    assert producer.flush(10) == 0
    time.sleep(0.1)
