"""Drive a reducer over messages and read the rows as ClickHouse would keep them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from operators.customer_state import CustomerReducer, CustomerState, Output
from operators.parameters import DAY, MINUTE, Parameters
from operators.records import Escalation, Message, SessionUpdate, Turn
from operators.rules import Rules
from tests.strategies import LATENESS_MS

NO_RULES = Rules.parse("{schema: undertone.rules/1, version: none, rules: []}")
DEFAULT_RULES = Rules.load("operators/rules.yaml")
SHORT_GAPS = Parameters(
    gap_ms={"voice": MINUTE, "chat": 2 * MINUTE, "email": 20 * MINUTE, "social": MINUTE, "survey": 30_000}
)
"""Gaps shorter than the lateness: sessions then join, split and move while their messages are still in flight."""


def reducer(parameters: Parameters | None = None, rules: Rules = NO_RULES) -> CustomerReducer:
    return CustomerReducer(parameters or Parameters(), rules, LATENESS_MS)


def run(
    reducer: CustomerReducer, messages: Iterable[Message], restart_at: frozenset[int] = frozenset(), close: bool = True
) -> tuple[CustomerState, list[Output]]:
    """Fold all messages; before those at `restart_at` the state goes through a snapshot."""
    state: CustomerState | None = None
    outputs: list[Output] = []
    for index, message in enumerate(messages):
        if state is not None and index in restart_at:
            state = reducer.load(reducer.dump(state))
        state, out = reducer.on_message(state, message)
        outputs += out
    assert state is not None
    if close:
        kept, out = reducer.on_tick(state, state.current.place[0] + 3 * DAY)
        assert kept is not None
        return kept, outputs + out
    return state, outputs


def live(
    machine: CustomerReducer, arrival: Sequence[Message], restart_at: frozenset[int] = frozenset(), ticks: bool = True
) -> tuple[CustomerState, list[Output]]:
    """Messages as they arrive, stream time following them, and the end of time after them."""
    state: CustomerState | None = None
    outputs: list[Output] = []
    stream_ms = 0
    for index, sent in enumerate(arrival):
        if state is not None and index in restart_at:
            state = machine.load(machine.dump(state))
        state, out = machine.on_message(state, sent)
        outputs += out
        stream_ms = max(stream_ms, sent.event_ms)
        if ticks and machine.next_timer(state) <= stream_ms:
            state, out = machine.on_tick(state, stream_ms)
            assert state is not None
            outputs += out
    assert state is not None
    while (due := machine.next_timer(state)) <= stream_ms + 3 * DAY:
        kept, out = machine.on_tick(state, due)
        assert kept is not None
        state, outputs = kept, outputs + out
    return state, outputs


def final_rows(outputs: Sequence[Output]) -> dict[tuple[object, ...], Turn | SessionUpdate]:
    """Rows under FINAL: of each identity the highest version, those that are taken back left out."""
    best: dict[tuple[object, ...], Turn | SessionUpdate] = {}
    for row in outputs:
        if isinstance(row, Escalation):
            continue
        key = ("turn", row.event_ms, row.event_id) if isinstance(row, Turn) else ("session", row.session_id)
        if key not in best or row.version >= best[key].version:
            best[key] = row
    return {key: row for key, row in best.items() if not row.deleted}


def contents(outputs: Sequence[Output]) -> list[Turn | SessionUpdate]:
    """Final rows without their versions."""
    rows = final_rows(outputs).values()
    return sorted((msgspec.structs.replace(row, version=0) for row in rows), key=repr)


def turns(outputs: Sequence[Output]) -> list[Turn]:
    """Final turns in event order."""
    rows = [row for row in final_rows(outputs).values() if isinstance(row, Turn)]
    return sorted(rows, key=lambda turn: (turn.event_ms, turn.event_id))


def sessions(outputs: Sequence[Output]) -> list[SessionUpdate]:
    """Final sessions by start."""
    rows = [row for row in final_rows(outputs).values() if isinstance(row, SessionUpdate)]
    return sorted(rows, key=lambda update: update.started_ms)


def escalations(outputs: Sequence[Output]) -> list[Escalation]:
    return [row for row in outputs if isinstance(row, Escalation)]
