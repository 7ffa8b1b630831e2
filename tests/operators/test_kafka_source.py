"""The Kafka source where it must not trust the broker, the clock or the records."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, cluster_main
from confluent_kafka.cimpl import NewPartitions

from infra.embedded_kafka import MockCluster
from infra.kafka.broker import KafkaBroker
from operators import metrics
from operators.clock import now_ms
from operators.kafka_client import KafkaSourceError, PartitionsAddedError, silence_us
from operators.kafka_source import STREAM_INTERVAL_MS, KafkaSource, ReadOptions, event_time_ms
from operators.records import Origin, Raw
from tests.kafka_traffic import FAST, Reader, event, fill, fresh_topic

FETCH = 1
TOPIC_AUTHORIZATION_FAILED = 29
NOT_LEADER = 6
START_2026_MS = 1_767_225_600_000


def source_of(broker: Any, *topics: str, **arguments: Any) -> KafkaSource:
    return KafkaSource(broker.bootstrap_servers, topics, **{"settings": FAST, **arguments})


@pytest.mark.parametrize("on_read", [None, lambda raws: None], ids=["emitted at once", "told before"])
def test_no_more_than_the_credit_is_read_in_one_epoch(
    mock_cluster: MockCluster, on_read: Callable[[Sequence[Raw]], object] | None
) -> None:
    topic = fresh_topic(mock_cluster)
    fill(mock_cluster.bootstrap_servers, topic, [b"x"] * 100)
    source = source_of(mock_cluster, topic, options=ReadOptions(batch=7, credit=20), on_read=on_read)
    reader = Reader(source, f"0-{topic}")
    reader.until_read(20)
    for _ in range(50):
        reader.poll()
    assert len(reader.raws) == 20
    reader.partition.snapshot()
    reader.until_read(40)
    assert len(reader.raws) == 40


def test_the_partitions_of_a_process_share_one_batch(mock_cluster: MockCluster) -> None:
    """The engine scores what all of them bring at once: with a batch each, that grew with their number."""
    topic = fresh_topic(mock_cluster, partitions=4)
    for partition in range(4):
        fill(mock_cluster.bootstrap_servers, topic, [b"x"] * 50, partition)
    for batch, each in ((20, 5), (3, 1)):
        source = source_of(mock_cluster, topic, options=ReadOptions(batch=batch))
        readers = [Reader(source, part) for part in source.list_parts()]
        brought: list[int] = []
        for reader in readers:
            before = 0
            while before < 50:
                reader.until_read(before + 1)
                brought.append(len(reader.raws) - before)
                before = len(reader.raws)
        assert max(brought) == each


def test_what_is_read_is_told_at_once_and_emitted_at_the_next_poll(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    fill(mock_cluster.bootstrap_servers, topic, [event(n) for n in range(30)])
    polls: list[Sequence[Raw]] = []
    source = source_of(mock_cluster, topic, options=ReadOptions(batch=7), on_read=polls.append)
    reader = Reader(source, f"0-{topic}")

    reader.until(lambda: len(polls) == 3)

    assert reader.raws == [raw for poll in polls[:2] for raw in poll]
    emitted = len(reader.raws)
    state = reader.partition.snapshot()
    assert state == (1, emitted, START_2026_MS + 1000 * (emitted - 1)), "what is held is not in the snapshot"
    again = Reader(source_of(mock_cluster, topic), f"0-{topic}", state)
    again.until_read(30 - emitted)
    assert [*reader.offsets(), *again.offsets()] == list(range(30))


def test_a_partition_has_not_caught_up_while_it_holds_a_record(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    fill(mock_cluster.bootstrap_servers, topic, [event(0)])
    polls: list[Sequence[Raw]] = []
    ticking = itertools.count(now_ms(), STREAM_INTERVAL_MS)
    source = source_of(mock_cluster, topic, on_read=polls.append, clock=lambda: next(ticking))
    reader = Reader(source, f"0-{topic}")
    reader.until_caught_up()
    fill(mock_cluster.bootstrap_servers, topic, [event(1)])

    reader.until(lambda: len(polls) == 2)
    assert (len(reader.raws), reader.times[-1].caught_up) == (1, False)
    assert reader.partition.next_awake() is None
    reader.poll()
    assert len(reader.raws) == 2
    reader.until_caught_up()


def test_progress_is_told_once_after_each_committed_epoch(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    fill(mock_cluster.bootstrap_servers, topic, [event(n) for n in range(50)])
    source = source_of(mock_cluster, topic, options=ReadOptions(batch=7, credit=20))
    reader = Reader(source, f"0-{topic}")
    reader.until(lambda: len(reader.raws) == 20 and bool(reader.times))
    before_ms = source.clock()
    reader.partition.snapshot()
    reader.until(lambda: reader.told != [])
    reader.until_read(40)

    (told,) = reader.told

    assert (told.topic, told.partition, told.position, told.end_offset) == (topic, 0, 20, 50)
    assert before_ms <= told.committed_ms <= source.clock()
    assert START_2026_MS < told.stream_ms <= START_2026_MS + 19_000


def test_no_lag_is_shown_before_the_broker_has_told_the_end(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    fill(mock_cluster.bootstrap_servers, topic, [event(n) for n in range(50)])
    reader = Reader(source_of(mock_cluster, topic, options=ReadOptions(batch=7, credit=20)), f"0-{topic}")

    def lag() -> float | None:
        return metrics.REGISTRY.get_sample_value("undertone_kafka_lag_records", {"topic": topic, "partition": "0"})

    reader.poll()
    assert lag() in (None, 50 - len(reader.raws)), "the end may be told before the first record comes"
    reader.until(lambda: lag() is not None)
    assert lag() == 50 - len(reader.raws)


def test_a_drain_ends_the_partition(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    stopping = False
    reader = Reader(source_of(mock_cluster, topic, stop=lambda: stopping), f"0-{topic}")
    reader.poll()
    stopping = True
    with pytest.raises(StopIteration):
        reader.poll()


def test_an_idle_partition_asks_to_be_polled_later(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    reader = Reader(source_of(mock_cluster, topic), f"0-{topic}")
    reader.poll()
    awake = reader.partition.next_awake()
    assert awake is not None
    assert awake <= datetime.now(timezone.utc) + timedelta(milliseconds=20)


def test_stream_time_is_event_time_while_lagging_and_the_clock_once_caught_up(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    fill(mock_cluster.bootstrap_servers, topic, [event(30), event(10), b"{not json", event(20)])
    source = source_of(mock_cluster, topic, options=ReadOptions(batch=3, credit=3))
    reader = Reader(source, f"0-{topic}")
    reader.until(lambda: len(reader.raws) == 3 and bool(reader.times))
    assert (reader.times[-1].stream_ms, reader.times[-1].caught_up) == (START_2026_MS + 30_000, False)
    reader.partition.snapshot()
    reader.until_caught_up()
    last = reader.times[-1]
    assert START_2026_MS + 60_000 < last.stream_ms <= source.clock()


def test_a_record_without_a_timestamp_has_none_rather_than_one_before_1970(mock_cluster: MockCluster) -> None:
    class Undated:
        value, offset, timestamp = staticmethod(lambda: b"x"), staticmethod(lambda: 7), staticmethod(lambda: (0, -1))

    topic = fresh_topic(mock_cluster)
    part: Any = Reader(source_of(mock_cluster, topic), f"0-{topic}").partition
    assert part._raw(Undated()).origin == Origin(topic=topic, partition=0, offset=7, broker_ms=0)


def test_a_clock_that_is_set_back_does_not_silence_stream_time(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    fill(mock_cluster.bootstrap_servers, topic, [event(30)])
    behind_ms = 0
    reader = Reader(source_of(mock_cluster, topic, clock=lambda: now_ms() - behind_ms), f"0-{topic}")
    reader.until_caught_up()
    before, heard = reader.times[-1].stream_ms, len(reader.times)
    behind_ms = 3_600_000
    reader.poll()
    assert [time.stream_ms for time in reader.times[heard:]] == [before]


@pytest.mark.parametrize(("count", "looked_at"), [(0, []), (1, [0]), (17, [0, 16]), (40, [0, 16, 32, 39])])
def test_event_time_is_taken_from_every_16th_record_and_the_last_each_once(
    mock_cluster: MockCluster, count: int, looked_at: list[int]
) -> None:
    topic = fresh_topic(mock_cluster)
    seen: list[int] = []

    def note(payload: bytes | None) -> None:
        seen.append(int(payload or b""))

    part: Any = Reader(source_of(mock_cluster, topic, event_time=note), f"0-{topic}").partition
    origin = Origin(topic=topic, partition=0, offset=0, broker_ms=0)
    part._note_event_time([Raw(payload=b"%d" % number, origin=origin) for number in range(count)])
    assert seen == looked_at


def test_recorded_traffic_brings_its_own_time_and_is_over_when_it_rests(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster, partitions=2)
    fill(mock_cluster.bootstrap_servers, topic, [event(100)])
    fill(mock_cluster.bootstrap_servers, topic, [event(40)], partition=1)
    options = ReadOptions(recorded_idle_ms=1_500, over_ms=7_000)
    source = source_of(mock_cluster, topic, options=options)
    full, idle = Reader(source, f"0-{topic}"), Reader(source, f"1-{topic}")

    full.until_caught_up()
    idle.until_caught_up()
    resting = [idle.times[-1].stream_ms, full.times[-1].stream_ms]
    idle.until(lambda: idle.times[-1].stream_ms > resting[0])

    assert resting == [START_2026_MS + 100_000] * 2
    assert idle.times[-1].stream_ms == START_2026_MS + 107_000


def test_records_without_a_time_leave_stream_time_alone(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    fill(mock_cluster.bootstrap_servers, topic, [event(30), b"{", b"", b"[]", event(5), b"x"])
    reader = Reader(source_of(mock_cluster, topic, options=ReadOptions(credit=5)), f"0-{topic}")
    reader.until_read(5)
    assert reader.partition.snapshot() == (1, 5, START_2026_MS + 30_000)


def test_an_event_from_the_future_does_not_drag_time_along(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    fill(mock_cluster.bootstrap_servers, topic, [event(0), event(3600)])
    reader = Reader(source_of(mock_cluster, topic, clock=lambda: START_2026_MS + 1000), f"0-{topic}")
    reader.until_read(2)
    assert reader.partition.snapshot() == (1, 2, START_2026_MS)


def test_time_stands_still_while_the_broker_is_away(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    source = source_of(mock_cluster, topic)
    reader = Reader(source, f"0-{topic}")
    reader.until_caught_up()
    mock_cluster.set_down()
    down_ms = source.clock()
    reader.until(lambda: source.clock() > down_ms + 1500)
    assert reader.times[-1].stream_ms <= down_ms + 200
    mock_cluster.set_up()
    reader.until(lambda: reader.times[-1].stream_ms > down_ms + 1500)


def test_a_broker_that_comes_back_loses_nothing(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    fill(mock_cluster.bootstrap_servers, topic, [b"x"] * 50)
    reader = Reader(source_of(mock_cluster, topic, options=ReadOptions(batch=5)), f"0-{topic}")
    reader.until_read(5)
    mock_cluster.set_down()
    for _ in range(100):
        reader.poll()
    mock_cluster.set_up()
    mock_cluster.fail_requests(FETCH, [NOT_LEADER] * 3)
    fill(mock_cluster.bootstrap_servers, topic, [b"y"] * 50)
    reader.until_read(100)
    assert reader.offsets() == list(range(100))


def test_an_error_that_does_not_pass_stops_the_job(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    mock_cluster.fail_requests(FETCH, [TOPIC_AUTHORIZATION_FAILED] * 100)
    reader = Reader(source_of(mock_cluster, topic), f"0-{topic}")
    with pytest.raises(KafkaSourceError, match=f"{topic} partition 0 at offset 0: .*authorization"):
        reader.until_read(1)


def test_retention_that_overtakes_a_running_job_stops_it(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    fill(mock_cluster.bootstrap_servers, topic, [b"x"] * 10)
    mock_cluster.fail_requests(FETCH, [NOT_LEADER] * 5)  # nothing is fetched before the records are gone
    reader = Reader(source_of(mock_cluster, topic), f"0-{topic}", (1, 2, 0))
    mock_cluster.delete_records(topic, 0, 6)
    with pytest.raises(KafkaSourceError, match=r"offset 2 is no longer there: .*retention"):
        reader.until_read(1)


def test_the_settings_that_guard_against_loss_are_not_negotiable(mock_cluster: MockCluster) -> None:
    settings = {"auto.offset.reset": "latest", "security.protocol": "plaintext"}
    config = source_of(mock_cluster, "any", settings=settings).config
    assert config["auto.offset.reset"] == "error"
    assert config["security.protocol"] == "plaintext"


@pytest.mark.broker
def test_a_partition_that_was_added_is_read_from_its_beginning(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    topic = fresh_topic(kafka_broker)
    fill(kafka_broker.bootstrap_servers, topic, [event(1)])
    first = run_until(kafka_broker, topic, tmp_path, 1, ReadOptions())
    admin = kafka_broker.admin()
    admin.create_partitions([NewPartitions(topic, 2)])[topic].result()
    fill(kafka_broker.bootstrap_servers, topic, [event(2)], partition=1)
    fill(kafka_broker.bootstrap_servers, topic, [event(3)], partition=0)
    second = run_until(kafka_broker, topic, tmp_path, 2, ReadOptions(start="latest", resumed=True))
    assert [raw.payload for raw in first] == [event(1)]
    assert sorted(raw.payload or b"" for raw in second) == [event(2), event(3)]


def test_a_partition_that_is_added_while_the_job_runs_makes_it_start_anew(kafka_broker: KafkaBroker) -> None:
    """Its records would wait unseen, without a lag, until somebody restarts the job."""
    topic = fresh_topic(kafka_broker, partitions=2)
    often = {**FAST, "topic.metadata.refresh.interval.ms": "500"}
    reader = Reader(source_of(kafka_broker, topic, settings=often), f"1-{topic}")
    reader.until_caught_up()
    admin = kafka_broker.admin()
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result()
    with pytest.raises(PartitionsAddedError, match=f"topic {topic} has 3 partitions, 2 when the job started"):
        reader.until(lambda: False)


def test_each_committed_epoch_is_a_sign_of_life_and_a_drain_replays_nothing(
    mock_cluster: MockCluster, tmp_path: Path
) -> None:
    topic = fresh_topic(mock_cluster)
    fill(mock_cluster.bootstrap_servers, topic, [event(second) for second in range(10)])
    beats: list[int] = []
    first = run_until(mock_cluster, topic, tmp_path, 10, ReadOptions(), on_commit=lambda: beats.append(1))
    fill(mock_cluster.bootstrap_servers, topic, [event(11)])
    second = run_until(mock_cluster, topic, tmp_path, 1, ReadOptions())
    assert beats
    assert [raw.origin.offset for raw in first + second] == list(range(11))


def run_until(broker: Any, topic: str, state: Path, count: int, options: ReadOptions, **arguments: Any) -> list[Raw]:
    """Run the engine over the source until `count` records came and an epoch later drain it."""
    if not any(state.iterdir()):
        init_db_dir(state, 1)
    items: list[Any] = []
    polls_after: list[int] = []

    def stop() -> bool:
        if sum(isinstance(item, Raw) for item in items) >= count:
            polls_after.append(1)
        return len(polls_after) > 40

    flow = Dataflow("reading")
    op.output(
        "out",
        op.input("kafka", flow, source_of(broker, topic, options=options, stop=stop, **arguments)),
        TestingSink(items),
    )
    cluster_main(flow, [], 0, epoch_interval=timedelta(milliseconds=50), recovery_config=RecoveryConfig(str(state)))
    return [item for item in items if isinstance(item, Raw)]


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(None, id="a tombstone"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b'{"event_time": "yesterday"}', id="not a time"),
        pytest.param(b'{"event_time": "2026-01-01T00:00:00"}', id="no zone"),
        pytest.param(b'{"event_time": 1e400}', id="a number"),
        pytest.param(b"[" * 60_000, id="deep nesting"),
        pytest.param(b'{"a": "' + b"x" * 70_000 + b'", "event_time": "2026-01-01T00:00:00Z"}', id="too large"),
    ],
)
def test_no_event_time_is_read_from(payload: bytes | None) -> None:
    assert event_time_ms(payload) is None


def test_silence_is_that_of_the_leader_of_the_partition() -> None:
    statistics = (
        b'{"brokers": {"a": {"nodeid": -1, "rxidle": 5}, "b": {"nodeid": 1, "rxidle": 70}, "c": {"nodeid": 2,'
        b' "rxidle": 9}}, "topics": {"t": {"partitions": {"0": {"leader": 1}, "1": {"leader": 3}}}}}'
    )
    assert silence_us(statistics, "t", 0) == 70
    assert silence_us(statistics, "t", 1) is None
    assert silence_us(statistics, "other", 0) is None
