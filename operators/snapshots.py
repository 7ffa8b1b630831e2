"""Snapshots of one customer's state: small, versioned msgpack that every later version of the code can read.

The entries of the tail are packed: repeated names are written once, and small enumerations share one integer.
A snapshot is an array `[version, ...]`. To change its shape, add a version to `_READERS` and keep the old ones
(tests/snapshots has one snapshot of each version).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable

import msgspec

from operators.alerts import Answer
from operators.entry import Entry, hash64
from operators.escalation import Alarms, Track
from operators.evidence import Published
from operators.fold import Fold
from operators.records import Channel, Kind, Polarity, Speaker
from operators.state import CustomerState

VERSION = 4
_AT_A_GLANCE = (3, 4)
"""Versions that `glance` can read."""

# A snapshot holds indexes into these tuples: their order is part of its version, so append new members at the end.
_CHANNELS: tuple[Channel, ...] = ("voice", "chat", "email", "social", "survey")
_KINDS: tuple[Kind, ...] = ("utterance", "opened", "closed", "hold", "resume", "transfer", "rating", "retracted")
_SPEAKERS: tuple[Speaker, ...] = ("customer", "agent", "bot", "system")
_LABELS: tuple[Polarity, ...] = ("negative", "neutral", "positive")

_Row = tuple[int, bytes, int, int, list[int], int, int, int, int, int, int, int | None]
"""Event time, id, revision, code, indexes of names, score, weight, flags, keywords, silence, overtalk, rating.

The first row has the event time itself, the others their difference to it."""


class Judged(msgspec.Struct, frozen=True):
    """State of the rules at a snapshot, and the version of the rules that led to it."""

    rules: int
    """Fingerprint of the rules that were in force."""
    alarms: Alarms
    """State of each rule after the last event."""


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """The shape of all versions so far: fields of later versions are at the end and have defaults."""

    version: int
    tenant: str
    customer_key: int
    settled: Fold
    names: list[str]
    tail: list[_Row]
    ring: bytes
    ranks: tuple[int, ...]
    published: tuple[Published, ...]
    closed: int
    passed_ms: int = 0
    answers: tuple[Answer, ...] = ()
    past: Fold | None = None
    due_ms: int = 0
    is_open: bool = False
    recent: tuple[bytes, ...] = ()
    """Packed ids of the settled fold's `recent`; versions 1 and 2 store them in the fold."""
    rules: int | None = None
    """This and the following fields make `Judged`; None before version 4."""
    tracks: tuple[int | Track, ...] = ()
    """A number is the index of an equal track in the settled fold."""
    raised_ms: tuple[int, ...] = ()
    in_session: int = 0


class _Head(msgspec.Struct, array_like=True):
    version: int


class _Glance(msgspec.Struct, frozen=True, array_like=True):
    """The first fields of `_Packed`; those that `glance` does not need are not decoded."""

    version: int
    tenant: msgspec.Raw
    customer_key: int
    settled: msgspec.Raw
    names: msgspec.Raw
    tail: msgspec.Raw
    ring: msgspec.Raw
    ranks: msgspec.Raw
    published: msgspec.Raw
    closed: msgspec.Raw
    passed_ms: msgspec.Raw = msgspec.Raw()
    answers: msgspec.Raw = msgspec.Raw()
    past: msgspec.Raw = msgspec.Raw()
    due_ms: int = 0
    is_open: bool = False


class AtRest(msgspec.Struct, frozen=True):
    """What the keyed step needs of a customer until the next message."""

    customer_key: int
    due_ms: int
    """Stream time in milliseconds at which the customer's timer must fire."""
    is_open: bool
    """Whether the last session is still open."""


class SnapshotError(ValueError):
    """The snapshot has a version that this code cannot read."""


def dump(state: CustomerState, at_rest: AtRest, judged: Judged) -> bytes:
    """Write a snapshot of the newest version: the state without its `folds`, `at_rest` for `glance`, and `judged`."""
    names: dict[str, int] = {}
    settled, known = state.settled, state.settled.alarms.tracks
    base = state.tail[0].event_ms if state.tail else 0
    tail = [_pack(entry, names, base if index else 0) for index, entry in enumerate(state.tail)]
    return _ENCODER.encode(
        _Packed(
            VERSION,
            state.tenant,
            state.customer_key,
            msgspec.structs.replace(settled, recent=()),
            list(names),
            tail,
            array("Q", state.ring).tobytes(),
            state.ranks,
            state.published,
            state.closed,
            state.passed_ms,
            state.answers,
            state.past,
            at_rest.due_ms,
            at_rest.is_open,
            tuple([_pack_id(event_id) for event_id in settled.recent]),
            judged.rules,
            tuple([known.index(track) if track in known else track for track in judged.alarms.tracks]),
            judged.alarms.raised_ms,
            judged.alarms.in_session,
        )
    )


