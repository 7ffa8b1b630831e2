"""The state folder of a job: what is in it, its locks, and what a killed process leaves there."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import IO, Final

HALF_MADE: Final = ".recovery-being-made-"
"""Prefix of the folder name of a recovery store that is being created: no operator would name a backup like this."""


def heartbeat(state_dir: Path) -> Path:
    """Return the file that workers touch at each committed epoch; the supervisor's watchdog watches for its changes."""
    return state_dir / "committed"


def recovery(state_dir: Path) -> Path:
    """Return the folder of the engine's recovery store."""
    return state_dir / "recovery"


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
