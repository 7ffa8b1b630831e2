"""How the job's commands end: an exit status, and one line that says why."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from bytewax.errors import BytewaxRuntimeError

from flows.settings import SettingsError
from infra.store import StoreAddressError
from models.bundle import BundleError
from operators import last_words
from operators.kafka_client import KafkaSettingsError, KafkaSourceError
from operators.rejects import TooManyRejectsError
from operators.rules import RuleError

FAILED = 1
WRONG_CONFIGURATION = 2
NEEDS_MENDING = 3
"""Kafka withholds what the job needs: a topic, records, the login."""
TOO_MANY_REJECTS = 4
"""Nothing but rejects: started again, the job would count from zero and refuse as many more."""


class EngineError(RuntimeError):
    """The engine failed by itself."""


def status(command: str, run: Callable[[], object]) -> int:
    """Run, and give the exit status: 0 for an end in order; else the cause goes to the standard error stream.

    >>> status("flows.live", lambda: None)
    0
    """
    last_words.taken()
    try:
        run()
    except (SettingsError, StoreAddressError, RuleError, BundleError) as error:
        print(f"{command}: {error}", file=sys.stderr)
        return WRONG_CONFIGURATION
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the engine's panics are no `Exception`
        cause = last_words.taken() or _known(error)
        if cause is None:
            raise
        return _stopped(command, root_cause(cause))
    return 0


def leave(code: int) -> NoReturn:
    """End this process with `code`, whatever threads a failed engine has left behind.

    They abort an interpreter that ends in order, and the supervisor would see that instead of the status.
    """
    if code == 0:
        sys.exit()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def root_cause(error: BaseException) -> BaseException:
    """Find what a step raised under what the engine made of it.

    >>> root_cause(ValueError("a"))
    ValueError('a')
    """
    while (deeper := _beneath(error)) is not None:
        error = deeper
    return error


def _stopped(command: str, cause: BaseException) -> int:
    print(f"{command} stopped: {type(cause).__name__}: {cause}", file=sys.stderr)
    return _status_of(cause)


def _known(error: BaseException) -> BaseException | None:
    r"""What no part of the graph has raised and a person can still read; None for a bug, which keeps its traceback.

    >>> _known(RuntimeError("(src/a.rs:1:2) error\nCaused by => Exception: Address already in use"))
    EngineError('Address already in use (UNDERTONE_BASE_PORT names the first port of the processes)')
    """
    if isinstance(error, BytewaxRuntimeError | OSError):
        return error
    if type(error).__name__ == "PanicException":
        return EngineError("another process of the job has ended, or the way to it is cut")
    if type(error) is RuntimeError and str(error).startswith("(src/"):
        reason = str(error).rpartition("Caused by => Exception: ")[2]
        return EngineError(f"{reason} (UNDERTONE_BASE_PORT names the first port of the processes)")
    return None


def _status_of(cause: BaseException) -> int:
    if isinstance(cause, KafkaSettingsError):
        return WRONG_CONFIGURATION
    if isinstance(cause, TooManyRejectsError):
        return TOO_MANY_REJECTS
    return NEEDS_MENDING if isinstance(cause, KafkaSourceError) else FAILED


def _beneath(error: BaseException) -> BaseException | None:
    """What led to an error; nothing when that was hidden on purpose (`from None`)."""
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)
