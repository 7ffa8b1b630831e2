"""Utterances in, scored utterances out: the glue between the stream and the model.

Scoring is stateless and happens before the key, so text never crosses processes. Only customers have moods:
an agent's text gets a sentiment for context but no tags, and bots and systems are not scored at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.scorer import Scorer, Scores
from operators.records import TAGS, Message, Polarity, Reason, RedactedText, Rejected, Scored, Utterance

EXCERPT_LENGTH = 160
FULL_WEIGHT_TOKENS = 5
"""From so many tokens on a message counts in full; "ok" moves little."""
END_MARKS = 2
"""Tokens that every text has: where it begins and ends."""
ABSTAIN_BELOW = 0.45
"""Floor under confidence x ASR confidence; the bundle's own abstention, without the ASR's part, comes on top."""
LABELS: tuple[Polarity, Polarity, Polarity] = ("negative", "neutral", "positive")
NO_TAGS = (0.0,) * len(TAGS)


def score(
    utterances: Sequence[Utterance], scorer: Scorer, languages: frozenset[str], now_ms: Callable[[], int]
) -> list[Scored | Rejected]:
    """Score a batch, in order; what the model cannot take alone is rejected, the rest goes on.

    `languages` are the primary subtags the model knows ("en"); a message that names another language is kept
    but abstained from. An unnamed language is taken to be known.
    """
    chosen = [index for index, utterance in enumerate(utterances) if _to_be_scored(utterance, languages)]
    results: list[Scored | Rejected | None] = [None] * len(utterances)
    if chosen:
        scored = _score_all([utterances[index] for index in chosen], scorer, now_ms)
        for index, result in zip(chosen, scored, strict=True):
            results[index] = result
    return [
        _unscored(utterance, scorer, now_ms()) if result is None else result
        for utterance, result in zip(utterances, results, strict=True)
    ]


def to_message(scored: Scored, keyword_bits: Callable[[str], int]) -> Message:
    """Reduce a scored utterance to what the keyed step may see."""
    utterance = scored.utterance
    return Message(
        tenant=utterance.tenant,
        customer_key=utterance.customer_key,
        event_id=utterance.event_id,
        revision=utterance.revision,
        event_ms=utterance.event_ms,
        channel=utterance.channel,
        kind=utterance.kind,
        interaction_id=utterance.interaction_id,
        speaker=utterance.speaker,
        agent_key=utterance.agent_key,
        queue=utterance.queue,
        language=utterance.language,
        final=utterance.final,
        score=scored.score,
        weight=scored.weight,
        label=scored.label,
        abstained=scored.abstained,
        flags=scored.flags,
        tags=scored.tags,
        keywords=keyword_bits(utterance.text) if utterance.speaker == "customer" and utterance.text else 0,
        silence_ms=utterance.silence_ms,
        overtalk_ms=utterance.overtalk_ms,
        rating=utterance.rating,
        excerpt=RedactedText(utterance.text[:EXCERPT_LENGTH]),
        broker_ms=utterance.origin.broker_ms,
        model_version=scored.model_version,
    )


def _to_be_scored(utterance: Utterance, languages: frozenset[str]) -> bool:
    if not utterance.text or utterance.skipped or utterance.speaker in ("bot", "system"):
        return False
    primary = utterance.language.partition("-")[0].lower()
    return not primary or primary in languages


def _score_all(utterances: Sequence[Utterance], scorer: Scorer, now_ms: Callable[[], int]) -> list[Scored | Rejected]:
    texts = [utterance.text for utterance in utterances]
    channels = [utterance.channel for utterance in utterances]
    try:
        scores = scorer.score(texts, channels)
    except Exception:  # ONNX Runtime raises types of its own
        # One text that the runtime refuses must not cost its neighbours their scores.
        if len(utterances) == 1:
            origin = utterances[0].origin
            return [Rejected(stage="score", reason=Reason.NOT_SCORABLE, origin=origin, field="text")]
        return [result for one in utterances for result in _score_all([one], scorer, now_ms)]
    scored_ms = now_ms()
    return _assemble(utterances, scores, scorer, scored_ms)


def _assemble(
    utterances: Sequence[Utterance], scores: Scores, scorer: Scorer, scored_ms: int
) -> list[Scored | Rejected]:
    probabilities = scores.p.tolist()
    tags = scores.tags.tolist()
    flagged = scores.flagged.tolist()
    abstained = scores.abstained.tolist()
    tokens = scores.tokens.tolist()
    return [
        _scored(utterance, probabilities[i], tags[i], flagged[i], abstained[i], tokens[i], scorer, scored_ms)
        for i, utterance in enumerate(utterances)
    ]


def _scored(
    utterance: Utterance,
    p: Sequence[float],
    tags: Sequence[float],
    flagged: Sequence[bool],
    unsure: bool,
    tokens: int,
    scorer: Scorer,
    scored_ms: int,
) -> Scored:
    negative, neutral, positive = (round(value, 4) for value in p)
    is_customer = utterance.speaker == "customer"
    top = max(range(3), key=lambda i: p[i])
    confidence = round(p[top] * utterance.asr_confidence, 4)
    abstained = unsure or confidence < ABSTAIN_BELOW
    counts = is_customer and not abstained
    return Scored(
        utterance=utterance,
        p_negative=negative,
        p_neutral=neutral,
        p_positive=positive,
        score=round(positive - negative, 4),
        intensity=round(1.0 - neutral, 4),
        confidence=confidence,
        label=LABELS[top],
        abstained=abstained,
        weight=round(confidence * min(1.0, max(0, tokens - END_MARKS) / FULL_WEIGHT_TOKENS), 4) if counts else 0.0,
        tags=tuple(round(value, 4) for value in tags) if is_customer else NO_TAGS,
        flags=sum(1 << i for i, flag in enumerate(flagged) if flag) if is_customer else 0,
        model_version=scorer.model_version,
        calibration_version=scorer.calibration_version,
        scored_ms=scored_ms,
    )


def _unscored(utterance: Utterance, scorer: Scorer, scored_ms: int) -> Scored:
    return Scored(
        utterance=utterance,
        p_negative=0.0,
        p_neutral=1.0,
        p_positive=0.0,
        score=0.0,
        intensity=0.0,
        confidence=0.0,
        label="neutral",
        abstained=True,
        weight=0.0,
        tags=NO_TAGS,
        flags=0,
        model_version=scorer.model_version,
        calibration_version=scorer.calibration_version,
        scored_ms=scored_ms,
    )
