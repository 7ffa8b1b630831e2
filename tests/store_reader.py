"""Reads the tables of a store as `tests.oracle` computes them. Run as a script it dumps an embedded store:

an embedded store has one owner process at a time, and a test process may need several of them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from infra.store import open_store
from operators.rows import TABLES, TIME
from tests.oracle import Tables, final_rows

ROOT = Path(__file__).resolve().parents[1]
Rows = dict[str, list[tuple[Any, ...]]]
"""Rows by table, in the column order of `rows.TABLES`; instants as milliseconds."""


def stored(dsn: str, *, final: bool = True) -> Rows:
    """Rows of every table in the column order of `rows.TABLES`; instants as milliseconds."""
    client = open_store(dsn)
    suffix = "FINAL" if final else ""
    found: Rows = {}
    for name, table in TABLES.items():
        columns = ", ".join(
            f"toUnixTimestamp64Milli({column})" if type_ == TIME else f"`{column}`"
            for column, type_ in zip(table.columns, table.types, strict=True)
        )
        found[name] = [
            tuple(row) for row in client.query(f"SELECT {columns} FROM undertone.{name} {suffix}").result_rows
        ]
    client.close()
    return found


def dump(dsn: str, *, final: bool = True) -> Rows:
    """`stored` in a process of its own."""
    command = [sys.executable, "-m", "tests.store_reader", dsn, "final" if final else "raw"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    raw: dict[str, list[list[Any]]] = msgspec.msgpack.decode(done.stdout)
    return {table: [tuple(hashable(value) for value in row) for row in rows] for table, rows in raw.items()}


def tables(found: Rows) -> Tables:
    """The shape in which the oracle gives them."""
    return final_rows((table, rows) for table, rows in found.items() if rows)


def comparable(expected: Tables) -> Tables:
    """Floats as Float32 keeps them, rounded to 1e-4; sequences as tuples, so that both sides compare equal."""
    return {
        table: {key: tuple((name, _plain(value)) for name, value in row) for key, row in rows.items()}
        for table, rows in expected.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return round(value, 4) + 0.0
    return hashable(value)


def hashable(value: Any) -> Any:
    """A list as a tuple."""
    return tuple(value) if isinstance(value, list | tuple) else value


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.msgpack.encode(stored(sys.argv[1], final=sys.argv[2] == "final")))
