"""What a run must have written, computed from the input alone: no engine, no broker, no store, no snapshots.

Chaos tests compare the tables and topics of a job that was killed again and again with this.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from flows.intake import Intake
from flows.parts import make_intake, make_reducer
from flows.pipeline import blocks
from flows.settings import Settings
from models.scorer import FakeScorer
from operators import rows
from operators.customer_state import CustomerReducer, CustomerState
from operators.escalation import alert_of
from operators.records import Escalation, Feedback, Raw, Rejected, Scored
from operators.rules import Rules
from operators.score import to_message

AFTER_ALL_MS = 40 * 24 * 3600 * 1000
"""Stream time this far past the last event closes every session."""


Row = tuple[tuple[str, Any], ...]
"""Column names with their values, in the order of the names."""


Tables = dict[str, dict[tuple[Any, ...], Row]]
"""Final rows by table and identity."""


class Expected(msgspec.Struct, frozen=True):
    """Final rows by table and identity, and the ids that the topics must hold exactly once."""

    tables: Tables
    escalation_ids: frozenset[str]
    dead_letter_ids: frozenset[str]


def expected(raws: Iterable[Raw], intake: Intake, reducer: CustomerReducer, rules: Rules) -> Expected:
    """Compute the final state of every table for `raws`, given in the order of their partitions."""
    accepted = intake(list(raws))
    outputs: list[Any] = [item for item in accepted if not isinstance(item, Scored)]
    scored = [item for item in accepted if isinstance(item, Scored)]
    journeys: dict[int, list[Scored | Feedback]] = defaultdict(list)
    for item in accepted:
        if isinstance(item, Scored):
            journeys[item.utterance.customer_key].append(item)
        elif isinstance(item, Feedback) and (named := alert_of(item.escalation_id)) is not None:
            journeys[named[0]].append(item)
    for journey in journeys.values():
        outputs += _journey(journey, reducer, rules)
    return Expected(
        tables=final_rows(blocks_of([*scored, *outputs])),
        escalation_ids=frozenset(
            f"{out.escalation_id}:{out.version}:{out.transition}" for out in outputs if isinstance(out, Escalation)
        ),
        dead_letter_ids=frozenset(rows.dead_letter_id(out) for out in outputs if isinstance(out, Rejected)),
    )


def _journey(journey: Sequence[Scored | Feedback], reducer: CustomerReducer, rules: Rules) -> list[Any]:
    state: CustomerState | None = None
    outputs: list[Any] = []
    last_ms = 0
    for item in journey:
        if isinstance(item, Feedback):
            state, out = reducer.on_feedback(state, item)
        else:
            state, out = reducer.on_message(state, to_message(item, rules.keyword_bits))
            last_ms = max(last_ms, item.utterance.event_ms)
        outputs += out
    while state is not None and (due := reducer.next_timer(state)) <= last_ms + AFTER_ALL_MS:
        state, out = reducer.on_tick(state, due)
        outputs += out
    return outputs


IDENTITY: dict[str, tuple[str, ...]] = {
    "scored_events": ("tenant", "event_time", "event_id"),
    "trajectory": ("tenant", "customer_key", "event_time", "event_id"),
    "sessions": ("tenant", "started_time", "session_id"),
    "escalations": ("tenant", "raised_time", "escalation_id"),
    "dead_letters": ("topic", "partition", "offset", "stage"),
    "feedback": ("tenant", "escalation_id", "feedback_id"),
}
"""Sort keys of the tables: what makes a row the same row. Not of `progress`, which tells of a run, not of the data."""
CLOCK_COLUMNS = frozenset({"scored_time"})
"""Wall clock of the run: it may differ, and nothing may depend on it."""


def final_rows(blocks: Iterable[tuple[str, Iterable[tuple[Any, ...]]]]) -> Tables:
    """Do to rows what `FINAL` does: of each identity the highest version, nothing that was taken back."""
    best: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = defaultdict(dict)
    for table, rows_of_table in blocks:
        if table not in IDENTITY:
            continue
        columns = rows.TABLES[table].columns
        for values in rows_of_table:
            row = dict(zip(columns, values, strict=True))
            key = tuple(row[column] for column in IDENTITY[table])
            known = best[table].get(key)
            if known is None or row.get("version", 0) >= known.get("version", 0):
                best[table][key] = row
    return {
        table: {key: _without_clock(row) for key, row in found.items() if not row.get("deleted", False)}
        for table, found in best.items()
    }


def _without_clock(row: dict[str, Any]) -> Row:
    return tuple((name, value) for name, value in sorted(row.items()) if name not in CLOCK_COLUMNS)


def blocks_of(records: Iterable[Any]) -> list[tuple[str, list[tuple[Any, ...]]]]:
    """Rows of records, table by table."""
    return [block for _, block in blocks(records, "0")]


def stub_parts(settings: Settings, now_ms: int) -> tuple[Intake, CustomerReducer, Rules]:
    """The pure parts of the job as `flows.live` builds them, with the deterministic scorer."""
    rules = Rules.load(Path(settings.rules))
    return make_intake(settings, FakeScorer(), lambda: now_ms), make_reducer(settings, rules), rules
