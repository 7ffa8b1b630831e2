"""An embedded store with two seeded days of conversations, and the same store emptied, for dashboards' queries."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from infra.clickhouse.migrate import migrate
from infra.clickhouse.render import Target
from infra.store import open_store
from tests.dashboards.traffic import Traffic, write

collect_ignore = ["test_sdk.py"] if sys.version_info < (3, 11) else []
"""grafana-foundation-sdk exists for Python 3.11 and later only."""
END = int(time.time()) // 3600 * 3600 - 3600
"""End of the seeded days: recent, because the store forgets texts after 30 days."""
TABLES = (
    "scored_events",
    "journey",
    "trajectory",
    "sessions",
    "escalations",
    "escalation_steps",
    "feedback",
    "dead_letters",
    "progress",
    "rollup_1m",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """An embedded store with the schema and nothing in it."""
    client = open_store(f"chdb://{tmp_path_factory.mktemp('dashboards')}")
    migrate(client, Target())
    client.command("SYSTEM STOP VIEW undertone.rollup_1m_refresh")
    yield client
    client.close()


@pytest.fixture(scope="module")
def day(store: Client) -> Client:
    """The store after a day of traffic."""
    empty(store)
    write(store, Traffic(end=END))
    return store


def empty(client: Client) -> None:
    """Forget everything."""
    for table in TABLES:
        client.command(f"TRUNCATE TABLE undertone.{table}")
