"""Where the microseconds go: each stage of the job alone, on the same events, in CPU time of one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from flows.live import tune_interpreter
from flows.parts import make_reducer
from flows.settings import Settings
from infra import traffic
from operators import rows
from operators.channels import clean
from operators.clock import now_ms
from operators.customer_state import CustomerState
from operators.decode import decode
from operators.identity import Identity
from operators.records import Event, Message, Origin, Scored, SessionUpdate, Turn, Utterance
from operators.rules import Rules
from operators.score import to_message
from operators.utterance import accept
from tests.benchmarks.constant import ConstantScorer
from tests.benchmarks.report import heading, say
from tests.scoring import score

ORIGIN = Origin(topic="bench", partition=0, offset=0, broker_ms=0)
BATCH = 500
ResultT = TypeVar("ResultT")


def measure(events: int, customers: int = 2_000) -> None:
    """Print the cost of each stage by event."""
    heading(f"Stages alone ({events:,} events of {customers:,} customers, CPU time)")
    settings = Settings(brokers="-", store="chdb:///-")
    rules, identity, now = Rules.load(settings.rules), Identity("bench"), now_ms()
    payloads = [sent.payload for sent in traffic.bulk(seed=5, n=events, customers=customers)]

    tune_interpreter()

    def timed(stage: str, work: Callable[[], Iterable[ResultT]]) -> list[ResultT]:
        started = time.thread_time()
        made = list(work())
        say(stage, f"{(time.thread_time() - started) / events * 1e6:.1f} us/event")
        return made

    decoded = timed("decode", lambda: (decode(payload, ORIGIN, now) for payload in payloads))
    timed("clean", lambda: (clean(event) for event in decoded if isinstance(event, Event)))
    read = timed("decode + clean + redact + identity", lambda: (accept(p, ORIGIN, now, identity) for p in payloads))
    spoken = [item for item in read if isinstance(item, Utterance)]
    scored = timed("score, without the model", lambda: _scored(spoken))
    messages = timed("reduce to a message, keywords", lambda: (to_message(s, rules.keyword_bits) for s in scored))
    states: dict[int, CustomerState] = {}
    moved = timed("keyed step: sessions, trajectory, escalation", lambda: _moved(settings, rules, messages, states))
    timed("rows of messages", lambda: map(rows.TABLES["scored_events"].to_row, scored))
    turns = [item for item in moved if isinstance(item, Turn)]
    timed("rows of turns", lambda: map(rows.TABLES["trajectory"].to_row, turns))
    sessions = [item for item in moved if isinstance(item, SessionUpdate)]
    timed("rows of sessions", lambda: map(rows.TABLES["sessions"].to_row, sessions))
    reducer = make_reducer(settings, rules)
    timed("snapshots, one of each customer", lambda: map(reducer.dump, states.values()))


def _scored(spoken: list[Utterance]) -> Iterable[Scored]:
    scorer = ConstantScorer()
    for at in range(0, len(spoken), BATCH):
        batch = score(spoken[at : at + BATCH], scorer, now_ms)
        yield from (item for item in batch if isinstance(item, Scored))


def _moved(
    settings: Settings, rules: Rules, messages: list[Message], states: dict[int, CustomerState]
) -> Iterable[object]:
    reducer = make_reducer(settings, rules)
    for message in messages:
        key = message.customer_key
        states[key], outputs = reducer.on_message(states.get(key), message)
        yield from outputs
