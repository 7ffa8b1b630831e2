"""The only interface between the pipeline and the model: texts in, calibrated probabilities out.

`OnnxScorer` runs the bundle; `FakeScorer` is a small word list with the same interface, for fast tests and chaos tests,
which need no accuracy. Both are pure: the scores of a text depend on the text and its channel alone, not on what else
is in the batch, and are rounded to 1e-4 so that a replay which cuts its batches differently gives equal scores.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from models.bundle import DEFAULT, BundleError, Config, read_config, verify
from models.calibration import Calibration, Calibrator, identity, read_calibration
from models.labels import SENTIMENTS, TAGS
from models.text import normalise

__all__ = ["DEFAULT", "SENTIMENTS", "TAGS", "BundleError", "FakeScorer", "OnnxScorer", "Scorer", "Scores"]

CALL_TOKENS = 12
"""Fixed cost of a call of the model, in tokens (3 ms a call against 0.25 ms a token on AVX2)."""
MOST_ROWS = 64
PROBE = ("Thank you.",) * 2
_LETTER_RUN = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Scores:
    """Scores of n texts, in the order given."""

    p: npt.NDArray[np.float32]
    """[n, 3] calibrated probabilities in the order of `SENTIMENTS`."""
    labels: npt.NDArray[np.intp]
    """[n] place in `SENTIMENTS` of the label that costs least on average (`models.calibration.Costs`)."""
    tags: npt.NDArray[np.float32]
    """[n, 7] calibrated probability of each of the scorer's `tags`."""
    flagged: npt.NDArray[np.bool_]
    """[n, 7] whether the tag reaches the threshold of the text's channel."""
    abstained: npt.NDArray[np.bool_]
    """[n] whether the model is too unsure, or the text too short, for the scores to be shown as a judgement."""
    tokens: npt.NDArray[np.int32]
    """[n] number of tokens that the model read, its start and end tokens included."""

    def __len__(self) -> int:
        return len(self.p)

    def rows(self, start: int, end: int) -> "Scores":
        """The scores of the texts from `start` to before `end`."""
        return Scores(*(getattr(self, field.name)[start:end] for field in fields(self)))


@dataclass(frozen=True)
class Encodings:
    """n texts as a model reads them."""

    texts: Sequence[str]
    """Normalised."""
    ids: Sequence[list[int]]
    """Token ids of each, cut to the model's length and not yet padded."""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, places: Sequence[int]) -> "Encodings":
        """Those at some places."""
        return Encodings([self.texts[place] for place in places], [self.ids[place] for place in places])


class Scorer(Protocol):
    """What the pipeline needs of a model."""

    @property
    def model_version(self) -> str:
        """Names the weights."""

    @property
    def calibration_version(self) -> str:
        """Names the fit that turns logits into probabilities."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags, in the order of `Scores.tags`."""

    def encode(self, texts: Sequence[str]) -> Encodings:
        """Normalise and tokenise texts: a few percent of the time that scoring takes."""

    def score_encoded(self, encodings: Encodings, channels: Sequence[str]) -> Scores:
        """Score encoded texts, each with the channel it came by; order is kept, none at all is allowed."""

    def score(self, texts: Sequence[str], channels: Sequence[str]) -> Scores:
        """Encode and score."""
        return self.score_encoded(self.encode(texts), channels)


@dataclass(frozen=True)
class Chunk:
    """Rows of similar length, padded to the longest: one call of ONNX Runtime."""

    rows: npt.NDArray[np.intp]
    feed: dict[str, npt.NDArray[np.int64]]


def lacks_evidence(text: str, min_letters: int) -> bool:
    """Whether a normalised text has too few letters to be judged ("k", "?", "1").

    >>> lacks_evidence("k", 2), lacks_evidence("no", 2), lacks_evidence("42!", 2)
    (True, False, True)
    """
    return len(text) < 12 * min_letters and len(_LETTER_RUN.findall(text)) < min_letters


def cut_middle(ids: list[int], limit: int) -> list[int]:
    """Keep the first and the last tokens of a long text: an e-mail shows its mood at its beginning and its end.

    >>> cut_middle([101, 1, 2, 3, 4, 5, 6, 102], 6)
    [101, 1, 2, 5, 6, 102]
    """
    if len(ids) <= limit:
        return ids
    head = (limit + 1) // 2
    return ids[:head] + ids[head - limit :]


