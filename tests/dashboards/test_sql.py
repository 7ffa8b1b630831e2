"""Every query of every panel, variable, annotation and alert runs on the engine and returns what its reader needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache

import pytest
from clickhouse_connect.driver.client import Client

from dashboards.board import COLUMNS
from tests.dashboards.conftest import END, empty
from tests.dashboards.macros import ALL, Range, expand
from tests.dashboards.queries import Json, Query, all_queries
from tests.dashboards.traffic import Traffic, write

QUERIES = all_queries()
Choice = dict[str, str | list[str]]
EVERYTHING: Choice = {
    "tenant": [ALL],
    "queue": [ALL],
    "channel": [ALL],
    "customer": "",
    "supervisors": "3",
    "changed": "billing",
    "moment": "",
}
SOME: Choice = {**EVERYTHING, "tenant": ["tenant0"], "queue": ["billing", "support"], "channel": ["chat"]}
NUMBER = re.compile(r"^(Nullable\()?(U?Int|Float)\d+\)?$")
TIME = re.compile(r"^(Nullable\()?DateTime(64)?(\(.*\))?\)?$")
TEXT = re.compile(r"^(LowCardinality\()?(Nullable\()?String\)*$|^Enum")
named = pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
Column = tuple[str, str]


SEEN: dict[str, list[Column]] = {}
"""Columns by query: they do not depend on rows or range, and asking for them takes as long as running."""


def columns_of(client: Client, query: Query, sql: str) -> list[Column]:
    if query.name not in SEEN:
        SEEN[query.name] = _describe(client, sql)
    return SEEN[query.name]


def _describe(client: Client, sql: str) -> list[Column]:
    return [(str(row[0]), str(row[1])) for row in client.query(f"DESCRIBE TABLE ({sql})").result_rows]


def run(client: Client, query: Query, variables: Choice, plugin: str = "4") -> list[tuple[object, ...]]:
    sql = query.expanded(END, variables, plugin)
    try:
        columns = columns_of(client, query, sql)
        rows = [tuple(row) for row in client.query(sql).result_rows]
    except Exception as error:
        raise AssertionError(f"{query.name}: {error}\n{sql}") from error
    CHECKS.get(query.kind, _check_nothing)(query, columns, rows)
    return rows


def _check_nothing(query: Query, columns: list[Column], rows: list[tuple[object, ...]]) -> None:
    raise AssertionError(f"{query.name}: nobody says what a {query.kind} needs")


def check_series(query: Query, columns: list[Column], rows: list[tuple[object, ...]]) -> None:
    """Time first and ascending, at least one number, text only as labels, a row for a time and labels once."""
    assert columns[0][0] == "time", f"{query.name}: first column must be `time`"
    assert TIME.match(columns[0][1]), f"{query.name}: {columns[0]}"
    assert any(NUMBER.match(kind) for _, kind in columns[1:]), f"{query.name}: no number in {columns}"
    for name, kind in columns[1:]:
        assert NUMBER.match(kind) or TEXT.match(kind), f"{query.name}: {name} is {kind}"
    times = [row[0] for row in rows]
    assert all(isinstance(at, datetime) for at in times), query.name
    assert times == sorted(times, key=str), f"{query.name}: times do not ascend"
    labels = [at for at, (_, kind) in enumerate(columns) if at and not NUMBER.match(kind)]
    points = [(row[0], *(row[at] for at in labels)) for row in rows]
    assert len(set(points)) == len(points), f"{query.name}: two rows for a time and labels"


def check_stat(query: Query, columns: list[Column], rows: list[tuple[object, ...]]) -> None:
    if query.shape == 0:
        check_series(query, columns, rows)
        return
    numbers = [name for name, kind in columns if NUMBER.match(kind)]
    assert len(numbers) == 1, f"{query.name}: one number expected, not {columns}"
    assert len(rows) == 1, f"{query.name}: one row expected, not {len(rows)}"


def check_table(query: Query, columns: list[Column], rows: list[tuple[object, ...]]) -> None:
    """Plain cells, and every column that the panel formats or links to is there."""
    names = {name for name, _ in columns}
    for name, kind in columns:
        assert NUMBER.match(kind) or TEXT.match(kind) or TIME.match(kind) or kind == "Bool", (
            f"{query.name}: {name} {kind}"
        )
    assert query.panel is not None
    for override in query.panel["fieldConfig"]["overrides"]:
        if override["matcher"]["id"] != "byName":
            continue
        assert override["matcher"]["options"] in names, f"{query.name}: no column {override['matcher']['options']}"
    for field in re.findall(r"__data\.fields\.(\w+)", str(query.panel)):
        assert field in names, f"{query.name}: a link needs the column {field}"
    width, room = least_width(query.panel, [name for name, _ in columns]), room_of(query.panel)
    assert width <= room, f"{query.name}: {width} pixels of columns in {room:.0f}: one has to scroll to the right"


def least_width(panel: Json, names: list[str]) -> int:
    """Pixels that the shown columns take at least."""
    least = panel["fieldConfig"]["defaults"]["custom"]["minWidth"]
    looks = {
        override["matcher"]["options"]: {item["id"]: item["value"] for item in override["properties"]}
        for override in panel["fieldConfig"]["overrides"]
    }
    shown = (looks.get(name, {}) for name in names)
    return sum(look.get("custom.width", least) for look in shown if "custom.hidden" not in look)


def room_of(panel: Json) -> float:
    """Pixels that the panel has for columns on a screen 1920 pixels wide, less padding, border and a scroll bar."""
    gap, margins, inside = 8, 2 * 16, 2 * 8 + 2 + 10
    cell = (1920 - margins - (COLUMNS - 1) * gap) / COLUMNS
    return float(panel["gridPos"]["w"] * (cell + gap) - gap - inside)


def check_bars(query: Query, columns: list[Column], rows: list[tuple[object, ...]]) -> None:
    assert TEXT.match(columns[0][1]), f"{query.name}: first column must be text"
    assert len(columns) > 1, query.name
    assert all(NUMBER.match(kind) for _, kind in columns[1:]), f"{query.name}: {columns}"
    assert len({row[0] for row in rows}) == len(rows), f"{query.name}: two bars have one name"
    assert query.panel is not None
    legend = query.panel["options"]["legend"]["showLegend"]
    assert legend == (len(columns) > 2), f"{query.name}: a legend tells several numbers apart, and one has its title"


def check_states(query: Query, columns: list[Column], rows: list[tuple[object, ...]]) -> None:
    check_series(query, columns, rows)
    assert query.panel is not None
    known = set(query.panel["fieldConfig"]["defaults"]["mappings"][0]["options"])
    place = next(index for index, (_, kind) in enumerate(columns) if index and NUMBER.match(kind))
    seen = {str(row[place]) for row in rows if row[place] is not None}
    assert seen <= known, f"{query.name}: states without a text: {seen - known}"


def check_variable(query: Query, columns: list[Column], rows: list[tuple[object, ...]]) -> None:
    assert len(columns) == 1, f"{query.name}: {columns}"
    assert TEXT.match(columns[0][1]), f"{query.name}: {columns}"


def check_annotation(query: Query, columns: list[Column], rows: list[tuple[object, ...]]) -> None:
    assert [name for name, _ in columns] == ["time", "timeEnd", "title", "text", "tags", "id"], query.name
    assert TIME.match(columns[0][1]), query.name
    assert TIME.match(columns[1][1]), query.name
    assert all(TEXT.match(kind) for _, kind in columns[2:]), f"{query.name}: {columns}"


def check_alert(query: Query, columns: list[Column], rows: list[tuple[object, ...]]) -> None:
    """Text columns become labels; Grafana takes exactly one number, never NULL, and no time."""
    numbers = [kind for _, kind in columns if NUMBER.match(kind)]
    assert len(numbers) == 1, f"{query.name}: {columns}"
    assert not numbers[0].startswith("Nullable"), f"{query.name}: {columns}"
    assert sum(1 for _, kind in columns if TEXT.match(kind)) == len(columns) - 1 > 0, f"{query.name}: {columns}"
    labels = [row[:-1] for row in rows]
    assert len(set(labels)) == len(labels), f"{query.name}: two rows have the same labels"


CHECKS: dict[str, Callable[[Query, list[Column], list[tuple[object, ...]]], None]] = {
    "stat": check_stat,
    "timeseries": check_series,
    "table": check_table,
    "barchart": check_bars,
    "state-timeline": check_states,
    "variable": check_variable,
    "annotation": check_annotation,
    "alert": check_alert,
}


@lru_cache(maxsize=1)
def somebody(client: Client) -> str:
    """The customer with the most alerts."""
    rows = client.query(
        "SELECT lower(leftPad(hex(customer_key), 16, '0')) FROM undertone.escalations FINAL "
        "WHERE tenant = 'tenant0' GROUP BY customer_key ORDER BY count() DESC, customer_key LIMIT 1"
    ).result_rows
    return str(rows[0][0])


@named
def test_a_day_of_traffic(query: Query, day: Client) -> None:
    rows = run(day, query, {**EVERYTHING, "customer": somebody(day)})
    if query.kind != "alert":
        assert rows, f"{query.name}: no rows on a day of traffic"


@named
def test_a_choice_of_queues_and_channels_in_plugin_version_3(query: Query, day: Client) -> None:
    run(day, query, {**SOME, "customer": somebody(day)}, plugin="3")


def test_numbers_are_on_the_wall_where_there_is_data(day: Client) -> None:
    for query in QUERIES:
        if query.kind == "stat" and query.board in {"undertone-wallboard", "undertone-pipeline", "undertone-after"}:
            rows = run(day, query, EVERYTHING)
            assert any(isinstance(row[-1], int | float) for row in rows), f"{query.name}: no number in {rows[-3:]}"


def test_nobody_chosen_gives_an_empty_journey(day: Client) -> None:
    for query in QUERIES:
        if query.board == "undertone-journey" and query.kind in {"table", "timeseries", "annotation"}:
            assert run(day, query, EVERYTHING) == [], f"{query.name}: shows somebody although nobody was chosen"


@pytest.mark.parametrize("customer", ["zz", "'; DROP TABLE undertone.sessions", "0" * 300, "00c0ffee"])
def test_nonsense_as_customer_finds_nobody(customer: str, day: Client) -> None:
    for query in QUERIES:
        if query.board == "undertone-journey" and query.kind == "table":
            assert run(day, query, {**EVERYTHING, "customer": customer}) == [], query.name


def test_agents_need_twenty_sessions(day: Client) -> None:
    query = next(query for query in QUERIES if query.name.startswith("after") and "agent pseudonym" in query.name)
    assert all(isinstance(row[1], int) and row[1] >= 20 for row in run(day, query, EVERYTHING))


ALARM = next(query for query in QUERIES if query.name == "alert Queue turned negative")
LANES = next(query for query in QUERIES if query.name.startswith("wallboard / Queues over time"))


def put_blocks(store: Client, shares: list[int], tenant: str = "t", queue: str = "billing", each: int = 20) -> None:
    """Blocks of five minutes that end at the end of the range, with so many messages a minute and negative percent."""
    start = END - 300 * len(shares)
    store.command(
        f"INSERT INTO undertone.rollup_1m SELECT '{tenant}', toDateTime({start} + 60 * number, 'UTC'), '{queue}', "
        f"'chat', {each}, {each} * {shares}[1 + intDiv(number, 5)] / 100, 0, 0, 0, 0, 1, 1, now64(3) "
        f"FROM numbers({5 * len(shares)})"
    )


def test_the_negative_alarm_has_hysteresis(store: Client) -> None:
    cases = [([50, 50, 35], True), ([50, 25, 35], False), ([35, 35, 35], False), ([20, 45, 32], True)]
    cases += [([50, *[35] * 10], True), ([50, *[35] * 60], True), ([50, *[35] * 30, 25, *[35] * 29], False)]
    cases += [([50, *[35] * 80], False), ([50, 35, 0], False)]
    for shares, expected in cases:
        empty(store)
        put_blocks(store, shares)
        on = [row[-1] for row in run(store, ALARM, EVERYTHING)]
        assert bool(on and on[0]) == expected, f"{shares}: {on}"


def test_a_lane_is_angry_when_and_as_long_as_the_alarm_is_on(store: Client) -> None:
    """Minute by minute, over queues that turn and recover, one too small to tell, and one that falls silent."""
    empty(store)
    put_blocks(store, [20, 45, 35, 35, 28, 35, 30, 60, 35, 10, 26, 38])
    put_blocks(store, [*[20] * 4, 90, *[35] * 7], tenant="u")
    put_blocks(store, [100] * 12, queue="small", each=3)
    put_blocks(store, [100] * 12, queue="few", each=4)
    put_blocks(store, [50, *[35] * 23, *[35] * 6], queue="long")
    store.command("ALTER TABLE undertone.rollup_1m DELETE WHERE queue = 'long' AND minute >= toDateTime("
                  f"{END - 1500}) SETTINGS mutations_sync = 2")  # fmt: skip
    lanes = expand(LANES.sql, Range(END - 3600, END, 60), EVERYTHING)
    angry = {(row[0].timestamp(), row[1]) for row in store.query(lanes).result_rows if row[-1] == 2}

    alarmed = set()
    for minute in range(END - 3600, END, 60):
        sql = expand(ALARM.sql, Range(minute - ALARM.seconds, minute, 60), EVERYTHING)
        alarmed |= {(minute, row[1]) for row in store.query(sql).result_rows if row[-1] > 0}

    silent = {(minute, queue) for minute, queue in alarmed if queue == "long" and minute >= END - 1500}
    assert angry == alarmed - silent, "a lane has no block where nobody says anything"
    assert {queue for _, queue in angry} == {"billing", "few", "long"}
    assert len(silent) == 10, "the alarm ends ten minutes after the last message"


@named
def test_an_empty_database(query: Query, store: Client) -> None:
    empty(store)
    run(store, query, {**EVERYTHING, "customer": "00c0ffee00c0ffee"})


@named
def test_one_session(query: Query, store: Client) -> None:
    if store.query("SELECT count() FROM undertone.sessions").result_rows[0][0] != 1:
        empty(store)
        write(store, Traffic(end=END, events=12, days=0.01))
    run(store, query, {**EVERYTHING, "customer": "00c0ffee00c0ffee"})


@named
def test_a_quiet_queue(query: Query, store: Client) -> None:
    if store.query("SELECT count() FROM undertone.sessions").result_rows[0][0] != 5:
        empty(store)
        write(store, Traffic(end=END - 900, events=60, days=0.5))
    rows = run(store, query, {**EVERYTHING, "queue": ["nothing-here"]})
    if query.kind == "alert":
        assert all(isinstance(value := row[-1], int | float) and value >= 0 for row in rows)
    assert not any(isinstance(value, date) and value.year < 2000 for row in rows for value in row), (
        f"{query.name}: 1970"
    )
