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
from flows.settings import Settings
from models.scorer import FakeScorer
from operators import rows
from operators.customer_state import CustomerReducer
from operators.records import Escalation, Raw, Rejected, Scored, SessionUpdate, Turn
from operators.rules import Rules
from operators.score import to_message

AFTER_ALL_MS = 40 * 24 * 3600 * 1000
"""Stream time this far past the last event closes every session."""


class Expected(msgspec.Struct, frozen=True):
    """Final rows by table and identity, and the ids that the topics must hold exactly once."""

    tables: dict[str, dict[tuple[Any, ...], tuple[Any, ...]]]
    escalation_ids: frozenset[str]
    dead_letter_ids: frozenset[str]


def expected(raws: Iterable[Raw], intake: Intake, reducer: CustomerReducer, rules: Rules) -> Expected:
    """Compute the final state of every table for `raws`, given in the order of their partitions."""
    accepted = intake(list(raws))
    outputs: list[Any] = [item for item in accepted if not isinstance(item, Scored)]
    scored = [item for item in accepted if isinstance(item, Scored)]
    journeys: dict[int, list[Scored]] = defaultdict(list)
    for item in scored:
        journeys[item.utterance.customer_key].append(item)
    for journey in journeys.values():
        outputs += _journey(journey, reducer, rules)
    return Expected(
        tables=final_rows([*scored, *outputs]),
        escalation_ids=frozenset(
            f"{out.escalation_id}:{out.version}" for out in outputs if isinstance(out, Escalation)
        ),
        dead_letter_ids=frozenset(rows.dead_letter_id(out) for out in outputs if isinstance(out, Rejected)),
    )


def _journey(journey: Sequence[Scored], reducer: CustomerReducer, rules: Rules) -> list[Any]:
    state = None
    outputs: list[Any] = []
    for item in journey:
        state, out = reducer.on_message(state, to_message(item, rules.keyword_bits))
        outputs += out
    assert state is not None
    last_ms = max(item.utterance.event_ms for item in journey)
    while state is not None and (due := reducer.next_timer(state)) is not None and due <= last_ms + AFTER_ALL_MS:
        state, out = reducer.on_tick(state, due)
        outputs += out
    return outputs


def identity(record: Any) -> tuple[str, tuple[Any, ...], int, bool] | None:
    """Table, identity, version and whether it is taken back, of a record that becomes a row."""
    match record:
        case Scored():
            spoken = record.utterance
            return "scored_events", (spoken.tenant, spoken.event_id), spoken.revision, False
        case Turn():
            return "trajectory", (record.tenant, record.customer_key, record.event_id), record.version, record.deleted
        case SessionUpdate():
            return "sessions", (record.tenant, record.session_id), record.version, record.deleted
        case Escalation():
            return "escalations", (record.tenant, record.escalation_id), record.version, False
        case Rejected():
            return "dead_letters", (rows.dead_letter_id(record),), 0, False
    return None


def final_rows(records: Iterable[Any]) -> dict[str, dict[tuple[Any, ...], tuple[Any, ...]]]:
    """Keep of each identity the row of the highest version, and drop what was taken back."""
    best: dict[str, dict[tuple[Any, ...], tuple[int, bool, tuple[Any, ...]]]] = defaultdict(dict)
    for record in records:
        place = identity(record)
        if place is None:
            continue
        table, key, version, deleted = place
        known = best[table].get(key)
        if known is None or version >= known[0]:
            best[table][key] = (version, deleted, rows.TABLES[table].to_row(record))
    return {
        table: {key: row for key, (_, deleted, row) in found.items() if not deleted} for table, found in best.items()
    }


def stub_parts(settings: Settings, now_ms: int) -> tuple[Intake, CustomerReducer, Rules]:
    """The pure parts of the job as `flows.live` builds them, with the deterministic scorer."""
    from flows.live import make_intake, make_reducer

    rules = Rules.load(Path(settings.rules))
    return make_intake(settings, FakeScorer(), lambda: now_ms), make_reducer(settings, rules), rules
