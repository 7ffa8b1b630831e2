"""Score utterances: the adapter between the stream and the model.

Scoring is stateless and happens before records are distributed by key, so only an excerpt of a text crosses processes.
Only customers have a mood: an agent's text gets a sentiment for context but no tags and no weight, and texts of bots
and systems are not scored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future

import msgspec
import numpy as np
from msgspec.structs import replace

from models.ahead import Ahead
from models.language import is_one_of
from models.scorer import Scores
from operators.records import TAGS, Message, Polarity, Reason, RedactedText, Rejected, Scored, Utterance

EXCERPT_LENGTH = 160
FULL_WEIGHT_TOKENS = 5
"""A message of this many tokens has full weight; a shorter one, such as "ok", has less."""
END_MARKS = 2
"""Tokens that the tokenizer adds to every text: one at its start and one at its end."""
ABSTAIN_BELOW = 0.45
"""Least confidence x ASR confidence that counts; the bundle's own abstention, which ignores ASR, applies as well."""
LABELS: tuple[Polarity, Polarity, Polarity] = ("negative", "neutral", "positive")
NO_TAGS = (0.0,) * len(TAGS)
_BITS = 1 << np.arange(len(TAGS))

Watch = Callable[[Sequence[Utterance], Scores], None]
"""Called with the utterances that were scored and their scores."""
OnRefused = Callable[[Exception], None]
"""Called with the error of a text that the model could not score."""


class Begun(msgspec.Struct, frozen=True):
    """A batch whose texts the model is scoring."""

    utterances: Sequence[Utterance]
    chosen: Sequence[int]
    """Places of the utterances that are scored."""
    scores: Future[Scores] | None
    """Scores of the chosen; None if there are none."""


def begin(utterances: Sequence[Utterance], languages: frozenset[str], model: Ahead) -> Begun:
    """Have a batch scored, without waiting for it.

    `languages` are the primary subtags that the model knows ("en"); a message in another language is kept unscored and
    its `skipped` is "language". A message without a language is scored.
    """
    utterances = [_in_known_language(utterance, languages) for utterance in utterances]
    chosen = [index for index, utterance in enumerate(utterances) if _to_be_scored(utterance)]
    return Begun(utterances, chosen, _promised([utterances[index] for index in chosen], model) if chosen else None)


def finish(
    begun: Begun,
    model: Ahead,
    now_ms: Callable[[], int],
    watch: Watch | None = None,
    on_refused: OnRefused | None = None,
) -> list[Scored | Rejected]:
    """Wait for the scores of a batch, and return the results in its order.

    A text that the model cannot score by itself is rejected. `watch` gets the scores, `on_refused` the error of each
    text that is rejected.
    """
    results: list[Scored | Rejected | None] = [None] * len(begun.utterances)
    if begun.scores is not None:
        chosen = [begun.utterances[index] for index in begun.chosen]
        scored = _results(chosen, begun.scores, model, now_ms, watch, on_refused)
        for index, result in zip(begun.chosen, scored, strict=True):
            results[index] = result
    return [
        _unscored(utterance, model, now_ms()) if result is None else result
        for utterance, result in zip(begun.utterances, results, strict=True)
    ]


def to_message(scored: Scored, keyword_bits: Callable[[str], int]) -> Message:
    """Reduce a scored utterance to what the keyed step may have, with an excerpt of the text only."""
    utterance = scored.utterance
    # Positional arguments: a call with more than 15 keyword arguments builds a dict and costs ten times as much.
    return Message(
        utterance.tenant,
        utterance.customer_key,
        utterance.event_id,
        utterance.revision,
        utterance.event_ms,
        utterance.channel,
        utterance.kind,
        utterance.interaction_id,
        utterance.speaker,
        utterance.agent_key,
        utterance.queue,
        utterance.language,
        utterance.final,
        scored.score,
        scored.weight,
        scored.label,
        scored.abstained,
        scored.flags,
        scored.tags,
        keyword_bits(utterance.text) if utterance.speaker == "customer" and utterance.text else 0,
        utterance.silence_ms,
        utterance.overtalk_ms,
        utterance.rating,
        RedactedText(utterance.text[:EXCERPT_LENGTH]),
        utterance.origin.broker_ms,
        scored.model_version,
        utterance.origin.topic,
        utterance.origin.partition,
        utterance.origin.offset,
    )


