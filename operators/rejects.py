"""Count rejects in a row, and stop the job when they reach a limit."""

from __future__ import annotations

from operators import metrics
from operators.records import Rejected


class TooManyRejectsError(RuntimeError):
    """As many rejects in a row as the limit allows. The message gives the last reason and that record's offset."""


class RejectRun:
    """Counts the rejects of one step since it last accepted a record; `remedy` is advice for the error message."""

    def __init__(self, limit: int, remedy: str) -> None:
        self._limit = limit
        self._remedy = remedy
        self._length = 0

    def accepted(self) -> None:
        """Start counting from 0 again."""
        self._length = 0

    def refused(self, item: Rejected) -> None:
        """Count a reject, also in the metrics.

        Raises:
            TooManyRejectsError: this reject reaches the limit.
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
