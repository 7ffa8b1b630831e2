"""The dataflow graph; data flows from left to right.

    Kafka ── read ─┬─ Scored ───── message rows ────────────────┐
                   ├─ Feedback ─┬─ feedback rows ───────────────┤
                   │            └─────────► customer            │
                   ├─ StreamTime ─ progress rows ───────────────┤
                   ├─ Rejected ─┬─ dead letter rows ────────────┼─► ClickHouse
                   │            └─────────────► dead letter topic
                   └─ messages, ─ customer ─┬─ turn, session, escalation and dead letter rows
                      ticks                 └────────────► escalation topic, dead letter topic

Sources, sinks and the scorer are arguments: `flows.live` passes the real ones, tests pass theirs.
Never rename a step id: the recovery store finds the state of a step by its id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import Sink

from flows.intake import Accepted
from operators import rows
from operators.customer import builder
from operators.customer_state import CustomerReducer
from operators.escalation import alert_of
from operators.first_failure import watched
from operators.kafka_sink import Outgoing
from operators.records import (
    Escalation,
    Feedback,
    Progress,
    Raw,
    Rejected,
    Scored,
    SessionUpdate,
    StreamTime,
    StreamTimes,
    Turn,
)
from operators.score import to_message
from operators.ticks import Timers, ticks

FLOW_ID = "undertone"
STEP_KAFKA = "kafka"
STEP_READ = "read"
STEP_MESSAGES = "messages"
STEP_CUSTOMER = "customer"
STEP_STAGE_ROWS = "stage_rows"
STEP_CUSTOMER_ROWS = "customer_rows"
STEP_ALL_ROWS = "all_rows"
STEP_STORE = "store"
STEP_DEAD_LETTERS = "dead_letters"
STEP_CUSTOMER_DEAD_LETTERS = "customer_dead_letters"
STEP_ALL_DEAD_LETTERS = "all_dead_letters"
STEP_DEAD_LETTER_TOPIC = "dead_letter_topic"
STEP_ESCALATIONS = "escalations"
STEP_ESCALATION_TOPIC = "escalation_topic"


class Ends(msgspec.Struct, frozen=True, kw_only=True):
    """The source and the sinks of the graph."""

    source: Source[Any]
    store: Sink[Any]
    escalations: Sink[Any]
    dead_letters: Sink[Any]


def pipeline(
    ends: Ends,
    intake: Callable[[Sequence[Raw | StreamTime]], list[Accepted]],
    reducer: CustomerReducer,
    timers: Timers,
    keyword_bits: Callable[[str], int],
    shard: str,
    reject_run_limit: int = 1000,
) -> Dataflow:
    """Build the graph. `shard` is the key of this process's partition of the store sink, so rows stay in their process.

    `reject_run_limit` messages in a row that the keyed step cannot process stop the job; `intake` has its own limit.
    """
    flow = Dataflow(FLOW_ID)
    raw = op.input(STEP_KAFKA, flow, ends.source)
    accepted = op.flat_map_batch(STEP_READ, raw, watched(intake))

    messages = op.flat_map_batch(STEP_MESSAGES, accepted, watched(lambda batch: keyed(batch, keyword_bits, timers)))
    moved = op.stateful_batch(STEP_CUSTOMER, messages, watched(builder(reducer, timers, reject_run_limit)))

    stage_rows = op.flat_map_batch(STEP_STAGE_ROWS, accepted, watched(lambda batch: blocks(batch, shard)))
    customer_rows = op.flat_map_batch(
        STEP_CUSTOMER_ROWS, moved, watched(lambda batch: blocks((out for _, out in batch), shard))
    )
    op.output(STEP_STORE, op.merge(STEP_ALL_ROWS, stage_rows, customer_rows), ends.store)

    dead = op.flat_map_batch(STEP_DEAD_LETTERS, accepted, watched(dead_letters))
    customer_dead = op.flat_map_batch(
        STEP_CUSTOMER_DEAD_LETTERS, moved, watched(lambda batch: dead_letters(out for _, out in batch))
    )
    op.output(STEP_DEAD_LETTER_TOPIC, op.merge(STEP_ALL_DEAD_LETTERS, dead, customer_dead), ends.dead_letters)

    raised = op.flat_map_batch(STEP_ESCALATIONS, moved, watched(escalations))
    op.output(STEP_ESCALATION_TOPIC, raised, ends.escalations)
    return flow


def keyed(batch: Iterable[Accepted], keyword_bits: Callable[[str], int], timers: Timers) -> list[tuple[str, Any]]:
    """Key messages and feedback by their customer, stream time so that every worker gets it, ticks by customers due."""
    out: list[tuple[str, Any]] = []
    times: list[StreamTime] = []
    for item in batch:
        if isinstance(item, Scored):
            out.append((str(item.utterance.customer_key), to_message(item, keyword_bits)))
        elif isinstance(item, StreamTime):
            times.append(item)
        elif isinstance(item, Feedback) and (named := alert_of(item.escalation_id)) is not None:
            out.append((str(named[0]), item))
    return [*out, *StreamTimes(times=tuple(times)).routed(), *ticks(timers)] if times else out


_TABLE_OF: dict[type, str] = {
    Scored: "scored_events",
    Feedback: "feedback",
    Rejected: "dead_letters",
    Turn: "trajectory",
    SessionUpdate: "sessions",
    Escalation: "escalations",
    Progress: "progress",
}


def blocks(batch: Iterable[Any], shard: str) -> list[tuple[str, tuple[str, list[tuple[Any, ...]]]]]:
    """Convert a batch to rows, in one block per table, under the key of this process's sink partition."""
    tables: dict[str, list[tuple[Any, ...]]] = {}
    for item in batch:
        record = item.progress if isinstance(item, StreamTime) else item
        table = _TABLE_OF.get(type(record))
        if table is not None:
            tables.setdefault(table, []).append(rows.TABLES[table].to_row(record))
    return [(shard, (table, block)) for table, block in tables.items()]


def dead_letters(batch: Iterable[Any]) -> list[tuple[str, Outgoing]]:
    """Convert rejects to Kafka records, which hold where the record is and why it was refused, never its text.

    The key is the place (topic, partition, offset) of the refused record. So the letters of one topic spread over all
    partitions, which is fine as their order has no meaning, and a replay puts each into the same partition again.
    """
    return [
        (
            identity := rows.dead_letter_id(item),
            Outgoing(identity=identity, payload=msgspec.json.encode(item), key=rows.place_of(item.origin).encode()),
        )
        for item in batch
        if isinstance(item, Rejected)
    ]


def escalations(batch: Iterable[tuple[str, Any]]) -> list[tuple[str, Outgoing]]:
    """Convert escalations to Kafka records, keyed by customer, which keeps the order of each customer's records."""
    return [
        (
            key,
            Outgoing(
                identity=f"{item.escalation_id}:{item.version}:{item.transition}",
                payload=msgspec.json.encode(item),
                key=key.encode(),
                broker_ms=item.broker_ms,
            ),
        )
        for key, item in batch
        if isinstance(item, Escalation)
    ]
