"""The wall fits its terminal, says what matters without colour, and reads what the store holds."""

import io
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from xml.etree import ElementTree

import pytest
from clickhouse_connect.driver.client import Client
from rich.cells import cell_len
from rich.console import Console

from infra.wallboard import Alert, Conversation, Latency, Queue, Snapshot, Wall, render, save_picture, watch
from tests.samples import migrated

AT = 1_750_000_000_000
NOON = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
"""Recent, because the store forgets texts after 30 days."""
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


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """An embedded store with the schema, on a path of its own."""
    with migrated(tmp_path_factory.mktemp("wall")) as client:
        yield client


def insert(store: Client, table: str, *rows: dict[str, object]) -> None:
    for row in rows:
        store.insert(table, [list(row.values())], column_names=list(row), database="undertone")


def message(event_id: str, minute: int, queue: str, label: str, **more: object) -> dict[str, object]:
    return {
        "tenant": "t", "event_id": event_id, "event_time": NOON + timedelta(minutes=minute), "queue": queue,
        "label": label, "speaker": "customer", "kind": "utterance", "customer_key": 0xC0FFEE, "version": 0, **more,
    }  # fmt: skip


def session(name: str, customer_key: int, level: float, minute: int, **more: object) -> dict[str, object]:
    return {
        "tenant": "t", "session_id": name, "customer_key": customer_key, "started_time": NOON,
        "ended_time": NOON + timedelta(minutes=minute), "final_level": level, "messages": 3, "queue": "bank",
        "channels": ["chat", "voice"], "version": 1, **more,
    }  # fmt: skip


def step(version: int, transition: str, state: str, level: int, reason: str, excerpt: str) -> dict[str, object]:
    return {
        "tenant": "t", "escalation_id": "e1", "raised_time": NOON + timedelta(minutes=20),
        "event_time": NOON + timedelta(minutes=20 + version), "version": version, "transition": transition,
        "state": state, "level": level, "family": "angry", "route": "supervisor", "queue": "bank", "channel": "chat",
        "customer_key": 0xC0FFEE, "session_id": "s1", "reason": reason, "excerpt": excerpt,
    }  # fmt: skip


def test_an_empty_store_gives_an_empty_wall(store: Client) -> None:
    assert Wall(store).snapshot() == Snapshot()


def test_the_wall_reads_what_the_store_holds(store: Client) -> None:
    insert(
        store,
        "scored_events",
        message("old", 0, "bank", "neutral"),
        message("a", 20, "bank", "negative", redactions=2),
        message("b", 21, "bank", "neutral"),
        message("b", 21, "bank", "negative", version=2, revision=1),
        message("c", 22, "telecom", "positive", customer_key=7),
        message("agent", 22, "bank", "negative", speaker="agent"),
    )
    insert(store, "sessions", session("s1", 0xC0FFEE, -0.5, 21), session("s2", 7, 0.4, 22), session("past", 8, -0.9, 0))
    turn = {"tenant": "t", "customer_key": 0xC0FFEE, "session_id": "s1", "speaker": "customer", "kind": "utterance"}
    insert(
        store,
        "trajectory",
        {**turn, "event_id": "a", "event_time": NOON + timedelta(minutes=20), "trend": "no_change", "version": 1},
        {**turn, "event_id": "b", "event_time": NOON + timedelta(minutes=21), "trend": "declining", "version": 1},
    )
    insert(
        store,
        "escalations",
        step(1, "raised", "active", 2, "level -0.5 < -0.4", "enough"),
        step(2, "level_up", "active", 3, "level -0.8 < -0.7", "more than enough"),
        step(3, "cleared", "resolved", 3, "level -0.1 > -0.2", "thanks"),
    )
    place = {"topic": "t", "partition": 0, "stage": "decode", "broker_time": NOON}
    insert(
        store,
        "dead_letters",
        *({**place, "offset": n, "reason": reason} for n, reason in enumerate(("empty", "not_json", "empty"))),
    )

    shot = Wall(store).snapshot()

    assert shot.at_ms == int((NOON + timedelta(minutes=22)).timestamp() * 1000)
    assert (shot.messages, shot.customers, shot.redactions, shot.raised) == (5, 2, 2, 1)
    assert shot.rejected == (("empty", 2), ("not_json", 1))
    bank, telecom = shot.queues
    assert (bank.name, bank.messages, bank.negative, bank.before) == ("bank", 2, 1.0, 0.0)
    assert (telecom.name, telecom.messages, telecom.negative, telecom.before) == ("telecom", 1, 0.0, None)
    unhappiest, happy = shot.conversations
    assert (unhappiest.customer, unhappiest.trend, unhappiest.alert) == ("00000000", "declining", 0)
    assert unhappiest.path == ("chat", "voice")
    assert (round(happy.level, 2), happy.trend) == (0.4, "not_calculated")
    (alert,) = shot.alerts
    assert (alert.level, alert.state, alert.reason) == (3, "resolved", "level -0.8 < -0.7")
    assert alert.excerpt == "more than enough"


def test_the_rate_is_measured_from_one_look_to_the_next(store: Client) -> None:
    wall = Wall(store)
    assert wall.snapshot().rate is None
    time.sleep(0.1)
    insert(store, "scored_events", message("d", 23, "bank", "neutral"))
    rate = wall.snapshot().rate
    assert rate is not None
    assert rate > 0


def test_without_a_screen_the_wall_speaks_in_lines() -> None:
    out = io.StringIO()
    left = iter([False, False, True])
    watch(Console(file=out, width=200), lambda: FULL, lambda: next(left), refresh=0)
    (only,) = out.getvalue().splitlines()
    assert only.startswith("15:06:40 event time, 12345 messages, 678 customers, 17 escalations, 7 dead letters")
    assert "Unbelievable" not in only


def test_the_picture_holds_the_wall_and_loads_nothing(tmp_path: Path) -> None:
    file = tmp_path / "pictures" / "wall.svg"
    save_picture(FULL, file)
    picture = file.read_text(encoding="utf-8")
    words = "".join(ElementTree.fromstring(picture).itertext()).replace("\u00a0", " ")
    assert "threat_to_leave" in words
    assert "12,345" in words or "12345" in words
    assert "url(http" not in picture
