"""Many customers at once: who plays which story when, and what goes wrong on the way to Kafka."""

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
"""How much later a delayed record is sent: still within the default allowed lateness of 120 s."""
TOO_LATE_MS = (150_000, 260_000)
TOO_LATE_SHARE = 0.2
CALM_WEIGHT = 4
"""Past the first round through all stories, calm ones come this much more often, as in life."""


class Sent(NamedTuple):
    """One Kafka record, in sending order. The key is the customer's, so that a customer stays in one partition."""

    at_ms: int
    key: bytes
    payload: bytes
    expected_reason: str | None
    """Why a consumer must refuse it; None when it must accept it."""


class Scene(msgspec.Struct, frozen=True):
    """Who plays what, from when."""

    who: Person
    story: Story
    start_ms: int
    timed: list[Timed]


def plan(seed: int, customers: int, start: datetime, minutes: float, tenant: str = "demo") -> list[Scene]:
    """Cast the stories: each customer plays one, spread over the time so that it ends within it where it can.

    The first customers play the stories that show most, one each; with at least as many customers as there
    are stories every one is played.
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
    """Conversations of many customers in sending order, deterministic by seed and `start`.

    Args:
        seed: Equal seeds give equal traffic.
        customers: How many people; each plays one story (4-20 minutes of event time).
        start: When the first of them may begin, aware.
        minutes: Everybody begins early enough to end within this, stories longer than it excepted.
        malformed: Share of records added that must be refused, in [0, 1].
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
    """Personal data of all customers of `generate` with this seed: none of it may be found in any output."""
    return sorted({value for n in range(customers) for value in person(seed, n).personal().values()})
