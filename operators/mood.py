"""Decayed sums of scores: how a customer feels now, per interaction and over all channels.

    A(t) = sum w_i s_i 2^(-(t - t_i) / H)    B(t) = sum w_i 2^(-(t - t_i) / H)    S(t) = A / (B + kappa)

(docs/formulas.md, "Level"). kappa pulls S towards 0, so that one message alone cannot give -1; B is the evidence.
Between messages A and B decay together, so S moves towards 0 and never away from it.
"""

from __future__ import annotations

from math import log2

import msgspec

from operators.entry import Entry, hash32
from operators.parameters import SCALE, Parameters

LEVELS = 4
"""Most interactions whose sums are stored; the one without a message for longest is dropped."""


class Sums(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A and B at `at_ms`. `key` is the hash of the interaction that they belong to, 0 for the customer."""

    key: int = 0
    a: float = 0.0
    b: float = 0.0
    at_ms: int = 0


class Mood(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The sums of the customer and of the latest interactions, and until when the customer level stays low."""

    customer: Sums = Sums()
    interactions: tuple[Sums, ...] = ()
    under_until_ms: int = 0
    """Event time at which decay alone lifts the customer level to the threshold `under`; 0 when it is not below."""


def add(sums: Sums, event_ms: int, score: float, weight: float, half_life_ms: int) -> Sums:
    """Add one message, w s to A and w to B; the sums move to its event time if that is later than `at_ms`.

    The order of additions does not matter, so a late message has the same effect as one in time, and a negative weight
    subtracts a message. Sums and term only decay, and |A| is limited to B, whatever is subtracted: |S| stays below 1.

    >>> add(Sums(0, -0.8, 1.0, 0), event_ms=90_000, score=-0.5, weight=0.8, half_life_ms=90_000)
    Sums(key=0, a=-0.8, b=1.3, at_ms=90000)
    >>> add(Sums(0, 0.0, 0.0, 90_000), event_ms=0, score=-0.5, weight=0.8, half_life_ms=90_000)
    Sums(key=0, a=-0.2, b=0.4, at_ms=90000)
    """
    at_ms = max(sums.at_ms, event_ms)
    before, fresh = 2.0 ** ((sums.at_ms - at_ms) / half_life_ms), 2.0 ** ((event_ms - at_ms) / half_life_ms)
    b = max(0.0, sums.b * before + weight * fresh)
    a = sums.a * before + weight * score * fresh
    return Sums(sums.key, max(-b, min(a, b)), b, at_ms)


def level_at(sums: Sums, now_ms: int, half_life_ms: int, kappa: float) -> tuple[float, float]:
    """Return S and B at `now_ms`, or at `at_ms` if that is later; rounded to 1e-4.

    >>> level_at(Sums(0, -1.0, 1.0, 0), now_ms=0, half_life_ms=1, kappa=1.0)
    (-0.5, 1.0)
    """
    if not sums.b:
        return 0.0, 0.0
    decay = 2.0 ** ((sums.at_ms - max(now_ms, sums.at_ms)) / half_life_ms)
    b = sums.b * decay
    return round(sums.a * decay / (b + kappa) * SCALE) / SCALE, round(b * SCALE) / SCALE


def under_until(sums: Sums, threshold: float, half_life_ms: int, kappa: float) -> int:
    """Return the event time at which decay alone lifts S to `threshold` < 0; 0 when S is not below it.

    Closed form: S(d) = A d / (B d + kappa) at decay d, so S(d) = threshold at d = kappa / (A / threshold - B).

    >>> under_until(Sums(0, -1.0, 1.0, 0), threshold=-0.2, half_life_ms=60_000, kappa=1.0)
    120000
    """
    surplus = sums.a / threshold - sums.b
    return sums.at_ms + round(half_life_ms * log2(surplus / kappa)) if surplus > kappa else 0


def interaction(mood: Mood, interaction_id: str) -> Sums:
    """Return the sums of one interaction; empty when it is new or was dropped."""
    key = hash32(interaction_id)
    for sums in mood.interactions:
        if sums.key == key:
            return sums
    return Sums(key)


def with_message(mood: Mood, entry: Entry, parameters: Parameters) -> Mood:
    """Add a message of the customer, in event order."""
    now, score, weight = entry.event_ms, entry.score / SCALE, entry.weight / SCALE
    customer = add(mood.customer, now, score, weight, parameters.customer_half_life_ms)
    mine = interaction(mood, entry.interaction_id)
    others = [sums for sums in mood.interactions if sums.key != mine.key]
    mine = add(mine, now, score, weight, parameters.half_life_ms[entry.channel])
    return Mood(customer, (*others[1 - LEVELS :], mine), _until(customer, parameters))


def with_late(mood: Mood, event_ms: int, channel: str, key: int, term: tuple[int, int], parameters: Parameters) -> Mood:
    """Add the (score, weight) of a message whose place is settled; a negative weight subtracts it.

    If it is the first message of an interaction, the interaction gets sums of its own only while fewer than `LEVELS`
    are stored: it replaces no other.
    """
    score, weight = term[0] / SCALE, term[1] / SCALE
    half_life, known = parameters.half_life_ms[channel], mood.interactions
    if weight > 0 and len(known) < LEVELS and all([sums.key != key for sums in known]):
        known = (Sums(key), *known)
    interactions = tuple([add(s, event_ms, score, weight, half_life) if s.key == key else s for s in known])
    customer = add(mood.customer, event_ms, score, weight, parameters.customer_half_life_ms)
    return Mood(customer, interactions, _until(customer, parameters))


def _until(customer: Sums, parameters: Parameters) -> int:
    return under_until(customer, parameters.under, parameters.customer_half_life_ms, parameters.kappa)
