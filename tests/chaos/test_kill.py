"""Kill the supervised job at random moments under load, on a real broker; compare with the oracle.

0 rows lost, 0 extra and 0 differing under `FINAL`; no escalation and no dead letter missing or twice in its topic.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from flows.live import now_ms
from flows.settings import Settings
from infra import traffic
from infra.kafka.broker import KafkaBroker
from tests.chaos.stores import Store, embedded_store, shared_store
from tests.chaos.supervised import SupervisedJob, Topics
from tests.kafka_traffic import identities
from tests.oracle import Tables, expected, stub_parts
from tests.store_reader import comparable, tables

KILLS = 10
CUSTOMERS = 400
SEED = int(time.time())
SLOW = {"UNDERTONE_CREDIT": "25", "UNDERTONE_BATCH": "25"}
"""So few records in an epoch that there is always a backlog while the killing goes on."""


@pytest.fixture(params=[1, 2], ids=["one process", "two processes"])
def processes(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@contextmanager
def store_for(processes: int, folder: Path) -> Iterator[Store]:
    with embedded_store(folder) if processes == 1 else shared_store(folder) as store:
        yield store


@pytest.mark.broker
@pytest.mark.chaos
def test_killed_at_random_it_writes_what_it_would_have_written(
    kafka_broker: KafkaBroker, tmp_path: Path, processes: int
) -> None:
    print(f"seed {SEED}")
    rng, topics = random.Random(SEED), Topics(kafka_broker, f"chaos-{time.time_ns()}")
    start = datetime.now(timezone.utc) - timedelta(days=3)
    topics.fill(list(traffic.generate(seed=SEED, customers=CUSTOMERS, start=start, minutes=90)))
    with store_for(processes, tmp_path) as store:
        settings = {**topics.settings(), "UNDERTONE_STORE": store.dsn}
        with SupervisedJob(tmp_path, processes, {**settings, **SLOW}) as job:
            for number in range(KILLS):
                wait_for_progress(job, rng)
                if number % 5 == 4:
                    job.kill_supervisor()
                else:
                    job.kill_worker(rng.randrange(processes))
            wait_for_progress(job, rng)
            assert job.drain() == 0
        with SupervisedJob(tmp_path, processes, settings) as job:
            wait_until_done(job)
            assert job.drain() == 0
        found = store.read()

    raws = topics.raws()
    want = expected(raws, *stub_parts(Settings(reject_run_limit=len(raws)), now_ms()))
    differences = compare(comparable(want.tables), comparable(tables(found)))
    assert differences == {}
    assert twice_or_missing(identities(topics.brokers, topics.names["escalations"]), want.escalation_ids) == ({}, set())
    assert twice_or_missing(identities(topics.brokers, topics.names["dead_letters"]), want.dead_letter_ids) == (
        {},
        set(),
    )
    assert min(len(want.tables[table]) for table in ("scored_events", "sessions", "escalations", "dead_letters")) > 20


def wait_for_progress(job: SupervisedJob, rng: random.Random) -> None:
    """Until the workers that run now have read records and there are more, then up to two epochs longer."""
    job.wait(lambda: job.metric("undertone_records_read_total") > 0)
    assert job.metric("undertone_kafka_lag_records") != 0, "the load ended before the killing"
    time.sleep(rng.uniform(0.0, 1.2))


def wait_until_done(job: SupervisedJob) -> None:
    """Until everything is read and what follows from the passing of time was written."""
    job.wait(lambda: job.metric("undertone_kafka_lag_records") == 0)
    quiet, before = 0, -1.0
    while quiet < 15:
        time.sleep(0.2)
        rows = job.metric("undertone_rows_written_total")
        quiet, before = (quiet + 1, rows) if rows == before else (0, rows)


def compare(want: Tables, got: Tables) -> dict[str, dict[str, object]]:
    """Rows lost, extra and differing by table, a few of each; empty when all is well."""
    differences: dict[str, dict[str, object]] = {}
    for table in want.keys() | got.keys():
        wanted, found = want.get(table, {}), got.get(table, {})
        differing = [key for key in wanted.keys() & found.keys() if wanted[key] != found[key]]
        lost, extra = list(wanted.keys() - found.keys()), list(found.keys() - wanted.keys())
        if lost or extra or differing:
            differences[table] = {
                "rows": len(wanted),
                "lost": (len(lost), lost[:3]),
                "extra": (len(extra), extra[:3]),
                "differing": (len(differing), [(wanted[key], found[key]) for key in differing[:1]]),
            }
    return differences


def twice_or_missing(found: list[str], wanted: frozenset[str]) -> tuple[dict[str, int], set[str]]:
    """Ids that are there more than once, and ids that are missing or too many."""
    counts = Counter(found)
    return {name: count for name, count in counts.items() if count > 1}, set(wanted ^ counts.keys())
