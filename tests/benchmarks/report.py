"""One line a figure, beside its budget."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def say(what: str, figure: str, budget: str = "", met: bool | None = None) -> None:
    """Print a figure; `met` None when there is no budget to hold it against."""
    verdict = {True: "ok", False: "MISSED", None: ""}[met]
    print(f"  {what:<58} {figure:>16}   {budget:<24} {verdict}", flush=True)


def heading(title: str) -> None:
    """Begin a group."""
    print(f"\n{title}", flush=True)


def progress(text: str) -> None:
    """Tell on standard error what is being done."""
    print(f"    ... {text}", file=sys.stderr, flush=True)


def quantile(values: Sequence[float], q: float) -> float:
    """Nearest-rank quantile of a non-empty sequence.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    ordered = sorted(values)
    return ordered[max(0, -(-int(len(ordered) * q * 1000) // 1000) - 1)]
