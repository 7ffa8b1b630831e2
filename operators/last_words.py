"""What a part of the graph raised, kept where the engine cannot lose it.

The engine wraps what most parts raise, hands on bare what a sink's `write_batch` and the building of a keyed state
raise, and in a job of several processes ends with a panic of its own network threads instead: the cause, and the exit
status that follows from it, are gone. Each part that can fail for a reason that a person has to read is therefore
`kept`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")
_kept: Final[list[Exception]] = []


def kept(step: Callable[_P, _R]) -> Callable[_P, _R]:
    """Remember the first error that leaves `step`; the end of a source (`StopIteration`) is none.

    >>> _ = taken()
    >>> kept(len)(3)
    Traceback (most recent call last):
    TypeError: object of type 'int' has no len()
    >>> taken()
    TypeError("object of type 'int' has no len()")
    """

    @wraps(step)
    def watched(*args: _P.args, **named: _P.kwargs) -> _R:
        try:
            return step(*args, **named)
        except StopIteration:
            raise
        except Exception as error:
            if not _kept:
                _kept.append(error)
            raise

    return watched


def taken() -> Exception | None:
    """The first error since the last time that one asked."""
    return _kept.pop() if _kept else None
