"""Run recorded history through the pipeline: for a new model, a new rule, or a lost table. `python -m flows.replay -h`.

A replay reads the source topics from their beginning to their present end, with its own state folder, and stops. Its
rows have the same identities and versions as the live job's, so they replace them in the same store. If a customer's
history began before the oldest record in the topics, the replayed rows have lower versions and the stored rows stay.
Nothing is published, so nobody is alerted of past events. With another store a replay is a back-test; it always prints
what each rule would have raised.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main
from msgspec.structs import replace

from flows import ending
from flows.announce import announce, log_to_stderr
from flows.intake import Accepted, Intake
from flows.parts import make_intake, make_reducer, make_scorer, make_store, recovery_store
from flows.pipeline import Ends, pipeline
from flows.settings import Settings, SettingsError
from operators.clock import ms_of, now_ms
from operators.kafka_sink import Outgoing
from operators.kafka_source import KafkaSource, ReadOptions, event_time_ms
from operators.records import Raw, StreamTime
from operators.rules import Rules
from operators.ticks import Timers

ALWAYS = (datetime(2000, 1, 1, tzinfo=timezone.utc), datetime(9999, 1, 1, tzinfo=timezone.utc))


class Window:
    """Passes on the events of a time range, and detects when all partitions are read and all due sessions closed."""

    def __init__(
        self, intake: Intake, timers: Timers, begin: datetime, end: datetime, feedback_topic: str = ""
    ) -> None:
        self._intake = intake
        self._feedback_topic = feedback_topic
        self._timers = timers
        self._begin_ms = ms_of(begin)
        self._end_ms = ms_of(end)
        self._caught_up: dict[str, int] = {}
        self._done = threading.Event()

    def __call__(self, batch: Sequence[Raw | StreamTime]) -> list[Accepted]:
        """Run the intake step on the records inside the range."""
        for item in batch:
            if isinstance(item, StreamTime) and item.caught_up:
                self._caught_up.setdefault(item.partition_key, item.stream_ms)
                if len(self._caught_up) == item.partitions and self._closed_up():
                    self._done.set()
        return [_without_progress(item) for item in self._intake([item for item in batch if self._inside(item)])]

    def on_read(self, raws: Sequence[Raw]) -> None:
        """Begin with the records inside the range."""
        self._intake.begin([raw for raw in raws if self._inside(raw)])

    def done(self) -> bool:
        """Return whether the replay may end."""
        return self._done.is_set()

    def _closed_up(self) -> bool:
        """Return whether the keyed step has the stream time of the end and has processed all deadlines up to it."""
        heard = self._timers.stream_ms
        return heard is not None and heard >= min(self._caught_up.values()) and not self._timers.overdue

    def _inside(self, item: Raw | StreamTime) -> bool:
        if isinstance(item, StreamTime) or item.origin.topic == self._feedback_topic:
            return True  # feedback comes after the event: feedback on an alert of the range counts whatever its time
        event_ms = event_time_ms(item.payload)
        return event_ms is None or self._begin_ms <= event_ms < self._end_ms


def _without_progress(item: Accepted) -> Accepted:
    """Remove the progress of the replay: the table `progress` holds that of the live job only."""
    return replace(item, progress=None) if isinstance(item, StreamTime) else item


class Tally(DynamicSink[tuple[str, Outgoing]]):
    """A sink that counts the records that would have been published, by rule (or reject reason) and transition."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> _TallyPart:
        """Build the only partition: a replay runs as one process with one worker."""
        return _TallyPart(self.counts)


class _TallyPart(StatelessSinkPartition[tuple[str, Outgoing]]):
    def __init__(self, counts: Counter[tuple[str, str]]) -> None:
        self._counts = counts

    def write_batch(self, items: list[tuple[str, Outgoing]]) -> None:
        for _, item in items:
            record: dict[str, Any] = msgspec.json.decode(item.payload)
            self._counts[record.get("rule", record.get("reason", "")), record.get("transition", "rejected")] += 1


def replay(settings: Settings, begin: datetime, end: datetime) -> tuple[Tally, Tally]:
    """Run to the present end of the topics; return counts of the escalations and dead letters held back."""
    escalations, dead_letters = Tally(), Tally()
    flow = _build(settings, begin, end, escalations, dead_letters)
    cli_main(
        flow,
        epoch_interval=timedelta(seconds=settings.epoch),
        recovery_config=RecoveryConfig(str(recovery_store(settings))),
    )
    return escalations, dead_letters


def _build(settings: Settings, begin: datetime, end: datetime, escalations: Tally, dead_letters: Tally) -> Dataflow:
    rules, timers = Rules.load(settings.rules), Timers()
    scorer = make_scorer(settings)
    announce(settings, scorer, rules, process_id=0)
    window = Window(make_intake(settings, scorer, now_ms), timers, begin, end, settings.feedback_topic)
    ends = Ends(
        source=KafkaSource(
            settings.brokers,
            (*settings.topic_list(), settings.feedback_topic),
            settings=settings.kafka,
            options=ReadOptions(batch=settings.batch, credit=settings.credit),
            stop=window.done,
            on_read=window.on_read,
        ),
        store=make_store(settings),
        escalations=escalations,
        dead_letters=dead_letters,
    )
    reducer, limit = make_reducer(settings, rules), settings.reject_run_limit
    return pipeline(ends, window, reducer, timers, rules.keyword_bits, shard="0", reject_run_limit=limit)


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m flows.replay",
        description="Read the source topics again, from their beginning to where they end now, and write the rows"
        " anew. Nothing is published. Brokers, topics and the store come from UNDERTONE_* variables"
        " (docs/data-engineers.md).",
        epilog="back-test a rule: python -m flows.replay --from 2026-10-01 --rules new.yaml --store chdb:///tmp/backtest"
        " (a session that began before --from is cut there)",
    )
    parser.add_argument(
        "--from", dest="begin", type=_instant, default=ALWAYS[0], help="first event time, ISO 8601, UTC"
    )
    parser.add_argument("--to", dest="end", type=_instant, default=ALWAYS[1], help="event time to stop before")
    parser.add_argument("--rules", type=Path, help="rules file to use in place of UNDERTONE_RULES")
    parser.add_argument("--store", help="store to use in place of UNDERTONE_STORE, for example chdb:///tmp/backtest")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 when the end was reached, else a status of `flows.ending`."""
    options = _parser().parse_args(argv)
    return ending.status("flows.replay", lambda: _replay_and_tell(options))


def _replay_and_tell(options: argparse.Namespace) -> None:
    log_to_stderr()
    settings = Settings.from_env(os.environ)
    if options.begin != ALWAYS[0] and options.store in (None, settings.store):
        raise SettingsError(
            "--from needs a --store of its own: sessions that begin before --from are cut there, and their rows would"
            " mix with those of whole sessions"
        )
    changes: dict[str, object] = {"processes": 1}
    changes |= {"rules": options.rules} if options.rules else {}
    changes |= {"store": options.store} if options.store else {}
    with tempfile.TemporaryDirectory(prefix="undertone-replay-") as folder:
        settings = msgspec.structs.replace(settings, **changes, state_dir=Path(folder))
        tallies = replay(settings, options.begin, options.end)
    for tally in tallies:
        for (what, step), count in sorted(tally.counts.items()):
            print(f"{count:8d}  {step:10s}  {what}")


if __name__ == "__main__":
    sys.exit(main())
