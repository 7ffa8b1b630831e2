"""The first step: raw Kafka records in, scored utterances, feedback and rejects out.

One call gets everything that reached the worker in one activation, so the model sees large batches. A run of
nothing but rejects stops the job: it means that something is wrong with the topic or with us, and filling the
dead-letter topic with a day of traffic helps nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from models.drift import Monitor
from models.scorer import Scorer, Scores
from operators import metrics
from operators.decode import decode_feedback, received_ms
from operators.identity import Identity
from operators.records import Feedback, Raw, Rejected, Scored, StreamTime, Utterance
from operators.rejects import RejectRun
from operators.score import score
from operators.utterance import accept

Accepted = Scored | Feedback | Rejected | StreamTime
REFUSED = 8
"""When the model has refused so many texts since it last scored one, it is not the texts."""


class ScorerError(RuntimeError):
    """The model does not work. Holds no text."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What intake needs to know of the configuration."""

    feedback_topic: str
    default_region: str
    reject_run_limit: int
    languages: frozenset[str]
    acoustic_allowed: Callable[[str, str], bool]


class Intake:
    """Callable step for `flat_map_batch`.

    Its only state is the length of the present run of rejects, that of texts which the model refused, and, for the
    drift metric only, the distribution of recent scores.
    """

    def __init__(
        self,
        policy: Policy,
        identity: Identity,
        scorer: Scorer,
        now_ms: Callable[[], int],
        drift: Monitor | None = None,
    ) -> None:
        self._policy = policy
        self._identity = identity
        self._scorer = scorer
        self._now_ms = now_ms
        self._drift = drift
        self._rejects = RejectRun(policy.reject_run_limit, "Mend the producer")
        self._refusals = 0
        self._last_refusal = ""
        self._has_scored = False

    def __call__(self, batch: Sequence[Raw | StreamTime]) -> list[Accepted]:
        """Decode, clean, redact and score one batch; order within a partition is kept."""
        now_ms = self._now_ms()
        read = [self._read(item, now_ms) if isinstance(item, Raw) else item for item in batch]
        utterances = [item for item in read if isinstance(item, Utterance)]
        scored = iter(self._score(utterances))
        accepted: list[Accepted] = [next(scored) if isinstance(item, Utterance) else item for item in read]
        self._watch(accepted)
        return accepted

    def _read(self, raw: Raw, now_ms: int) -> Utterance | Feedback | Rejected:
        at_ms = received_ms(raw.origin, now_ms)
        if raw.origin.topic == self._policy.feedback_topic:
            return decode_feedback(raw.payload, raw.origin, at_ms)
        return accept(
            raw.payload,
            raw.origin,
            at_ms,
            identity=self._identity,
            default_region=self._policy.default_region,
            acoustic_allowed=self._policy.acoustic_allowed,
        )

    def _score(self, utterances: Sequence[Utterance]) -> list[Scored | Rejected]:
        """Score; stop when the model refuses text after text, be it one a batch. Records without text do not count."""
        self._has_scored = False
        results = score(
            utterances, self._scorer, self._policy.languages, self._now_ms, self._scored, self._refused_by_model
        )
        if self._has_scored:
            self._refusals = 0
        elif self._refusals >= REFUSED:
            raise ScorerError(f"the model refuses every text, {self._refusals} in a row: {self._last_refusal}")
        return results

    def _refused_by_model(self, error: Exception) -> None:
        self._refusals += 1
        self._last_refusal = type(error).__name__

    def _scored(self, utterances: Sequence[Utterance], scores: Scores) -> None:
        """Count what the model scored; show how far customers' final words are from what it was calibrated on."""
        self._has_scored = True
        for spoken_on, count in Counter(one.channel for one in utterances).items():
            metrics.SCORED.labels(spoken_on).inc(count)
        if self._drift:
            told = [one.channel if one.speaker == "customer" and one.final else "" for one in utterances]
            for channel, indices in self._drift.add(told, scores).items():
                for measure, index in indices.items():
                    metrics.DRIFT.labels(channel, measure).set(index)

    def _watch(self, accepted: Sequence[Accepted]) -> None:
        """Count what was rejected; stop at a run of nothing but rejects."""
        for item in accepted:
            if isinstance(item, Rejected):
                self._rejects.refused(item)
            elif not isinstance(item, StreamTime):
                self._rejects.accepted()
