"""The whole job against bare ONNX Runtime on the same pre-tokenised texts, and what all but the model costs.

In one process, on one core: embedded Kafka, the real graph, the embedded ClickHouse engine.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from flows.intake import Accepted
from flows.live import tune_interpreter
from flows.parts import make_intake, make_reducer, make_store, recovery_store
from flows.pipeline import Ends, pipeline
from flows.replay import ALWAYS, Tally, Window
from flows.settings import Settings
from infra import traffic
from infra.clickhouse.__main__ import main as clickhouse
from infra.embedded_kafka import MockCluster
from models.scorer import OnnxScorer, Scorer
from operators.clock import now_ms
from operators.identity import Identity
from operators.kafka_source import KafkaSource, ReadOptions
from operators.records import Raw, StreamTime, Utterance
from operators.rules import Rules
from operators.ticks import Timers
from operators.utterance import accept
from tests.benchmarks.constant import ConstantScorer
from tests.benchmarks.report import heading, progress, say
from tests.flows.job import TOPICS, read_topic, send

MANY = "undertone.many"
"""Five times as many events, for the part that is fast."""
WARM = "undertone.warm"
"""A few events for a run that nobody times: imports and first inserts are not what an event costs."""


class Took(NamedTuple):
    """Seconds."""

    wall: float
    cpu: float
    """Of all threads: the client of Kafka, the embedded broker and the store's engine among them."""
    worker_cpu: float


def _clocks() -> Took:
    return Took(time.perf_counter(), time.process_time(), time.thread_time())


class Stopwatch:
    """The first step, timed from the first records that are read: connecting and importing are not what events cost."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._started: Took | None = None

    def on_read(self, raws: Sequence[Raw]) -> None:
        """Let the step begin with the records."""
        if self._started is None:
            self._started = _clocks()
        self._window.on_read(raws)

    def __call__(self, batch: Sequence[Raw | StreamTime]) -> list[Accepted]:
        """Pass the batch on."""
        return self._window(batch)

    def took(self) -> Took:
        """From the first records until now."""
        assert self._started is not None, "nothing was read"
        return Took(*(now - then for now, then in zip(_clocks(), self._started, strict=True)))


def measure(events: int, customers: int) -> float:
    """Print the figures; returns events a second of the whole job."""
    heading(f"Throughput, one process ({events} events of {customers} customers)")
    with MockCluster(TOPICS) as cluster, tempfile.TemporaryDirectory() as folder:
        brokers = cluster.bootstrap_servers
        for number, (topic, count) in enumerate({WARM: 500, "undertone.events": events, MANY: events * 5}.items()):
            if topic not in TOPICS:
                cluster.create_topic(topic, 4)
            send(brokers, traffic.bulk(seed=number, n=count, customers=customers), topic)
        settings = Settings(brokers=brokers, store=f"chdb://{folder}/db", metrics_port=0, epoch=5.0)
        migrate(settings)
        scorer = OnnxScorer.load(settings.model_dir)
        progress("warming up")
        _job(msgspec.structs.replace(settings, topics=WARM), scorer, Path(folder) / "warm")
        progress("bare ONNX Runtime")
        raws = read_topic(brokers, "undertone.events")
        before = _bare(scorer, raws)
        progress("the whole job")
        whole = _job(settings, scorer, Path(folder) / "whole")
        progress("bare ONNX Runtime once more")
        bare = (before + _bare(scorer, raws)) / 2  # the speed of a shared machine drifts
        progress("everything but the model")
        many = msgspec.structs.replace(settings, topics=MANY)
        without = _job(many, ConstantScorer(), Path(folder) / "without")
    rate, cost = events / whole.wall, without.cpu / (events * 5)
    say("bare ONNX Runtime, pre-tokenised", f"{events / bare:,.0f} /s")
    say("whole job", f"{rate:,.0f} /s")
    say("whole job / bare ONNX Runtime", f"{bare / whole.wall:.2f}", ">= 0.90", bare / whole.wall >= 0.9)
    say("everything but the model, all threads", f"{cost * 1e6:.0f} us/event", "<= 20 us", cost <= 20e-6)
    say("  of it in the worker's thread", f"{without.worker_cpu / (events * 5) * 1e6:.0f} us/event")
    return rate


def migrate(settings: Settings) -> None:
    """Make the tables, without telling of each."""
    with contextlib.redirect_stdout(io.StringIO()):
        clickhouse(["migrate", "--store", settings.store])


def _bare(scorer: OnnxScorer, raws: Sequence[Raw]) -> float:
    identity = Identity("bench")
    spoken = [accept(raw.payload, raw.origin, now_ms(), identity) for raw in raws]
    texts = [item.text for item in spoken if isinstance(item, Utterance) and item.text and item.speaker != "bot"]
    batches = [scorer.chunks(scorer.encode(texts[at : at + 500])) for at in range(0, len(texts), 500)]
    started = time.perf_counter()
    for batch in batches:
        for chunk in batch:
            scorer.session.run(["sentiment", "emotions"], chunk.feed)
    return time.perf_counter() - started


def _job(settings: Settings, scorer: Scorer, state: Path) -> Took:
    settings = msgspec.structs.replace(settings, state_dir=state)
    rules, timers = Rules.load(settings.rules), Timers()
    window = Window(make_intake(settings, scorer, now_ms), timers, *ALWAYS)
    timed = Stopwatch(window)
    ends = Ends(
        source=KafkaSource(
            settings.brokers,
            settings.topic_list(),
            options=ReadOptions(batch=settings.batch, credit=settings.credit),
            stop=window.done,
            on_read=timed.on_read,
        ),
        store=make_store(settings),
        escalations=Tally(),
        dead_letters=Tally(),
    )
    flow = pipeline(ends, timed, make_reducer(settings, rules), timers, rules.keyword_bits, shard="0")
    recovery = RecoveryConfig(str(recovery_store(settings)))
    tune_interpreter()
    cli_main(flow, epoch_interval=timedelta(seconds=settings.epoch), recovery_config=recovery)
    return timed.took()
