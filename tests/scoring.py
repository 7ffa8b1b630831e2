"""Score a batch and wait for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.ahead import Ahead
from models.scorer import Scorer
from operators.records import Rejected, Scored, Utterance
from operators.score import begin, finish


def score(utterances: Sequence[Utterance], scorer: Scorer, now_ms: Callable[[], int]) -> list[Scored | Rejected]:
    """Score English messages; those in other languages are skipped."""
    model = Ahead(scorer)
    return finish(begin(utterances, frozenset({"en"}), model), model, now_ms)
