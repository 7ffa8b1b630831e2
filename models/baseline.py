"""Measure VADER, a word list that contact-centre tools often start from, on our rows. Needs the `train` extra."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # type: ignore[import-not-found]

from models.evaluate import Block
from models.labelled import JUDGED_SENTIMENT
from models.measures import macro_f1, macro_recall
from models.sources import Example

NEUTRAL_BAND = 0.05
"""Compound scores strictly between minus and plus this value are neutral, as VADER's authors advise."""


def vader_labels(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """VADER's label of each text, [n]: 0 negative, 1 neutral, 2 positive."""
    analyser = SentimentIntensityAnalyzer()
    compound = np.array([analyser.polarity_scores(text)["compound"] for text in texts])
    return 1 + (compound >= NEUTRAL_BAND).astype(np.int64) - (compound <= -NEUTRAL_BAND).astype(np.int64)


def vader(examples: Sequence[Example]) -> Block:
    """Macro recall, macro-F1 and share of wrong signs of VADER for each source whose sentiment people judged."""
    found: Block = {}
    for source in sorted(JUDGED_SENTIMENT):
        mine = [example for example in examples if example.source == source and example.sentiment >= 0]
        if mine:
            truths, labels = np.array([e.sentiment for e in mine]), vader_labels([e.text for e in mine])
            found[source] = {
                "rows": len(mine),
                "macro_recall": round(macro_recall(truths, labels), 4),
                "macro_f1": round(macro_f1(truths, labels), 4),
                "wrong_sign": round(float((np.abs(truths - labels) == 2).mean()), 4),
            }
    return found
