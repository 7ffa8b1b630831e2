"""Serve an embedded store over ClickHouse's HTTP interface."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence

from infra.clickhouse_front.server import Front

EPILOG = """examples:
  python -m infra.clickhouse_front --path .state/demo/store
  UNDERTONE_STORE=clickhouse://undertone@127.0.0.1:8123/undertone python -m infra.launch
  curl 'http://127.0.0.1:8123/?query=SELECT+count()+FROM+undertone.v_messages'

Grafana on this machine, with the ClickHouse plugin: one command makes the data source that the pages name, for the
user grafana (who can only read), the pages and the alarms. It needs a service account's token in
UNDERTONE_GRAFANA_TOKEN (docs/supervisors.md):
  python -m dashboards.publish --url http://localhost:3000 --store clickhouse://grafana@127.0.0.1:8123
When UNDERTONE_STORE_PASSWORD is set, every user needs that password; give it to the command in
UNDERTONE_GRAFANA_STORE_PASSWORD.

limits: one process owns the folder while this runs; no roles, row policies or quotas; a result is held in memory
before it is sent; a client that leaves does not stop its query. For more, run a ClickHouse server."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command until SIGTERM or Ctrl-C; return the exit status."""
    asked = _parser().parse_args(argv)
    try:
        front = Front(
            asked.path,
            port=asked.port,
            host=asked.host,
            password=os.environ.get("UNDERTONE_STORE_PASSWORD", ""),
            allow_remote=asked.allow_remote,
        )
    except (ValueError, OSError, RuntimeError) as error:
        print(f"infra.clickhouse_front: {error}", file=sys.stderr)
        return 2
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with front:
        print(f"serving {asked.path} on http://{asked.host}:{front.port}", flush=True)
        stop.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.clickhouse_front",
        description="Serve an embedded store (chdb:///path) over ClickHouse's HTTP interface, on this machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--path", required=True, help="folder of the embedded store")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument(
        "--allow-remote",
        action="store_true",
        help="serve other addresses too; without TLS, and anyone with the password can write: private networks only",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
