"""The whole graph on real reducers: the same final rows wherever it was cut off."""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bytewax.errors import BytewaxRuntimeError
from bytewax.inputs import Source
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSource, run_main
from msgspec.structs import replace

from flows import pipeline as graph
from flows.ending import root_cause
from flows.pipeline import Ends, keyed, pipeline
from flows.redrive import place
from flows.settings import Settings
from infra.traffic import generate
from operators.clickhouse_sink import ClickHouseSink
from operators.customer_state import CustomerReducer, CustomerState
from operators.kafka_sink import KafkaSink, Outgoing
from operators.records import Feedback, Message, Origin, Raw, StreamTime, StreamTimes
from operators.rejects import TooManyRejectsError
from operators.row_store import MemoryStore
from operators.rows import TABLES
from operators.ticks import Timers, routes
from tests.oracle import Expected, expected, final_rows, stub_parts
from tests.samples import ONE_OF_EACH, rejected

START = datetime(2026, 1, 5, 9, tzinfo=timezone.utc)
NOW_MS = int(START.timestamp() * 1000) + 40 * 24 * 3600 * 1000
SETTINGS = Settings(scorer="fake", reject_run_limit=50)


class Kept(DynamicSink[tuple[str, Outgoing]]):
    """Remembers what a topic got."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.payloads: list[bytes] = []

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _KeptPart:
        return _KeptPart(self)


class _KeptPart(StatelessSinkPartition[tuple[str, Outgoing]]):
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def write_batch(self, items: list[tuple[str, Outgoing]]) -> None:
        self._kept.ids += [item.identity for _, item in items]
        self._kept.payloads += [item.payload for _, item in items]


class Run:
    """A graph with memory at its ends, which can be aborted and resumed."""

    def __init__(self, folder: Path, settings: Settings = SETTINGS, now_ms: int = NOW_MS) -> None:
        folder.mkdir()
        init_db_dir(str(folder), 1)
        self._recovery = RecoveryConfig(str(folder))
        self._settings, self._now_ms = settings, now_ms
        self.store = MemoryStore()
        self.escalations, self.dead_letters = Kept(), Kept()

    def go(self, source: Source[Any]) -> None:
        intake, reducer, rules = stub_parts(self._settings, self._now_ms)
        timers = Timers()
        ends = Ends(
            source=source,
            store=ClickHouseSink(lambda: self.store),
            escalations=self.escalations,
            dead_letters=self.dead_letters,
        )

        limit = self._settings.reject_run_limit
        flow = pipeline(ends, intake, reducer, timers, rules.keyword_bits, shard="0", reject_run_limit=limit)
        run_main(flow, epoch_interval=timedelta(0), recovery_config=self._recovery)

    def tables(self) -> dict[str, Any]:
        return final_rows((table, rows) for table, rows in self.store.rows.items() if rows)


def raws(count: int, seed: int = 7, malformed: float = 0.05, late: float = 0.1) -> list[Raw]:
    """The first records of lifelike traffic, as one partition holds them."""
    sent = generate(seed=seed, customers=6, start=START, minutes=20, malformed=malformed, late=late, duplicates=0.1)
    return [
        Raw(
            payload=one.payload,
            origin=Origin(topic="undertone.events", partition=0, offset=offset, broker_ms=one.at_ms),
        )
        for offset, one in zip(range(count), sent, strict=False)
    ]


def end_of_time(at_ms: int = NOW_MS) -> StreamTime:
    return StreamTime(partition_key="0-undertone.events", partitions=1, stream_ms=at_ms, caught_up=True)


def until_all_is_over(batch_size: int, at_ms: int = NOW_MS) -> list[StreamTime]:
    """Stream time again and again, as Kafka's source tells it: each batch tells who is due by the one before."""
    return [end_of_time(at_ms)] * (8 * batch_size)


def oracle(records: Sequence[Raw]) -> Expected:
    return expected(records, *stub_parts(SETTINGS, NOW_MS))


def check(run: Run, want: Expected) -> None:
    got = run.tables()
    for table, rows in want.tables.items():
        assert got.get(table, {}).keys() == rows.keys(), table
        assert got[table] == rows, table
    assert set(run.escalations.ids) == want.escalation_ids
    assert set(run.dead_letters.ids) == want.dead_letter_ids


