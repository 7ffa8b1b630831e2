"""The live job: Kafka in, ClickHouse and escalations out. `python -m flows.live --help`.

`python -m bytewax.run "flows.live:main"` runs the same graph under Bytewax's own command line, in one process with one
worker: the shares of more are dealt out by number, which only `python -m flows.live` tells the graph.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import _parse_args as parse_engine_args
from bytewax.run import cli_main

from flows import ending
from flows.intake import Intake, Policy
from flows.pipeline import Ends, pipeline
from flows.settings import Settings, SettingsError
from infra.store import connector
from models.bundle import read_config
from models.drift import Monitor
from models.drift import load as drift_references
from models.repeats import Repeats
from models.scorer import FakeScorer, OnnxScorer, Scorer
from operators import metrics
from operators.clickhouse_sink import ClickHouseSink
from operators.customer_state import CustomerReducer
from operators.identity import Identity
from operators.kafka_sink import KafkaSink
from operators.kafka_source import KafkaSource, ReadOptions
from operators.language import spelled
from operators.parameters import GAP_MS, SECOND, Parameters
from operators.rules import Rules
from operators.ticks import Timers, routes


def main() -> Dataflow:
    """Make the dataflow from the environment; Bytewax's command line calls this.

    Raises:
        SettingsError: The environment or that command line asks for more than one worker.
    """
    settings, told = Settings.from_env(os.environ), parse_engine_args()
    addresses = (told.addresses or "").split(";")
    if max(settings.processes, len(addresses), told.workers_per_process or 1) > 1:
        raise SettingsError(
            "bytewax.run runs this job as one process with one worker: for more, set UNDERTONE_PROCESSES and run"
            " `python -m infra.launch`"
        )
    return build(settings, stop=drain_on_sigterm())


def build(settings: Settings, stop: Callable[[], bool], *, process_id: int = 0) -> Dataflow:
    """Make the dataflow with the real parts that `settings` name, for one of the processes that read a share each."""
    rules = Rules.load(settings.rules)
    timers = Timers()
    return pipeline(
        make_ends(settings, timers, stop, process_id=process_id),
        make_intake(settings, make_scorer(settings), now_ms),
        make_reducer(settings, rules),
        timers,
        rules.keyword_bits,
        shard=str(process_id),
    )


def run(settings: Settings, *, process_id: int = 0, addresses: Sequence[str] = ()) -> None:
    """Run until drained (SIGTERM) or failed. One worker; `addresses` of all processes when there are several.

    Raises:
        SettingsError: `settings`, `addresses` and `process_id` do not agree on how many processes there are.
    """
    check_processes(settings, process_id, addresses)
    stop = drain_on_sigterm()
    flow = build(settings, stop, process_id=process_id)
    metrics.start_server(settings.metrics_host, settings.metrics_port and settings.metrics_port + process_id)
    calm_collector()
    cli_main(
        flow,
        process_id=process_id if addresses else None,
        addresses=list(addresses) or None,
        epoch_interval=timedelta(seconds=settings.epoch),
        recovery_config=RecoveryConfig(str(recovery_store(settings))),
    )


def check_processes(settings: Settings, process_id: int, addresses: Sequence[str]) -> None:
    """Refuse two numbers of processes: some would read nothing, or never hear how far time has come.

    >>> check_processes(Settings(processes=2), 2, ["a:1", "b:1"])
    Traceback (most recent call last):
    flows.settings.SettingsError: --process-id must be from 0 to 1
    """
    count = len(addresses) or 1
    if count != settings.processes:
        raise SettingsError(
            f"processes by --addresses: {count}; set UNDERTONE_PROCESSES to {count}, or let infra.launch start them all"
        )
    if not 0 <= process_id < count:
        raise SettingsError(f"--process-id must be from 0 to {count - 1}")


def calm_collector() -> None:
    """Let the cycle collector look seldom: records are trees that end with their last reference.

    By default it walks the states of all customers again and again, which costs the more the more there are.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def make_scorer(settings: Settings) -> Scorer:
    """Load what `UNDERTONE_SCORER` names."""
    if settings.scorer == "fake":
        return FakeScorer()
    return Repeats(OnnxScorer.load(settings.model_dir, threads=settings.scorer_threads))


