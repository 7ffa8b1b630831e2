"""Commands end with a status that a supervisor understands, and one line that a person does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.run import cli_main

from flows import ending
from flows.settings import SettingsError
from operators.kafka_client import KafkaSettingsError, KafkaSourceError
from operators.kafka_sink import KafkaSinkError
from operators.last_words import kept
from operators.row_store import StoreError
from operators.rules import RuleError
from operators.snapshots import SnapshotError


def raising(error: Exception, *, by_the_engine: bool = True) -> Callable[[], None]:
    """A run that fails; the engine wraps what a step raises, twice."""

    def run() -> None:
        if not by_the_engine:
            raise error
        try:
            try:
                raise error
            except Exception as cause:
                raise BytewaxRuntimeError("step raised") from cause
        except BytewaxRuntimeError as cause:
            raise BytewaxRuntimeError("worker failed") from cause

    return run


@pytest.mark.parametrize(
    ("run", "status", "told"),
    [
        (raising(SettingsError("UNDERTONE_X: no"), by_the_engine=False), 2, "job: UNDERTONE_X: no\n"),
        (raising(RuleError("rule 'a': no"), by_the_engine=False), 2, "job: rule 'a': no\n"),
        (raising(KafkaSettingsError("no")), 2, "job stopped: KafkaSettingsError: no\n"),
        (raising(KafkaSourceError("no topic")), 3, "job stopped: KafkaSourceError: no topic\n"),
        (raising(StoreError("sessions: 2 rows")), 1, "job stopped: StoreError: sessions: 2 rows\n"),
        (raising(OSError(98, "taken"), by_the_engine=False), 1, "job stopped: OSError: [Errno 98] taken\n"),
    ],
)
def test_the_cause_is_one_line(
    run: Callable[[], None], status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending.status("job", run) == status
    assert capsys.readouterr().err == told


def test_what_was_hidden_on_purpose_stays_hidden() -> None:
    def hides() -> None:
        try:
            raise ValueError("a customer's words")
        except ValueError:
            raise StoreError("2 rows") from None

    with pytest.raises(StoreError) as raised:
        hides()
    assert ending.root_cause(raised.value) is raised.value


def test_a_bug_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError):
        ending.status("job", lambda: 1 // 0)


SOON = timedelta(milliseconds=20)
PLACES = {
    "source.build": KafkaSourceError("no topic"),
    "source.next_batch": KafkaSourceError("no records"),
    "source.snapshot": KafkaSourceError("no broker"),
    "keyed.build": SnapshotError("version 99"),
    "keyed.on_batch": SnapshotError("too large"),
    "keyed.snapshot": SnapshotError("too large"),
    "sink.build": KafkaSinkError("no broker"),
    "sink.write_batch": KafkaSinkError("not delivered"),
    "sink.snapshot": StoreError("2 rows"),
    "sink.close": StoreError("2 rows"),
}


class Failing:
    """A graph of the engine's own parts, one of which fails."""

    def __init__(self, place: str) -> None:
        self.place = place

    def at(self, place: str) -> None:
        if place == self.place:
            raise PLACES[place]

    def run(self) -> None:
        flow = Dataflow("failing")
        numbers = op.input("source", flow, Source(self))
        kept = op.stateful_batch("keyed", numbers, lambda _: Keyed(self))
        op.output("sink", kept, Sink(self))
        cli_main(flow, epoch_interval=2 * SOON)


class Source(FixedPartitionedSource[tuple[str, int], None]):
    def __init__(self, failing: Failing) -> None:
        self.failing = failing

    def list_parts(self) -> list[str]:
        return ["part"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> SourcePart:
        self.failing.at("source.build")
        return SourcePart(self.failing)


class SourcePart(StatefulSourcePartition[tuple[str, int], None]):
    def __init__(self, failing: Failing) -> None:
        self.failing = failing
        self.left = 10

    def next_batch(self) -> list[tuple[str, int]]:
        self.failing.at("source.next_batch")
        if not self.left:
            raise StopIteration
        self.left -= 1
        return [("key", self.left)]

    def next_awake(self) -> datetime:
        return datetime.now(timezone.utc) + SOON

    def snapshot(self) -> None:
        self.failing.at("source.snapshot")


class Keyed(StatefulBatchLogic[int, int, None]):
    def __init__(self, failing: Failing) -> None:
        failing.at("keyed.build")
        self.failing = failing

    def on_batch(self, values: list[int]) -> tuple[list[int], bool]:
        self.failing.at("keyed.on_batch")
        return values, False

    def snapshot(self) -> None:
        self.failing.at("keyed.snapshot")


class Sink(FixedPartitionedSink[int, None]):
    def __init__(self, failing: Failing) -> None:
        self.failing = failing

    def list_parts(self) -> list[str]:
        return ["part"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> SinkPart:
        self.failing.at("sink.build")
        return SinkPart(self.failing)


class SinkPart(StatefulSinkPartition[int, None]):
    def __init__(self, failing: Failing) -> None:
        self.failing = failing

    def write_batch(self, values: list[int]) -> None:
        self.failing.at("sink.write_batch")

    def snapshot(self) -> None:
        self.failing.at("sink.snapshot")

    def close(self) -> None:
        self.failing.at("sink.close")


@pytest.mark.parametrize("place", PLACES)
def test_the_cause_is_one_line_wherever_the_engine_meets_it(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = PLACES[place]
    assert ending.status("job", Failing(place).run) == (ending.NEEDS_MENDING if place.startswith("source") else 1)
    assert capsys.readouterr().err == f"job stopped: {type(error).__name__}: {error}\n"


def test_a_cause_that_the_engine_lost_is_remembered(capsys: pytest.CaptureFixture[str]) -> None:
    class PanicException(BaseException):
        """As the engine's, which cannot be imported."""

    @kept
    def step() -> None:
        raise KafkaSettingsError("no login")

    def run(*, by_us: bool) -> None:
        with suppress(KafkaSettingsError):
            if by_us:
                step()
        raise PanicException("Send thread panic")

    assert ending.status("job", lambda: run(by_us=True)) == ending.WRONG_CONFIGURATION
    assert capsys.readouterr().err == "job stopped: KafkaSettingsError: no login\n"
    assert ending.status("job", lambda: run(by_us=False)) == ending.FAILED
    assert capsys.readouterr().err.startswith("job stopped: EngineError: another process of the job has ended")


def test_a_graph_in_order_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending.status("job", Failing("nowhere").run) == 0
    assert not capsys.readouterr().err
