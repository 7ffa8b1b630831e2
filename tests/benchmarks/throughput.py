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

import msgspec
import numpy as np
from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from flows.live import make_intake, make_reducer, make_store, now_ms, recovery_store
from flows.pipeline import Ends, pipeline
from flows.replay import ALWAYS, Tally, Window
from flows.settings import Settings
from infra import traffic
from infra.clickhouse.__main__ import main as clickhouse
from infra.embedded_kafka import MockCluster
from models.scorer import FakeScorer, OnnxScorer, Scorer, Scores
from operators.identity import Identity
from operators.kafka_source import KafkaSource, ReadOptions
from operators.records import TAGS, Raw, Utterance
from operators.rules import Rules
from operators.ticks import TickSource, Timers
from operators.utterance import accept
from tests.benchmarks.report import heading, progress, say
from tests.flows.job import TOPICS, read_topic, send

MANY = "undertone.many"
"""Five times as many events, so that what is done once does not count for much."""


class ConstantScorer:
    """Costs nothing: what remains is everything but the model."""

    model_version = "constant"
    calibration_version = "constant"
    tags = TAGS

    def score(self, texts: Sequence[str], channels: Sequence[str]) -> Scores:
        """Neutral, for every text."""
        n = len(texts)
        return Scores(
            p=np.tile(np.array([0.1, 0.8, 0.1], np.float32), (n, 1)),
            tags=np.zeros((n, len(TAGS)), np.float32),
            flagged=np.zeros((n, len(TAGS)), bool),
            abstained=np.zeros(n, bool),
            tokens=np.full(n, 12, np.int32),
        )


def measure(events: int, customers: int) -> float:
    """Print the figures; returns events a second of the whole job."""
    heading(f"Throughput, one process ({events} events of {customers} customers)")
    with MockCluster(TOPICS) as cluster, tempfile.TemporaryDirectory() as folder:
        brokers = cluster.bootstrap_servers
        cluster.create_topic(MANY, 4)
        send(brokers, traffic.bulk(seed=1, n=events, customers=customers))
        send(brokers, traffic.bulk(seed=2, n=events * 5, customers=customers), MANY)
        settings = Settings(brokers=brokers, store=f"chdb://{folder}/db", metrics_port=0, epoch=5.0)
        migrate(settings)
        scorer = OnnxScorer.load(settings.model_dir)
        progress("bare ONNX Runtime")
        bare = _bare(scorer, read_topic(brokers, "undertone.events"))
        progress("the whole job")
        whole = _job(settings, scorer, Path(folder) / "whole")
        progress("everything but the model")
        many = msgspec.structs.replace(settings, topics=MANY)
        without = _job(many, ConstantScorer(), Path(folder) / "without") / 5
    rate = events / whole
    say("bare ONNX Runtime, pre-tokenised", f"{events / bare:,.0f} /s")
    say("whole job", f"{rate:,.0f} /s")
    say("whole job / bare ONNX Runtime", f"{bare / whole:.2f}", ">= 0.90", bare / whole >= 0.9)
    say("everything but the model", f"{without / events * 1e6:.0f} us/event", "<= 20 us", without / events <= 20e-6)
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


def _job(settings: Settings, scorer: Scorer | FakeScorer, state: Path) -> float:
    settings = msgspec.structs.replace(settings, state_dir=state)
    rules, timers = Rules.load(settings.rules), Timers()
    window = Window(make_intake(settings, scorer, now_ms), timers, *ALWAYS)
    ends = Ends(
        source=KafkaSource(
            settings.brokers,
            settings.topic_list(),
            options=ReadOptions(batch=settings.batch, credit=settings.credit),
            stop=window.done,
        ),
        ticks=TickSource(timers, window.done),
        store=make_store(settings),
        escalations=Tally(),
        dead_letters=Tally(),
    )
    flow = pipeline(ends, window, make_reducer(settings, rules), timers, rules.keyword_bits, shard="0")
    recovery = RecoveryConfig(str(recovery_store(settings)))
    started = time.perf_counter()
    cli_main(flow, epoch_interval=timedelta(seconds=settings.epoch), recovery_config=recovery)
    return time.perf_counter() - started
