"""The wall fits its terminal, says what matters without colour, and reads what the store holds."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from infra.wallboard import Alert, Conversation, Latency, Queue, Snapshot, render

AT = 1_750_000_000_000
QUEUES = tuple(
    Queue(name=f"{name}-retention-and-save-desk"[:30], messages=7 * n, negative=n / 8, before=before)
    for n, (name, before) in enumerate([("bank", 0.5), ("telecom", None), ("airline", 0.0), ("health", 0.4)] * 2, 1)
)
CONVERSATIONS = tuple(
    Conversation(
        customer=f"{n:08x}",
        queue="telecom-retention",
        path=("chat", "voice", "email", "social", "survey", "chat", "voice", "email"),
        level=-0.9 + n / 10,
        trend=trend,
        messages=n,
        alert=n % 4,
    )
    for n, trend in enumerate(("declining", "slightly_declining", "no_change", "improving", "not_calculated"))
)
ALERTS = tuple(
    Alert(
        at_ms=AT + 1000 * n,
        family=family,
        level=1 + n % 3,
        route="supervisor" if n % 2 else "agent",
        state="active" if n % 3 else "resolved",
        queue="bank",
        channel="chat",
        customer="00c0ffee",
        reason="level -0.52 < -0.40 and streak 3 >= 2 and a very long tail of further conditions that hold as well",
        excerpt="Unbelievable 😡👨‍👩‍👧 ten days without my own money?\nMy card is [CARD] " + "and so on " * 20,
    )
    for n, family in enumerate(("angry", "urgent", "repeat_contact", "threat_to_leave", "low_rating"))
)
FULL = Snapshot(
    at_ms=AT,
    messages=12_345,
    customers=678,
    redactions=90,
    rate=123.4,
    latencies=(Latency(name="to row", p50=310, p95=640), Latency(name="to escalation", p50=20, p95=80)),
    queues=QUEUES,
    conversations=CONVERSATIONS,
    alerts=ALERTS,
    raised=17,
    rejected=(("not_json", 3), ("missing_field", 2), ("time_in_future", 1), ("control_characters", 1)),
)


def drawn(shot: Snapshot, width: int, height: int = 40) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, color_system=None, force_terminal=False)
    console.print(render(shot, width, height))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("shot", [FULL, Snapshot()], ids=["full", "empty"])
def test_no_line_is_wider_than_the_terminal(width: int, shot: Snapshot) -> None:
    assert max(cell_len(line) for line in drawn(shot, width)) <= width


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 50), (120, 24), (120, 40), (200, 60)])
def test_the_wall_fits_the_height(width: int, height: int) -> None:
    assert len(drawn(FULL, width, height)) <= height


@pytest.mark.parametrize("width", [80, 120, 200])
def test_what_matters_is_readable_without_colour(width: int) -> None:
    text = "\n".join(drawn(FULL, width, 60))
    for part in (
        "12345 messages", "678 customers", "123 a second", "-0.90 ↓", "-0.60 ↑", "chat > voice", "angry (resolved)",
        "to supervisor", "cue to agent", "level -0.52 < -0.40", "to row p50 310 ms", "not_json 3", "↑ worse",
        "17 so far",
    ):  # fmt: skip
        assert part in text, part


def test_an_empty_store_is_said_in_words() -> None:
    text = "\n".join(drawn(Snapshot(), 80))
    for part in ("Waiting for the first message", "quiet", "nobody", "none: nobody needs help", "Dead letters: none"):
        assert part in text


def test_text_of_customers_cannot_move_the_cursor() -> None:
    alert = Alert(
        at_ms=AT, family="angry", level=3, route="supervisor", state="active", queue="q", channel="chat", customer="c",
        reason="r", excerpt="one\x1b[2Jtwo\rthree [red]not markup[/red]",
    )  # fmt: skip
    text = "\n".join(drawn(Snapshot(at_ms=AT, alerts=(alert,)), 120))
    assert "\x1b" not in text
    assert "[red]not markup[/red]" in text
