"""Show the wall on a terminal and keep it up to date; without a terminal, print the main figures every 5 seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live

from infra.wallboard.render import clock, render
from infra.wallboard.snapshot import Snapshot

LINE_EVERY = 5.0
"""Seconds between lines when there is no terminal."""


def watch(console: Console, snapshot: Callable[[], Snapshot], done: Callable[[], bool], refresh: float = 1.0) -> None:
    """Show the wall until `done`, and draw it every `refresh` seconds. Without a terminal, print plain lines."""
    if console.is_terminal and not console.is_dumb_terminal:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while not done():
                live.update(render(snapshot(), console.width, console.height), refresh=True)
                time.sleep(refresh)
        return
    said = 0.0
    while not done():
        if time.monotonic() - said >= LINE_EVERY:
            said = time.monotonic()
            console.print(line(snapshot()), highlight=False, soft_wrap=True)
        time.sleep(min(refresh, 0.5))


def line(shot: Snapshot) -> str:
    """Return the main figures in one line.

    >>> line(Snapshot())
    'waiting for the first message'
    """
    if not shot.at_ms:
        return "waiting for the first message"
    dead = sum(count for _, count in shot.rejected)
    figures = [
        f"{clock(shot.at_ms)} event time",
        f"{shot.messages} messages",
        f"{shot.customers} customers",
        f"{shot.raised} escalations",
        f"{dead} dead letters",
    ]
    if shot.alerts:
        newest = shot.alerts[0]
        figures.append(f"newest: {newest.family} (level {newest.level}, {newest.queue})")
    return ", ".join(figures)
