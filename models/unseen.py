"""A list of utterances that nothing was trained, calibrated or chosen on: what the model makes of strangers' words.

Typical ones and ones of the kinds that an earlier bundle failed on, written apart from the corpus by someone who had
not seen it. `models.report` measures them for the card; `models.sources` must never read them.
"""

from dataclasses import replace

import numpy as np

from models.evaluate import Block, sentiment_block
from models.measures import wilson
from models.scorer import Scorer
from models.sources import CORPUS, Example, read_corpus

UNSEEN = CORPUS / "unseen"


def read_unseen() -> list[Example]:
    """The rows: columns as in the corpus, with the kind of utterance in the place of the scenario."""
    return [replace(example, source="unseen", part="unseen") for example in read_corpus(UNSEEN)]


def measure(scorer: Scorer) -> Block:
    """Measures of the sentiment, as the scorer ships; the tags say only what a row was written for."""
    rows = read_unseen()
    scores = scorer.score([one.text for one in rows], [one.channel for one in rows])
    truths = np.array([one.sentiment for one in rows])
    block = sentiment_block(scores.p, scores.abstained, truths)
    wrong_sign = int((np.abs(scores.p.argmax(axis=1) - truths) == 2).sum())
    return {**block, "wrong_sign_interval": wilson(wrong_sign, len(rows))}
