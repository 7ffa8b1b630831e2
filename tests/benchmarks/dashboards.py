"""What each query of the dashboards costs, beside its budget.

    python -m tests.benchmarks.dashboards --events 10000000

Seeds an embedded ClickHouse with two weeks of scored events (`tests.dashboards.traffic`), waits until its merges are
done, then runs every query of every panel, variable, annotation and alert on the time range that its page opens with.
Queries run one after the other with as many threads as there are cores, and without the cache of query conditions,
which would flatter repeats. With `--path` the store stays, and a seeding that was cut off goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
from clickhouse_connect.driver.client import Client

from infra.clickhouse.migrate import migrate
from infra.clickhouse.render import Target
from infra.store import open_store
from tests.dashboards.macros import ALL, Variables
from tests.dashboards.queries import Query, all_queries
from tests.dashboards.traffic import Traffic, steps

WALL_MS, OTHER_MS = 100.0, 500.0
NOTE = "seeded.json"
SETTINGS = {"use_query_condition_cache": 0, "use_query_cache": 0}


def budget(query: Query) -> float:
    """Milliseconds that 19 of 20 runs must stay below."""
    return WALL_MS if query.board == "undertone-wallboard" else OTHER_MS


def percentile95(times: Sequence[float]) -> float:
    """95th percentile, between the two values around it."""
    return statistics.quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else times[0]


class Seeded(msgspec.Struct):
    """What a store that is kept holds, and how far its seeding has come; a file in its folder."""

    traffic: Traffic
    done: list[str] = []


def planned(folder: Path, traffic: Traffic) -> Seeded:
    """What the folder was seeded with, however long ago, or what it is to be seeded with."""
    note = folder / NOTE
    if not note.exists():
        return Seeded(traffic)
    found = msgspec.json.decode(note.read_bytes(), type=Seeded)
    if replace(found.traffic, end=0) != replace(traffic, end=0):
        raise SystemExit(f"{folder} holds {found.traffic.events:,} events of another kind; take another --path")
    return found


def seeded(folder: Path, seeding: Seeded) -> Client:
    """Open an embedded store in `folder` and do what is left of its seeding."""
    folder.mkdir(parents=True, exist_ok=True)
    client = open_store(f"chdb://{folder / 'store'}")
    migrate(client, Target())
    client.command("SYSTEM STOP VIEW undertone.rollup_1m_refresh")
    start = time.perf_counter()
    for name, sql in steps(seeding.traffic):
        if name not in seeding.done:
            client.command(sql)
            seeding.done.append(name)
            (folder / NOTE).write_bytes(msgspec.json.encode(seeding))
            print(f"{time.perf_counter() - start:7.0f} s  {name}", flush=True)
    settle(client)
    return client


def settle(client: Client, patience: float = 300) -> None:
    """Wait until no part is merged any more: merging costs the processors that the queries are measured on."""
    start, quiet = time.perf_counter(), 0
    while quiet < 5 and time.perf_counter() - start < patience:
        merging = client.query("SELECT count() FROM system.merges").result_rows[0][0]
        quiet = 0 if merging else quiet + 1
        time.sleep(0.2)
    parts = client.query("SELECT count() FROM system.parts WHERE active AND database = 'undertone'").result_rows[0][0]
    size = client.query("SELECT formatReadableSize(sum(bytes_on_disk)) FROM system.parts WHERE active").result_rows[0][
        0
    ]
    print(f"{parts} parts, {size}, after {time.perf_counter() - start:.0f} s of waiting for merges", flush=True)


def measure(client: Client, query: Query, end: int, variables: Variables, repeat: int) -> tuple[list[float], float]:
    """Milliseconds of each run, rows included, and the processor time of a run; the first, cold run is left out."""
    sql = query.expanded(end, variables)
    times: list[float] = []
    client.query(sql, settings=SETTINGS)
    used = time.process_time()
    for _ in range(repeat):
        start = time.perf_counter()
        client.query(sql, settings=SETTINGS)
        times.append((time.perf_counter() - start) * 1000)
    return times, (time.process_time() - used) * 1000 / repeat


def run(folder: Path, wanted: Traffic, repeat: int, only: str = "") -> int:
    """Print one line a query; return how many are over budget."""
    seeding = planned(folder, wanted)
    client, traffic = seeded(folder, seeding), seeding.traffic
    customer = client.query(
        "SELECT lower(leftPad(hex(customer_key), 16, '0')) FROM undertone.sessions FINAL ORDER BY session_id LIMIT 1"
    ).result_rows[0][0]
    variables: Variables = {
        **{name: [ALL] for name in ("tenant", "queue", "channel")},
        "customer": str(customer),
        "supervisors": "3",
        "changed": "billing",
        "moment": "",
    }
    over = 0
    print(f"{'p95 ms':>8} {'median':>8} {'cpu':>8} {'budget':>8}  query")
    for query in all_queries():
        if only not in query.name:
            continue
        times, cpu = measure(client, query, traffic.end, variables, repeat)
        late = percentile95(times) > budget(query)
        over += late
        mark = "  OVER" if late else ""
        print(
            f"{percentile95(times):8.1f} {statistics.median(times):8.1f} {cpu:8.1f} {budget(query):8.0f}  "
            f"{query.name}{mark}",
            flush=True,
        )
    client.close()
    print(f"{over} over budget; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {traffic.events:,} events")
    return over


def measure_all(events: int = 1_000_000, repeat: int = 20) -> int:
    """Seed a store of its own and measure every query; return how many are over budget."""
    traffic = Traffic(end=int(time.time()) // 3600 * 3600, events=events, days=14)
    with tempfile.TemporaryDirectory() as folder:
        return run(Path(folder), traffic, repeat)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 when a query is over its budget."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.dashboards",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--events", type=int, default=1_000_000, help="scored events (default: a million)")
    parser.add_argument("--repeat", type=int, default=20, help="runs of each query (default: 20)")
    parser.add_argument(
        "--path", help="keep the seeded store here, use it again, and go on with it when it is not full"
    )
    parser.add_argument("--only", default="", help="only queries whose name holds this")
    chosen = parser.parse_args(argv)
    traffic = Traffic(end=int(time.time()) // 3600 * 3600, events=chosen.events, days=14)
    with tempfile.TemporaryDirectory() as folder:
        return 1 if run(Path(chosen.path or folder), traffic, chosen.repeat, chosen.only) else 0


if __name__ == "__main__":
    sys.exit(main())
