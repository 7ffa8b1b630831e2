"""Rows have the columns that the database has, and hold what their record says."""

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from infra.store import ClickHouseRows
from operators.records import TAGS
from operators.rows import RECORD_OF, TABLES, tags_of
from tests.samples import ONE_OF_EACH, START_MS, escalation, feedback, migrated, scored


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with migrated(tmp_path_factory.mktemp("store")) as opened:
        yield opened


def as_dict(table: str, record: Any) -> dict[str, Any]:
    return dict(zip(TABLES[table].columns, TABLES[table].to_row(record), strict=True))


@pytest.mark.parametrize("table", TABLES)
def test_columns_and_types_are_those_of_the_database(client: Client, table: str) -> None:
    found = client.query(
        "SELECT name, type FROM system.columns"
        " WHERE database = 'undertone' AND table = {table:String} AND default_kind = ''",
        parameters={"table": table},
    ).result_rows

    assert len(TABLES[table].columns) == len(found)
    assert dict(_kinds(table)) == {name: kind for name, kind in found}


@pytest.mark.parametrize("table", TABLES)
def test_a_row_reads_back_as_it_was_written(client: Client, table: str) -> None:
    row = TABLES[table].to_row(ONE_OF_EACH[table])
    ClickHouseRows(client).insert(table, [row])

    read = client.query(
        f"SELECT {', '.join(TABLES[table].columns)} FROM undertone.{table} FINAL",
        column_formats={name: "int" for name, kind in _kinds(table) if kind.startswith("DateTime64")},
    ).result_rows

    assert [_plain(value) for value in read[0]] == pytest.approx([_plain(value) for value in row])


def _kinds(table: str) -> list[tuple[str, str]]:
    return list(zip(TABLES[table].columns, TABLES[table].types, strict=True))


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return "|".join(value) if isinstance(value, (list, tuple)) else value


def test_every_record_that_becomes_a_row_has_its_table() -> None:
    assert RECORD_OF.keys() == TABLES.keys()
    assert all(isinstance(ONE_OF_EACH[table], kind) for table, kind in RECORD_OF.items())


def test_a_higher_revision_outranks_a_lower_one_and_a_retraction_all_of_them() -> None:
    versions = [
        as_dict("scored_events", scored(revision=revision, kind=kind))["version"]
        for revision, kind in ((0, "utterance"), (1_000_000, "utterance"), (0, "retracted"), (1, "retracted"))
    ]

    assert versions == sorted(set(versions))


def test_only_a_retraction_is_deleted() -> None:
    assert as_dict("scored_events", scored(kind="retracted"))["deleted"] == 1
    assert as_dict("scored_events", scored())["deleted"] == 0


def test_tags_become_names_and_one_column_each() -> None:
    row = as_dict("scored_events", scored(tags=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7), flags=0b1000100))

    assert row["tags"] == ("urgency", "sarcasm")
    assert [row[f"p_{tag}"] for tag in TAGS] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]


def test_every_set_of_flags_has_its_tags() -> None:
    assert tags_of(0) == ()
    assert tags_of((1 << len(TAGS)) - 1) == TAGS


def test_the_customer_key_of_an_escalation_is_the_number_that_other_tables_hold() -> None:
    assert as_dict("escalations", escalation(customer_key="00000000000000ff"))["customer_key"] == 255
    assert as_dict("escalations", escalation(customer_key="f" * 16))["customer_key"] == 2**64 - 1


def test_the_interaction_level_of_the_evidence_is_not_mixed_up_with_the_level_of_the_alert() -> None:
    row = as_dict("escalations", escalation(level=3))

    assert (row["level"], row["interaction_level"]) == (3, -0.5)


def test_feedback_time_is_in_milliseconds() -> None:
    at = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=timezone.utc)

    assert as_dict("feedback", feedback(event_time=at))["event_time"] == 1_772_366_400_250
    assert as_dict("scored_events", scored(0))["event_time"] == START_MS
