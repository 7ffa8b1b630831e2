"""How the job's commands end: with an exit status, and one line on the standard error stream that says why."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from traceback import walk_tb
from typing import Final, NoReturn

from bytewax.errors import BytewaxRuntimeError

from flows.settings import SettingsError
from infra.exit_status import FAILED, NEEDS_MENDING, TOO_MANY_REJECTS, WRONG_CONFIGURATION
from infra.state_folder import FolderInUseError
from infra.store import StoreAddressError
from models.bundle import BundleError
from operators import first_failure
from operators.kafka_client import KafkaSettingsError, KafkaSourceError
from operators.rejects import TooManyRejectsError
from operators.rules import RuleError
from operators.snapshots import SnapshotError

_GONE: Final = re.compile(r'Key StateKey\("([^"]*)"\) is not in this worker')


class EngineError(RuntimeError):
    """The engine failed, and no step of the graph raised an error."""


def status(command: str, run: Callable[[], object]) -> int:
    """Call `run` and return the exit status: 0 after a normal end; else print the cause to the standard error stream.

    A bug of the job is raised again, for its traceback.

    >>> status("flows.live", lambda: None)
    0
    """
    first_failure.take()
    try:
        run()
    except (SettingsError, FolderInUseError, StoreAddressError, RuleError, BundleError) as error:
        print(f"{command}: {error}", file=sys.stderr)
        return WRONG_CONFIGURATION
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the engine's panics are no `Exception`
        cause = first_failure.take() or _known(error)
        if cause is None:
            raise
        return _stopped(command, root_cause(cause))
    return 0


def leave(code: int) -> NoReturn:
    """End this process with `code`, even if a failed engine has left threads behind.

    Such threads abort an interpreter that exits normally, and the supervisor would see the abort instead of `code`.
    """
    if code == 0:
        sys.exit()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def root_cause(error: BaseException) -> BaseException:
    """Unwrap what the engine made of an error: return the deepest cause defined in this project, else the deepest one.

    >>> root_cause(ValueError("a"))
    ValueError('a')
    """
    found = error
    while (deeper := _beneath(error)) is not None:
        error = deeper
        if _is_ours(error) or not _is_ours(found):
            found = error
    return found


def _stopped(command: str, cause: BaseException) -> int:
    print(f"{command} stopped: {_told(cause)}", file=sys.stderr)
    return _status_of(cause)


def _told(cause: BaseException) -> str:
    """Describe the cause. Messages of libraries may quote a customer, so of their errors only type and place are shown.

    >>> _told(ValueError("cannot tokenise 'my card is 4111'"))
    'ValueError'
    """
    name = type(cause).__name__
    if _is_ours(cause) or isinstance(cause, OSError | BytewaxRuntimeError):
        return f"{name}: {cause}"
    frames = [frame for frame, _ in walk_tb(cause.__traceback__)]
    places = [f"{frame.f_globals.get('__name__')}.{frame.f_code.co_name}" for frame in frames]
    return f"{name} in {places[-1]}" if places else name


def _is_ours(error: BaseException) -> bool:
    """Return whether the error is defined in this project, where no message contains a customer's text."""
    return type(error).__module__.partition(".")[0] in {"flows", "operators", "models", "infra"}


def _known(error: BaseException) -> BaseException | None:
    r"""Return an error of the engine itself that one line can explain; None for bugs, whose traceback is kept.

    >>> _known(RuntimeError("(src/a.rs:1:2) error\nCaused by => Exception: failed to initialize networking: taken"))
    EngineError('failed to initialize networking: taken (UNDERTONE_BASE_PORT names the first port of the processes)')
    >>> _known(RuntimeError('(src/a.rs:1:2) Key StateKey("3-calls") is not in this worker\'s routing map'))
    SettingsError('the state folder holds a position of 3-calls (partition-topic), which does not exist any more: ...
    """
    if isinstance(error, BytewaxRuntimeError | OSError):
        return error
    if type(error).__name__ == "PanicException":
        return EngineError(
            "another process of the job has ended, or the connection to it is lost; where there is one process only,"
            " the engine itself has failed, as its message above says"
        )
    if type(error) is RuntimeError and str(error).startswith("(src/"):
        if gone := _GONE.search(str(error)):
            return SettingsError(
                f"the state folder holds a position of {gone[1]} (partition-topic), which does not exist any more:"
                " restore it, or start with another UNDERTONE_STATE_DIR"
            )
        reason = str(error).rpartition("Caused by => Exception: ")[2]
        hint = " (UNDERTONE_BASE_PORT names the first port of the processes)" if "networking" in reason else ""
        return EngineError(reason + hint)
    return None


def _status_of(cause: BaseException) -> int:
    if isinstance(cause, KafkaSettingsError | SettingsError | SnapshotError):
        return WRONG_CONFIGURATION
    if isinstance(cause, TooManyRejectsError):
        return TOO_MANY_REJECTS
    return NEEDS_MENDING if isinstance(cause, KafkaSourceError) else FAILED


def _beneath(error: BaseException) -> BaseException | None:
    """Return the cause or context of an error; None when it has none or the context is suppressed (`from None`)."""
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)
