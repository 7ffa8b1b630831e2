"""Every row store keeps the same promises: the fake that tests use and the engine that the job writes to."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from msgspec.structs import replace

from infra.store import ClickHouseRows, open_store
from operators.flusher import Flusher, FlushPolicy
from operators.row_store import MemoryStore, RowStore, StoreError
from operators.rows import TABLES, Row
from tests.samples import ONE_OF_EACH, migrated, scored, session

Read = Callable[[str], list[tuple[Any, ...]]]
IDENTITY = {
    "scored_events": ("tenant", "event_time", "event_id"),
    "trajectory": ("tenant", "customer_key", "event_time", "event_id"),
    "sessions": ("tenant", "started_time", "session_id"),
    "escalations": ("tenant", "raised_time", "escalation_id"),
    "dead_letters": ("topic", "partition", "offset", "stage"),
    "feedback": ("tenant", "escalation_id", "feedback_id"),
    "progress": ("topic", "partition", "committed_time"),
}


def _final(table: str, rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    """What FINAL shows of rows in the fake: identity and version of the standing row of each identity."""
    columns = TABLES[table].columns
    standing: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        named = dict(zip(columns, row, strict=True))
        key = tuple(named[name] for name in IDENTITY[table])
        if named.get("version", 0) >= standing.get(key, named).get("version", 0):
            standing[key] = named
    return sorted((*key, row.get("version", 0)) for key, row in standing.items() if not row.get("deleted"))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with migrated(tmp_path_factory.mktemp("store")) as opened:
        yield opened


@pytest.fixture(params=["memory", "clickhouse"])
def store(request: pytest.FixtureRequest) -> tuple[RowStore, Read]:
    if request.param == "memory":
        fake = MemoryStore()
        return fake, lambda table: _final(table, fake.rows[table])
    client: Client = request.getfixturevalue("client")
    for table in TABLES:
        client.command(f"TRUNCATE TABLE undertone.{table}")
    return ClickHouseRows(client), lambda table: _select(client, table)


def _select(client: Client, table: str) -> list[tuple[Any, ...]]:
    version = "version" if "version" in TABLES[table].columns else "0"
    read = client.query(
        f"SELECT {', '.join(IDENTITY[table])}, {version} FROM undertone.{table} FINAL ORDER BY ALL",
        column_formats={name: "int" for name in IDENTITY[table] if name.endswith("_time")},
    )
    return [tuple(row) for row in read.result_rows]


@pytest.mark.parametrize("table", TABLES)
def test_rows_are_there_when_insert_returns_and_twice_is_once(store: tuple[RowStore, Read], table: str) -> None:
    rows, read = store
    row = TABLES[table].to_row(ONE_OF_EACH[table])

    rows.insert(table, [row])
    once = read(table)
    rows.insert(table, [row])

    assert len(once) == 1
    assert read(table) == once


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
def test_the_highest_version_stands_in_whatever_order_it_came(
    store: tuple[RowStore, Read], order: tuple[int, ...]
) -> None:
    rows, read = store

    for version in order:
        rows.insert("sessions", [TABLES["sessions"].to_row(session(version=version))])

    assert [found[-1] for found in read("sessions")] == [2]


def test_a_row_taken_back_is_gone_and_stays_gone_when_replayed(store: tuple[RowStore, Read]) -> None:
    rows, read = store
    said, taken_back = scored(), scored(kind="retracted")

    for record in (said, taken_back, said):
        rows.insert("scored_events", [TABLES["scored_events"].to_row(record)])

    assert read("scored_events") == []


def test_a_malformed_row_is_refused_for_good_without_showing_it(store: tuple[RowStore, Read]) -> None:
    rows, read = store
    row = TABLES["feedback"].to_row(replace(ONE_OF_EACH["feedback"], by="do not show me"))

    with pytest.raises(StoreError) as refusal:
        rows.insert("feedback", [row, row[:-1]])

    assert refusal.value.permanent
    assert "do not show me" not in str(refusal.value)
    assert read("feedback") == []


def test_events_of_many_scattered_days_are_one_insert(store: tuple[RowStore, Read]) -> None:
    rows, read = store
    day = 86_400_000
    newest = scored().utterance.event_ms

    rows.insert(
        "scored_events", [TABLES["scored_events"].to_row(scored(n, at_ms=newest - n * day)) for n in range(150)]
    )

    assert len(read("scored_events")) == 150


class Unreliable:
    """The engine behind a bad network: every third insert is lost, of every other third only the answer."""

    def __init__(self, client: Client) -> None:
        self._rows = ClickHouseRows(client)
        self._calls = 0

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        self._calls += 1
        if self._calls % 3 == 1:
            raise StoreError(f"{table}: lost")
        self._rows.insert(table, rows)
        if self._calls % 3 == 2:
            raise StoreError(f"{table}: no answer")

    def close(self) -> None:
        """The fixture closes the client."""


def test_nothing_is_lost_or_doubled_on_the_engine_through_failures_and_a_replay(client: Client) -> None:
    client.command("TRUNCATE TABLE undertone.scored_events")
    policy = FlushPolicy(interval=0.01, max_rows=40, retry_first=0.001)
    row_of = TABLES["scored_events"].to_row
    for first in (0, 150):  # the second run replays the last half of the first, as after a crash
        flusher = Flusher(lambda: Unreliable(client), policy)
        for number in range(first, first + 300):
            flusher.add([("scored_events", [row_of(scored(number))])])
        flusher.flush()
        flusher.close()

    expected = _final("scored_events", [row_of(scored(number)) for number in range(450)])
    assert _select(client, "scored_events") == expected


def test_an_unknown_table_is_a_permanent_refusal_that_says_what_to_do(client: Client) -> None:
    nowhere = ClickHouseRows(client, "nowhere")

    with pytest.raises(StoreError, match="make migrate") as refusal:
        nowhere.insert("feedback", [TABLES["feedback"].to_row(ONE_OF_EACH["feedback"])])

    assert refusal.value.permanent


def test_a_password_in_a_dsn_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="UNDERTONE_STORE_PASSWORD") as refusal:
        open_store("clickhouse://user:hunter2@host:8123/undertone")

    assert "hunter2" not in str(refusal.value)
