"""Brokers for tests: a real Apache Kafka, started once, and librdkafka's embedded one, fresh for each test.

A machine without Java or Maven fails these tests: they are never skipped.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.embedded_kafka import MockCluster
from infra.kafka.broker import KafkaBroker


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A real broker for the whole run; tests make topics of their own."""
    with KafkaBroker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def mock_cluster() -> Iterator[MockCluster]:
    """An embedded broker of its own for one test."""
    with MockCluster() as cluster:
        yield cluster


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.broker)])
def broker(request: pytest.FixtureRequest) -> KafkaBroker | MockCluster:
    """Either broker: what holds for one must hold for the other."""
    name = {"embedded": "mock_cluster", "real": "kafka_broker"}[request.param]
    found: KafkaBroker | MockCluster = request.getfixturevalue(name)
    return found
