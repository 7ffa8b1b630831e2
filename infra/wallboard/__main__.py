"""Command that shows the wallboard from a running job's store."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from rich.console import Console

from flows.settings import Settings, SettingsError
from infra.store import StoreAddressError, open_store
from infra.wallboard.live import watch
from infra.wallboard.render import render
from infra.wallboard.store import Wall

EPILOG = """examples:
  python -m infra.wallboard                       the store that UNDERTONE_STORE names
  python -m infra.wallboard --store clickhouse://undertone@localhost:8123/undertone --refresh 2
  python -m infra.wallboard --once | less         one look, for example over ssh

It only reads. An embedded store (chdb:///path) has one owner: look at it this way after the job has ended."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    asked = _parser().parse_args(argv)
    console = Console()
    try:
        settings = Settings.from_env(os.environ)
        client = open_store(asked.store or settings.store, settings.store_password)
        wall = Wall(client)
        if asked.once:
            console.print(render(wall.snapshot(), console.width, max(40, console.height)))
        else:
            watch(console, wall.snapshot, lambda: False, asked.refresh)
    except (SettingsError, StoreAddressError) as error:
        print(f"infra.wallboard: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.wallboard",
        description="Queues, unhappiest customers and escalations in the terminal, live, from the store's tables.",
        epilog=EPILOG,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--store", help="DSN of the store (default: UNDERTONE_STORE)")
    parser.add_argument("--refresh", type=float, default=1.0, help="seconds between looks (default 1)")
    parser.add_argument("--once", action="store_true", help="draw once and stop")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
