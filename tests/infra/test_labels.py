"""The query of docs/model-training.md draws what the model judged, in the shape that `models.calibrate` reads."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from models.jsonl import read_rows
from tests.samples import migrated, put, scored

PAGE = (Path(__file__).parents[2] / "docs" / "model-training.md").read_text(encoding="utf-8")
(QUERY,) = re.findall(r"^    SELECT (?:.*\n)+? .*FORMAT JSONEachRow$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with migrated(tmp_path_factory.mktemp("store")) as opened:
        yield opened


def test_it_draws_what_was_judged_and_nothing_else(client: Client, tmp_path: Path) -> None:
    put(
        client,
        "scored_events",
        scored(1, text="Where is my parcel?"),
        scored(2, text="Nobody answers", channel="voice"),
        scored(3, text="Nobody answers", speaker="agent"),
        scored(4, text="Nobody ans", final=False),
        scored(5, text="Wo ist mein Paket?", language="de", skipped="language"),
        scored(6, text="I am out of office", skipped="auto_reply"),
        scored(7, text=""),
    )
    drawn = client.raw_query(QUERY)
    (tmp_path / "labels.jsonl").write_bytes(drawn)
    assert sorted((line.row["channel"], line.row["text"]) for line in read_rows(tmp_path / "labels.jsonl")) == [
        ("chat", "Where is my parcel?"),
        ("voice", "Nobody answers"),
    ]
    assert {tuple(json.loads(line)) for line in drawn.splitlines()} == {("text", "channel")}
