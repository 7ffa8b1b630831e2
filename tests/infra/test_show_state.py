"""Showing one customer's state: the newest snapshot, by the names of its fields, and nothing where there is none."""

from __future__ import annotations

import pickle
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from infra.show_state import STEP, main
from tests.operators.customers import reducer
from tests.strategies import message


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two recovery files; the second knows customer 7 by two snapshots, and customer 8 as forgotten."""
    monkeypatch.setenv("UNDERTONE_STATE_DIR", str(tmp_path))
    (tmp_path / "recovery").mkdir()
    first, _ = reducer().on_message(None, message(0))
    second, _ = reducer().on_message(first, message(1))
    snapshots = [(5, reducer().dump(second)), (4, reducer().dump(first))]
    rows = [(STEP, "7", epoch, pickle.dumps(blob)) for epoch, blob in snapshots]
    for name, content in (("part-0", []), ("part-1", [*rows, (STEP, "8", 5, None)])):
        with closing(sqlite3.connect(tmp_path / "recovery" / f"{name}.sqlite3")) as store, store:
            store.execute("CREATE TABLE snaps (step_id TEXT, state_key TEXT, snap_epoch INTEGER, ser_change BLOB)")
            store.executemany("INSERT INTO snaps VALUES (?, ?, ?, ?)", content)


def test_the_newest_snapshot_is_shown_by_the_names_of_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["0000000000000007"]) == 0

    assert '"event_id": "m-1"' in capsys.readouterr().out


@pytest.mark.parametrize("key", ["0000000000000008", "0000000000000009"])
def test_a_customer_who_is_forgotten_or_never_came_is_not_known(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([key]) == 1
    assert "does not know this customer" in capsys.readouterr().err
