"""A hundred thousand broken messages: each ends as exactly one value, and nothing is raised."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from operators.identity import Identity
from operators.records import Reason, Rejected, Utterance
from operators.utterance import accept
from tests.operators.wire import NOW_MS, ORIGIN, fields

PAYLOADS = 100_000
SEED = 20_260_302

SEEDS: list[dict[str, Any]] = [
    fields(),
    fields(channel="voice", text="I said [noise] no", asr_confidence=0.8, acoustic={"silence_ms": 4, "overtalk_ms": 1}),
    fields(
        channel="email",
        text="Broken.\n\nOn 2 Mar 2026 at 9:00 Jo <jo@mail.example> wrote:\n> x",
        attributes={"subject": "Re"},
    ),
    fields(channel="email", text="<div>No<blockquote>old</blockquote></div>", attributes={"content_type": "text/html"}),
    fields(channel="social", text="@Acme #SoBad 😡 https://x.example/y"),
    fields(channel="survey", kind="rating", text=None, rating={"scale": "nps", "value": 3}),
    fields(
        kind="transfer", text=None, queue="billing", customer={"refs": [{"type": "phone", "value": "+12127365000"}]}
    ),
    fields(text="call 212 736 5000 or pay 4111 1111 1111 1111"),
]
ENCODED = [json.dumps(seed).encode() for seed in SEEDS]
STRANGE: list[Any] = [
    None, True, -1, 0, 10**18, 10**400, 1e308, -0.0, "", " ", "\u0000", "\u202e", "\ud800", "é" * 300, [], {}, [[]],
    {"a": {}}, "1999-12-31T00:00:00Z", "2026-03-02T10:15:30", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00",
    "<p>" * 50, "1" * 50,
]  # fmt: skip
BITS = [
    b"{",
    b"}",
    b"[",
    b'"',
    b"\\",
    b"\\u",
    b"\\ud800",
    b"\xff",
    b"\xc3",
    b"\x00",
    b",",
    b":",
    b"e999",
    b"-",
    b"NaN",
    b"null",
]


def truncated(rng: random.Random) -> bytes:
    data = rng.choice(ENCODED)
    return data[: rng.randrange(len(data))]


def flipped(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(ENCODED))
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def spliced(rng: random.Random) -> bytes:
    data, at = rng.choice(ENCODED), rng.randrange(300)
    return data[:at] + rng.choice(BITS) * rng.randint(1, 3) + data[at + rng.randint(0, 9) :]


def retyped(rng: random.Random) -> bytes:
    seed = dict(rng.choice(SEEDS))
    for _ in range(rng.randint(1, 2)):
        seed[rng.choice(list(seed))] = rng.choice(STRANGE)
    return json.dumps(seed).encode()


def thinned(rng: random.Random) -> bytes:
    seed = dict(rng.choice(SEEDS))
    del seed[rng.choice(list(seed))]
    return json.dumps(seed).encode()


def skewed(rng: random.Random) -> bytes:
    seconds = f"{rng.randrange(60):02}.{rng.randrange(10 ** rng.randint(1, 6))}"
    zone = rng.choice(["Z", "+14:00", "-12:00", "+05:30", "", "+99:99"])
    day = f"{rng.randrange(1, 9999):04}-{rng.randrange(14):02}-{rng.randrange(33):02}"
    time = f"{day}T{rng.randrange(26):02}:00:{seconds}{zone}"
    return json.dumps({**rng.choice(SEEDS), "event_time": time}).encode()


def reworded(rng: random.Random) -> bytes:
    signs = "aZ1 9-@.:/#<>&;[]()*_\n\"'😡é١"
    text = "".join(rng.choices(signs, k=rng.randrange(40)))
    return json.dumps({**rng.choice(SEEDS), "text": text}).encode()


def nested(rng: random.Random) -> bytes:
    depth = rng.choice([10, 100, 500, 2000])
    opening, closing = rng.choice([(b"[", b"]"), (b'{"a":', b"}")])
    inside = opening * depth + b"1" + closing * rng.choice([0, depth])
    name = rng.choice(["unknown", "customer", "text", "attributes"])
    return rng.choice(ENCODED)[:-1] + b', "' + name.encode() + b'": ' + inside + b"}"


def noise(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(60))


MUTATORS: dict[Callable[[random.Random], bytes], int] = {
    truncated: 22, flipped: 22, spliced: 20, retyped: 10, thinned: 5, skewed: 8, reworded: 4, nested: 1, noise: 8,
}  # fmt: skip


def broken(seed: int = SEED) -> Iterator[bytes]:
    """The payloads, always the same."""
    rng = random.Random(seed)
    for make in rng.choices(list(MUTATORS), weights=list(MUTATORS.values()), k=PAYLOADS):
        yield make(rng)


def test_every_broken_payload_is_accounted_for() -> None:
    identity = Identity("a secret of the tests")
    outcomes: Counter[str] = Counter()
    for data in broken():
        result = accept(data, ORIGIN, NOW_MS, identity)
        outcomes[result.reason.value if isinstance(result, Rejected) else type(result).__name__] += 1
        assert isinstance(result, Utterance | Rejected)
        assert result.origin is ORIGIN
    assert outcomes.total() == PAYLOADS
    assert outcomes["Utterance"] > PAYLOADS // 20
    told = {reason.value for reason in Reason} - {
        Reason.NOT_SCORABLE.value,
        Reason.NOT_FOLDABLE.value,
        Reason.TOO_LARGE.value,
        Reason.TEXT_TOO_LONG.value,
    }
    assert told <= set(outcomes), "the mutations do not reach every refusal"
    assert outcomes[Reason.NOT_SCORABLE.value] == 0, "cleaning or redaction fails on some text"


def test_giants_are_refused_unread() -> None:
    identity = Identity("a secret of the tests")
    giant = json.dumps(fields(text="word " * 2_000_000)).encode()
    for data in (giant, giant[: 5 * 2**20], b"[" * 10_000_000, b"\xff" * 10_000_000):
        result = accept(data, ORIGIN, NOW_MS, identity)
        assert isinstance(result, Rejected)
        assert result.reason is Reason.TOO_LARGE


def test_the_longest_texts_are_handled_on_every_channel() -> None:
    identity = Identity("a secret of the tests")
    for unit in (
        "a",
        "1 ",
        "4/",
        "a@",
        "<div>",
        "<",
        "> ",
        "On \n",
        "From: a\n",
        "&amp;",
        "#",
        "@a ",
        "one ",
        "é",
        "😡",
        "**a",
        "[noise",
    ):
        for channel in ("voice", "chat", "email", "social", "survey"):
            text = (unit * 20_000)[:19_999] + "z"
            result = accept(
                json.dumps(fields(channel=channel, text=text), ensure_ascii=False).encode(), ORIGIN, NOW_MS, identity
            )
            assert isinstance(result, Utterance) or result.reason is Reason.TOO_LARGE, (unit, channel)