def test_gives_what_the_oracle_computes(tmp_path: Path) -> None:
    records = raws(300)
    run = Run(tmp_path / "recovery")

    run.go(TestingSource([*records, *until_all_is_over(7)], batch_size=7))

    want = oracle(records)
    assert want.escalation_ids
    assert want.dead_letter_ids
    assert "sessions" in want.tables
    check(run, want)


def test_progress_becomes_a_row_of_the_process(tmp_path: Path) -> None:
    run = Run(tmp_path / "recovery")

    run.go(TestingSource([*raws(5), replace(end_of_time(), progress=ONE_OF_EACH["progress"])]))

    assert run.store.rows["progress"] == [TABLES["progress"].to_row(ONE_OF_EACH["progress"])]


def test_time_that_passes_and_people_who_answer_give_what_the_oracle_computes(tmp_path: Path) -> None:
    records = raws(300, seed=3, late=0.0)
    answered = with_answers(records, oracle(records))
    run = Run(tmp_path / "recovery")

    run.go(TestingSource([*with_time(answered), *until_all_is_over(3)], batch_size=3))

    want = oracle(answered)
    assert len(answered) > len(records)
    assert any(dict(row)["rule"] == "unanswered-live" for row in want.tables["escalations"].values())
    assert any(b'"transition":"acked"' in payload for payload in run.escalations.payloads)
    check(run, want)


def test_abort_between_answers_changes_nothing(tmp_path: Path) -> None:
    records = raws(300, seed=3, late=0.0)
    answered = with_answers(records, oracle(records))
    run = Run(tmp_path / "recovery")
    timed = with_time(answered)
    middle = len(timed) // 2
    source = TestingSource(
        [*timed[:middle], TestingSource.ABORT(), *timed[middle:], *until_all_is_over(9)], batch_size=9
    )

    run.go(source)
    run.go(source)

    check(run, oracle(answered))


def with_answers(records: Sequence[Raw], told: Expected) -> list[Raw]:
    """The records, with feedback on every alert half a minute after it was raised."""
    out = list(records)
    for number, row in enumerate(map(dict, told.tables["escalations"].values())):
        at_ms = row["raised_time"] + 30_000
        payload = msgspec.json.encode(
            Feedback(
                schema="undertone.feedback/1",
                feedback_id=f"f-{number}",
                tenant=row["tenant"],
                escalation_id=row["escalation_id"],
                action=("acknowledged", "resolved", "false_alarm")[number % 3],
                event_time=datetime.fromtimestamp(at_ms / 1000, tz=timezone.utc),
            )
        )
        origin = Origin(topic=SETTINGS.feedback_topic, partition=0, offset=number, broker_ms=at_ms)
        out.insert(bisect([raw.origin.broker_ms for raw in out], at_ms), Raw(payload=payload, origin=origin))
    return out


def test_the_times_of_all_partitions_travel_as_one_item_a_route() -> None:
    """One for each of them made the broadcast grow with partitions times workers."""
    times = [
        StreamTime(partition_key=f"{number}-t", partitions=9, stream_ms=number, caught_up=False, routes=routes(2))
        for number in range(9)
    ]

    spread = keyed(times, lambda _: 0, Timers())

    assert [key for key, _ in spread] == [f"~{route}" for route in range(routes(2))]
    assert all(item == StreamTimes(times=tuple(times)) for _, item in spread)


def with_time(records: Sequence[Raw]) -> list[Raw | StreamTime]:
    """The records, each followed by the stream time that it brings."""
    out: list[Raw | StreamTime] = []
    for raw in records:
        time = replace(end_of_time(), stream_ms=raw.origin.broker_ms, caught_up=False)
        out += [raw, time]
    return out


def test_abort_at_every_index_changes_nothing(tmp_path: Path) -> None:
    records = raws(40, seed=11)
    want = oracle(records)
    for index in range(1, len(records)):
        run = Run(tmp_path / str(index))
        items = [*records[:index], TestingSource.ABORT(), *records[index:], *until_all_is_over(1)]
        source = TestingSource(items, batch_size=1)

        run.go(source)
        run.go(source)

        check(run, want)


