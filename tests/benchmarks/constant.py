"""A scorer that costs nothing, to measure all but the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.scorer import Encodings, Scorer, Scores
from operators.records import TAGS


class ConstantScorer(Scorer):
    """Costs nothing: what remains is everything but the model."""

    model_version = "constant"
    calibration_version = "constant"
    tags = TAGS

    def encode(self, texts: Sequence[str]) -> Encodings:
        """No token of any text."""
        return Encodings(texts, [[]] * len(texts))

    def score_encoded(self, encodings: Encodings, channels: Sequence[str]) -> Scores:
        """Neutral, for every text."""
        n = len(encodings)
        return Scores(
            p=np.tile(np.array([0.1, 0.8, 0.1], np.float32), (n, 1)),
            labels=np.ones(n, np.intp),
            tags=np.zeros((n, len(TAGS)), np.float32),
            flagged=np.zeros((n, len(TAGS)), bool),
            abstained=np.zeros(n, bool),
            tokens=np.full(n, 12, np.int32),
        )
