"""A cache in front of a scorer: "ok", "thanks" and an agent's canned lines are scored once.

A score depends only on the normalised text and its channel, so the cache changes nothing but the time. A look-up costs
about a thousandth of scoring, so the cache pays from one repeat in a thousand messages on.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from models.scorer import Encodings, Scorer, Scores

Key = tuple[str, str]
"""Channel and normalised text."""
Row = tuple[Any, ...]
"""One message's part of each field of `Scores`."""


class Repeats(Scorer):
    """Caches the scores of the last `size` different short texts; has the same interface as the scorer behind it.

    Args:
        scorer: Scores what is not in the cache, each different pair of channel and text of a batch once.
        size: Number of texts kept. With `longest`, it bounds the memory to about 4 MB.
        longest: Characters; longer texts are not cached, because they hardly ever repeat.

    >>> from models.scorer import FakeScorer
    >>> repeats = Repeats(FakeScorer())
    >>> len(repeats.score(["ok", "thanks", "ok"], ["chat"] * 3)), len(repeats)
    (3, 2)
    """

    def __init__(self, scorer: Scorer, size: int = 4096, longest: int = 120) -> None:
        self._scorer, self._size, self._longest = scorer, size, longest
        self._rows: dict[Key, Row] = {}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def model_version(self) -> str:
        """Names the weights."""
        return self._scorer.model_version

    @property
    def calibration_version(self) -> str:
        """Names the fit that turns logits into probabilities."""
        return self._scorer.calibration_version

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags, in the order of `Scores.tags`."""
        return self._scorer.tags

    def encode(self, texts: Sequence[str]) -> Encodings:
        """Normalise and tokenise texts."""
        return self._scorer.encode(texts)

    def score_encoded(self, encodings: Encodings, channels: Sequence[str]) -> Scores:
        """Score encoded texts, each with the channel it came by; order is kept, none at all is allowed."""
        if not encodings or len(encodings) != len(channels):
            return self._scorer.score_encoded(encodings, channels)
        keys = list(zip(channels, encodings.texts, strict=True))
        places = {key: place for place, key in enumerate(keys)}
        used = {key: self._rows[key] for key in places if key in self._rows}
        if new := {key: place for key, place in places.items() if key not in used}:
            scores = self._scorer.score_encoded(encodings.take(list(new.values())), [channel for channel, _ in new])
            used.update(zip(new, _rows(scores), strict=True))
        self._remember(used)
        return _scores([used[key] for key in keys])

    def _remember(self, used: dict[Key, Row]) -> None:
        """Move the scores that were just used to the end, and drop those that were used longest ago."""
        for key, row in used.items():
            if len(key[1]) <= self._longest:
                self._rows.pop(key, None)
                self._rows[key] = row
        while len(self._rows) > self._size:
            del self._rows[next(iter(self._rows))]


def _rows(scores: Scores) -> Iterator[Row]:
    fields = (scores.p, scores.labels, scores.tags, scores.flagged, scores.abstained, scores.tokens)
    return zip(*(field.tolist() for field in fields), strict=True)


def _scores(rows: Sequence[Row]) -> Scores:
    p, labels, tags, flagged, abstained, tokens = zip(*rows, strict=True)
    return Scores(
        np.array(p, np.float32),
        np.array(labels, np.intp),
        np.array(tags, np.float32),
        np.array(flagged, bool),
        np.array(abstained, bool),
        np.array(tokens, np.int32),
    )
