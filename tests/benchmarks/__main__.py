"""`make bench`: every figure of the budgets, measured in one run on the machine at hand."""

from __future__ import annotations

import argparse
import os
import platform

from tests.benchmarks import dashboards, latency, processes, resume, stages, throughput
from tests.benchmarks.report import heading


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument(
        "--only",
        choices=["stages", "throughput", "latency", "processes", "resume", "dashboards"],
        help="one group alone",
    )
    parser.add_argument("--events", type=int, default=20_000, help="events of the throughput run (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=20, help="length of the latency run (default %(default)s)")
    parser.add_argument("--rate", type=float, help="rate of the latency run; default half of what was measured")
    parser.add_argument(
        "--page-events",
        type=int,
        default=1_000_000,
        help="scored events that the pages are asked of (default %(default)s; ten million take some six minutes)",
    )
    parser.add_argument("--customers", type=int, nargs="*", default=[10_000, 100_000], help="of the resume runs")
    asked = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    heading(f"{machine}, load {os.getloadavg()[0]:.1f}")
    if asked.only in (None, "stages"):
        stages.measure(asked.events)
    rate = asked.rate
    if asked.only in (None, "throughput") or (asked.only == "latency" and rate is None):
        rate = rate or throughput.measure(asked.events, 2_000) / 2
    if asked.only in (None, "latency"):
        latency.measure(rate, asked.seconds)
    if asked.only in (None, "processes"):
        processes.measure(asked.events)
    if asked.only in (None, "resume"):
        for customers in asked.customers:
            resume.measure(customers)
    if asked.only in (None, "dashboards"):
        dashboards.measure_all(asked.page_events)


if __name__ == "__main__":
    main()
