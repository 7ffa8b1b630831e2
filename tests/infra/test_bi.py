"""The worked queries of docs/bi.md find what was planted."""

import re
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from tests.samples import empty_tables, escalation, feedback, migrated, put, rows, scored, session, turn

PAGE = (Path(__file__).parents[2] / "docs" / "bi.md").read_text(encoding="utf-8")
QUERIES = [block.split("```")[0] for block in PAGE.split("```sql\n")[1:]]
HOUR = 3_600_000
DAY = 24 * HOUR
NOW = time.time_ns() // 1_000_000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with migrated(tmp_path_factory.mktemp("store")) as opened:
        yield opened


@pytest.fixture
def empty(client: Client) -> Client:
    empty_tables(client)
    return client


def answer(client: Client, number: int) -> list[tuple[Any, ...]]:
    return rows(client, QUERIES[number - 1])


def sessions(first: int, count: int, ago_ms: int, **changes: Any) -> list[Any]:
    return [
        session(number, started_ms=NOW - ago_ms + number, ended_ms=NOW - ago_ms + number + 1, **changes)
        for number in range(first, first + count)
    ]


def test_there_are_ten_and_each_has_a_question() -> None:
    assert len(QUERIES) == 10
    assert re.findall(r"^## (\d+)\. .*\?$", PAGE, re.MULTILINE) == [str(number) for number in range(1, 11)]


@pytest.mark.parametrize("number", range(1, 11))
def test_an_empty_database_has_no_answer_and_no_error(empty: Client, number: int) -> None:
    assert answer(empty, number) == []


def test_1_the_queue_that_soured_comes_first_with_its_reason(empty: Client) -> None:
    soured = {"shift": -0.5, "outcome": "soured", "tag_counts": (1, 3, 0, 0, 0, 0, 0)}
    put(empty, "sessions", *sessions(0, 25, DAY, queue="bills", **soured), *sessions(100, 25, 9 * DAY, queue="bills"))
    put(empty, "sessions", *sessions(200, 25, DAY, queue="calm"), *sessions(300, 25, 9 * DAY, queue="calm"))

    worst, steady = answer(empty, 1)

    assert worst[:4] == ("bills", 25, -1.5, 1.0)
    assert worst[4] == [(2.0, "anger")]
    assert steady[:3] == ("calm", 25, 0.0)


def test_2_transfers_are_counted_by_session(empty: Client) -> None:
    put(empty, "sessions", *sessions(0, 25, DAY), *sessions(100, 25, DAY, shift=-0.25, outcome="soured"))
    put(
        empty,
        "trajectory",
        *(turn(n, session_id=f"s-{n}", event_ms=NOW - DAY + n) for n in (*range(25), *range(100, 125))),
    )
    moved = (
        turn(n, session_id=f"s-{n}", event_ms=NOW - DAY + n, event_id=f"t-{n}", kind="transfer")
        for n in range(100, 125)
    )
    put(empty, "trajectory", *moved)

    assert answer(empty, 2) == [(0, 25, -0.5, 1.0, 0.0), (1, 25, -0.5, -0.25, 1.0)]


def test_3_three_contacts_in_two_days(empty: Client) -> None:
    for number, (customer, contact, ago) in enumerate(
        [(1, "a", 1), (1, "b", 20), (1, "c", 40), (2, "d", 1), (2, "e", 2), (2, "f", 60), (3, "g", 1), (3, "g", 2)]
    ):
        put(
            empty,
            "scored_events",
            scored(number, -0.5, NOW - ago * HOUR, customer_key=customer, interaction_id=contact),
        )
    for number, changes in enumerate([{"channel": "survey"}, {"speaker": "agent"}], 100):
        put(empty, "scored_events", scored(number, 0.5, NOW, customer_key=2, interaction_id=f"x{number}", **changes))

    assert answer(empty, 3) == [("acme", 1, 3, "chat", -0.5)]


def test_4_ratings_follow_the_mood(empty: Client) -> None:
    misleading = {"final_level": 0.0}
    put(empty, "sessions", *sessions(0, 20, DAY, forecast=-0.5, rating=-1.0, **misleading))
    put(empty, "sessions", *sessions(100, 20, DAY, forecast=0.5, rating=1.0, **misleading))
    put(empty, "sessions", *sessions(200, 20, DAY, forecast=None, rating=1.0, **misleading))

    assert [(row[0], row[1], row[2], row[4]) for row in answer(empty, 4)] == [
        ("unhappy", 20, -1.0, 1.0),
        ("happy", 20, 1.0, 1.0),
    ]


