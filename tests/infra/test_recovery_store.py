"""The engine's recovery store, as the engine itself writes and reads it."""

from __future__ import annotations

import pickle
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, TestingSource, run_main

from infra.recovery_store import drop_uncommitted, keys, newest, prune, size


class _UntilSilent(op.StatefulBatchLogic[int, int, int]):
    """Adds up a key's numbers; zero makes it forget the key."""

    def __init__(self, total: int | None) -> None:
        self.total = total or 0

    def on_batch(self, values: list[int]) -> tuple[list[int], bool]:
        self.total += sum(values)
        return [self.total], values[-1] == 0

    def snapshot(self) -> int:
        return self.total


def test_pruning_forgets_discarded_keys_and_nothing_else(tmp_path: Path) -> None:
    init_db_dir(tmp_path, 1)
    given = [(f"gone-{n}", n) for n in range(5)] + [("kept", 7)] + [(f"gone-{n}", 0) for n in range(5)] + [("kept", 1)]
    sums: list[tuple[str, int]] = []
    source: TestingSource[Any] = TestingSource([*given, TestingSource.EOF(), ("kept", 2), ("gone-1", 3)], batch_size=1)
    flow = Dataflow("sums")
    keyed = op.stateful_batch("sum", op.input("in", flow, source), _UntilSilent)
    op.output("out", keyed, TestingSink(sums))
    run_main(flow, recovery_config=RecoveryConfig(str(tmp_path)))
    assert prune(tmp_path) == 5
    assert prune(tmp_path) == 0
    assert keys(tmp_path, "sums.sum") == {"kept"}
    sums.clear()
    run_main(flow, recovery_config=RecoveryConfig(str(tmp_path)))
    assert sums == [("kept", 10), ("gone-1", 3)]


@pytest.mark.parametrize(("dropped", "total"), [(True, 1), (False, 101)], ids=["dropped", "as the engine leaves it"])
def test_a_snapshot_of_an_epoch_that_was_not_committed_is_never_read(tmp_path: Path, dropped: bool, total: int) -> None:
    """It was left by a job that died before the commit; `late` was not met again in the epoch of the same number."""
    init_db_dir(tmp_path, 2)
    sums: list[tuple[str, int]] = []
    given = [("early", 1), TestingSource.EOF(), ("early", 1), TestingSource.EOF(), ("late", 1)]
    flow = Dataflow("sums")
    source: TestingSource[Any] = TestingSource(given, batch_size=1)
    op.output("out", op.stateful_batch("sum", op.input("in", flow, source), _UntilSilent), TestingSink(sums))

    run_main(flow, recovery_config=RecoveryConfig(str(tmp_path)))
    with closing(sqlite3.connect(tmp_path / "part-1.sqlite3")) as store, store:
        left_behind = ("sums.sum", "late", _next_epoch(tmp_path), pickle.dumps(100))
        store.execute("INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES (?, ?, ?, ?)", left_behind)
    if dropped:
        assert drop_uncommitted(tmp_path) == 1
        assert drop_uncommitted(tmp_path) == 0
    run_main(flow, recovery_config=RecoveryConfig(str(tmp_path)))
    run_main(flow, recovery_config=RecoveryConfig(str(tmp_path)))

    assert sums == [("early", 1), ("early", 2), ("late", total)]


def _next_epoch(folder: Path) -> int:
    """The epoch that the engine goes on with: one worker's frontier."""
    frontiers: list[tuple[int]] = []
    for path in folder.glob("*.sqlite3"):
        with closing(sqlite3.connect(path)) as store:
            frontiers += store.execute("SELECT worker_frontier FROM fronts")
    ((frontier,),) = frontiers
    return int(frontier)


def test_the_newest_snapshot_of_a_key_is_found_and_none_of_a_discarded_one(tmp_path: Path) -> None:
    init_db_dir(tmp_path, 3)
    given = [("kept", 7), ("gone", 1), ("kept", 1), ("gone", 0)]
    flow = Dataflow("sums")
    source: TestingSource[Any] = TestingSource(given, batch_size=1)
    op.output("out", op.stateful_batch("sum", op.input("in", flow, source), _UntilSilent), TestingSink([]))
    run_main(flow, recovery_config=RecoveryConfig(str(tmp_path)))

    assert [newest(tmp_path, "sums.sum", key) for key in ("kept", "gone", "never")] == [8, None, None]


def test_its_size_is_that_of_its_files(tmp_path: Path) -> None:
    init_db_dir(tmp_path, 3)
    empty = size(tmp_path)
    with (tmp_path / "part-0.sqlite3").open("ab") as more:
        more.write(b"x" * 1000)
    assert size(tmp_path) == empty + 1000 > 1000
