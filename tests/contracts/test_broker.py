"""What the Kafka source and sink promise, on the embedded broker and on a real one."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import TopicPartition

from infra.embedded_kafka import MockCluster
from operators.kafka_client import KafkaSourceError
from operators.kafka_sink import KafkaSink, Outgoing
from operators.kafka_source import KafkaSource, ReadOptions
from tests.kafka_traffic import FAST, Reader, event, fill, fresh_topic, identities, read_all

START_2026_MS = 1_767_225_600_000


def source_of(broker: Any, *topics: str, **options: Any) -> KafkaSource:
    return KafkaSource(broker.bootstrap_servers, topics, settings=FAST, options=ReadOptions(**options))


def sink_of(broker: Any, topic: str) -> KafkaSink:
    return KafkaSink(broker.bootstrap_servers, topic, settle_seconds=0.0)


def outgoing(*names: str) -> list[Outgoing]:
    return [Outgoing(identity=name, payload=name.encode(), key=b"k") for name in names]


def forget_before(broker: Any, topic: str, offset: int) -> None:
    """Drop records as retention does."""
    if isinstance(broker, MockCluster):
        broker.delete_records(topic, 0, offset)
    else:
        admin = broker.admin()
        for future in admin.delete_records([TopicPartition(topic, 0, offset)]).values():
            future.result()


def test_every_record_is_read_in_order_with_its_origin(broker: Any) -> None:
    topic = fresh_topic(broker)
    fill(broker.bootstrap_servers, topic, [event(second) for second in range(1200)])
    reader = Reader(source_of(broker, topic), f"0-{topic}")
    reader.until_read(1200)
    assert reader.offsets() == list(range(1200))
    assert [raw.payload for raw in reader.raws] == [event(second) for second in range(1200)]
    assert {raw.origin.topic for raw in reader.raws} == {topic}
    assert min(raw.origin.broker_ms for raw in reader.raws) > START_2026_MS
    reader.partition.close()


def test_a_snapshot_goes_on_after_the_last_record_read(broker: Any) -> None:
    topic = fresh_topic(broker)
    fill(broker.bootstrap_servers, topic, [event(second) for second in range(20)])
    source = source_of(broker, topic, batch=7)
    first = Reader(source, f"0-{topic}")
    first.until_read(7)
    state = first.partition.snapshot()
    assert state == (1, len(first.raws), START_2026_MS + (len(first.raws) - 1) * 1000)
    second = Reader(source, f"0-{topic}", state)
    second.until_read(20 - len(first.raws))
    assert first.offsets() + second.offsets() == list(range(20))


def test_latest_is_pinned_when_the_partition_is_first_opened(broker: Any) -> None:
    topic = fresh_topic(broker)
    fill(broker.bootstrap_servers, topic, [b"old"] * 5)
    source = source_of(broker, topic, start="latest")
    state = Reader(source, f"0-{topic}").partition.snapshot()
    fill(broker.bootstrap_servers, topic, [b"new"])
    resumed = Reader(source, f"0-{topic}", state)
    resumed.until_read(1)
    assert [raw.payload for raw in resumed.raws] == [b"new"]


def test_a_position_that_retention_has_passed_stops_the_job_by_name(broker: Any) -> None:
    topic = fresh_topic(broker)
    fill(broker.bootstrap_servers, topic, [b"x"] * 10)
    forget_before(broker, topic, 6)
    with pytest.raises(
        KafkaSourceError, match=rf"{topic} partition 0: offset 2 was next, the oldest is 6: .*retention"
    ):
        Reader(source_of(broker, topic), f"0-{topic}", (1, 2, 0))


def test_a_position_beyond_the_end_stops_the_job(broker: Any) -> None:
    topic = fresh_topic(broker)
    fill(broker.bootstrap_servers, topic, [b"x"])
    with pytest.raises(KafkaSourceError, match="offset 9 was next, but the partition ends at 1"):
        Reader(source_of(broker, topic), f"0-{topic}", (1, 9, 0))


def test_a_missing_topic_is_named(broker: Any) -> None:
    topic = fresh_topic(broker, partitions=2)
    assert source_of(broker, topic).list_parts() == [f"0-{topic}", f"1-{topic}"]
    with pytest.raises(KafkaSourceError, match="no topic never-made"):
        source_of(broker, topic, "never-made").list_parts()


def test_processes_read_even_shares_of_all_partitions(broker: Any) -> None:
    topics = (fresh_topic(broker, partitions=4), fresh_topic(broker, partitions=1))
    shares = [source_of(broker, *topics, share=(number, 2)).list_parts() for number in (0, 1)]
    assert sorted([part for share in shares for part in share]) == sorted(source_of(broker, *topics).all_parts())
    assert [sum(topics[0] in part for part in share) for share in shares] == [2, 2]


def test_an_empty_partition_is_caught_up(broker: Any) -> None:
    topic = fresh_topic(broker)
    reader = Reader(source_of(broker, topic), f"0-{topic}")
    reader.until_caught_up()
    assert reader.times[-1].stream_ms > START_2026_MS
    assert reader.times[-1].partitions == 1


def test_the_sink_publishes_with_identity_and_reports_its_end(broker: Any) -> None:
    topic = fresh_topic(broker)
    part = sink_of(broker, topic).build_part("out", f"0-{topic}", None)
    part.write_batch(outgoing("a", "b"))
    part.write_batch(outgoing("c"))
    assert part.snapshot() == (1, 3)
    assert identities(broker.bootstrap_servers, topic) == ["a", "b", "c"]
    assert [message.key() for message in read_all(broker.bootstrap_servers, topic)] == [b"k"] * 3


def test_what_a_crash_left_behind_the_snapshot_is_not_published_again(broker: Any) -> None:
    topic = fresh_topic(broker)
    crashed = sink_of(broker, topic).build_part("out", f"0-{topic}", None)
    crashed.write_batch(outgoing("a", "b"))
    committed = crashed.snapshot()
    crashed.write_batch(outgoing("c", "d"))
    crashed.snapshot()  # acknowledged, but its epoch was never committed
    resumed = sink_of(broker, topic).build_part("out", f"0-{topic}", committed)
    resumed.write_batch(outgoing("c", "d", "e"))
    resumed.snapshot()
    assert identities(broker.bootstrap_servers, topic) == ["a", "b", "c", "d", "e"]


def test_a_second_crash_in_the_middle_of_a_replay_repeats_nothing(broker: Any) -> None:
    topic = fresh_topic(broker)
    crashed = sink_of(broker, topic).build_part("out", f"0-{topic}", None)
    crashed.write_batch(outgoing("a", "b", "c"))
    crashed.snapshot()
    half = sink_of(broker, topic).build_part("out", f"0-{topic}", None)
    half.write_batch(outgoing("a"))
    committed = half.snapshot()  # this epoch of the replay is committed; b and c come in the next
    last = sink_of(broker, topic).build_part("out", f"0-{topic}", committed)
    last.write_batch(outgoing("b", "c", "d"))
    assert last.snapshot() == (1, 4)
    assert identities(broker.bootstrap_servers, topic) == ["a", "b", "c", "d"]
