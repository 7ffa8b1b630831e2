"""Histories of one customer and the disorder that a network makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from operators.records import CHANNELS, Kind, Message, RedactedText, Speaker

START_MS = 1_700_000_000_000
LATENESS_MS = 120_000


def message(number: int = 1, at_s: float = 0.0, score: float = 0.0, **changes: object) -> Message:
    """A chat message of the customer, `at_s` seconds after the start; change what the test is about."""
    label = "negative" if score < -0.2 else "positive" if score > 0.2 else "neutral"
    plain = Message(
        tenant="acme",
        customer_key=7,
        event_id=f"m-{number}",
        revision=0,
        event_ms=START_MS + round(at_s * 1000),
        channel="chat",
        kind="utterance",
        interaction_id="chat-1",
        speaker="customer",
        agent_key="00000000000000aa",
        queue="sales",
        language="en",
        final=True,
        score=score,
        weight=0.8,
        label=label,  # type: ignore[arg-type]  # mypy widens the conditional to str
        abstained=False,
        flags=0,
        tags=(0.0,) * 7,
        keywords=0,
        silence_ms=0,
        overtalk_ms=0,
        rating=None,
        excerpt=RedactedText("so far so good"),
        broker_ms=START_MS + round(at_s * 1000) + 50,
        model_version="model/1",
        topic="undertone.events",
        partition=0,
        offset=number,
    )
    return msgspec.structs.replace(plain, **changes)


def retraction(of: Message, revision: int = 1) -> Message:
    """Takes a message back."""
    return msgspec.structs.replace(of, kind="retracted", revision=revision, score=0.0, weight=0.0)


@dataclass(frozen=True)
class Disorder:
    """A history in event order, and the same history as it arrived: shuffled within the lateness, with repeats."""

    history: list[Message]
    arrival: list[Message]


STEADY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For tests that fold histories: a slow machine makes them slow, not wrong."""

STEPS_S = (0, 1, 5, 20, 45, 90, 200, 1000, 4000)
SPEAKERS: tuple[Speaker, ...] = ("customer", "customer", "customer", "agent", "bot", "system")
SPOKEN: Kind = "utterance"
KINDS: tuple[Kind, ...] = (*[SPOKEN] * 8, "opened", "closed", "hold", "transfer", "rating")


@st.composite
def histories(draw: st.DrawFn, largest: int = 14, corrections: bool = True) -> list[Message]:
    """Messages of one customer in event order; some have further revisions, some are taken back.

    Hypothesis chooses the length and a seed; drawing every field on its own would take most of a test's time.
    """
    random = Random(draw(st.integers(0, 2**32)))
    at = 0.0
    history: list[Message] = []
    for number in range(draw(st.integers(1, largest))):
        at += random.choice(STEPS_S)
        first = _any_message(random, number, at)
        history.append(first)
        if corrections:
            history += _corrections(random, first)
    return history


def _any_message(random: Random, number: int, at_s: float) -> Message:
    channel, kind, score = random.choice(CHANNELS), random.choice(KINDS), _score(random)
    return message(
        number,
        at_s,
        score,
        channel=channel,
        kind=kind,
        interaction_id=f"{channel}-{random.randint(0, 2)}",
        speaker=random.choice(SPEAKERS),
        queue=random.choice(["", "sales", "care"]),
        weight=random.choice([0.0, 0.3, 0.9]),
        abstained=random.random() < 0.2,
        flags=random.randint(0, 127),
        rating=score if kind == "rating" else None,
    )


def _corrections(random: Random, first: Message) -> list[Message]:
    fate = random.choice(["stays"] * 5 + ["revised", "retracted", "both"])
    further = []
    if fate in ("revised", "both"):
        further.append(msgspec.structs.replace(first, revision=1, score=_score(random), label="neutral"))
    if fate in ("retracted", "both"):
        further.append(retraction(first, revision=2))
    return further


def _score(random: Random) -> float:
    return random.randint(-100, 100) / 100


@st.composite
def disorders(draw: st.DrawFn, corrections: bool = True, spoken: Sequence[Message] = ()) -> Disorder:
    """A history, or that given, and an arrival of it in which no message is later than the allowed lateness."""
    history = [*spoken] or draw(histories(corrections=corrections))
    random = Random(draw(st.integers(0, 2**32)))
    sent = history + [again for again in history if random.random() < 0.2]
    delays = [random.randint(0, LATENESS_MS) for _ in sent]
    order = sorted(range(len(sent)), key=lambda index: sent[index].event_ms + delays[index])
    return Disorder(history, [sent[index] for index in order])