def _in_known_language(utterance: Utterance, languages: frozenset[str]) -> Utterance:
    """Return the utterance, with `skipped` set if its language is the only reason not to score it."""
    language = utterance.language
    if not language or is_one_of(language, languages) or not _to_be_scored(utterance):
        return utterance
    return replace(utterance, skipped="language")


def _to_be_scored(utterance: Utterance) -> bool:
    return bool(utterance.text) and not utterance.skipped and utterance.speaker not in ("bot", "system")


def _promised(utterances: Sequence[Utterance], model: Ahead) -> Future[Scores]:
    return model.begin([utterance.text for utterance in utterances], [utterance.channel for utterance in utterances])


def _results(
    utterances: Sequence[Utterance],
    promised: Future[Scores],
    model: Ahead,
    now_ms: Callable[[], int],
    watch: Watch | None,
    on_refused: OnRefused | None,
) -> list[Scored | Rejected]:
    try:
        scores = promised.result()
    except Exception as error:  # ONNX Runtime raises types of its own
        if len(utterances) > 1:
            # A text that the runtime refuses must not prevent the scoring of the others in its batch.
            alone = [([one], _promised([one], model)) for one in utterances]
            return [
                result for one, scores in alone for result in _results(one, scores, model, now_ms, watch, on_refused)
            ]
        if on_refused:
            on_refused(error)
        origin = utterances[0].origin
        return [Rejected(stage="score", reason=Reason.NOT_SCORABLE, origin=origin, field="text")]
    scored_ms = now_ms()
    if watch:
        watch(utterances, scores)
    return _assemble(utterances, scores, model, scored_ms)


def _assemble(utterances: Sequence[Utterance], scores: Scores, model: Ahead, scored_ms: int) -> list[Scored | Rejected]:
    """Combine a batch's scores with its utterances. The arithmetic is by column: by row it cost as much as decoding."""
    p = scores.p.astype(np.float64).round(4)
    asr = np.array([utterance.asr_confidence for utterance in utterances])
    customer = np.array([utterance.speaker == "customer" for utterance in utterances])
    confidences = (p.max(axis=1) * asr).round(4)
    unsure = scores.abstained | (confidences < ABSTAIN_BELOW)
    fullness = ((scores.tokens - END_MARKS) / FULL_WEIGHT_TOKENS).clip(0.0, 1.0)
    weights = np.where(customer & ~unsure, confidences * fullness, 0.0).round(4)
    tags = np.where(customer[:, None], scores.tags.astype(np.float64), 0.0).round(4)
    flags = np.where(customer, scores.flagged @ _BITS, 0)
    polarity = (p[:, 2] - p[:, 0]).round(4)
    intensity = (1.0 - p[:, 1]).round(4)
    columns = (*p.T, polarity, intensity, confidences, scores.labels, unsure, weights, tags, flags)
    return [
        Scored(
            utterance=utterance,
            p_negative=p_negative,
            p_neutral=p_neutral,
            p_positive=p_positive,
            score=score,
            intensity=strength,
            confidence=confidence,
            label=LABELS[label],
            abstained=abstained,
            weight=weight,
            tags=tuple(of_tags),
            flags=bits,
            model_version=model.model_version,
            calibration_version=model.calibration_version,
            scored_ms=scored_ms,
        )
        for utterance, (
            p_negative,
            p_neutral,
            p_positive,
            score,
            strength,
            confidence,
            label,
            abstained,
            weight,
            of_tags,
            bits,
        ) in zip(utterances, zip(*(column.tolist() for column in columns), strict=True), strict=True)
    ]


def _unscored(utterance: Utterance, model: Ahead, scored_ms: int) -> Scored:
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
        model_version=model.model_version,
        calibration_version=model.calibration_version,
        scored_ms=scored_ms,
    )