def make_intake(settings: Settings, scorer: Scorer, clock: Callable[[], int]) -> Intake:
    """Assemble the first step."""
    allowed = frozenset(entry.strip() for entry in settings.acoustic_tenants.split(",") if entry.strip())
    policy = Policy(
        feedback_topic=settings.feedback_topic,
        default_region=settings.default_region,
        reject_run_limit=settings.reject_run_limit,
        languages=frozenset(map(spelled, read_config(settings.model_dir).languages)),
        acoustic_allowed=lambda tenant, region: tenant in allowed or f"{tenant}/{region}" in allowed,
    )
    # The stub has no traffic that it was calibrated on.
    drift = None if settings.scorer == "fake" else Monitor(drift_references(settings.model_dir))
    return Intake(policy, Identity(settings.customer_secret, settings.default_region), scorer, clock, drift)


def make_reducer(settings: Settings, rules: Rules) -> CustomerReducer:
    """Assemble the keyed step's reducers."""
    return CustomerReducer(Parameters(), rules, lateness_ms=int(settings.allowed_lateness * 1000))


def make_store(settings: Settings) -> ClickHouseSink:
    """Assemble the store's sink, one part a process."""
    return ClickHouseSink(
        connector(settings.store, settings.store_password),
        partitions=settings.processes,
        flush_interval=settings.flush_interval,
    )


def recovery_store(settings: Settings) -> Path:
    """Make the recovery store on first use; its number of partitions is then fixed.

    It is made under another name: a store that is whole appears at once, however many processes start together, and a
    kill in the middle leaves none rather than one that lacks partitions and can never be opened.
    """
    folder = settings.state_dir / "recovery"
    if not any(folder.glob("*.sqlite3")):
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix="recovery-", dir=settings.state_dir))
        init_db_dir(str(made), settings.recovery_partitions)
        try:
            made.rename(folder)
        except OSError:
            if not any(folder.glob("*.sqlite3")):
                raise
            shutil.rmtree(made)  # another process of the job was first
    return folder


def has_run(settings: Settings) -> bool:
    """Whether an epoch was ever committed: a partition that the store does not know is then a new one."""
    return heartbeat(settings).exists()


def heartbeat(settings: Settings) -> Path:
    """File that is touched at each committed epoch; the supervisor's watchdog looks at its age."""
    return settings.state_dir / "committed"


def drain_on_sigterm() -> Callable[[], bool]:
    """On SIGTERM the sources end, the last epoch is committed, and nothing is replayed at the next start."""
    stop = threading.Event()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
    return stop.is_set


def now_ms() -> int:
    """Wall clock in milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def make_ends(settings: Settings, timers: Timers, stop: Callable[[], bool], *, process_id: int = 0) -> Ends:
    """Assemble source and sinks of one process."""
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
            on_commit=heartbeat(settings).touch,
            epochs=timers.epochs,
        ),
        store=make_store(settings),
        escalations=KafkaSink(settings.brokers, settings.escalation_topic, settings=settings.kafka),
        dead_letters=KafkaSink(settings.brokers, settings.dead_letter_topic, settings=settings.kafka),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m flows.live",
        description="Run one process of the live job. Configuration comes from UNDERTONE_* variables"
        " (docs/data-engineers.md); `python -m infra.launch` runs and supervises all processes.",
    )
    parser.add_argument("--process-id", type=int, default=0, help="number of this process, from 0")
    parser.add_argument(
        "--addresses", default="", help="host:port of every process, UNDERTONE_PROCESSES of them, separated by ';'"
    )
    return parser


def cli(argv: Sequence[str] | None = None) -> int:
    """Command line; 0 after a drain, else a status of `flows.ending`."""
    options = _parser().parse_args(argv)
    addresses = [address for address in options.addresses.split(";") if address]
    return ending.status(
        "flows.live",
        lambda: run(Settings.from_env(os.environ), process_id=options.process_id, addresses=addresses),
    )


if __name__ == "__main__":
    ending.leave(cli())
