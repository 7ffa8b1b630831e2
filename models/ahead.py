"""Score in a thread of its own: the rest of the job goes on meanwhile, as ONNX Runtime holds no lock of Python's."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from models.scorer import Encodings, Scorer, Scores


@dataclass(frozen=True)
class _Piece:
    encodings: Encodings
    channels: Sequence[str]
    scores: Future[Scores] = field(default_factory=Future)


class Ahead:
    """Encodes texts, promises their scores and returns; only its own thread has the scorer behind it score.

    What is given while the thread is busy is scored in one call: of many texts, more have the same length.

    >>> from models.scorer import FakeScorer
    >>> ahead = Ahead(FakeScorer())
    >>> first, second = ahead.begin(["ok"], ["chat"]), ahead.begin(["thanks", "awful"], ["chat", "email"])
    >>> first.result().labels, second.result().labels
    (array([1]), array([2, 0]))
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._pieces: deque[_Piece] = deque()
        self._thread = ThreadPoolExecutor(1, "scorer")

    @property
    def model_version(self) -> str:
        """Names the weights."""
        return self._scorer.model_version

    @property
    def calibration_version(self) -> str:
        """Names the fit that turns logits into probabilities."""
        return self._scorer.calibration_version

    def begin(self, texts: Sequence[str], channels: Sequence[str]) -> Future[Scores]:
        """Score texts, each with the channel it came by, after those of earlier calls; order is kept.

        The result raises what the scorer raised about these texts.
        """
        try:
            piece = _Piece(self._scorer.encode(texts), channels)
        except Exception as error:  # tokenizers raises plain exceptions
            refused: Future[Scores] = Future()
            refused.set_exception(error)
            return refused
        self._pieces.append(piece)
        self._thread.submit(self._work)
        return piece.scores

    def _work(self) -> None:
        if pieces := [self._pieces.popleft() for _ in range(len(self._pieces))]:  # else an earlier call took them
            self._score(pieces)

    def _score(self, pieces: Sequence[_Piece]) -> None:
        together = Encodings(
            [text for piece in pieces for text in piece.encodings.texts],
            [ids for piece in pieces for ids in piece.encodings.ids],
        )
        channels = [channel for piece in pieces for channel in piece.channels]
        try:
            scores = self._scorer.score_encoded(together, channels)
        except Exception as error:  # ONNX Runtime raises types of its own
            if len(pieces) == 1:
                pieces[0].scores.set_exception(error)
            else:  # a piece that the scorer refuses does not take others with it
                for piece in pieces:
                    self._score([piece])
            return
        start = 0
        for piece in pieces:
            piece.scores.set_result(scores.rows(start, start := start + len(piece.encodings)))