def test_5_precision_with_its_interval(empty: Client) -> None:
    put(empty, "escalations", *(escalation(n, raised_ms=NOW - HOUR + n) for n in range(12)))
    verdicts = ["good_catch"] * 8 + ["false_alarm"] * 2
    put(
        empty,
        "feedback",
        *(feedback(n, escalation_id=f"e-{n}", action=verdict) for n, verdict in enumerate(verdicts)),
    )

    assert answer(empty, 5) == [("angry", 12, 10, 8, 0.8, 0.49, 0.94)]


def test_6_waiting_for_a_supervisor(empty: Client) -> None:
    raised = NOW - HOUR
    put(empty, "escalations", *(escalation(n, raised_ms=raised) for n in range(4)))
    put(
        empty,
        "feedback",
        *(
            feedback(n, escalation_id=f"e-{n}", event_time=_at(raised + 1000 * wait))
            for n, wait in enumerate((10, 30, 90))
        ),
    )

    assert answer(empty, 6) == [("sales", 2, 4, 1, 30.0, 90.0)]


def test_7_the_path_that_ends_worst_comes_first(empty: Client) -> None:
    put(empty, "sessions", *sessions(0, 20, DAY, channels=("chat", "voice"), final_level=-0.5))
    put(empty, "sessions", *sessions(100, 20, DAY, channels=("voice", "email"), escalations=0))

    assert answer(empty, 7) == [("chat > voice", 20, -0.5, 1.0), ("voice > email", 20, 0.25, 0.0)]


def test_8_a_queue_unlike_itself(empty: Client) -> None:
    hour = (NOW - 3 * HOUR) // HOUR * HOUR
    for week in range(5):
        bad = 20 if week == 0 else 5
        put(
            empty,
            "scored_events",
            *(
                scored(n, -0.5 if n < bad else 0.5, hour - 7 * week * DAY + n, event_id=f"{week}-{n}")
                for n in range(25)
            ),
        )
    empty.command("SYSTEM REFRESH VIEW undertone.rollup_1m_refresh")
    empty.command("SYSTEM WAIT VIEW undertone.rollup_1m_refresh")

    assert [(row[0], *row[2:]) for row in answer(empty, 8)] == [("sales", 0.8, 0.2, 30.0)]


def test_9_unhappy_customers_whom_nobody_called(empty: Client) -> None:
    for customer in (1, 2, 3):
        level = 0.5 if customer == 3 else -0.5
        put(empty, "sessions", *sessions(customer, 1, DAY, customer_key=customer, state="closed", final_level=level))
        put(empty, "escalations", escalation(customer, customer_key=f"{customer:016x}", raised_ms=NOW - DAY))
    put(empty, "feedback", feedback(1, escalation_id="e-1"))

    assert [row[1] for row in answer(empty, 9)] == [2]


def test_10_waiting_costs(empty: Client) -> None:
    put(
        empty,
        "sessions",
        *sessions(0, 20, DAY, channels=("chat",)),
        *sessions(100, 20, DAY, channels=("chat",), response_ms=600_000, shift=-0.5, outcome="steady"),
        *sessions(200, 20, DAY, channels=("chat", "email"), response_ms=7_200_000),
    )

    found = answer(empty, 10)

    assert [(row[0][0], row[3], row[4]) for row in found] == [("a", 1.0, 1.0), ("c", -0.5, 0.0)]


@pytest.mark.parametrize("key", [0, 7, 0x00F3A9C2D4E5B601, 2**63, 2**64 - 1])
def test_the_key_of_escalation_messages_is_found_from_that_of_the_tables_and_back(empty: Client, key: int) -> None:
    digits = f"{key:016x}"
    to_digits, back = re.findall(r"`([^`]*\bhex\(customer_key\)[^`]*|[^`]*\bunhex\([^`]*)`", PAGE)
    put(empty, "escalations", escalation(1, customer_key=digits))
    back = back.replace("00f3a9c2d4e5b601", digits)

    assert rows(empty, f"SELECT {to_digits}, {back} FROM undertone.v_escalations") == [(digits, key)]


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, tz=timezone.utc)
