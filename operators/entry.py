"""Compact form of a `Message`, stored in keyed state while the message's place in event order may still change.

It holds numbers, ids and names, and neither text nor tag probabilities.
"""

from __future__ import annotations

from hashlib import blake2b
from zlib import crc32

import msgspec

from operators.parameters import SCALE
from operators.records import Channel, Kind, Message, Polarity, Speaker

REVISED = 1 << 24
"""What one revision or retraction adds to `knowledge`: more than all of a customer's messages add together."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One message in the open tail, ordered by `place`.

    `score`, `weight` and `rating` are integers in units of 1e-4, so that sums over them are exact.
    """

    event_ms: int
    id_hash: int
    event_id: str
    revision: int
    retracted: bool
    """A tombstone: it changes no value, but raises the versions of later rows."""
    channel: Channel
    kind: Kind
    speaker: Speaker
    interaction_id: str
    agent_key: str
    queue: str
    language: str
    final: bool
    score: int
    weight: int
    label: Polarity
    abstained: bool
    flags: int
    keywords: int
    silence_ms: int
    overtalk_ms: int
    rating: int | None
    model_version: str

    @property
    def place(self) -> tuple[int, int]:
        """Position in event order; the hash of the id breaks ties in the same way on every run."""
        return self.event_ms, self.id_hash

    @property
    def short_hash(self) -> int:
        """Low half of the id's hash: enough to distinguish a few messages of one customer."""
        return self.id_hash & 0xFFFF_FFFF

    @property
    def is_customer(self) -> bool:
        """Whether these are words of the customer; only such entries change the mood."""
        return self.speaker == "customer" and self.kind == "utterance"

    @property
    def knowledge(self) -> int:
        """What this entry adds to the version of its own row and of every later row."""
        return (not self.retracted) + REVISED * (self.revision + self.retracted)


def hash64(text: str) -> int:
    """Stable unsigned 64-bit hash.

    >>> hash64("m-1")
    15166671097212279605
    """
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def hash32(text: str) -> int:
    """Stable unsigned 32-bit hash for the few interactions of one customer.

    >>> hash32("call-1")
    3661210240
    """
    return crc32(text.encode())


def entry_of(message: Message, id_hash: int) -> Entry:
    """Make the compact entry of a message; a `retracted` message becomes a tombstone."""
    customer = message.speaker == "customer" and message.kind == "utterance"
    return Entry(
        message.event_ms,
        id_hash,
        message.event_id,
        message.revision,
        message.kind == "retracted",
        message.channel,
        message.kind,
        message.speaker,
        message.interaction_id,
        message.agent_key,
        message.queue,
        message.language,
        message.final,
        round(message.score * SCALE),
        round(message.weight * SCALE) if customer and not message.abstained else 0,
        message.label,
        message.abstained,
        message.flags,
        message.keywords,
        message.silence_ms,
        message.overtalk_ms,
        None if message.rating is None else round(message.rating * SCALE),
        message.model_version,
    )
