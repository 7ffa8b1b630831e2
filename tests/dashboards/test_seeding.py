"""The benchmark's store: a seeding that was cut off goes on, and a kept store is not taken for another one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from tests.benchmarks.dashboards import NOTE, planned, seeded
from tests.dashboards.conftest import END, TABLES
from tests.dashboards.traffic import Traffic

TRAFFIC = Traffic(end=END, events=6_000, days=1)


def counts(client: Client) -> dict[str, int]:
    return {
        table: client.query(f"SELECT count() FROM undertone.{table} FINAL").result_rows[0][0]
        for table in TABLES
        if table != "rollup_1m"
    }


def test_a_seeding_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    client = seeded(tmp_path, planned(tmp_path, TRAFFIC))
    whole = counts(client)
    client.close()
    cut = planned(tmp_path, replace(TRAFFIC, end=END + 3600))
    assert cut.traffic == TRAFFIC, "a store keeps the end that it was begun with"
    del cut.done[2:]
    (tmp_path / NOTE).write_bytes(msgspec.json.encode(cut))

    client = seeded(tmp_path, planned(tmp_path, TRAFFIC))

    assert counts(client) == whole
    assert all(whole.values()), whole
    client.close()


def test_a_store_of_other_traffic_is_refused(tmp_path: Path) -> None:
    (tmp_path / NOTE).write_bytes(msgspec.json.encode(planned(tmp_path, TRAFFIC)))

    with pytest.raises(SystemExit, match="6,000 events of another kind"):
        planned(tmp_path, replace(TRAFFIC, events=9_000))
