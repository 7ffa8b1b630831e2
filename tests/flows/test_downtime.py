"""A job that had caught up stops for hours, and goes on with what came meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main

from flows.pipeline import Ends, pipeline
from infra.embedded_kafka import MockCluster
from infra.traffic import Sent
from operators.clickhouse_sink import ClickHouseSink
from operators.kafka_source import KafkaSource, ReadOptions
from operators.row_store import MemoryStore
from operators.ticks import Timers
from tests.flows.job import TOPICS, read_topic, send
from tests.flows.test_pipeline import SETTINGS, Kept
from tests.operators.wire import payload
from tests.oracle import Tables, expected, final_rows, stub_parts

MINUTE, HOUR = 60_000, 3_600_000
AWAY_MS = 6 * HOUR
PATIENCE_SECONDS = 60.0


class Desk:
    """A job on a real consumer, whose wall clock can be put forward while it does not run."""

    def __init__(self, brokers: str, folder: Path) -> None:
        init_db_dir(str(folder), 1)
        self._recovery = RecoveryConfig(str(folder))
        self._brokers = brokers
        self.away_ms = 0
        self.store = MemoryStore()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.away_ms

    def run_until(self, done: Callable[[Timers], bool]) -> None:
        """Run, and drain when `done`; fails when it never is."""
        timers, since = Timers(), time.monotonic()
        intake, reducer, rules = stub_parts(SETTINGS, self.now_ms())
        gave_up = False

        def stop() -> bool:
            nonlocal gave_up
            gave_up = time.monotonic() - since > PATIENCE_SECONDS
            return gave_up or done(timers)

        # A little at a time, so that a session that would close too early has the time to.
        ends = Ends(
            source=KafkaSource(
                self._brokers,
                ("undertone.events",),
                options=ReadOptions(batch=2, credit=2),
                stop=stop,
                clock=self.now_ms,
            ),
            store=ClickHouseSink(lambda: self.store),
            escalations=Kept(),
            dead_letters=Kept(),
        )
        flow = pipeline(ends, intake, reducer, timers, rules.keyword_bits, shard="0")
        cluster_main(flow, [], 0, epoch_interval=timedelta(milliseconds=300), recovery_config=self._recovery)
        assert not gave_up, f"stream time came to {timers.stream_ms}, rows to {len(self.store.rows['scored_events'])}"

    def tables(self) -> Tables:
        return final_rows((table, rows) for table, rows in self.store.rows.items() if rows)


def said(number: int, customer: int, at_ms: int) -> Sent:
    """One message of a customer, keyed as producers key: customers lie in different partitions."""
    at = datetime.fromtimestamp(at_ms / 1000, timezone.utc).isoformat()
    value = payload(
        event_id=f"m{number}",
        interaction_id=f"chat-{customer}",
        customer={"id": f"C-{customer}"},
        text="this is awful, nobody answers",
        event_time=at,
    )
    return Sent(at_ms, f"C-{customer}".encode(), value, None)


def test_a_job_that_had_caught_up_and_was_away_cuts_the_backlog_as_if_it_had_stayed(
    tmp_path: Path, mock_cluster: MockCluster
) -> None:
    mock_cluster.create_topic("undertone.events", TOPICS["undertone.events"])
    brokers = mock_cluster.bootstrap_servers
    desk = Desk(brokers, tmp_path)
    begun = desk.now_ms()

    before = send(brokers, [said(number, number % 5, begun - 60_000 + number * 1000) for number in range(20)])
    desk.run_until(
        lambda timers: (
            len(desk.store.rows["scored_events"]) >= before and (timers.stream_ms or 0) >= desk.now_ms() - 5000
        )
    )
    open_before = len(desk.tables()["sessions"])

    desk.away_ms = AWAY_MS
    # Ten minutes on the chat goes on; an hour later it is another session; one customer stays away for good.
    meanwhile = [10 * MINUTE, 11 * MINUTE, 80 * MINUTE, 2 * HOUR, 4 * HOUR]
    after = send(
        brokers,
        [said(100 + 10 * place + who, who, begun + at + who) for place, at in enumerate(meanwhile) for who in range(4)],
        at_ms=desk.now_ms(),
    )
    desk.run_until(
        lambda timers: (
            len(desk.store.rows["scored_events"]) >= before + after
            and (timers.stream_ms or 0) >= desk.now_ms() - 5000
            and not timers.overdue
        )
    )

    everything = read_topic(brokers, "undertone.events")
    parts = stub_parts(msgspec.structs.replace(SETTINGS, reject_run_limit=1000), desk.now_ms())
    want = expected(everything, *parts).tables
    got = desk.tables()
    assert len(everything) == before + after
    assert open_before == 5
    assert len(got["sessions"]) == 5 + 4 * 3
    assert not any(dict(row)["late"] for row in got["trajectory"].values())
    for table in ("scored_events", "trajectory", "sessions", "escalations"):
        assert got[table] == want[table]
