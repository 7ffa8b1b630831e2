"""What commands send is taken by the broker, or they say why not."""

from __future__ import annotations

import pytest

from flows import sender
from flows.sender import NotSentError, Sender
from flows.settings import Settings
from infra.embedded_kafka import MockCluster
from operators.kafka_client import KafkaSettingsError
from tests.kafka_traffic import fresh_topic, read_all

PRODUCE = 0
INVALID_RECORD = 87


def settings(cluster: MockCluster, **kafka: str) -> Settings:
    named = {name.replace("_", "."): value for name, value in kafka.items()}
    return Settings(brokers=cluster.bootstrap_servers, kafka=named)


def test_what_was_flushed_is_in_the_topic_where_it_was_meant_to_be(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster, partitions=3)
    out = Sender(settings(mock_cluster))
    out.send(topic, b"first", b"k", partition=2)
    out.send(topic, None, b"k", partition=1)
    out.flush(topic)
    found = [
        (message.partition(), message.key(), message.value())
        for message in read_all(mock_cluster.bootstrap_servers, topic)
    ]
    assert found == [(1, b"k", None), (2, b"k", b"first")]


def test_more_than_the_client_can_queue_is_waited_for(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    out = Sender(settings(mock_cluster, queue_buffering_max_messages="10"))
    for number in range(100):
        out.send(topic, b"%d" % number, None)
    out.flush(topic)
    assert [message.value() for message in read_all(mock_cluster.bootstrap_servers, topic)] == [
        b"%d" % n for n in range(100)
    ]


def test_a_refusal_is_told_with_its_cause_and_does_not_stick(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    out = Sender(settings(mock_cluster))
    mock_cluster.fail_requests(PRODUCE, [INVALID_RECORD])
    out.send(topic, b"refused", None)
    with pytest.raises(NotSentError, match=rf"topic {topic} at 127.*failed to validate record"):
        out.flush(topic)
    out.send(topic, b"taken", None)
    out.flush(topic)
    assert [message.value() for message in read_all(mock_cluster.bootstrap_servers, topic)] == [b"taken"]


def test_a_broker_that_is_away_is_told_with_what_the_connection_says(
    mock_cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = fresh_topic(mock_cluster)
    monkeypatch.setattr(sender, "DEADLINE_S", 1.5)
    mock_cluster.set_down()
    out = Sender(settings(mock_cluster))
    out.send(topic, b"x", None)
    with pytest.raises(
        NotSentError, match=f"topic {topic} at {mock_cluster.bootstrap_servers}: .*UNDERTONE_KAFKA_SECURITY_PROTOCOL"
    ):
        out.flush(topic)


def test_a_record_that_the_client_refuses_is_told_without_its_text(mock_cluster: MockCluster) -> None:
    topic = fresh_topic(mock_cluster)
    out = Sender(settings(mock_cluster, message_max_bytes="1000"))
    with pytest.raises(NotSentError, match="Message size too large") as raised:
        out.send(topic, b"secret " * 1000, None)
    assert "secret" not in str(raised.value)


def test_a_wrong_setting_is_told_with_its_variable(mock_cluster: MockCluster) -> None:
    with pytest.raises(KafkaSettingsError, match="UNDERTONE_KAFKA_SECURITY_PROTOCOL"):
        Sender(settings(mock_cluster, security_protocol="none"))
