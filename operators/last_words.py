"""What a part of the graph raised, kept where the engine cannot lose it.

In a job of several processes the engine ends with a panic of its own network threads, whatever a step raised: the
cause, and the exit status that follows from it, are gone. Each part that can fail for a reason that a person has to
read is therefore `kept`.
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
            _kept.append(error)
            raise

    return watched


def taken() -> Exception | None:
    """The first error since the last time that one asked."""
    first = next(iter(_kept), None)
    _kept.clear()
    return first
