"""Kill the job between one sink's flush and another's, and around the commit; then compare with the oracle.

Where a kill at random rarely strikes: rows in the buffer only, rows stored and their epoch not committed, an
escalation in the topic and not in the store, or the other way round.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from infra import traffic
from infra.embedded_kafka import MockCluster
from operators.rows import TABLES
from tests.chaos import doomed
from tests.chaos.stores import migrate
from tests.chaos.supervised import PATIENCE_SECONDS, SupervisedJob, Topics, finish
from tests.chaos.verdict import verdict
from tests.kafka_traffic import identities
from tests.store_reader import ROOT, dump

pytestmark = pytest.mark.chaos

FLUSHED_BY_SNAPSHOTS_ONLY = {
    "UNDERTONE_FLUSH_INTERVAL": "600",
    "UNDERTONE_KAFKA_LINGER_MS": "20000",
    "UNDERTONE_CREDIT": "60",
    "UNDERTONE_BATCH": "30",
}
"""Nothing leaves the process before it has to: all of an epoch is at stake. Little in an epoch: there are several."""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store with its tables."""
    folder = tmp_path_factory.mktemp("tables") / "db"
    migrate(f"chdb://{folder}")
    return folder


@pytest.mark.parametrize(
    ("point", "ahead"),
    [
        (doomed.UNSTORED, None),
        (doomed.HALF_STORED, None),
        (doomed.STORED, None),
        (doomed.UNSENT, None),
        (doomed.SENT, None),
        (doomed.SENT_NOT_STORED, "topic"),
        (doomed.STORED_NOT_SENT, "table"),
        (doomed.COMMITTED, None),
    ],
)
def test_killed_at_a_point_it_writes_what_it_would_have_written(
    mock_cluster: MockCluster, tmp_path: Path, tables: Path, point: str, ahead: str | None
) -> None:
    topics = Topics(mock_cluster, "points")
    start = datetime.now(timezone.utc) - timedelta(days=3)
    topics.fill(list(traffic.generate(seed=4, customers=120, start=start, minutes=60, malformed=0.04)))
    shutil.copytree(tables, tmp_path / "db", symlinks=True)
    store = f"chdb://{tmp_path}/db"
    settings = {**topics.settings(), "UNDERTONE_STORE": store}
    die(point, tmp_path, {**settings, **FLUSHED_BY_SNAPSHOTS_ONLY})
    if ahead is not None:
        sent, stored = set(identities(topics.brokers, topics.names["escalations"])), escalation_ids(store)
        assert sent - stored if ahead == "topic" else stored - sent
    finish(tmp_path, 1, settings)
    assert verdict(topics, dump(store)) == {}


def die(point: str, folder: Path, settings: dict[str, str]) -> None:
    """Run the job to the point; it has committed an epoch, and died."""
    command = [sys.executable, "-m", "tests.chaos.doomed", point]
    environment = SupervisedJob(folder, 1, settings).environment
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
    assert (folder / "state" / "committed").exists()


def escalation_ids(store: str) -> set[str]:
    """Ids as the topic has them, of the rows of every version."""
    columns = TABLES["escalations"].columns
    escalation, version = columns.index("escalation_id"), columns.index("version")
    return {f"{row[escalation]}:{row[version]}" for row in dump(store, final=False)["escalations"]}
