"""Traffic of many customers: who plays which story when, and which records are late, repeated or malformed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from random import Random
from typing import NamedTuple

import msgspec

from infra.traffic.malformed import spoil
from infra.traffic.people import Person, letters, person
from infra.traffic.script import Story, stories
from infra.traffic.stage import Stage, Timed

LATE_MS = (20_000, 110_000)
"""Shortest and longest delay of a late record; within the default allowed lateness of 120 s."""
TOO_LATE_MS = (150_000, 260_000)
TOO_LATE_SHARE = 0.2
CALM_WEIGHT = 4
"""After every story was played once, calm ones are this many times as likely as the others, as in real life."""


class Sent(NamedTuple):
    """One Kafka record and when it is sent. The key is the customer's id, so that a customer stays in one partition."""

    at_ms: int
    key: bytes
    payload: bytes
    expected_reason: str | None
    """Why a consumer must refuse it; None when it must accept it."""


class Scene(msgspec.Struct, frozen=True):
    """One customer who plays one story from a start time."""

    who: Person
    story: Story
    start_ms: int
    timed: list[Timed]


def plan(seed: int, customers: int, start: datetime, minutes: float, tenant: str = "demo") -> list[Scene]:
    """Give each customer a story and a start, chosen so that the story ends within `minutes` where possible.

    The first customers play one story each, in the order of `stories()`; with at least as many customers as stories,
    every story is played.
    """
    rng = Random(f"plan/{seed}")
    start_ms = int(start.timestamp() * 1000)
    run = letters(start_ms // 1000) + letters(seed)
    return [_scene(rng, person(seed, n), _pick(rng, n), start_ms, minutes, run, tenant) for n in range(customers)]


def _scene(rng: Random, who: Person, story: Story, start_ms: int, minutes: float, run: str, tenant: str) -> Scene:
    take = rng.getrandbits(32)
    length = Stage(Random(take), who, story, start_ms, run, tenant).play()[-1].at_ms - start_ms
    slack = max(0, int(minutes * 60_000) - length - 20_000)
    begin = start_ms + rng.randint(0, slack)
    return Scene(who, story, begin, Stage(Random(take), who, story, begin, run, tenant).play())


def _pick(rng: Random, number: int) -> Story:
    every = stories()
    if number < len(every):
        return every[number]
    return rng.choices(every, weights=[1 if story.shows else CALM_WEIGHT for story in every])[0]


def generate(
    seed: int,
    customers: int,
    start: datetime,
    minutes: float,
    malformed: float = 0.01,
    late: float = 0.02,
    duplicates: float = 0.01,
    tenant: str = "demo",
) -> Iterator[Sent]:
    """Yield conversations of many customers in sending order, deterministic by seed and `start`.

    Args:
        seed: Equal seeds give equal traffic.
        customers: Number of people; each plays one story (4-20 minutes of event time).
        start: Earliest start of a story; an aware datetime.
        minutes: Every story starts early enough to end within this time, unless it is longer.
        malformed: Number of added records that must be refused, as a share of the good ones, in [0, 1].
        late: Share of records sent out of order, in [0, 1]; a fifth of them later than the allowed 120 s.
        duplicates: Share of records sent twice, in [0, 1].
        tenant: Tenant of all events.
    """
    rng = Random(f"send/{seed}")
    out: list[tuple[int, int, bytes, bytes, str | None]] = []
    spoiled = 0
    for scene in plan(seed, customers, start, minutes, tenant):
        key = scene.who.customer_id.encode()
        for timed in scene.timed:
            at_ms = timed.at_ms + _delay(rng, late)
            payload = msgspec.json.encode(timed.fields)
            out.append((at_ms, len(out), key, payload, None))
            if rng.random() < duplicates:
                out.append((at_ms + rng.randint(0, 30_000), len(out), key, payload, None))
            if rng.random() < malformed:
                bad, reason = spoil(timed.fields, spoiled)
                out.append((at_ms, len(out), key, bad, reason))
                spoiled += 1
    out.sort()
    for at_ms, _, key, payload, expected in out:
        yield Sent(at_ms, key, payload, expected)


def _delay(rng: Random, late: float) -> int:
    if rng.random() >= late:
        return 0
    return rng.randint(*(TOO_LATE_MS if rng.random() < TOO_LATE_SHARE else LATE_MS))


def planted(seed: int, customers: int) -> list[str]:
    """Personal data of all customers that `generate` makes with this seed; none of it may appear in any output."""
    return sorted({value for n in range(customers) for value in person(seed, n).personal().values()})
