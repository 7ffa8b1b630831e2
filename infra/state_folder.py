"""The state folder of a job: one owner at a time, and no rows of keys that are gone."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import IO, Final

HALF_MADE: Final = ".recovery-being-made-"
"""Beginning of the name of a recovery store that is not whole yet: one that nobody gives to a backup."""


class FolderInUseError(RuntimeError):
    """Another job has the state folder; the message says which process and what to do."""


def lock(state_dir: Path, patience: float = 5.0, *, name: str = "lock") -> IO[str]:
    """Take the folder for this process and all that inherit the returned file, until the last of them has ended.

    The supervisor takes the whole folder; each worker takes a name of its own, for those that no supervisor started.

    Waits up to `patience` seconds: what was killed holds the folder until the kernel has ended its last thread.
    Raises `FolderInUseError` when another one still has it.
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
    """Remove recovery stores that were being made when their process was killed. Only while nothing runs."""
    for half_made in state_dir.glob(f"{HALF_MADE}*"):
        shutil.rmtree(half_made)


def prune(recovery: Path) -> int:
    """Forget keys whose state was discarded: the engine keeps a row of each for ever. Only while nothing runs.

    Returns how many were forgotten. A row is dropped only when it is the last of its key, so that no resume, of
    whatever epoch, sees a difference.
    """
    dropped = 0
    for path in sorted(recovery.glob("*.sqlite3")):
        with closing(sqlite3.connect(path)) as store, store:
            dropped += store.execute(
                "DELETE FROM snaps WHERE ser_change IS NULL AND (step_id, state_key) IN"
                " (SELECT step_id, state_key FROM snaps GROUP BY step_id, state_key HAVING count(*) = 1)"
            ).rowcount
    return dropped
