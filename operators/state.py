"""The state of one customer: what it holds and how it is searched."""

from __future__ import annotations

import msgspec

from operators.alerts import Answer
from operators.entry import Entry
from operators.evidence import Told
from operators.fold import Fold

RING = 48
"""Settled events that are remembered by hash, so that a repeat is dropped."""
ANSWERS = 16
"""Answers to alerts not known yet that are kept."""


class CustomerState(msgspec.Struct, frozen=True, gc=False):
    """Everything kept of one customer between two messages."""

    tenant: str
    customer_key: int
    settled: Fold = Fold()
    tail: tuple[Entry, ...] = ()
    ring: tuple[int, ...] = ()
    """Hashes of the latest settled event ids, and beside them what was known of each."""
    ranks: tuple[int, ...] = ()
    told: tuple[Told, ...] = ()
    closed: int = 0
    """Knowledge at which the last session was declared closed; anything newer opens it again."""
    folds: tuple[Fold, ...] = ()
    """Fold after each entry of the tail: a cache, not part of a snapshot."""
    passed_ms: int = 0
    """Event time up to which the passing of time was told, where that is past the last event; 0: it never was."""
    answers: tuple[Answer, ...] = ()
    """What people did with alerts that are not raised yet, by time: in a replay their answers may come first."""
    past: Fold | None = None
    """A session before the current one whose events come late: a call that is transcribed when it is over."""

    @property
    def current(self) -> Fold:
        """The fold over all that is known."""
        return self.folds[-1] if self.folds else self.settled


def find(tail: tuple[Entry, ...], id_hash: int) -> int:
    """Index of the entry with that id, -1 for none; a living one before the tombstone that it left elsewhere."""
    hashes = [entry.id_hash for entry in tail]
    if id_hash not in hashes:
        return -1
    living = [index for index, entry in enumerate(tail) if entry.id_hash == id_hash and not entry.retracted]
    return living[0] if living else hashes.index(id_hash)


def insertion(tail: tuple[Entry, ...], entry: Entry) -> int:
    """Index at which an entry keeps the tail sorted."""
    index = len(tail)
    while index and tail[index - 1].place > entry.place:
        index -= 1
    return index


def last_of_sessions(folds: tuple[Fold, ...]) -> dict[str, Fold]:
    """The last fold of each session, in event order."""
    return {fold.session.id: fold for fold in folds if fold.session is not None}


def remembered(state: CustomerState, entries: tuple[Entry, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ring and ranks once these entries are settled."""
    keep = len(entries) - RING
    ring = (*state.ring[keep:], *[entry.id_hash for entry in entries])
    return ring, (*state.ranks[keep:], *[entry.revision * 2 + entry.retracted for entry in entries])
