"""Remembers the first exception raised in the dataflow, because the engine may replace it by a panic of its own.

The engine wraps the exceptions of most steps; it passes on unchanged those of a sink's `write_batch` and of the
function that builds a keyed state. In a job of several processes it ends with a panic of its network threads instead,
which hides the cause and the exit status that follows from it. So every step that can fail for a reason that a person
must read is decorated with `watched`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")
_first: Final[list[Exception]] = []


def watched(step: Callable[_P, _R]) -> Callable[_P, _R]:
    """Remember the first exception that leaves `step`; `StopIteration`, the end of a source, is not one.

    >>> _ = take()
    >>> watched(len)(3)
    Traceback (most recent call last):
    TypeError: object of type 'int' has no len()
    >>> take()
    TypeError("object of type 'int' has no len()")
    """

    @wraps(step)
    def guarded(*args: _P.args, **named: _P.kwargs) -> _R:
        try:
            return step(*args, **named)
        except StopIteration:
            raise
        except Exception as error:
            if not _first:
                _first.append(error)
            raise

    return guarded


def take() -> Exception | None:
    """Return the first exception since the last call and forget it; None when there was none."""
    return _first.pop() if _first else None
