"""A graph of the engine's own parts, one of which fails: `python -m tests.flows.failing PLACE`."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone

from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.run import cli_main

from flows import ending
from operators.first_failure import watched
from operators.kafka_client import KafkaSourceError
from operators.kafka_sink import KafkaSinkError
from operators.row_store import StoreError
from operators.snapshots import SnapshotError

SOON = timedelta(milliseconds=20)
PLACES = {
    "source.build": KafkaSourceError("no topic"),
    "source.next_batch": KafkaSourceError("no records"),
    "source.snapshot": KafkaSourceError("no broker"),
    "keyed.build": SnapshotError("version 99"),
    "keyed.on_batch": StoreError("too large"),
    "keyed.snapshot": StoreError("too large"),
    "sink.build": KafkaSinkError("no broker"),
    "sink.write_batch": KafkaSinkError("not delivered"),
    "sink.snapshot": StoreError("2 rows"),
    "sink.close": StoreError("2 rows"),
}


class Failing:
    """A graph of the engine's own parts, one of which fails."""

    def __init__(self, place: str) -> None:
        self.place = place

    @watched
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


if __name__ == "__main__":
    ending.leave(ending.status("job", Failing(sys.argv[1]).run))
