"""How the job's commands end: an exit status, and one line that says why."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bytewax.errors import BytewaxRuntimeError

from flows.settings import SettingsError
from infra.store import StoreAddressError
from models.bundle import BundleError
from operators.kafka_client import KafkaSettingsError, KafkaSourceError
from operators.kafka_sink import KafkaSinkError
from operators.row_store import StoreError
from operators.rules import RuleError
from operators.snapshots import SnapshotError

FAILED = 1
WRONG_CONFIGURATION = 2
NEEDS_MENDING = 3
"""Kafka withholds what the job needs: a topic, records, the login."""

_BARE = (StoreError, KafkaSinkError, SnapshotError)
"""Errors that can arrive as they were raised: the engine wraps all but those of a sink's `write_batch` and of the
building of a keyed state."""


def status(command: str, run: Callable[[], object]) -> int:
    """Run, and give the exit status: 0 for an end in order; else the cause goes to the standard error stream.

    >>> status("flows.live", lambda: None)
    0
    """
    try:
        run()
    except (SettingsError, StoreAddressError, RuleError, BundleError) as error:
        print(f"{command}: {error}", file=sys.stderr)
        return WRONG_CONFIGURATION
    except (BytewaxRuntimeError, *_BARE, OSError) as error:
        cause = root_cause(error)
        print(f"{command} stopped: {type(cause).__name__}: {cause}", file=sys.stderr)
        return _status_of(cause)
    return 0


def root_cause(error: BaseException) -> BaseException:
    """Find what a step raised under what the engine made of it.

    >>> root_cause(ValueError("a"))
    ValueError('a')
    """
    while (deeper := _beneath(error)) is not None:
        error = deeper
    return error


def _status_of(cause: BaseException) -> int:
    if isinstance(cause, KafkaSettingsError):
        return WRONG_CONFIGURATION
    return NEEDS_MENDING if isinstance(cause, KafkaSourceError) else FAILED


def _beneath(error: BaseException) -> BaseException | None:
    """What led to an error; nothing when that was hidden on purpose (`from None`)."""
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)
