"""Makes unlabelled texts out of our own training rows, for teachers to judge and a student to learn from.

Our corpus is small, and the teacher is better than the student at telling praise from complaint in new combinations of
words. Each row gives a part of itself beside a part of another row, itself with words missing, and a beginning or an
end. The teacher's probabilities are their only labels. (TinyBERT augments the text that it distils from in the same
spirit: Jiao and others, 2020, arXiv 1909.10351.)
"""

import random
import re
from collections import defaultdict
from collections.abc import Sequence

from models.sources import OWN_LABELS, Example

SOURCE = "remixed"
MISSING = 0.12
"""Share of the words that are left out of a row."""
SHORTEST = 3
"""Words that a made text has at least."""

_BETWEEN_PARTS = re.compile(r"(?<=[.!?;,])\s+|\s+(?=(?:but|and|so|because|then|although|while)\s)", re.IGNORECASE)


def remixed(examples: Sequence[Example], seed: int) -> list[Example]:
    """Make up to three unlabelled texts of each of our own training rows; the same ones for the same seed.

    A text that is a row already is left out, held-out rows included.

    >>> rows = [Example("Great start, but now it is down", "chat", "corpus", "train", sentiment=0)]
    >>> [made.text for made in remixed(rows, seed=4)]
    ['but now it is down Great start,', 'Great now it is']
    """
    dice = random.Random(seed)
    ours = [row for row in examples if row.source in OWN_LABELS and row.part == "train" and row.speaker == "customer"]
    parts_by_channel: dict[str, list[str]] = defaultdict(list)
    for row in ours:
        parts_by_channel[row.channel] += parts(row.text)
    known = {row.text.lower() for row in examples}
    made = []
    for row in ours:
        own = parts(row.text)
        other = dice.choice(parts_by_channel[row.channel])
        for text in (_side_by_side(dice.choice(own), other, dice), _thinned(row.text, dice), _cut(own, dice)):
            if len(text.split()) >= SHORTEST and text.lower() not in known:
                known.add(text.lower())
                made.append(Example(text, row.channel, SOURCE, "train", group=row.group))
    return made


def parts(text: str) -> list[str]:
    """Sentences and clauses, in their order.

    >>> parts("Thanks for nothing. I waited, and nobody came")
    ['Thanks for nothing.', 'I waited,', 'and nobody came']
    """
    return [part for part in _BETWEEN_PARTS.split(text) if part]


def _side_by_side(one: str, other: str, dice: random.Random) -> str:
    return " ".join(dice.sample((one, other), 2))


def _thinned(text: str, dice: random.Random) -> str:
    return " ".join(word for word in text.split() if dice.random() >= MISSING)


def _cut(own: Sequence[str], dice: random.Random) -> str:
    """A beginning or an end of it."""
    if len(own) < 2:
        return ""
    at = dice.randrange(1, len(own))
    return " ".join(own[:at] if dice.random() < 0.5 else own[at:])
