"""What the demo prints at the end: a table of results, one customer's story, and example queries."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.rule import Rule
from rich.table import Table

from flows.demo import story
from flows.demo.account import Account
from flows.demo.play import Books
from infra import traffic
from infra.wallboard import Latency

QUESTIONS = (
    "SELECT queue, round(avg(score), 2) AS mood, count() AS n FROM undertone.v_messages"
    " WHERE speaker = 'customer' AND kind = 'utterance' AND skipped = '' GROUP BY queue ORDER BY mood",
    "SELECT raised_time, family, level, queue, reason FROM undertone.v_escalations ORDER BY raised_time",
    "SELECT channels, outcome, round(begin, 2), round(end, 2) FROM undertone.v_sessions WHERE hops > 0 ORDER BY low",
)


def summary(console: Console, taken: Account, books: Books, latencies: Sequence[Latency], planted: int) -> None:
    """Print what was sent and what became of it."""
    console.print(Rule("What happened"))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for title, text in _lines(taken, books, latencies, planted):
        table.add_row(title, text)
    console.print(table, soft_wrap=False)


def _lines(taken: Account, books: Books, latencies: Sequence[Latency], planted: int) -> list[tuple[str, str]]:
    malformed = books.expected_rejects.total()
    share = taken.negative / taken.said if taken.said else 0.0
    rejects = ", ".join(f"{reason} {count}" for reason, count in sorted(taken.rejects.items()))
    raised = ", ".join(f"{family} {count}" for family, count in sorted(taken.families.items()))
    return [
        ("sent", f"{books.sent} records: {books.duplicates} of them twice, {malformed} malformed on purpose"),
        ("written", f"{taken.rows} rows of {books.rows} events, from {taken.customers} customers"),
        ("scored", f"{taken.said} messages of customers, {share:.0%} of them negative"),
        (
            "redacted",
            f"{taken.redactions} placeholders; of {planted} planted pieces of personal data, {taken.leaks} found",
        ),
        ("set aside", f"{sum(taken.rejects.values())} records of {malformed} that had to be: {rejects}"),
        (
            "sessions",
            f"{taken.sessions} over, {taken.open} open: {taken.recovered} recovered, {taken.soured} soured",
        ),
        ("escalations", f"{sum(taken.families.values())}, and {taken.suppressed} held back: {raised}"),
        *((f"Kafka {one.name}", f"p50 {one.p50:.0f} ms, p95 {one.p95:.0f} ms") for one in latencies),
    ]


def follow(console: Console, client: Any, scenes: Sequence[traffic.Scene], secret: str) -> None:
    """Print the transcript of one customer's story."""
    scene = story.choose(scenes)
    key = story.customer_key(scene, secret)
    console.print(Rule(f"One customer's story: {scene.story.industry}, customer {key:016x}"))
    console.print("The number is the mood of the customer after the message, from -1 to 1; words in [] are its tags.\n")
    console.print(story.transcript(client, key), soft_wrap=False)


def how_to_query(console: Console, folder: Path) -> None:
    """Print commands that can be copied: the wallboard again, and SQL queries on the store."""
    python = ".venv/bin/python" if Path(".venv/bin/python").exists() else sys.executable
    store = (folder / "store").resolve()
    console.print(Rule("Ask it yourself"))
    console.print(f"Written to {store} (ClickHouse format); what each column means: docs/data-dictionary.md\n")
    console.print(f"{python} -m infra.wallboard --once --store chdb://{store}", markup=False)
    for question in QUESTIONS:
        console.print(f"\n{query_command(python, store, question)}", markup=False)


def query_command(python: str, store: Path, question: str) -> str:
    """Return a shell command that runs one query on the store.

    >>> query_command("python", Path("/s"), "SELECT 1").endswith('"SELECT 1"')
    True
    """
    program = f'import chdb.session, sys; print(chdb.session.Session("{store}").query(sys.argv[1], "Pretty"))'
    return f"{python} -c '{program}' \"{question}\""
