"""Count a run of nothing but rejects, and stop the job when it is too long."""

from __future__ import annotations

from operators import metrics
from operators.records import Rejected


class TooManyRejectsError(RuntimeError):
    """Nothing but rejects for longer than the limit. The message tells the last reason and where it was."""


class RejectRun:
    """The present run of rejects of one step. `remedy` says what to do about a run that is too long."""

    def __init__(self, limit: int, remedy: str) -> None:
        self._limit = limit
        self._remedy = remedy
        self._length = 0

    def accepted(self) -> None:
        """End the run."""
        self._length = 0

    def refused(self, item: Rejected) -> None:
        """Count a reject, for the metrics too.

        Raises:
            TooManyRejectsError: it is one too many in a row.
        """
        metrics.REJECTED.labels(item.stage, item.reason.value).inc()
        self._length += 1
        if self._length >= self._limit:
            origin = item.origin
            raise TooManyRejectsError(
                f"{self._length} records in a row were rejected, the last for {item.reason.value}"
                f" at {origin.topic}[{origin.partition}]@{origin.offset}."
                f" {self._remedy}, or raise UNDERTONE_REJECT_RUN_LIMIT to go on."
            )
