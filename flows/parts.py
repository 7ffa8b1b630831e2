"""Build the real parts of the job from the settings; the live job, replays and the benchmarks share these functions."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bytewax.recovery import init_db_dir

from flows.intake import Intake, Policy
from flows.pipeline import FLOW_ID, STEP_DEAD_LETTER_TOPIC, STEP_ESCALATION_TOPIC, STEP_KAFKA, Ends
from flows.settings import PREFIX, Settings, SettingsError
from infra import recovery_store as store_files
from infra.state_folder import HALF_MADE, heartbeat, recovery
from infra.store import connector
from models.bundle import read_config
from models.drift import Monitor
from models.drift import load as drift_references
from models.language import spelled
from models.repeats import Repeats
from models.scorer import FakeScorer, OnnxScorer, Scorer
from operators.clickhouse_sink import ClickHouseSink
from operators.customer_state import CustomerReducer
from operators.flusher import FlushPolicy
from operators.identity import Identity
from operators.kafka_client import split_part_key
from operators.kafka_sink import KafkaSink
from operators.kafka_source import KafkaSource, ReadOptions
from operators.parameters import GAP_MS, SECOND, Parameters
from operators.records import Raw
from operators.rules import Rules
from operators.ticks import Timers, routes


def make_scorer(settings: Settings) -> Scorer:
    """Load the scorer that `UNDERTONE_SCORER` names."""
    if settings.scorer == "fake":
        return FakeScorer()
    return Repeats(OnnxScorer.load(settings.model_dir, threads=settings.scorer_threads))


def make_intake(settings: Settings, scorer: Scorer, clock: Callable[[], int]) -> Intake:
    """Build the first step of the graph."""
    allowed = frozenset(entry.strip() for entry in settings.acoustic_tenants.split(",") if entry.strip())
    policy = Policy(
        feedback_topic=settings.feedback_topic,
        default_region=settings.default_region,
        reject_run_limit=settings.reject_run_limit,
        languages=frozenset(map(spelled, read_config(settings.model_dir).languages)),
        acoustic_allowed=lambda tenant, region: tenant in allowed or f"{tenant}/{region}" in allowed,
    )
    # The stub has no calibration data to compare with.
    drift = None if settings.scorer == "fake" else Monitor(drift_references(settings.model_dir))
    return Intake(policy, Identity(settings.customer_secret, settings.default_region), scorer, clock, drift)


def make_reducer(settings: Settings, rules: Rules) -> CustomerReducer:
    """Build the reducer of the keyed step."""
    return CustomerReducer(Parameters(), rules, lateness_ms=int(settings.allowed_lateness * 1000))


def make_store(settings: Settings, *, process_id: int = 0) -> ClickHouseSink:
    """Build the ClickHouse sink of one process."""
    patience = store_patience(settings)
    return ClickHouseSink(
        connector(settings.store, settings.store_password, timeout=patience / 3),
        share=(process_id, settings.processes),
        policy=FlushPolicy(interval=settings.flush_interval, deadline=patience * 2 / 3),
    )


def store_patience(settings: Settings) -> float:
    """Return the seconds after which a failing store ends the job.

    It is shorter than the watchdog's time, because the watchdog cannot name the cause. The last attempt starts before
    two thirds of it have passed and waits one third for its answer. The watchdog counts from the last committed epoch;
    the failing insert may begin up to one epoch later.

    >>> store_patience(Settings(watchdog=60.0, epoch=5.0))
    45.0
    """
    return max(settings.watchdog / 2, settings.watchdog - 2 * settings.epoch - 5)


def recovery_store(settings: Settings) -> Path:
    """Create the recovery store on first use, and return its folder; its number of partitions is then fixed.

    It is created under a temporary name and renamed: processes that start together see a complete store or none, and a
    process that is killed here cannot leave a store that lacks partitions, which the engine could never open.
    """
    folder = recovery(settings.state_dir)
    if not store_files.files(folder):
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=HALF_MADE, dir=settings.state_dir))
        init_db_dir(str(made), settings.recovery_partitions)
        try:
            made.rename(folder)
        except OSError:
            if not store_files.files(folder):
                raise
            shutil.rmtree(made)  # another process of the job was first
    return folder


def check_topics(settings: Settings) -> None:
    """Check that the settings name every topic that the recovery store has state of; else the engine cannot resume.

    Raises:
        SettingsError: A topic was removed from the settings or renamed; the message names it and what to do.
    """
    named = {
        (STEP_KAFKA, "TOPICS"): {*settings.topic_list(), settings.feedback_topic},
        (STEP_ESCALATION_TOPIC, "ESCALATION_TOPIC"): {settings.escalation_topic},
        (STEP_DEAD_LETTER_TOPIC, "DEAD_LETTER_TOPIC"): {settings.dead_letter_topic},
    }
    for (step, variable), topics in named.items():
        parts = store_files.keys(recovery(settings.state_dir), f"{FLOW_ID}.{step}")
        if gone := {split_part_key(part)[0] for part in parts} - topics:
            raise SettingsError(_gone(sorted(gone), variable, settings.state_dir))


def _gone(topics: list[str], variable: str, state_dir: Path) -> str:
    names = f"{PREFIX}{variable}" + (f" or {PREFIX}FEEDBACK_TOPIC" if variable == "TOPICS" else "")
    return (
        f"{names} does not name {', '.join(topics)} any more, but the state in {state_dir} needs it to resume: name it"
        " again (a topic that gets no more records costs nothing), or drain and start with another"
        f" {PREFIX}STATE_DIR: all sessions then start anew, and {PREFIX}START says where reading begins"
    )


def make_ends(
    settings: Settings,
    timers: Timers,
    stop: Callable[[], bool],
    on_read: Callable[[Sequence[Raw]], object] | None = None,
    *,
    process_id: int = 0,
) -> Ends:
    """Build the source and the sinks of one process; `on_read` is that of `KafkaSource`."""
    # Recorded traffic: sessions close only after the input was read to its end, so their records come even later.
    is_replay_over = (lambda: False) if settings.recorded_idle else timers.has_caught_up

    def kafka_sink(topic: str) -> KafkaSink:
        return KafkaSink(settings.brokers, topic, settings=settings.kafka, is_replay_over=is_replay_over)

    return Ends(
        source=KafkaSource(
            settings.brokers,
            (*settings.topic_list(), settings.feedback_topic),
            settings=settings.kafka,
            options=ReadOptions(
                start=settings.start,
                resumed=has_run(settings),
                batch=settings.batch,
                credit=settings.credit,
                routes=routes(settings.processes),
                share=(process_id, settings.processes),
                epoch_ms=int(settings.epoch * 1000) if settings.processes > 1 else 0,
                recorded_idle_ms=int(settings.recorded_idle * 1000),
                over_ms=max(GAP_MS.values()) + int(settings.allowed_lateness * 1000) + SECOND,
            ),
            stop=stop,
            on_commit=heartbeat(settings.state_dir).touch,
            on_read=on_read,
            epochs=timers.epochs,
        ),
        store=make_store(settings, process_id=process_id),
        escalations=kafka_sink(settings.escalation_topic),
        dead_letters=kafka_sink(settings.dead_letter_topic),
    )


def has_run(settings: Settings) -> bool:
    """Return whether an epoch was ever committed; then a partition without a snapshot is one that was added since."""
    return heartbeat(settings.state_dir).exists()
