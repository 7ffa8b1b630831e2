"""Stores for the chaos tests: one that dies with the job, and one that several processes share and that outlives it."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.flows.job import free_port
from tests.store_reader import ROOT, dump

Rows = dict[str, list[tuple[Any, ...]]]
PATIENCE_SECONDS = 60.0


class Store(msgspec.Struct, frozen=True):
    """Where the job writes, and how the test reads it back under `FINAL`."""

    dsn: str
    read: Callable[[], Rows]


@contextmanager
def embedded_store(folder: Path) -> Iterator[Store]:
    """chDB inside the worker: killed with it, in the middle of an insert too."""
    store = Store(f"chdb://{folder}/db", lambda: dump(store.dsn))
    migrate(store)
    yield store


@contextmanager
def shared_store(folder: Path) -> Iterator[Store]:
    """chDB behind its HTTP front, in a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "infra.clickhouse_front", "--path", str(folder / "db"), "--port", str(port)]
    with (folder / "front.log").open("wb") as log:
        front = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    store = Store(f"clickhouse://undertone@127.0.0.1:{port}/undertone", lambda: dump(store.dsn))
    try:
        _wait_for_ping(port)
        migrate(store)
        yield store
    finally:
        front.terminate()
        front.wait(PATIENCE_SECONDS)


def migrate(store: Store) -> None:
    """Make the tables."""
    command = [sys.executable, "-m", "infra.clickhouse", "migrate", "--store", store.dsn]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def _wait_for_ping(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2):
                return
        except OSError:
            assert time.monotonic() < deadline, "the front does not answer"
            time.sleep(0.1)
