"""Hurt the supervised job under load, on a real broker, and compare with the oracle.

0 rows lost, 0 extra and 0 differing under `FINAL`; no escalation and no dead letter missing or twice in its topic.
"""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from infra import traffic
from infra.kafka.broker import KafkaBroker
from tests.chaos.stores import EmbeddedStore, SharedStore
from tests.chaos.supervised import SupervisedJob, Topics, finish
from tests.chaos.verdict import check

KILLS = 10
CUSTOMERS = 400
SLOW = {"UNDERTONE_CREDIT": "25", "UNDERTONE_BATCH": "25"}
"""So few records in an epoch that there is always a backlog while the harm is done."""

pytestmark = [pytest.mark.broker, pytest.mark.chaos]


@pytest.fixture
def seed() -> int:
    """Another one each time; printed when the test fails."""
    chosen = int(time.time())
    print(f"seed {chosen}")
    return chosen


def loaded_topics(broker: KafkaBroker, seed: int) -> Topics:
    """Topics of one test with its whole load, dated three days ago."""
    topics = Topics(broker, f"chaos-{time.time_ns()}")
    start = datetime.now(timezone.utc) - timedelta(days=3)
    topics.fill(list(traffic.generate(seed=seed, customers=CUSTOMERS, start=start, minutes=90)))
    return topics


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_at_random_it_writes_what_it_would_have_written(
    kafka_broker: KafkaBroker, tmp_path: Path, processes: int, seed: int
) -> None:
    rng, topics = random.Random(seed), loaded_topics(kafka_broker, seed)
    with EmbeddedStore(tmp_path) if processes == 1 else SharedStore(tmp_path) as store:
        settings = {**topics.settings(), "UNDERTONE_STORE": store.dsn}
        with SupervisedJob(tmp_path, processes, {**settings, **SLOW}) as job:
            for number in range(KILLS):
                job.wait_for_progress(rng)
                if number % 5 == 4:
                    job.kill_supervisor()
                else:
                    job.kill_worker(rng.randrange(processes))
            job.wait_for_progress(rng)
            assert job.drain() == 0
        finish(tmp_path, processes, settings)
        check(topics, store)


def test_broker_and_store_killed_and_a_worker_hung(kafka_broker: KafkaBroker, tmp_path: Path, seed: int) -> None:
    rng, topics = random.Random(seed), loaded_topics(kafka_broker, seed)
    with SharedStore(tmp_path) as store:
        settings = {**topics.settings(), "UNDERTONE_STORE": store.dsn}
        with SupervisedJob(
            tmp_path, 2, {**settings, **SLOW, "UNDERTONE_WATCHDOG": "25", "UNDERTONE_START_TIMEOUT": "60"}
        ) as job:
            job.wait_for_progress(rng)
            store.kill()
            time.sleep(rng.uniform(0.5, 3.0))
            store.start()
            job.wait_for_progress(rng)
            job.hang_worker(rng.randrange(2))
            job.wait_for_progress(rng)
            kafka_broker.kill()
            time.sleep(rng.uniform(0.5, 3.0))
            kafka_broker.start()
            job.wait_for_progress(rng)
        finish(tmp_path, 2, settings)
        check(topics, store)
