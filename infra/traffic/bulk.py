"""A fast stream for benchmarks: events of the stories are encoded once, so that each event costs a few joins."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from datetime import datetime, timezone
from random import Random

import msgspec

from infra.traffic.generate import Sent, plan
from infra.traffic.people import letters
from infra.traffic.stage import timestamp

POOL_CUSTOMERS = 400
"""Number of people whose events form the pool that the stream draws from."""
TURNS = 12
"""Events per interaction, after which the customer's next interaction begins."""
_HOLES = ("\ue000", "\ue001", "\ue002", "\ue003")
"""Private-use characters as placeholders for event id, interaction, customer and time."""

Pieces = tuple[bytes, bytes, bytes, bytes, bytes]


def bulk(seed: int, n: int, customers: int, start: datetime | None = None, step_ms: int = 1) -> Iterator[Sent]:
    """Yield `n` well-formed events of `customers` people, in event order, `step_ms` apart.

    Every event has its own id; texts repeat. Without `start` the last event happens about now; with it, the stream
    depends on nothing but the arguments.
    """
    begin = int((start or datetime.now(timezone.utc)).timestamp() * 1000)
    at_ms = begin if start else begin - n * step_ms
    rng = Random(f"bulk/{seed}")
    pool = _pool(seed)
    run = letters(at_ms // 1000) + letters(seed)
    names = [f"cust-{run}-{letters(number)}".encode() for number in range(customers)]
    said = array("L", (rng.randrange(len(pool)) for _ in range(customers)))
    second, clock = -1, b""
    draw = rng.random
    size = len(pool)
    for _ in range(n):
        if at_ms // 1000 != second:
            second = at_ms // 1000
            clock = timestamp(second * 1000)[:20].encode()
        who = int(draw() * customers)
        turn = said[who]
        said[who] = turn + 1
        name = names[who]
        a, b, c, d, e = pool[turn % size]
        identity = b"%b-%d" % (name, turn)
        interaction = b"%b-%d" % (name, turn // TURNS)
        yield Sent(
            at_ms, name, b"".join((a, identity, b, interaction, c, name, d, clock, b"%03dZ" % (at_ms % 1000), e)), None
        )
        at_ms += step_ms


def _pool(seed: int) -> list[Pieces]:
    start = datetime(2025, 1, 1, tzinfo=timezone.utc)
    return [
        _cut(timed.fields)
        for scene in plan(seed, POOL_CUSTOMERS, start, 60)
        for timed in scene.timed
        if timed.fields["revision"] == 0 and timed.fields["kind"] == "utterance"
    ]


def _cut(fields: dict[str, object]) -> Pieces:
    event, interaction, customer, time = _HOLES
    holed = {
        **fields,
        "event_id": event,
        "interaction_id": interaction,
        "customer": {"id": customer},
        "event_time": time,
        "final": True,
    }
    rest = msgspec.json.encode(holed)
    pieces = []
    for hole in _HOLES:
        piece, _, rest = rest.partition(hole.encode())
        pieces.append(piece)
    a, b, c, d = pieces
    return a, b, c, d, rest
