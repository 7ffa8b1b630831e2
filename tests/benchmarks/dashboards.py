"""What each query of the dashboards costs, beside its budget.

    python -m tests.benchmarks.dashboards --events 10000000

Seeds an embedded ClickHouse with two weeks of scored events (`tests.dashboards.traffic`), then runs every query of
every panel, variable, annotation and alert on the time range that its page opens with. Queries run one after the other
with as many threads as there are cores, and without the cache of query conditions, which would flatter repeats.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence

from clickhouse_connect.driver.client import Client

from infra.clickhouse.migrate import migrate
from infra.clickhouse.render import Target
from infra.store import open_store
from tests.dashboards.macros import ALL, Variables
from tests.dashboards.queries import Query, all_queries
from tests.dashboards.traffic import Traffic, write

WALL_MS, OTHER_MS = 100.0, 500.0
SETTINGS = {"use_query_condition_cache": 0, "use_query_cache": 0}


def budget(query: Query) -> float:
    """Milliseconds that 19 of 20 runs must stay below."""
    return WALL_MS if query.board == "undertone-wallboard" else OTHER_MS


def percentile95(times: Sequence[float]) -> float:
    """95th percentile, between the two values around it."""
    return statistics.quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else times[0]


def seeded(path: str, traffic: Traffic) -> Client:
    """Open an embedded store at `path` and fill it; one that is full already is left as it is."""
    client = open_store(f"chdb://{path}")
    migrate(client, Target())
    client.command("SYSTEM STOP VIEW undertone.rollup_1m_refresh")
    rows = client.query("SELECT count() FROM undertone.scored_events").result_rows[0][0]
    if rows == 0:
        start = time.perf_counter()
        write(client, traffic)
        print(f"seeded {traffic.events:,} events in {time.perf_counter() - start:.0f} s")
    return client


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


def run(path: str, traffic: Traffic, repeat: int, only: str = "") -> int:
    """Print one line a query; return how many are over budget."""
    client = seeded(path, traffic)
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
        return run(folder, traffic, repeat)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 when a query is over its budget."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.dashboards",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--events", type=int, default=1_000_000, help="scored events (default: a million)")
    parser.add_argument("--repeat", type=int, default=20, help="runs of each query (default: 20)")
    parser.add_argument("--path", help="keep the seeded store here, and use it again")
    parser.add_argument("--only", default="", help="only queries whose name holds this")
    parser.add_argument(
        "--end", type=int, default=0, help="end of the traffic, Unix seconds (default: now; give it with --path)"
    )
    chosen = parser.parse_args(argv)
    end = chosen.end or int(time.time()) // 3600 * 3600
    traffic = Traffic(end=end, events=chosen.events, days=14)
    with tempfile.TemporaryDirectory() as folder:
        return 1 if run(chosen.path or folder, traffic, chosen.repeat, chosen.only) else 0


if __name__ == "__main__":
    sys.exit(main())
