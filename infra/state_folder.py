"""The state folder of a job: lock it, and rid its recovery store of what the engine should not or need not read."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from typing import IO, Final

HALF_MADE: Final = ".recovery-being-made-"
"""Prefix of the folder name of a recovery store that is being created: no operator would name a backup like this."""


class FolderInUseError(RuntimeError):
    """Another job uses the state folder; the message names its process and says what to do."""


def lock(state_dir: Path, patience: float = 5.0, *, name: str = "lock") -> IO[str]:
    """Lock the folder for this process and all processes that inherit the returned file, until the last of them ends.

    The supervisor uses the default name. Each worker also locks its own name, which protects workers that were started
    without a supervisor.

    Waits up to `patience` seconds: a killed process holds its lock until the kernel has ended its last thread.
    Raises `FolderInUseError` when another process still holds it then.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    held = (state_dir / name).open("a+")
    give_up = time.monotonic() + patience
    while not _taken(held):
        if time.monotonic() > give_up:
            held.seek(0)
            owner = held.read().strip() or "unknown"
            held.close()
            raise FolderInUseError(
                f"another job (process {owner}) or one of its workers runs on {state_dir}: stop it first,"
                " or give this one another UNDERTONE_STATE_DIR. Two on one folder would count everything twice."
            )
        time.sleep(0.05)
    held.truncate(0)
    held.write(str(os.getpid()))
    held.flush()
    return held


def _taken(held: IO[str]) -> bool:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sweep(state_dir: Path) -> None:
    """Remove incomplete recovery stores, whose process was killed while creating them. Call while no worker runs."""
    for half_made in state_dir.glob(f"{HALF_MADE}*"):
        shutil.rmtree(half_made)


def drop_uncommitted(recovery: Path) -> int:
    """Delete the snapshots of epochs that were not committed. Call while no worker runs; returns how many there were.

    The engine leaves them behind when a job dies between the snapshots of an epoch and its commit. The next execution
    begins with the same epoch number and overwrites only the keys that it meets in that epoch, which may end earlier
    than it did before. The execution after that would take what is left for committed state, and the records that it
    replays for repeats.
    """
    with ExitStack() as opened:
        stores = [opened.enter_context(closing(sqlite3.connect(path))) for path in sorted(recovery.glob("*.sqlite3"))]
        resume = _resume_epoch(stores)
        dropped = 0
        for store in stores:
            with store:
                dropped += store.execute("DELETE FROM snaps WHERE snap_epoch >= ?", [resume]).rowcount
    return dropped


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


def prune(recovery: Path) -> int:
    """Delete the rows of keys whose state was discarded, which the engine never deletes. Call while no worker runs.

    Returns the number of deleted rows. A row is deleted only if it is the only one of its key, so that a resume from
    any epoch gives the same states as before.
    """
    dropped = 0
    for path in sorted(recovery.glob("*.sqlite3")):
        with closing(sqlite3.connect(path)) as store, store:
            dropped += store.execute(
                "DELETE FROM snaps WHERE ser_change IS NULL AND (step_id, state_key) IN"
                " (SELECT step_id, state_key FROM snaps GROUP BY step_id, state_key HAVING count(*) = 1)"
            ).rowcount
    return dropped
