"""The live job, killed by its own hand at a chosen point of an epoch: `python -m tests.chaos.doomed POINT`.

Graph and parts are those of `flows.live`; what is here wraps the sinks and the row store, and reaches for SIGKILL when
the job gets to the point with something at stake and a first epoch is committed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main
from msgspec.structs import replace

from flows import live, parts
from flows.pipeline import Ends, pipeline
from flows.settings import Settings
from infra.store import connector
from operators.clickhouse_sink import ClickHouseSink
from operators.clock import now_ms
from operators.row_store import RowStore
from operators.rows import Row
from operators.rules import Rules
from operators.ticks import Timers

UNSTORED: Final = "before the store's flush"
HALF_STORED: Final = "after the first table of a flush"
STORED: Final = "after the store's flush"
UNSENT: Final = "before the escalation topic's flush"
SENT: Final = "after the escalation topic's flush"
SENT_NOT_STORED: Final = "sent and not stored"
STORED_NOT_SENT: Final = "stored and not sent"
COMMITTED: Final = "after the commit"


class Doom:
    """Ends the process at `point`, once it is `armed`."""

    def __init__(self, point: str) -> None:
        self._point = point
        self.armed = False

    def reach(self, point: str, prepare: Callable[[], None] | None = None) -> None:
        """Die if this is the point; first bring about with `prepare` what it is named for."""
        if self.armed and point == self._point:
            if prepare is not None:
                prepare()
            os.kill(os.getpid(), signal.SIGKILL)


class Watched(FixedPartitionedSink[Any, Any]):
    """A sink that calls `before` and `after` around each snapshot of a partition with something at stake."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        self.parts: list[StatefulSinkPartition[Any, Any]] = []
        self._written = False

    def list_parts(self) -> list[str]:
        return list(self._sink.list_parts())

    def part_fn(self, item_key: str) -> int:
        return int(self._sink.part_fn(item_key))

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> _WatchedPart:
        self.parts.append(self._sink.build_part(step_id, for_part, resume_state))
        return _WatchedPart(self, self.parts[-1])

    def note(self) -> None:
        """Something was written."""
        self._written = True

    def take_written(self) -> bool:
        """Whether anything was written since the last call."""
        written, self._written = self._written, False
        return written

    def flush(self) -> None:
        """Make all that the sink was given durable."""
        for part in self.parts:
            part.snapshot()


class _WatchedPart(StatefulSinkPartition[Any, Any]):
    def __init__(self, sink: Watched, part: StatefulSinkPartition[Any, Any]) -> None:
        self._sink = sink
        self._part = part
        self._at_stake = False

    def write_batch(self, values: list[Any]) -> None:
        self._part.write_batch(values)
        self._sink.note()
        self._at_stake = True

    def snapshot(self) -> Any:
        at_stake, self._at_stake = self._at_stake, False
        if at_stake:
            self._sink.before()
        state = self._part.snapshot()
        if at_stake:
            self._sink.after()
        return state

    def close(self) -> None:
        self._part.close()


class _WatchedRows:
    """A row store with a point after each insert."""

    def __init__(self, store: RowStore, doom: Doom) -> None:
        self._store = store
        self._doom = doom

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        self._store.insert(table, rows)
        self._doom.reach(HALF_STORED)

    def close(self) -> None:
        self._store.close()


def doomed(ends: Ends, settings: Settings, doom: Doom) -> Ends:
    """The same ends, with the points in them."""
    connect = connector(settings.store, settings.store_password)
    rows = ClickHouseSink(lambda: _WatchedRows(connect(), doom), flush_interval=settings.flush_interval)
    store, escalations = Watched(rows), Watched(ends.escalations)

    def before_store() -> None:
        doom.reach(UNSTORED)
        if escalations.take_written():
            doom.reach(SENT_NOT_STORED, escalations.flush)

    def before_escalations() -> None:
        doom.reach(UNSENT)
        doom.reach(STORED_NOT_SENT, store.flush)

    store.before, store.after = before_store, lambda: doom.reach(STORED)
    escalations.before, escalations.after = before_escalations, lambda: doom.reach(SENT)
    _watch_commits(ends.source, doom)
    return replace(ends, store=store, escalations=escalations)


def _watch_commits(source: Any, doom: Doom) -> None:
    touch = source.on_commit

    def committed() -> None:
        touch()
        doom.reach(COMMITTED)
        doom.armed = True

    source.on_commit = committed


def main() -> None:
    """Run until the point; without one that is ever reached, until drained."""
    settings, stop = Settings.from_env(os.environ), live.drain_on_sigterm()
    timers, rules = Timers(), Rules.load(settings.rules)
    intake = parts.make_intake(settings, parts.make_scorer(settings), now_ms)
    flow = pipeline(
        doomed(parts.make_ends(settings, timers, stop, intake.begin), settings, Doom(sys.argv[1])),
        intake,
        parts.make_reducer(settings, rules),
        timers,
        rules.keyword_bits,
        shard="0",
    )
    recovery = RecoveryConfig(str(parts.recovery_store(settings)))
    cli_main(flow, epoch_interval=timedelta(seconds=settings.epoch), recovery_config=recovery)


if __name__ == "__main__":
    main()
