"""The number of processes may be another at each start, and it may fall: nothing is lost, twice or different."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

from infra import traffic
from infra.embedded_kafka import MockCluster
from tests.chaos.stores import SharedStore
from tests.chaos.supervised import SupervisedJob, Topics, finish
from tests.chaos.verdict import check

SEED, CUSTOMERS = 4, 120
SLOW = {"UNDERTONE_CREDIT": "10", "UNDERTONE_BATCH": "10"}
"""So few records in an epoch that none of the runs but the last reads them all."""


def test_a_job_of_three_processes_goes_on_with_one_and_then_with_two(tmp_path: Path, mock_cluster: MockCluster) -> None:
    rng, topics = random.Random(SEED), Topics(mock_cluster, "scaled")
    start = datetime.now(timezone.utc) - timedelta(days=3)
    topics.fill(list(traffic.generate(seed=SEED, customers=CUSTOMERS, start=start, minutes=60, malformed=0.04)))
    with SharedStore(tmp_path) as store:
        settings = {**topics.settings(), "UNDERTONE_STORE": store.dsn}
        for starts, processes in enumerate((3, 1), start=1):
            with SupervisedJob(tmp_path, processes, {**settings, **SLOW}) as job:
                job.wait_for_progress(rng)
                assert job.drain() == 0
                assert job.starts() == starts, "it was not started again"
        finish(tmp_path, 2, settings)
        check(topics, store)
