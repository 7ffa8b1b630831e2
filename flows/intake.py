"""The first step of the graph: it takes raw Kafka records and returns scored utterances, feedback and rejects.

The source hands over what it has read one poll before it emits it (`Intake.begin`), so the model scores the next batch
in its own thread while the worker takes the one before through the rest of the graph. Too many rejects in a row stop
the job: then the topic or the job itself is faulty, and writing a day of traffic to the dead-letter topic would not
help.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from models.ahead import Ahead
from models.drift import Monitor
from models.scorer import Scorer, Scores
from operators import metrics
from operators.decode import decode_feedback, received_ms
from operators.identity import Identity
from operators.records import Feedback, Raw, Rejected, Scored, StreamTime, Utterance
from operators.rejects import RejectRun
from operators.score import Begun, begin, finish
from operators.utterance import accept

Place = tuple[str, int, int]
"""Topic, partition and offset of a record."""
Accepted = Scored | Feedback | Rejected | StreamTime
REFUSED = 8
"""After this many texts in a row that the model cannot score, the model is taken to be faulty, not the texts."""


class ScorerError(RuntimeError):
    """The model does not work. The message contains no customer text."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that `Intake` uses."""

    feedback_topic: str
    default_region: str
    reject_run_limit: int
    languages: frozenset[str]
    acoustic_allowed: Callable[[str, str], bool]


class _Batch:
    """Records that were begun together; they are finished together when the first of them is emitted."""

    def __init__(self, read: Sequence[Utterance | Feedback | Rejected], begun: Begun) -> None:
        self.read, self.begun = read, begun
        self.accepted: Sequence[Scored | Feedback | Rejected] = ()


class Intake:
    """Callable step for `flat_map_batch`.

    Its only state is what was begun and not yet emitted (a poll of each partition), the number of rejects in a row, the
    number of texts in a row that the model could not score, and, for the drift metric only, the distribution of recent
    scores. None of it is in a snapshot: after a restart the source emits again what was not emitted.
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
        self._model = Ahead(scorer)
        self._now_ms = now_ms
        self._drift = drift
        self._begun: dict[Place, tuple[_Batch, int]] = {}
        self._rejects = RejectRun(policy.reject_run_limit, "Mend the producer")
        self._refusals = 0
        self._last_refusal = ""
        self._has_scored = False

    def begin(self, raws: Sequence[Raw]) -> None:
        """Decode, clean and redact records that will be emitted soon, and have their texts scored meanwhile."""
        now_ms = self._now_ms()
        read = [self._read(raw, now_ms) for raw in raws]
        utterances = [item for item in read if isinstance(item, Utterance)]
        batch = _Batch(read, begin(utterances, self._policy.languages, self._model))
        for index, raw in enumerate(raws):
            self._begun[_place(raw)] = batch, index

    def __call__(self, batch: Sequence[Raw | StreamTime]) -> list[Accepted]:
        """Decode, clean, redact and score one batch, unless that was begun before; the order of the records is kept."""
        if new := [item for item in batch if isinstance(item, Raw) and _place(item) not in self._begun]:
            self.begin(new)
        accepted = [self._finished(item) if isinstance(item, Raw) else item for item in batch]
        self._watch(accepted)
        return accepted

    def _finished(self, raw: Raw) -> Scored | Feedback | Rejected:
        batch, index = self._begun.pop(_place(raw))
        if not batch.accepted:
            scored = iter(self._scores(batch.begun))
            batch.accepted = [next(scored) if isinstance(item, Utterance) else item for item in batch.read]
        return batch.accepted[index]

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

    def _scores(self, begun: Begun) -> list[Scored | Rejected]:
        """Wait for the scores; raise `ScorerError` at `REFUSED` unscorable texts in a row, counted across batches.

        Records without text do not count.
        """
        self._has_scored = False
        results = finish(begun, self._model, self._now_ms, self._scored, self._refused_by_model)
        if self._has_scored:
            self._refusals = 0
        elif self._refusals >= REFUSED:
            raise ScorerError(f"the model refuses every text, {self._refusals} in a row: {self._last_refusal}")
        return results

    def _refused_by_model(self, error: Exception) -> None:
        self._refusals += 1
        self._last_refusal = type(error).__name__

    def _scored(self, utterances: Sequence[Utterance], scores: Scores) -> None:
        """Count the scored messages, and compare customers' final texts with the calibration data (drift)."""
        self._has_scored = True
        for spoken_on, count in Counter(one.channel for one in utterances).items():
            metrics.SCORED.labels(spoken_on).inc(count)
        if self._drift:
            told = [one.channel if one.speaker == "customer" and one.final else "" for one in utterances]
            for channel, indices in self._drift.add(told, scores).items():
                for measure, index in indices.items():
                    metrics.DRIFT.labels(channel, measure).set(index)

    def _watch(self, accepted: Sequence[Accepted]) -> None:
        """Count rejects; raise `TooManyRejectsError` at too many in a row."""
        for item in accepted:
            if isinstance(item, Rejected):
                self._rejects.refused(item)
            elif not isinstance(item, StreamTime):
                self._rejects.accepted()


def _place(raw: Raw) -> Place:
    return raw.origin.topic, raw.origin.partition, raw.origin.offset
