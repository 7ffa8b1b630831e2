"""The state of one customer, and functions that search it."""

from __future__ import annotations

import msgspec

from operators.alerts import Answer
from operators.entry import Entry
from operators.evidence import Published
from operators.fold import Fold

RING = 48
"""Most settled events whose id hashes are stored, so that repeats of them are dropped."""
ANSWERS = 16
"""Most feedback records kept per customer for alerts that are not raised yet."""


class CustomerState(msgspec.Struct, frozen=True, gc=False):
    """The keyed state of one customer between two messages."""

    tenant: str
    customer_key: int
    settled: Fold = Fold()
    tail: tuple[Entry, ...] = ()
    ring: tuple[int, ...] = ()
    """Hashes of the ids of the latest settled events."""
    ranks: tuple[int, ...] = ()
    """For each hash in `ring`: 2 x revision, plus 1 when the event is retracted."""
    published: tuple[Published, ...] = ()
    """Alerts that were published."""
    closed: int = 0
    """`Fold.known` when the last session was published as closed; a greater `known` means that the session is open."""
    folds: tuple[Fold, ...] = ()
    """The fold after each entry of the tail: a cache, not part of a snapshot."""
    passed_ms: int = 0
    """Latest event time up to which a tick published what time alone changed; 0: none did. New events may be older."""
    answers: tuple[Answer, ...] = ()
    """Feedback on alerts that are not raised yet, by time: in a replay the feedback may come before the alert."""
    past: Fold | None = None
    """A session before the current one whose events come late, such as a call that is transcribed after its end."""

    @property
    def current(self) -> Fold:
        """The fold over all events so far, settled or in the tail."""
        return self.folds[-1] if self.folds else self.settled


def find(tail: tuple[Entry, ...], id_hash: int) -> int:
    """Return the index of the entry with that id, -1 for none.

    An event that was moved in time has a tombstone at its old time: the live entry goes before the tombstone.
    """
    hashes = [entry.id_hash for entry in tail]
    if id_hash not in hashes:
        return -1
    living = [index for index, entry in enumerate(tail) if entry.id_hash == id_hash and not entry.retracted]
    return living[0] if living else hashes.index(id_hash)


def insertion(tail: tuple[Entry, ...], entry: Entry) -> int:
    """Return the index at which the entry must be inserted to keep the tail in event order."""
    index = len(tail)
    while index and tail[index - 1].place > entry.place:
        index -= 1
    return index


def last_of_sessions(folds: tuple[Fold, ...]) -> dict[str, Fold]:
    """Return the last fold of each session by session id; sessions are in event order."""
    return {fold.session.id: fold for fold in folds if fold.session is not None}


def remembered(state: CustomerState, entries: tuple[Entry, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return `ring` and `ranks` after these entries are settled."""
    keep = len(entries) - RING
    ring = (*state.ring[keep:], *[entry.id_hash for entry in entries])
    return ring, (*state.ranks[keep:], *[entry.revision * 2 + entry.retracted for entry in entries])
