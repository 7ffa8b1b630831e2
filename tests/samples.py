"""Plain records to make rows of; change what the test is about."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.client import Client
from msgspec.structs import replace

from infra.clickhouse.migrate import migrate
from infra.clickhouse.render import Target
from infra.store import ClickHouseRows, open_store
from operators.records import (
    Escalation,
    Evidence,
    Feedback,
    Origin,
    Progress,
    Reason,
    RedactedText,
    Rejected,
    Scored,
    SessionUpdate,
    Turn,
    Utterance,
)
from operators.rows import TABLES

START_MS = (time.time_ns() // 86_400_000_000_000 - 3) * 86_400_000
"""Midnight three days ago: recent, because the store forgets texts after 30 days."""


@contextmanager
def migrated(folder: Path) -> Iterator[Client]:
    """An embedded store with all tables. The engine owns one path a process: close it before opening the next."""
    client = open_store(f"chdb://{folder}")
    try:
        migrate(client, Target())
        yield client
    finally:
        client.close()


def put(client: Client, table: str, *records: Any) -> None:
    ClickHouseRows(client).insert(table, [TABLES[table].to_row(record) for record in records])


def rows(client: Client, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in client.query(sql).result_rows]


def empty_tables(client: Client) -> None:
    for table in (*TABLES, "journey", "escalation_steps", "rollup_1m", "erasures"):
        client.command(f"TRUNCATE TABLE undertone.{table}")


def origin(offset: int = 1) -> Origin:
    return Origin(topic="undertone.events", partition=0, offset=offset, broker_ms=START_MS + 1000 * offset + 50)


def scored(number: int = 1, score: float = 0.0, at_ms: int | None = None, **changes: Any) -> Scored:
    """Message `number`, one second after the one before; `changes` are of the utterance, or of the scored record."""
    label = "negative" if score < -0.2 else "positive" if score > 0.2 else "neutral"
    utterance = Utterance(
        tenant="acme",
        event_id=f"m-{number}",
        revision=0,
        region="GB",
        channel="chat",
        kind="utterance",
        interaction_id="chat-1",
        customer_key=7,
        speaker="customer",
        agent_key="00000000000000aa",
        queue="sales",
        language="en",
        text=RedactedText("my card is [CARD]"),
        redactions=1,
        final=True,
        asr_confidence=1.0,
        event_ms=START_MS + 1000 * number if at_ms is None else at_ms,
        silence_ms=0,
        overtalk_ms=0,
        rating=None,
        skipped="",
        origin=origin(number),
    )
    of_utterance = {name: value for name, value in changes.items() if name in Utterance.__struct_fields__}
    plain = Scored(
        utterance=replace(utterance, **of_utterance),
        p_negative=round((1 - score) / 3, 4),
        p_neutral=round(1 / 3, 4),
        p_positive=round((1 + score) / 3, 4),
        score=score,
        intensity=0.6667,
        confidence=0.9,
        label=label,  # type: ignore[arg-type]  # mypy widens the conditional to str
        abstained=False,
        weight=0.8,
        tags=(0.9, 0.8, 0.1, 0.0, 0.0, 0.0, 0.0),
        flags=0b11,
        model_version="model/1",
        calibration_version="calibration/1",
        scored_ms=utterance.origin.broker_ms + 40,
    )
    return replace(plain, **{name: value for name, value in changes.items() if name not in of_utterance})


def turn(number: int = 1, score: float = 0.0, **changes: Any) -> Turn:
    plain = Turn(
        tenant="acme",
        customer_key=7,
        event_ms=START_MS + 1000 * number,
        event_id=f"m-{number}",
        revision=0,
        version=number,
        deleted=False,
        session_id="s-1",
        interaction_id="chat-1",
        channel="chat",
        queue="sales",
        agent_key="00000000000000aa",
        speaker="customer",
        kind="utterance",
        score=score,
        weight=0.8,
        label="negative" if score < -0.2 else "neutral",
        flags=0b1,
        level=score / 2,
        level_evidence=1.5,
        customer_level=score / 3,
        customer_evidence=2.5,
        carried=0.0,
        slope=None,
        slope_low=None,
        slope_high=None,
        trend="not_calculated",
        volatility=0.1,
        reversals=0,
        streak=1,
        cusum=0.0,
        change_points=0,
        low=score / 3,
        low_ms=START_MS + 1000 * number,
        under_ms=0,
        messages=number,
        hops=0,
        contacts_24h=1,
        contacts_7d=1,
        response_ms=4000,
        silence_ms=0,
        overtalk_ms=0,
        late=False,
        provisional=False,
        parameters="parameters/2",
        model_version="model/1",
    )
    return replace(plain, **changes)


def session(number: int = 1, **changes: Any) -> SessionUpdate:
    plain = SessionUpdate(
        tenant="acme",
        customer_key=7,
        session_id=f"s-{number}",
        started_ms=START_MS + 1000 * number,
        ended_ms=START_MS + 1000 * number + 60_000,
        version=2,
        deleted=False,
        state="open",
        channels=("chat", "voice"),
        interactions=("chat-1", "call-1"),
        queue="sales",
        agent_key="00000000000000aa",
        messages=4,
        events=9,
        negatives=2,
        positives=1,
        mean_score=-0.25,
        begin=-0.5,
        end=0.5,
        shift=1.0,
        outcome="recovered",
        carried=0.0,
        final_level=0.25,
        trend="no_change",
        forecast=0.25,
        low=-0.5,
        low_ms=START_MS + 1000 * number + 10_000,
        under_ms=20_000,
        volatility=0.5,
        reversals=1,
        change_points=0,
        hops=1,
        contacts_24h=2,
        contacts_7d=2,
        response_ms=4000,
        silence_ms=0,
        overtalk_ms=0,
        tag_counts=(2, 1, 0, 0, 0, 1, 0),
        rating=None,
        escalations=1,
        late_events=0,
        contacts_before=0,
        parameters="parameters/2",
        model_version="model/1",
    )
    return replace(plain, **changes)


def escalation(number: int = 1, **changes: Any) -> Escalation:
    evidence = Evidence(
        score=-0.75,
        level=-0.5,
        level_evidence=1.5,
        customer_level=-0.25,
        carried=0.0,
        slope=-0.125,
        streak=3,
        tags=("anger", "frustration"),
        excerpt=RedactedText("my card is [CARD]"),
        event_ids=("m-3", "m-2"),
    )
    plain = Escalation(
        escalation_id=f"e-{number}",
        transition="raised",
        version=1,
        tenant="acme",
        customer_key="0000000000000007",
        session_id="s-1",
        interaction_id="chat-1",
        channel="chat",
        queue="sales",
        agent_key="00000000000000aa",
        rule="angry",
        rule_version="1",
        family="mood",
        level=2,
        route="supervisor",
        state="active",
        reason="level -0.50 < -0.40",
        raised_ms=START_MS + 1000 * number,
        event_ms=START_MS + 1000 * number,
        evidence=evidence,
        broker_ms=START_MS + 1000 * number + 50,
    )
    return replace(plain, **changes)


def rejected(offset: int = 1, **changes: Any) -> Rejected:
    return replace(Rejected(stage="decode", reason=Reason.NOT_JSON, origin=origin(offset)), **changes)


def feedback(number: int = 1, **changes: Any) -> Feedback:
    plain = Feedback(
        schema="undertone.feedback/1",
        feedback_id=f"f-{number}",
        tenant="acme",
        escalation_id="e-1",
        action="acknowledged",
        by="supervisor-3",
        event_time=datetime.fromtimestamp(START_MS / 1000 + 60 * number, tz=timezone.utc),
    )
    return replace(plain, **changes)


def progress(**changes: Any) -> Progress:
    plain = Progress(
        topic="undertone.events",
        partition=0,
        committed_ms=START_MS + 5000,
        position=40,
        end_offset=100,
        stream_ms=START_MS + 2000,
    )
    return replace(plain, **changes)


ONE_OF_EACH: dict[str, Any] = {
    "scored_events": scored(score=-0.5),
    "trajectory": turn(score=-0.5),
    "sessions": session(),
    "escalations": escalation(),
    "dead_letters": rejected(),
    "feedback": feedback(),
    "progress": progress(),
}
