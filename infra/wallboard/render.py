"""Draw a snapshot for a terminal. Signs, words and arrows carry the meaning, never colour alone.

The colours are those of Okabe and Ito, which colour-blind people can distinguish.
"""

from __future__ import annotations

from datetime import datetime, timezone

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from infra.wallboard.snapshot import Alert, Conversation, Queue, Snapshot

BAD, WARN, GOOD, FAINT = "#D55E00", "#E69F00", "#009E73", "dim"
ARROWS = {
    "improving": ("↑", GOOD),
    "slightly_improving": ("↗", GOOD),
    "no_change": ("→", FAINT),
    "slightly_declining": ("↘", WARN),
    "declining": ("↓", BAD),
    "not_calculated": ("·", FAINT),
}
ROUTES = {"agent": "cue to agent", "supervisor": "to supervisor"}
WIDE = 110
"""Fewest columns with which queues and conversations are shown side by side."""


def render(shot: Snapshot, width: int = 100, height: int = 40) -> RenderableType:
    """Draw the wall in at most `width` columns and about `height` lines.

    Args:
        shot: What to show.
        width: Columns of the terminal, at least 60.
        height: Lines of the terminal; with fewer than 24, the end of the wall is cut off.
    """
    wide = width >= WIDE
    free = max(9, height - (10 if wide else 12))
    if wide:
        rows = max(3, free // 2)
        top: RenderableType = _beside(_queues(shot.queues[:rows]), _conversations(shot.conversations[:rows]))
        lines = free - min(rows, max(len(shot.queues), len(shot.conversations), 1))
    else:
        rows = max(3, free // 4)
        top = Group(_queues(shot.queues[:rows]), _conversations(shot.conversations[:rows]))
        lines = free - min(rows, max(1, len(shot.queues))) - min(rows, max(1, len(shot.conversations)))
    alerts = shot.alerts[: max(1, lines // (2 if wide else 3))]
    return Group(_headline(shot), top, _alerts(alerts, shot.raised, wide), _footer(shot))


def clock(at_ms: int) -> str:
    """Format an event time as hours, minutes and seconds in UTC.

    >>> clock(1_750_000_000_000)
    '15:06:40'
    """
    return f"{datetime.fromtimestamp(at_ms / 1000, tz=timezone.utc):%H:%M:%S}"


def mood(level: float) -> Text:
    """Format a level with its sign and a colour.

    >>> mood(-0.512).plain
    '-0.51'
    """
    return Text(f"{level:+.2f}", style=BAD if level < -0.2 else GOOD if level > 0.2 else "")


def bar(share: float, cells: int = 8) -> Text:
    """Draw a share as a bar.

    >>> bar(0.5).plain
    '████····'
    """
    full = round(min(max(share, 0.0), 1.0) * cells)
    style = BAD if share >= 0.5 else WARN if share >= 0.25 else GOOD
    return Text("█" * full, style=style) + Text("·" * (cells - full), style=FAINT)


def trend_of_queue(queue: Queue) -> Text:
    """Show how the share of negative messages changes; up is worse.

    >>> trend_of_queue(Queue(name="q", messages=9, negative=0.6, before=0.3)).plain
    '↑ worse'
    """
    if queue.before is None:
        return Text("· new", style=FAINT)
    change = queue.negative - queue.before
    if change > 0.1:
        return Text("↑ worse", style=BAD)
    if change < -0.1:
        return Text("↓ better", style=GOOD)
    return Text("→ same", style=FAINT)


def _headline(shot: Snapshot) -> RenderableType:
    if not shot.at_ms:
        return Group(Rule("Undertone"), Text("Waiting for the first message ...", style=FAINT))
    figures = [f"{clock(shot.at_ms)} event time", f"{shot.messages} messages", f"{shot.customers} customers"]
    if shot.rate is not None:
        figures.append(f"{shot.rate:.0f} a second")
    figures.append(f"{shot.redactions} pieces of personal data replaced")
    line = Text("  |  ".join(figures), overflow="ellipsis", no_wrap=True)
    return Group(Rule("Undertone"), line)


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        expand=True,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )


def _beside(left: RenderableType, right: RenderableType) -> Table:
    grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
    grid.add_column(ratio=2)
    grid.add_column(ratio=3)
    grid.add_row(left, right)
    return grid


def _queues(queues: tuple[Queue, ...]) -> Table:
    table = _table("Queues, last 15 minutes")
    table.add_column("queue", no_wrap=True, ratio=1)
    table.add_column("msgs", justify="right", no_wrap=True)
    table.add_column("negative", no_wrap=True, min_width=13)
    table.add_column("trend", no_wrap=True, min_width=8)
    for queue in queues:
        share = bar(queue.negative) + Text(f" {queue.negative:4.0%}")
        table.add_row(Text(queue.name), str(queue.messages), share, trend_of_queue(queue))
    if not queues:
        table.add_row(Text("quiet", style=FAINT), "0", "", "")
    return table


def _conversations(rows: tuple[Conversation, ...]) -> Table:
    table = _table("Unhappiest customers in conversation")
    table.add_column("customer", no_wrap=True)
    table.add_column("mood", no_wrap=True, min_width=7)
    table.add_column("channels", no_wrap=True, overflow="ellipsis", ratio=2)
    table.add_column("queue", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("msgs", justify="right", no_wrap=True)
    table.add_column("alert", no_wrap=True)
    for row in rows:
        arrow, style = ARROWS.get(row.trend, ARROWS["not_calculated"])
        alert = Text(f"level {row.alert}", style=BAD) if row.alert else Text("-", style=FAINT)
        level = mood(row.level) + Text(f" {arrow}", style=style)
        table.add_row(row.customer, level, Text(" > ".join(row.path)), Text(row.queue), str(row.messages), alert)
    if not rows:
        table.add_row(Text("nobody", style=FAINT), "", "", "", "", "")
    return table


def _alerts(alerts: tuple[Alert, ...], raised: int, wide: bool) -> Table:
    table = _table(f"Escalations, newest first ({raised} so far)")
    table.add_column("when", no_wrap=True)
    table.add_column("level", no_wrap=True)
    table.add_column("what and why", ratio=1, no_wrap=True, overflow="ellipsis")
    for alert in alerts:
        style = FAINT if alert.state != "active" else BAD if alert.level >= 3 else WARN if alert.level == 2 else ""
        table.add_row(clock(alert.at_ms), Text(f"L{alert.level}", style=style), _what(alert, style, wide))
    if not alerts:
        table.add_row("", "", Text("none: nobody needs help", style=FAINT))
    return table


def _what(alert: Alert, style: str, wide: bool) -> Text:
    """Family and route, reason, and the words that raised the alert: two lines, or three on a narrow terminal."""
    state = "" if alert.state == "active" else f" ({alert.state})"
    text = Text(f"{alert.family}{state}", style=style)
    route = ROUTES.get(alert.route, alert.route)
    text.append(f"  {route}  {alert.queue}/{alert.channel}  {alert.customer}", style="default")
    text.append(f"{'  ' if wide else chr(10)}{flat(alert.reason)}\n", style=FAINT)
    return text.append(
        f'"{flat(alert.excerpt)}"' if alert.excerpt else "(no words: an event raised it)", style="italic"
    )


def flat(text: str) -> str:
    r"""Put a text on one line, and remove characters that would move the cursor.

    >>> flat("one\n two\x1b[2J")
    'one two[2J'
    """
    return " ".join("".join(char for char in text if char.isprintable() or char.isspace()).split())


def _footer(shot: Snapshot) -> RenderableType:
    speed = ", ".join(f"{one.name} p50 {one.p50:.0f} ms, p95 {one.p95:.0f} ms" for one in shot.latencies)
    dead = ", ".join(f"{reason} {count}" for reason, count in shot.rejected)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append("Latency: ", style="bold").append(speed or "not measured yet")
    text.append("\nDead letters: ", style="bold").append(dead or "none")
    return Group(Rule(), text)
