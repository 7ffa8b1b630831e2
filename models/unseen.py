"""Measure the model on a list of utterances on which nothing was trained, calibrated or chosen.

Some are typical, others are of the kinds that an earlier bundle failed on. They were written separately from the corpus
by someone who had not seen it. `models.report` measures them for the card; `models.sources.read_all` never reads them.
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


def measure(scorer: Scorer, *, most_probable: bool = False) -> Block:
    """Measures of the sentiment by a scorer, or of the most probable labels instead of its own.

    The rows' tags are not measured; they only say what a row is about.
    """
    rows = read_unseen()
    scores = scorer.score([one.text for one in rows], [one.channel for one in rows])
    truths = np.array([one.sentiment for one in rows])
    labels = scores.p.argmax(axis=1) if most_probable else scores.labels
    block = sentiment_block(scores.p, labels, scores.abstained, truths)
    wrong_sign = int((np.abs(labels - truths) == 2).sum())
    return {**block, "wrong_sign_interval": wilson(wrong_sign, len(rows))}
