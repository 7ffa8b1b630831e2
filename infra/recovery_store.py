"""The engine's recovery store: SQLite files with the snapshots of all steps. Only this module knows their tables.

`flows.parts.recovery_store` creates it. While the engine runs in a process, only `size` may be called in that process:
closing a second SQLite connection would release the engine's file locks.
"""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any


def files(folder: Path) -> list[Path]:
    """Return the files of the store, one for each recovery partition; none before it is created."""
    return sorted(folder.glob("*.sqlite3"))


def size(folder: Path) -> int:
    """Return the size of the store in bytes, without opening it."""
    return sum(path.stat().st_size for path in files(folder))


def keys(folder: Path, step: str) -> set[str]:
    """Return the keys of a step's snapshots; `step` is the full id of the step."""
    query = "SELECT state_key FROM snaps WHERE step_id = ?"
    with _opened(folder, mode="ro") as stores:
        return {key for store in stores for (key,) in store.execute(query, [step])}


def newest(folder: Path, step: str, key: str) -> Any:
    """Return the newest snapshot of a key; None if there is none or its state was discarded."""
    query = "SELECT snap_epoch, ser_change FROM snaps WHERE step_id = ? AND state_key = ?"
    with _opened(folder, mode="ro") as stores:
        found = [row for store in stores for row in store.execute(query, (step, key))]
    _, change = max(found, default=(0, None), key=lambda row: row[0])
    return None if change is None else pickle.loads(change)  # noqa: S301 - the job's own file


def drop_uncommitted(folder: Path) -> int:
    """Delete the snapshots of epochs that were not committed. Call while no worker runs; returns how many there were.

    The engine leaves them behind when a job dies between the snapshots of an epoch and its commit. The next execution
    begins with the same epoch number and overwrites only the keys that it meets in that epoch, which may end earlier
    than it did before. The execution after that would take what is left for committed state, and the records that it
    replays for repeats.
    """
    with _opened(folder) as stores:
        resume = _resume_epoch(stores)
        return sum(_changed(store, "DELETE FROM snaps WHERE snap_epoch >= ?", [resume]) for store in stores)


def prune(folder: Path) -> int:
    """Delete the rows of keys whose state was discarded, which the engine never deletes. Call while no worker runs.

    Returns the number of deleted rows. A row is deleted only if it is the only one of its key, so that a resume from
    any epoch gives the same states as before.
    """
    discarded = (
        "DELETE FROM snaps WHERE ser_change IS NULL AND (step_id, state_key) IN"
        " (SELECT step_id, state_key FROM snaps GROUP BY step_id, state_key HAVING count(*) = 1)"
    )
    with _opened(folder) as stores:
        return sum(_changed(store, discarded) for store in stores)


def _resume_epoch(stores: Sequence[sqlite3.Connection]) -> int:
    """Return the epoch that the engine will begin with: the earliest frontier of the last execution's workers."""
    executions = chain.from_iterable(
        store.execute("SELECT ex_num, worker_count, resume_epoch FROM exs") for store in stores
    )
    last, workers, begun = max(executions, default=(0, 0, 1))
    reached = dict.fromkeys(range(workers), begun)
    for store in stores:
        reached |= store.execute("SELECT worker_index, worker_frontier FROM fronts WHERE ex_num = ?", [last])
    return min(reached.values(), default=begun)


@contextmanager
def _opened(folder: Path, mode: str = "rw") -> Iterator[list[sqlite3.Connection]]:
    with ExitStack() as opened:
        uris = [f"{path.resolve().as_uri()}?mode={mode}" for path in files(folder)]
        yield [opened.enter_context(closing(sqlite3.connect(uri, uri=True))) for uri in uris]


def _changed(store: sqlite3.Connection, statement: str, values: Sequence[int] = ()) -> int:
    with store:
        return store.execute(statement, values).rowcount
