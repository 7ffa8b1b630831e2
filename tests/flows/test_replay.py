"""Replay gives the same numbers as the live run; redrive brings back what was refused and is right now."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from msgspec.structs import replace

from flows import redrive as redriving
from flows.redrive import main, redrive
from flows.replay import ALWAYS, Window
from flows.replay import main as replay_main
from flows.sender import NotSentError, Sender
from flows.settings import Settings
from infra import traffic
from infra.embedded_kafka import MockCluster
from operators import utterance
from operators.records import Origin, Reason, Rejected, StreamTime
from operators.ticks import Timers
from tests.flows.job import TOPICS, LiveJob, read_topic, send
from tests.kafka_traffic import fill
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


@pytest.mark.parametrize(
    ("changed", "status", "told"),
    [
        (
            {"UNDERTONE_TOPICS": "calls.2026"},
            3,
            "flows.replay stopped: KafkaSourceError: Kafka has no topic calls.2026",
        ),
        ({"UNDERTONE_KAFKA_SASL_PASSWORT": "hunter2"}, 2, 'property: "UNDERTONE_KAFKA_SASL_PASSWORT"'),
        ({"UNDERTONE_STORE": "http://db"}, 2, "flows.replay: a store is chdb:///folder"),
        ({"UNDERTONE_RULES": "none.yaml"}, 2, "flows.replay: rules: none.yaml cannot be read"),
    ],
    ids=["topic", "Kafka setting", "store", "rules"],
)
def test_a_replay_that_cannot_begin_says_why_in_one_line(
    mock_cluster: MockCluster, tmp_path: Path, changed: dict[str, str], status: int, told: str
) -> None:
    environ = {"PATH": "/usr/bin:/bin", "UNDERTONE_BROKERS": mock_cluster.bootstrap_servers, "RUST_BACKTRACE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "flows.replay"],
        cwd=ROOT,
        env={**environ, "UNDERTONE_SCORER": "fake", "UNDERTONE_STORE": f"chdb://{tmp_path}/db", **changed},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == status, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("flows.replay")]
    assert told in line
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_a_part_of_history_is_not_replayed_into_the_store_of_the_whole(capsys: pytest.CaptureFixture[str]) -> None:
    for own in ([], ["--store", Settings().store]):
        assert replay_main(["--from", "2026-01-01", *own]) == 2
        assert "flows.replay: --from needs a --store of its own" in capsys.readouterr().err


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


def test_what_was_sent_again_is_not_sent_by_the_next_run() -> None:
    with MockCluster(TOPICS) as cluster:
        settings = Settings(brokers=cluster.bootstrap_servers)
        good = next(iter(traffic.bulk(seed=1, n=1, customers=1)))
        send(settings.brokers, [good, good._replace(payload=b"{", key=b"k")])
        _write_dead_letters(settings, [raw.origin for raw in read_topic(settings.brokers, "undertone.events")])

        assert redrive(settings, frozenset(), dry_run=False)["sent again"] == 1
        for dry_run in (False, True):
            done = redrive(settings, frozenset(), dry_run=dry_run)
            assert done == {"sent again by an earlier run": 1, "still rejected: not_json": 1}
        assert len(read_topic(settings.brokers, "undertone.events")) == 3

        done = redrive(settings, frozenset(), dry_run=False, again=True)
        assert done == {"sent again": 1, "still rejected: not_json": 1}
        assert len(read_topic(settings.brokers, "undertone.events")) == 4


def test_what_a_run_left_out_is_sent_by_a_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left out for its reason, or refused still: the version that accepts it may come after many runs."""
    with MockCluster(TOPICS) as cluster:
        settings = Settings(brokers=cluster.bootstrap_servers)
        send(settings.brokers, traffic.bulk(seed=1, n=3, customers=3))
        first, *others = [raw.origin for raw in read_topic(settings.brokers, "undertone.events")]
        _write_dead_letters(settings, others)
        _write_dead_letters(settings, [first], Reason.NOT_SCORABLE)
        with monkeypatch.context() as broken:
            broken.setattr(redriving, "accept", lambda payload, origin, *_: rejected_at(origin))
            assert redrive(settings, frozenset(), dry_run=False) == {"still rejected: not_scorable": 3}

        assert redrive(settings, frozenset({Reason.NOT_SCORABLE.value}), dry_run=False) == {"sent again": 1}
        done = redrive(settings, frozenset(), dry_run=False)
        assert done == {"sent again": 2, "sent again by an earlier run": 1}


