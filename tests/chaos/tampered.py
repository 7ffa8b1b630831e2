"""Change a finished store step by step and show it after each: `python -m tests.chaos.tampered DSN`.

Statements come as a MessagePack list on the standard input; dumps of all rows go to the standard output in the same
way. One process for all, because an embedded store has one owner at a time.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec

from infra.store import open_store
from tests.store_reader import ROOT, Rows, hashable, stored


def after_each(dsn: str, statements: list[str]) -> list[Rows]:
    """Carry out `statements`, in a process of its own; the rows under `FINAL` after each of them."""
    command = [sys.executable, "-m", "tests.chaos.tampered", dsn]
    done = subprocess.run(command, cwd=ROOT, input=msgspec.msgpack.encode(statements), capture_output=True, check=True)
    return [
        {table: [tuple(map(hashable, row)) for row in rows] for table, rows in dump.items()}
        for dump in msgspec.msgpack.decode(done.stdout, type=list[dict[str, list[list[Any]]]])
    ]


def main(dsn: str, statements: list[str]) -> list[Rows]:
    """Carry out `statements` in this process."""
    dumps = []
    for statement in statements:
        client = open_store(dsn)
        client.command(statement)
        client.close()
        dumps.append(stored(dsn))
    return dumps


if __name__ == "__main__":
    dumps = main(sys.argv[1], msgspec.msgpack.decode(sys.stdin.buffer.read(), type=list[str]))
    sys.stdout.buffer.write(msgspec.msgpack.encode(dumps))
