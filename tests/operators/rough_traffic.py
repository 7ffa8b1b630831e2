"""Customers whose moods swing and whose events come as a bad network brings them, and the rows made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from random import Random
from typing import Any

from msgspec.structs import replace

from operators.customer_state import CustomerReducer, CustomerState
from operators.parameters import DAY
from operators.records import Channel, Escalation, Feedback, Kind, RedactedText, Scored, Speaker
from operators.rows import TABLES
from operators.score import to_message
from tests.oracle import Tables, blocks_of, final_rows
from tests.samples import START_MS, origin, scored
from tests.store_reader import Rows

EVENTS = 40
STEPS_S = (2, 5, 20, 45, 90, 90, 200, 400, 700, 2000)
LONG_S = (5000, 40_000, 100_000)
ORDERLY = 0.4
"""Share of customers of whom all comes in order and nothing is corrected."""
WORDS = ("it still does not work", "I want to talk to a manager", "my LAWYER, and small claims", "switch  provider?")
CHANNELS: tuple[Channel, ...] = ("chat", "chat", "chat", "voice", "voice", "social", "email", "survey")
SPEAKERS: tuple[Speaker, ...] = ("customer", "customer", "customer", "customer", "agent", "bot", "system")
SPOKEN: Kind = "utterance"
KINDS: tuple[Kind, ...] = (*[SPOKEN] * 16, "opened", "closed", "hold", "transfer", "rating")


def rough_rows(machine: CustomerReducer, keyword_bits: Callable[[str], int], seed: int, customers: int) -> Rows:
    """What is stored in the end of so many customers."""
    records: list[Any] = []
    for number in range(customers):
        random = Random(f"{seed}/{number}")
        orderly = random.random() < ORDERLY
        arrival = _history(random, number, orderly) if orderly else _disorder(random, _history(random, number, orderly))
        records += _live(random, machine, keyword_bits, arrival)
    return as_rows(final_rows(blocks_of(records)))


def as_rows(tables: Tables) -> Rows:
    """Tables in the shape in which a store gives them."""
    return {
        name: [tuple(dict(row).get(column, 0) for column in TABLES[name].columns) for row in found.values()]
        for name, found in tables.items()
    }


def _history(random: Random, number: int, orderly: bool) -> list[Scored]:
    """One customer's events in order, corrections right behind what they correct."""
    at_s, mood, contact = random.randint(0, 9000), random.uniform(-0.9, 0.3), 0
    channel, language, queue = random.choice(CHANNELS), "en", "sales"
    history: list[Scored] = []
    for count in range(EVENTS):
        at_s += random.choice(LONG_S if random.random() < 0.05 else STEPS_S)
        if random.random() < 0.1:
            mood, contact = random.uniform(-1.0, 0.6), contact + 1
            channel, queue = random.choice(CHANNELS), random.choice(["", "sales", "care"])
            language = random.choice(["en", "en-GB", "de", ""])
        score = round(max(-1.0, min(1.0, random.gauss(mood, 0.25))), 4)
        kind, unsure = random.choice(KINDS), random.random() < 0.1
        first = scored(
            count,
            score if kind == "utterance" else 0.0,
            START_MS + 1000 * at_s + random.randint(0, 999),
            event_id=f"e-{number}-{count}",
            customer_key=number,
            channel=channel,
            kind=kind,
            interaction_id=f"{channel}-{contact}",
            speaker=random.choice(SPEAKERS),
            queue=queue,
            language=language,
            text=RedactedText(random.choice(WORDS) if random.random() < 0.2 else "well"),
            flags=random.choice([0, 0, random.randint(0, 127)]),
            abstained=unsure,
            weight=0.0 if unsure else random.choice([0.3, 0.6, 0.9]),
            rating=score if kind == "rating" else None,
            silence_ms=random.choice([0, 0, 9000]),
            overtalk_ms=random.choice([0, 0, 4000]),
        )
        history += [first] if orderly else [first, *_corrections(random, first)]
    return history


def _corrections(random: Random, first: Scored) -> list[Scored]:
    """The event again: its final words, other words, or that there were none."""
    fate = random.random()
    if fate < 0.1:
        return [_again(first, 2, score=round(random.uniform(-1.0, 0.6), 4), label="negative")]
    if fate < 0.2:
        return [_again(first, 2, kind="retracted")]
    return []


def _again(first: Scored, revision: int, kind: Kind | None = None, **changes: Any) -> Scored:
    of_utterance = replace(first.utterance, revision=revision, kind=kind or first.utterance.kind)
    return replace(first, utterance=of_utterance, **changes)


def _disorder(random: Random, history: Sequence[Scored]) -> list[Scored]:
    """As it arrives: some events late, a few too late, some twice, and some first in provisional words."""
    sent: list[tuple[int, int, Scored]] = []
    for first in history:
        event = first
        if event.utterance.revision == 0 and random.random() < 0.08:
            partial = replace(event, utterance=replace(event.utterance, final=False), score=round(event.score / 2, 4))
            sent.append((event.utterance.event_ms, len(sent), partial))
            event = _again(event, 1)
        for _ in range(2 if random.random() < 0.05 else 1):
            late = random.choices([0, random.randint(0, 110_000), random.randint(120_000, 400_000)], [16, 4, 0.3])[0]
            sent.append((event.utterance.event_ms + 4000 * event.utterance.revision + late, len(sent), event))
    return [event for _, _, event in sorted(sent, key=lambda come: come[:2])]


def _live(
    random: Random, machine: CustomerReducer, keyword_bits: Callable[[str], int], arrival: Sequence[Scored]
) -> Iterator[Any]:
    """The records that are stored: messages, what the reducer says of them, and what people answer."""
    state: CustomerState | None = None
    stream_ms = 0
    for offset, event in enumerate(arrival):
        sent = replace(event, utterance=replace(event.utterance, origin=origin(offset)))
        state, out = machine.on_message(state, to_message(sent, keyword_bits))
        stream_ms = max(stream_ms, sent.utterance.event_ms)
        if machine.next_timer(state) <= stream_ms:
            state, more = machine.on_tick(state, stream_ms)
            assert state is not None
            out = [*out, *more]
        yield sent
        yield from out
        for told in [one for one in out if isinstance(one, Escalation) and one.state == "active"]:
            if random.random() < 0.05:
                given = _feedback(random, told)
                state, more = machine.on_feedback(state, given)
                assert state is not None
                yield given
                yield from more
    assert state is not None
    while (due := machine.next_timer(state)) <= stream_ms + 3 * DAY:
        kept, out = machine.on_tick(state, due)
        assert kept is not None
        state = kept
        yield from out


def _feedback(random: Random, told: Escalation) -> Feedback:
    return Feedback(
        schema="undertone.feedback/1",
        feedback_id=f"f-{told.version}",
        tenant=told.tenant,
        escalation_id=told.escalation_id,
        action=random.choice(["acknowledged", "resolved", "good_catch", "false_alarm"]),
        event_time=datetime.fromtimestamp(told.event_ms / 1000 + 5, tz=timezone.utc),
    )
