"""Prepare held-out rows for a calibration: which sources count for which labels, and two halves for cross-fitting."""

from collections.abc import Sequence

import numpy as np

from models.calibration import LabelledLogits
from models.scorer import OnnxScorer
from models.sources import OWN_LABELS, Example, percent

JUDGED_SENTIMENT = frozenset(
    {
        "semeval_twitter_2013_2016",
        "nhs_fft_survey",
        "nhs_phase1_survey",
        "senti4sd",
        "se_github",
        "se_jira",
        *OWN_LABELS,
    }
)
"""Sources whose sentiment people judged directly. Derived and weak labels are not used to fit temperatures."""

CUSTOMER_TAGS = frozenset({"banking77", "nlupp", *OWN_LABELS})
"""Sources whose tags are used to fit scales and thresholds: customers who talk to a company, also plain task talk."""


def half(example: Example) -> int:
    """Number of the row's half, 0 or 1: never changes, and is the same for all rows of a scenario."""
    return percent(f"half/{example.group or example.text.lower()}") % 2


def counted(examples: Sequence[Example]) -> list[Example]:
    """The rows that a fit uses."""
    return [example for example in examples if example.source in JUDGED_SENTIMENT | CUSTOMER_TAGS]


def logits_of(scorer: OnnxScorer, examples: Sequence[Example]) -> LabelledLogits:
    """Run the model over held-out rows and lay out their labels for a fit."""
    sentiment_logits, tag_logits = scorer.run(scorer.encode([example.text for example in examples]))
    judged = [example.sentiment if example.source in JUDGED_SENTIMENT else -1 for example in examples]
    weights = np.array([example.tag_weights for example in examples])
    weights[[example.source not in CUSTOMER_TAGS for example in examples]] = 0.0
    return LabelledLogits(
        sentiment_logits=sentiment_logits.astype(np.float64),
        tag_logits=tag_logits.astype(np.float64),
        channels=[example.channel for example in examples],
        sentiment=np.array(judged, np.int64),
        tags=np.array([example.tag_targets for example in examples]),
        tag_weights=weights,
    )


def take(rows: LabelledLogits, chosen: Sequence[int]) -> LabelledLogits:
    """The chosen rows, by their numbers."""
    index = np.asarray(chosen, np.intp)
    return LabelledLogits(
        rows.sentiment_logits[index],
        rows.tag_logits[index],
        [rows.channels[i] for i in index],
        rows.sentiment[index],
        rows.tags[index],
        rows.tag_weights[index],
    )