def load(blob: bytes) -> tuple[CustomerState, Judged | None]:
    """Read a snapshot of any known version. `folds` is empty: the caller must fold the tail again.

    `Judged` is None for versions before 4.

    >>> state, judged = load(dump(CustomerState("acme", 7, ring=(1, 2)), AtRest(7, 0, False), Judged(9, Alarms())))
    >>> state.ring, judged.rules
    ((1, 2), 9)
    """
    version = _HEAD.decode(blob).version
    if version not in _READERS:
        raise SnapshotError(
            f"snapshot version {version} is not known; this code reads {sorted(_READERS)}:"
            " a newer version of the job wrote it, start that one"
        )
    return _READERS[version](blob)


def glance(blob: bytes) -> AtRest | None:
    """Read `AtRest` only, in a fraction of the time of `load`; None for versions that do not store it.

    >>> glance(dump(CustomerState("acme", 7), AtRest(7, 9, False), Judged(0, Alarms())))
    AtRest(customer_key=7, due_ms=9, is_open=False)
    """
    if _HEAD.decode(blob).version not in _AT_A_GLANCE:
        return None
    seen = _GLANCE.decode(blob)
    return AtRest(seen.customer_key, seen.due_ms, seen.is_open)


def _pack(entry: Entry, names: dict[str, int], base: int) -> _Row:
    def named(name: str) -> int:
        return names.setdefault(name, len(names))

    code = _CHANNELS.index(entry.channel) | _KINDS.index(entry.kind) << 3 | _SPEAKERS.index(entry.speaker) << 6
    code |= _LABELS.index(entry.label) << 8 | entry.retracted << 10 | entry.final << 11 | entry.abstained << 12
    who = [named(n) for n in (entry.interaction_id, entry.agent_key, entry.queue, entry.language, entry.model_version)]
    return (
        entry.event_ms - base,
        _pack_id(entry.event_id),
        entry.revision,
        code,
        who,
        entry.score,
        entry.weight,
        entry.flags,
        entry.keywords,
        entry.silence_ms,
        entry.overtalk_ms,
        entry.rating,
    )


def _unpack(
    packed: _Row,
    names: list[str],
    base: int,
) -> Entry:
    at, packed_id, revision, code, who, score, weight, flags, keywords, silence, overtalk, rating = packed
    event_id = _unpack_id(packed_id)
    interaction_id, agent_key, queue, language, model_version = (names[index] for index in who)
    # By position: keywords would take ten times as long, and a tail has many entries.
    return Entry(
        at + base,
        hash64(event_id),
        event_id,
        revision,
        bool(code >> 10 & 1),
        _CHANNELS[code & 7],
        _KINDS[code >> 3 & 7],
        _SPEAKERS[code >> 6 & 3],
        interaction_id,
        agent_key,
        queue,
        language,
        bool(code >> 11 & 1),
        score,
        weight,
        _LABELS[code >> 8 & 3],
        bool(code >> 12 & 1),
        flags,
        keywords,
        silence,
        overtalk,
        rating,
        model_version,
    )


def _pack_id(event_id: str) -> bytes:
    """Write an id; a UUID is written as its 16 bytes, because most of a snapshot is ids.

    >>> len(_pack_id("5f0c1a52-4b1f-4f9e-9c1d-0123456789ab")), _pack_id("m-1")
    (17, b'tm-1')
    """
    if len(event_id) == 36:
        try:
            packed = b"u" + bytes.fromhex(event_id.replace("-", ""))
        except ValueError:
            packed = b""
        if len(packed) == 17 and _unpack_id(packed) == event_id:
            return packed
    return b"t" + event_id.encode()


def _unpack_id(packed: bytes) -> str:
    if packed[:1] == b"t":
        return packed[1:].decode()
    digits = packed[1:].hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _load(blob: bytes) -> tuple[CustomerState, Judged | None]:
    packed = _DECODER.decode(blob)
    base = packed.tail[0][0] if packed.tail else 0
    ring = array("Q")
    ring.frombytes(packed.ring)
    settled = packed.settled
    if packed.recent:
        settled = msgspec.structs.replace(settled, recent=tuple(map(_unpack_id, packed.recent)))
    state = CustomerState(
        tenant=packed.tenant,
        customer_key=packed.customer_key,
        settled=settled,
        tail=tuple(_unpack(row, packed.names, base if index else 0) for index, row in enumerate(packed.tail)),
        ring=tuple(ring),
        ranks=packed.ranks,
        published=packed.published,
        closed=packed.closed,
        passed_ms=packed.passed_ms,
        answers=packed.answers,
        past=packed.past,
    )
    if packed.rules is None:
        return state, None
    tracks = tuple([settled.alarms.tracks[track] if isinstance(track, int) else track for track in packed.tracks])
    return state, Judged(packed.rules, Alarms(tracks, packed.raised_ms, packed.in_session))


_ENCODER = msgspec.msgpack.Encoder()
_HEAD = msgspec.msgpack.Decoder(_Head)
_DECODER = msgspec.msgpack.Decoder(_Packed)
_GLANCE = msgspec.msgpack.Decoder(_Glance)
_READERS: dict[int, Callable[[bytes], tuple[CustomerState, Judged | None]]] = {1: _load, 2: _load, 3: _load, 4: _load}
