"""The metrics pages of a running job."""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Iterable


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
