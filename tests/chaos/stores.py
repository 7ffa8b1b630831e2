"""Stores for the chaos tests: one that dies with the job, and one that several processes share and that outlives it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType

from infra.mortal import bound
from infra.ports import free_port
from tests.store_reader import ROOT, Rows, dump

PATIENCE_SECONDS = 60.0


class EmbeddedStore:
    """chDB inside the worker: killed with it, in the middle of an insert too."""

    def __init__(self, folder: Path) -> None:
        self.dsn = f"chdb://{folder}/db"

    def read(self) -> Rows:
        """All rows under `FINAL`."""
        return dump(self.dsn)

    def __enter__(self) -> EmbeddedStore:
        migrate(self.dsn)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing to end: it ends with its worker."""


class SharedStore:
    """chDB behind its HTTP front, in a process of its own, for the length of a `with` block."""

    def __init__(self, folder: Path, *, migrated: bool = True) -> None:
        self._folder = folder
        self._migrated = migrated
        self._port = free_port()
        self.dsn = f"clickhouse://undertone@127.0.0.1:{self._port}/undertone"

    def start(self) -> None:
        """Start it, on the data of the one before, and wait until it answers."""
        command = [sys.executable, "-m", "infra.clickhouse_front", "--port", str(self._port)]
        command += ["--path", str(self._folder / "db")]
        with (self._folder / "front.log").open("ab") as log:
            self._front = subprocess.Popen(bound(command), cwd=ROOT, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _answers(self._port):
            assert time.monotonic() < deadline, "the front does not answer"
            time.sleep(0.1)

    def kill(self) -> None:
        """End it at once, inserts or not."""
        self._front.kill()
        self._front.wait(PATIENCE_SECONDS)

    def hang(self) -> None:
        """Stop it without ending it: it takes connections and answers nobody."""
        self._front.send_signal(signal.SIGSTOP)

    def read(self) -> Rows:
        """All rows under `FINAL`."""
        return dump(self.dsn)

    def __enter__(self) -> SharedStore:
        self.start()
        if self._migrated:
            migrate(self.dsn)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()


def migrate(dsn: str) -> None:
    """Make the tables."""
    command = [sys.executable, "-m", "infra.clickhouse", "migrate", "--store", dsn]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2):
            return True
    except OSError:
        return False
