"""The metrics pages of a running job, and what is waited for on them."""

from __future__ import annotations

import http.client
import time
import urllib.request
from collections.abc import Callable, Iterable


def page(port: int) -> str:
    """What a process shows; empty while it starts or when it dies in the middle of its answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as reply:
            return str(reply.read().decode())
    except (OSError, http.client.HTTPException):
        return ""


def total(pages: Iterable[str], name: str) -> float:
    """Sum of a metric over labels and pages; -1 when none shows it. Rows of `progress` never end and do not count.

    >>> total(['x{table="a"} 2.0', 'x{table="b"} 3.0'], "x"), total([""], "x")
    (5.0, -1.0)
    """
    lines = [line for shown in pages for line in shown.splitlines() if line.startswith((name + "{", name + " "))]
    values = [float(line.rsplit(" ", 1)[1]) for line in lines if 'table="progress"' not in line]
    return sum(values) if values else -1.0


def wait_until_quiet(metric: Callable[[str], float], patience: float, log: Callable[[], str]) -> None:
    """Until all is read and no rows were written for three seconds: what follows from the passing of time is there too.

    Raises:
        AssertionError: that took longer than `patience` seconds.
    """
    quiet, rows = 0, -1.0
    deadline = time.monotonic() + patience
    while quiet < 15:
        time.sleep(0.2)
        lag, before, rows = metric("undertone_kafka_lag_records"), rows, metric("undertone_rows_written_total")
        quiet = quiet + 1 if (lag, rows) == (0, before) else 0
        assert time.monotonic() < deadline, f"lag {lag}, rows {rows}; the job said: {log()[-3000:]}"
