"""Epoch clocks that drift apart are brought together again, and never held for long."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from operators.epoch_clock import TOLERANCE_MS, EpochClock

INTERVAL_MS = 5_000
COMMIT_MS = 100


def waits(epochs: int, *, held: bool, poll_ms: tuple[int, int]) -> list[int]:
    """How long the earlier of two processes waits for the other at the end of each epoch.

    The engine's rule, simulated: an epoch ends at the first poll after its interval, and is committed when both ended
    it. One polls often, the other seldom.
    """
    dice, clock = random.Random(7), EpochClock()
    ended, committed, found = [0, 0], 0, []
    for epoch in range(epochs):
        ends = []
        for process, spacing in enumerate(poll_ms):
            now = committed + dice.randrange(spacing)
            while now - ended[process] < INTERVAL_MS:
                until = clock.held_until(epoch, ended[process], INTERVAL_MS, now, spacing) if held else None
                now = until or now + spacing
            ends.append(now)
        for end in ends:
            clock.heard(epoch + 1, end)
        ended, committed = ends, max(ends) + COMMIT_MS
        found.append(max(ends) - min(ends))
    return found


def test_without_it_the_wait_grows_to_a_whole_epoch() -> None:
    assert max(waits(2_000, held=False, poll_ms=(5, 60))) > INTERVAL_MS * 0.9


def test_with_it_the_wait_stays_within_two_polls() -> None:
    assert max(waits(2_000, held=True, poll_ms=(5, 60))) < TOLERANCE_MS + 2 * 60


@given(
    st.integers(0, 10**6),
    st.integers(-10_000, 10_000),
    st.integers(0, 10**6),
    st.integers(0, 500),
    st.integers(1, 60_000),
)
def test_nobody_is_held_longer_than_half_an_epoch_past_its_end(
    ended: int, behind: int, now: int, spacing: int, interval: int
) -> None:
    clock = EpochClock()
    clock.heard(1, ended + behind)

    until = clock.held_until(1, ended, interval, now, spacing)

    assert until is None or now < until <= ended + interval + interval // 2
    assert clock.held_until(2, ended, interval, now, spacing) is None, "of another epoch nothing is known"
