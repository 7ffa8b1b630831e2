"""Stores for the chaos tests: one that dies with the job, and one that several processes share and that outlives it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.store_reader import ROOT, dump

Rows = dict[str, list[tuple[Any, ...]]]


class Store(msgspec.Struct, frozen=True):
    """Where the job writes, and how the test reads it back under `FINAL`."""

    dsn: str
    read: Callable[[], Rows]


@contextmanager
def embedded_store(folder: Path) -> Iterator[Store]:
    """chDB inside the worker: killed with it, in the middle of an insert too."""
    dsn = f"chdb://{folder}/db"
    subprocess.run([sys.executable, "-m", "infra.clickhouse", "migrate", "--store", dsn], cwd=ROOT, check=True)
    yield Store(dsn, lambda: dump(dsn))