def test_dead_letters_of_one_topic_spread_over_all_partitions_and_a_replay_finds_each_again() -> None:
    rejects = [rejected(offset) for offset in range(100)]
    once, again = graph.dead_letters(rejects), graph.dead_letters(rejects)
    sink = KafkaSink("nowhere:9092", "undertone.dead_letters")
    spread = Counter(sink.part_fn(key) % 4 for key, _ in once)

    assert once == again
    assert len({key for key, _ in once}) == 100
    assert min(spread[part] for part in range(4)) > 10


def test_a_dead_letter_and_the_mark_that_its_record_was_sent_again_have_one_key() -> None:
    ((_, letter),) = graph.dead_letters([rejected(7)])

    assert letter.key == place(rejected(7).origin) == b"undertone.events:0:7"


def test_a_run_of_nothing_but_rejects_stops_the_job(tmp_path: Path) -> None:
    bad = [
        Raw(payload=b"{", origin=Origin(topic="undertone.events", partition=0, offset=offset, broker_ms=0))
        for offset in range(60)
    ]

    with pytest.raises(BytewaxRuntimeError) as raised:
        Run(tmp_path / "recovery").go(TestingSource(bad, batch_size=10))

    cause = root_cause(raised.value)
    assert isinstance(cause, TooManyRejectsError)
    assert str(cause).startswith("50 records in a row were rejected, the last for not_json at undertone.events[0]@49")


def test_a_message_that_no_state_can_take_in_is_a_dead_letter_once_and_the_job_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = raws(60, malformed=0.0)
    fold = CustomerReducer.on_message

    def poisoned(self: CustomerReducer, state: CustomerState | None, message: Message) -> Any:
        if message.offset == 7:
            raise OverflowError
        return fold(self, state, message)

    monkeypatch.setattr(CustomerReducer, "on_message", poisoned)
    run = Run(tmp_path / "recovery")
    source = TestingSource([*records[:20], TestingSource.ABORT(), *records[20:]], batch_size=5)
    run.go(source)
    run.go(source)

    assert set(run.dead_letters.ids) == {"undertone.events:0:7:customer"}
    assert [dict(row)["reason"] for row in run.tables()["dead_letters"].values()] == ["not_foldable"]
    assert len(run.tables()["trajectory"]) > 20


def test_step_ids_are_frozen() -> None:
    names = {name: value for name, value in vars(graph).items() if name.startswith(("STEP_", "FLOW_"))}

    assert names == {
        "FLOW_ID": "undertone",
        "STEP_KAFKA": "kafka",
        "STEP_READ": "read",
        "STEP_MESSAGES": "messages",
        "STEP_CUSTOMER": "customer",
        "STEP_STAGE_ROWS": "stage_rows",
        "STEP_CUSTOMER_ROWS": "customer_rows",
        "STEP_ALL_ROWS": "all_rows",
        "STEP_STORE": "store",
        "STEP_DEAD_LETTERS": "dead_letters",
        "STEP_CUSTOMER_DEAD_LETTERS": "customer_dead_letters",
        "STEP_ALL_DEAD_LETTERS": "all_dead_letters",
        "STEP_DEAD_LETTER_TOPIC": "dead_letter_topic",
        "STEP_ESCALATIONS": "escalations",
        "STEP_ESCALATION_TOPIC": "escalation_topic",
    }


def test_there_is_one_source() -> None:
    """The epochs of two sources drift apart until the job mostly waits: docs/decisions/0007-one-epoch-clock.md."""
    intake, reducer, rules = stub_parts(SETTINGS, NOW_MS)
    ends = Ends(
        source=TestingSource([]),
        store=ClickHouseSink(MemoryStore),
        escalations=Kept(),
        dead_letters=Kept(),
    )

    flow = pipeline(ends, intake, reducer, Timers(), rules.keyword_bits, shard="0")

    assert [step.step_id for step in flow.substeps if type(step).__name__ == "input"] == ["undertone.kafka"]
