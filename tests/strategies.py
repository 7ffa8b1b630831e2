"""Histories of one customer and the disorder that a network makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from hypothesis import strategies as st

from operators.records import CHANNELS, Message, RedactedText

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


SCORES = st.integers(-100, 100).map(lambda hundredths: hundredths / 100)
STEPS_S = st.sampled_from([0, 1, 5, 20, 45, 90, 200, 1000, 4000])
SPEAKERS = st.sampled_from(["customer", "customer", "customer", "agent", "bot", "system"])
KINDS = st.sampled_from(["utterance"] * 8 + ["opened", "closed", "hold", "transfer", "rating"])


@st.composite
def histories(draw: st.DrawFn, largest: int = 14, corrections: bool = True) -> list[Message]:
    """Messages of one customer in event order; some have further revisions, some are taken back."""
    at = 0.0
    history: list[Message] = []
    for number in range(draw(st.integers(1, largest))):
        at += draw(STEPS_S)
        channel = draw(st.sampled_from(CHANNELS))
        kind = draw(KINDS)
        score = draw(SCORES)
        first = message(
            number,
            at,
            score,
            channel=channel,
            kind=kind,
            interaction_id=f"{channel}-{draw(st.integers(0, 2))}",
            speaker=draw(SPEAKERS),
            queue=draw(st.sampled_from(["", "sales", "care"])),
            weight=draw(st.sampled_from([0.0, 0.3, 0.9])),
            abstained=draw(st.booleans()) and draw(st.booleans()),
            flags=draw(st.integers(0, 127)),
            rating=score if kind == "rating" else None,
        )
        history.append(first)
        if corrections:
            history += _corrections(draw, first)
    return history


def _corrections(draw: st.DrawFn, first: Message) -> list[Message]:
    fate = draw(st.sampled_from(["stays"] * 5 + ["revised", "retracted", "both"]))
    further = []
    if fate in ("revised", "both"):
        further.append(msgspec.structs.replace(first, revision=1, score=draw(SCORES), label="neutral"))
    if fate in ("retracted", "both"):
        further.append(retraction(first, revision=2))
    return further


@st.composite
def disorders(draw: st.DrawFn, corrections: bool = True) -> Disorder:
    """A history and an arrival of it in which no message is later than the allowed lateness."""
    history = draw(histories(corrections=corrections))
    repeats = [sent for sent in history if draw(st.integers(0, 5)) == 0]
    sent = history + repeats
    delays = [draw(st.integers(0, LATENESS_MS)) for _ in sent]
    order = sorted(range(len(sent)), key=lambda index: sent[index].event_ms + delays[index])
    return Disorder(history, [sent[index] for index in order])