def test_a_run_that_dies_has_marked_no_record_that_the_topic_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have sent some that it did not mark, at most `MARK_EVERY` of them."""
    monkeypatch.setattr(redriving, "MARK_EVERY", 2)
    with MockCluster(TOPICS) as cluster:
        settings = Settings(brokers=cluster.bootstrap_servers)
        send(settings.brokers, traffic.bulk(seed=1, n=5, customers=5))
        _write_dead_letters(settings, [raw.origin for raw in read_topic(settings.brokers, "undertone.events")])
        with monkeypatch.context() as dying:
            cut_off, really = iter((False, False, True)), Sender.flush

            def flush(out: Sender, topic: str) -> None:
                """Two records, their marks, two records, and no more."""
                really(out, topic)
                if next(cut_off):
                    raise NotSentError("cut off")

            dying.setattr(Sender, "flush", flush)
            with pytest.raises(NotSentError):
                redrive(settings, frozenset(), dry_run=False)
        assert len(read_topic(settings.brokers, "undertone.events")) == 5 + 4

        done = redrive(settings, frozenset(), dry_run=False)
        assert done == {"sent again": 3, "sent again by an earlier run": 2}
        assert redrive(settings, frozenset(), dry_run=False) == {"sent again by an earlier run": 5}


def test_every_partition_of_letters_is_read_while_the_job_writes_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka tells the end of a partition once more for each letter that the job adds to it meanwhile."""
    with MockCluster(TOPICS) as cluster:
        settings = Settings(brokers=cluster.bootstrap_servers)
        send(settings.brokers, traffic.bulk(seed=1, n=3, customers=3))
        letters = [
            msgspec.json.encode(rejected_at(raw.origin)) for raw in read_topic(settings.brokers, "undertone.events")
        ]
        for partition in (0, 1):
            fill(settings.brokers, settings.dead_letter_topic, letters[partition : partition + 1], partition)

        class SlowSecondPartition(Consumer):
            """Partition 1 answers only after the end of partition 0 was told twice."""

            def assign(self, partitions: list[TopicPartition]) -> None:
                super().assign(partitions)
                self.ends, self.slow = 0, [place for place in partitions if place.partition == 1]
                if len(partitions) == 2:
                    self.pause(self.slow)

            def poll(self, timeout: float = -1) -> Message | None:
                message = super().poll(timeout)
                if message is not None and message.error() is not None:
                    self.ends += 1
                    if self.ends == 1:
                        fill(settings.brokers, settings.dead_letter_topic, letters[2:], partition=0)
                    else:
                        self.resume(self.slow)
                return message

        monkeypatch.setattr(redriving, "Consumer", SlowSecondPartition)
        assert redrive(settings, frozenset(), dry_run=True) == {"would be sent again": 3}


def rejected_at(origin: Origin) -> Rejected:
    return Rejected(stage="redact", reason=Reason.NOT_SCORABLE, origin=origin)


def test_a_record_that_cleaning_or_redaction_would_refuse_again_is_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr(utterance, "redact", fails)
    with MockCluster(TOPICS) as cluster:
        settings = Settings(brokers=cluster.bootstrap_servers)
        send(settings.brokers, traffic.bulk(seed=1, n=1, customers=1))
        _write_dead_letters(settings, [raw.origin for raw in read_topic(settings.brokers, "undertone.events")])
        assert redrive(settings, frozenset(), dry_run=False) == {"still rejected: not_scorable": 1}


def test_what_is_no_dead_letter_is_counted_and_a_missing_topic_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mock_cluster: MockCluster
) -> None:
    mock_cluster.create_topic("undertone.dead_letters", 1)
    fill(mock_cluster.bootstrap_servers, "undertone.dead_letters", [b"no json", b"{}"])
    settings = Settings(brokers=mock_cluster.bootstrap_servers)
    assert redrive(settings, frozenset(), dry_run=False) == {"not a dead letter": 2}
    monkeypatch.setenv("UNDERTONE_BROKERS", mock_cluster.bootstrap_servers)
    monkeypatch.setenv("UNDERTONE_DEAD_LETTER_TOPIC", "letters")
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("flows.redrive: Kafka has no topic letters")


def _write_dead_letters(settings: Settings, origins: list[Origin], reason: Reason = Reason.TIME_IN_FUTURE) -> None:
    producer = Producer({"bootstrap.servers": settings.brokers})
    for origin in origins:
        letter = Rejected(stage="decode", reason=reason, origin=origin, field="event_time")
        producer.produce(settings.dead_letter_topic, msgspec.json.encode(letter))
    assert producer.flush(10) == 0
    time.sleep(0.1)
