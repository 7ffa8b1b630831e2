"""Drift: compare the distribution of live traffic with that of the rows on which the model was judged.

The bundle's `drift.json` holds, for each channel, how held-out rows spread over bins of the score, of the length in
tokens and of the share of unknown tokens, and how often each tag was flagged. `psi` compares live traffic with it:
under 0.1 nothing moved, 0.1-0.25 look, above 0.25 check the calibration (the usual bands of credit scoring). `Monitor`
compares live, one batch at a time and without storing text. The reference is the mix that the model was judged on: an
organisation whose traffic differs from the start sees a high but steady index, and should refit (`models.calibrate`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from models.labels import CHANNELS, TAGS
from models.scorer import Scores

SCORE_EDGES = (-0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8)
LENGTH_EDGES = (4, 7, 11, 16, 24, 36, 64, 127)
UNKNOWN_EDGES = (0.0001, 0.02, 0.05, 0.1, 0.2)
EDGES: Mapping[str, Sequence[float]] = {"score": SCORE_EDGES, "length": LENGTH_EDGES, "unknown": UNKNOWN_EDGES}
FLOOR = 1e-3
"""Smallest share of a bin, so that an empty bin does not make the index infinite."""


class Reference(msgspec.Struct, frozen=True):
    """Distributions of one channel: number of rows, counts by bin for each measure, number of flags by tag."""

    rows: int
    bins: dict[str, list[int]]
    flags: dict[str, int]


class Window(msgspec.Struct, frozen=True):
    """Values of some messages of one channel, as parallel sequences, and the number of flags by tag."""

    score: Sequence[float]
    length: Sequence[float]
    unknown: Sequence[float]
    flags: Mapping[str, int]


def counts(values: Sequence[float] | npt.NDArray[np.number], edges: Sequence[float]) -> list[int]:
    """How many values fall into each of the len(edges) + 1 bins; a bin includes its lower edge.

    >>> counts([0.0, 0.5, 2.0], [0.5, 1.0])
    [1, 1, 1]
    """
    places = np.searchsorted(np.asarray(edges), np.asarray(values, np.float64), side="right")
    return [int(count) for count in np.bincount(places, minlength=len(edges) + 1)]


def psi(expected: Sequence[int], found: Sequence[int]) -> float:
    """Population stability index of two histograms over the same bins; 0 when they have the same shape.

    >>> psi([10, 20, 30], [1, 2, 3])
    0.0
    """
    if len(expected) != len(found):
        raise ValueError("the histograms have different bins")
    if not sum(expected) or not sum(found):
        return 0.0
    p = np.maximum(np.asarray(expected) / sum(expected), FLOOR)
    q = np.maximum(np.asarray(found) / sum(found), FLOOR)
    return round(float(((q - p) * np.log(q / p)).sum()), 4)


def reference(window: Window) -> Reference:
    """Count the values of a window by bin."""
    bins = {name: counts(getattr(window, name), edges) for name, edges in EDGES.items()}
    return Reference(rows=len(window.score), bins=bins, flags={tag: int(window.flags.get(tag, 0)) for tag in TAGS})


def compare(base: Reference, now: Reference) -> dict[str, float]:
    """Stability index of each measure that `now` has, and of each tag's flag rate as `tag_<name>`."""
    found = {name: psi(base.bins[name], seen) for name, seen in now.bins.items()}
    for tag in TAGS:
        before = [base.flags[tag], base.rows - base.flags[tag]]
        found[f"tag_{tag}"] = psi(before, [now.flags[tag], now.rows - now.flags[tag]])
    return found


def load(bundle_dir: Path) -> dict[str, Reference]:
    """Read the references of a bundle, by channel; empty when the bundle has none."""
    path = bundle_dir / "drift.json"
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Reference]) if path.exists() else {}


def save(bundle_dir: Path, windows: Mapping[str, Window]) -> None:
    """Write the references of the channels that have rows."""
    made = {channel: reference(windows[channel]) for channel in CHANNELS if channel in windows}
    (bundle_dir / "drift.json").write_bytes(msgspec.json.encode(made, order="sorted") + b"\n")


class Monitor:
    """Compares live messages with the references, by channel, in a fixed amount of memory.

    Args:
        references: By channel, from the bundle; channels without a reference are not watched.
        every: A channel is compared after at least so many new messages.
        window: When a channel has so many messages, its counts are halved before new ones are added, so that older
            messages weigh less and less.
    """

    def __init__(self, references: Mapping[str, Reference], every: int = 1000, window: int = 5000) -> None:
        self._references = references
        self._every, self._window = every, window
        self._live: dict[str, Reference] = {}
        self._unread = dict.fromkeys(references, 0)
        # Counting and comparing take about 500 us for any number of messages, so several batches are counted together.
        self._waiting: list[Scores] = []
        self._channels: list[str] = []

    def add(self, channels: Sequence[str], scores: Scores) -> dict[str, dict[str, float]]:
        """Add a batch; return the indices of each channel with `every` new messages since its last comparison."""
        self._waiting.append(scores)
        self._channels += channels
        if len(self._channels) < self._every:
            return {}
        due = self._count(np.array(self._channels))
        self._waiting, self._channels = [], []
        return due

    def _count(self, channels: npt.NDArray[np.str_]) -> dict[str, dict[str, float]]:
        p = np.concatenate([scores.p for scores in self._waiting])
        lengths = np.concatenate([scores.tokens for scores in self._waiting])
        flagged = np.concatenate([scores.flagged for scores in self._waiting])
        due = {}
        for channel, base in self._references.items():
            mine = channels == channel
            if not mine.any():
                continue
            live = self._with_before(channel, _counted(p[mine, 2] - p[mine, 0], lengths[mine], flagged[mine]))
            self._live[channel] = live
            self._unread[channel] += int(mine.sum())
            if self._unread[channel] >= self._every:
                self._unread[channel] = 0
                due[channel] = compare(base, live)
        return due

    def _with_before(self, channel: str, now: Reference) -> Reference:
        before = self._live.get(channel)
        if before is None:
            return now
        return _sum(_halved(before) if before.rows >= self._window else before, now)


def _counted(
    score: npt.NDArray[np.floating], length: npt.NDArray[np.int32], flagged: npt.NDArray[np.bool_]
) -> Reference:
    # `Scores` lacks the share of unknown tokens, so only the references of the bundle have that measure.
    bins = {"score": counts(score, SCORE_EDGES), "length": counts(length, LENGTH_EDGES)}
    return Reference(len(score), bins, dict(zip(TAGS, flagged.sum(axis=0).tolist(), strict=True)))


def _sum(one: Reference, other: Reference) -> Reference:
    return Reference(
        rows=one.rows + other.rows,
        bins={name: [a + b for a, b in zip(found, other.bins[name], strict=True)] for name, found in one.bins.items()},
        flags={tag: count + other.flags[tag] for tag, count in one.flags.items()},
    )


def _halved(one: Reference) -> Reference:
    return Reference(
        rows=one.rows // 2,
        bins={name: [count // 2 for count in found] for name, found in one.bins.items()},
        flags={tag: count // 2 for tag, count in one.flags.items()},
    )