def chunk_ends(lengths: Sequence[int]) -> list[int]:
    """Where to cut rows of ascending `lengths` into calls of the model, so that little is spent on padding.

    Each call has a fixed cost of about `CALL_TOKENS` tokens, so a chunk grows until padding its rows to the next row's
    length would cost more than another call, or to `MOST_ROWS`. The cost is within 2 % of that of the best cuts.

    >>> chunk_ends([5, 5, 6, 30, 31])
    [3, 5]
    """
    ends: list[int] = []
    start = padding = 0
    for row, (before, length) in enumerate(pairwise(lengths), 1):
        padding += (row - start) * (length - before)
        if padding > CALL_TOKENS or row - start == MOST_ROWS:
            ends.append(row)
            start, padding = row, 0
    return [*ends, len(lengths)] if lengths else ends


def _same_length(encodings: Encodings, channels: Sequence[str]) -> None:
    if len(encodings) != len(channels):
        raise ValueError(f"{len(encodings)} texts but {len(channels)} channels")


class OnnxScorer(Scorer):
    """Runs a model bundle on ONNX Runtime."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        tokenizer: Tokenizer,
        config: Config,
        calibration: Calibration,
    ) -> None:
        self.session, self.tokenizer = session, tokenizer
        self.config, self.calibration = config, calibration
        self._calibrator = Calibrator(calibration, config.tags)
        self._inputs = {one.name for one in session.get_inputs()}

    @classmethod
    def load(cls, bundle_dir: Path = DEFAULT, *, threads: int = 1) -> "OnnxScorer":
        """Load and verify a bundle; `threads` is the number of cores for one call of the model.

        Raises:
            BundleError: the bundle does not match its manifest, or cannot be read; the message names the file.
        """
        verify(bundle_dir)
        config = read_config(bundle_dir)
        calibration = read_calibration(bundle_dir / "calibration.json")
        path = bundle_dir / "tokenizer.json"
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises plain exceptions
            raise BundleError(f"{path}: cannot be read as a tokenizer ({error})") from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        model = bundle_dir / "model.onnx"
        try:
            session = open_session(model.read_bytes(), threads)
        except Exception as error:  # ONNX Runtime raises untyped exceptions of its own
            raise BundleError(f"{model}: ONNX Runtime cannot load it ({error})") from error
        made = cls(session, tokenizer, config, calibration)
        made.prove(model)
        return made

    def prove(self, model: Path) -> None:
        """Run two short texts and check the shapes of the outputs.

        The shapes that the graph declares may be names instead of numbers, and numpy would broadcast a single column.

        Raises:
            BundleError: the model wants other inputs or gives other outputs than `run` expects.
        """
        expected = [[len(PROBE), len(SENTIMENTS)], [len(PROBE), len(self.config.tags)]]
        needs = f"needs inputs input_ids and attention_mask, outputs sentiment and emotions of shapes {expected}"
        (chunk,) = self.chunks(self.encode(PROBE))
        try:
            found = [list(one.shape) for one in self.session.run(["sentiment", "emotions"], chunk.feed)]
        except Exception as error:  # ONNX Runtime raises untyped exceptions of its own
            raise BundleError(f"{model}: {needs} for {len(PROBE)} texts ({error})") from error
        if found != expected:
            raise BundleError(f"{model}: {needs} for {len(PROBE)} texts, gives {found}")

    @property
    def model_version(self) -> str:
        """Names the weights."""
        return self.config.model_version

    @property
    def calibration_version(self) -> str:
        """Names the fit that turns logits into probabilities."""
        return self.calibration.version

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags, in the order of `Scores.tags`."""
        return self.config.tags

    def encode(self, texts: Sequence[str]) -> Encodings:
        """Normalise and tokenise texts."""
        cleaned = [normalise(text) for text in texts]
        encoded = self.tokenizer.encode_batch_fast(cleaned)
        return Encodings(cleaned, [cut_middle(one.ids, self.config.max_tokens) for one in encoded])

    def chunks(self, encodings: Encodings) -> list[Chunk]:
        """Sort by length, cut into chunks, pad each to its longest row."""
        lengths = np.array([len(ids) for ids in encodings.ids], np.intp)
        order = np.argsort(lengths, kind="stable")
        ends = chunk_ends(lengths[order].tolist())
        return [self._chunk(encodings, order[start:end], lengths) for start, end in zip([0, *ends], ends, strict=False)]

    def _chunk(self, encodings: Encodings, rows: npt.NDArray[np.intp], lengths: npt.NDArray[np.int_]) -> Chunk:
        longest = int(lengths[rows[-1]])
        ids = np.full((len(rows), longest), self.config.pad_id, np.int64)
        for place, row in enumerate(rows):
            ids[place, : lengths[row]] = encodings.ids[row]
        mask = (np.arange(longest) < lengths[rows, None]).astype(np.int64)
        feed = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self._inputs:
            feed["token_type_ids"] = np.zeros_like(ids)
        return Chunk(rows, feed)

    def run(self, encodings: Encodings) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Sentiment and tag logits in the order of the encodings."""
        size = len(encodings.ids)
        sentiment = np.zeros((size, len(SENTIMENTS)), np.float32)
        tags = np.zeros((size, len(self.config.tags)), np.float32)
        for chunk in self.chunks(encodings):
            sentiment[chunk.rows], tags[chunk.rows] = self.session.run(["sentiment", "emotions"], chunk.feed)
        return sentiment, tags

    def score_encoded(self, encodings: Encodings, channels: Sequence[str]) -> Scores:
        """Score encoded texts, each on the channel at the same position; order is kept, none at all is allowed."""
        _same_length(encodings, channels)
        applied = self._calibrator.apply(*self.run(encodings), channels)
        least = self.calibration.min_letters
        bare = np.array([lacks_evidence(text, least) for text in encodings.texts], bool)
        tokens = np.array([len(ids) for ids in encodings.ids], np.int32)
        return Scores(applied.p, applied.labels, applied.tags, applied.flagged, applied.unsure | bare, tokens)


def open_session(model: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on `threads` cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # A spinning pool burns the core that the pipeline's other steps need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


_MOOD_WORDS = {
    "positive": frozenset(
        {"thanks", "thank", "great", "good", "love", "lovely", "perfect", "happy", "sorted", "cheers"}
    ),
    "negative": frozenset(
        {"bad", "awful", "worst", "waiting", "again", "never", "broken", "angry", "useless", "nobody"}
    ),
}
_TAG_WORDS = {
    "frustration": frozenset({"again", "waiting", "still", "nobody", "fourth", "third", "hold"}),
    "anger": frozenset({"angry", "furious", "disgrace", "hate", "idiots", "ridiculous"}),
    "urgency": frozenset({"now", "urgent", "today", "immediately", "asap", "right"}),
    "confusion": frozenset({"understand", "confused", "which", "unclear"}),
    "disappointment": frozenset({"disappointed", "expected", "shame", "sad"}),
    "satisfaction": frozenset({"thanks", "thank", "sorted", "perfect", "great", "happy"}),
    "sarcasm": frozenset({"oh", "another", "sure", "clearly"}),
}
_WORD = re.compile(r"[a-z']+")


class FakeScorer(Scorer):
    """A deterministic substitute for `OnnxScorer` with the same interface: counts listed words, needs no files."""

    model_version = "fake-1"
    tags = TAGS

    def __init__(self) -> None:
        self._calibration = identity()
        self._calibrator = Calibrator(self._calibration)

    @property
    def calibration_version(self) -> str:
        """Names the fit that turns logits into probabilities."""
        return self._calibration.version

    def encode(self, texts: Sequence[str]) -> Encodings:
        """Normalise texts; one id for each word, and two."""
        cleaned = [normalise(text).lower() for text in texts]
        return Encodings(cleaned, [[0] * min(len(_WORD.findall(text)) + 2, 128) for text in cleaned])

    def score_encoded(self, encodings: Encodings, channels: Sequence[str]) -> Scores:
        """Score encoded texts, each with the channel it came by."""
        _same_length(encodings, channels)
        sentiment = np.zeros((len(encodings), len(SENTIMENTS)), np.float32)
        tags = np.zeros((len(encodings), len(TAGS)), np.float32)
        for row, text in enumerate(encodings.texts):
            words = _WORD.findall(text)
            # A small amount that depends on the text, so that different texts rarely have equal scores.
            noise = (zlib.crc32(text.encode()) % 1000) / 5000
            sentiment[row] = [
                _count(words, _MOOD_WORDS["negative"]),
                0.6 + noise,
                _count(words, _MOOD_WORDS["positive"]),
            ]
            tags[row] = [2 * _count(words, _TAG_WORDS[tag]) - 3 + noise for tag in TAGS]
        applied = self._calibrator.apply(2 * sentiment, tags, channels)
        bare = np.array([lacks_evidence(text, 2) for text in encodings.texts], bool)
        tokens = np.array([len(ids) for ids in encodings.ids], np.int32)
        return Scores(applied.p, applied.labels, applied.tags, applied.flagged, applied.unsure | bare, tokens)


def _count(words: Sequence[str], listed: frozenset[str]) -> int:
    return sum(word in listed for word in words)
