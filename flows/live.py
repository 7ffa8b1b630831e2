"""The live job: reads Kafka, writes rows to ClickHouse and escalations to Kafka. `python -m flows.live --help`.

`python -m bytewax.run "flows.live:main"` runs the same graph under Bytewax's own command line, but only as one process
with one worker: partitions are assigned by process number, which only `python -m flows.live` passes to the graph. It
keeps its state only with `-r`, which must name the recovery store of the state folder.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import IO

from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig
from bytewax.run import _parse_args as parse_engine_args
from bytewax.run import cli_main

from flows import ending
from flows.announce import announce, log_to_stderr
from flows.parts import check_topics, make_ends, make_intake, make_reducer, make_scorer, recovery_store
from flows.pipeline import pipeline
from flows.settings import Settings, SettingsError
from infra.recovery_store import drop_uncommitted, size
from infra.state_folder import lock
from operators import metrics
from operators.clock import now_ms
from operators.rules import Rules
from operators.ticks import Timers

_held: list[IO[str]] = []
"""Open lock files of `main`. `bytewax.run` runs none of our code after `main` returns, so they stay referenced here: a
lock ends when its file is closed."""


def main() -> Dataflow:
    """Build the dataflow from the environment; Bytewax's command line calls this.

    Locks the state folder until the process ends.

    Raises:
        SettingsError: A setting is wrong, or the environment or the command line asks for more than one worker or for
            another recovery store.
        FolderInUseError: Another job has the state folder.
    """
    log_to_stderr()
    settings, asked = Settings.from_env(os.environ), parse_engine_args()
    addresses = (asked.addresses or "").split(";")
    if max(settings.processes, len(addresses), asked.workers_per_process or 1) > 1:
        raise SettingsError(
            "bytewax.run runs this job as one process with one worker: for more, set UNDERTONE_PROCESSES and run"
            " `python -m infra.launch`"
        )
    _held.append(lock(settings.state_dir, name="lock-0"))
    store = _prepare(settings, alone=True)
    if asked.recovery_directory is not None and asked.recovery_directory.resolve() != store.resolve():
        raise SettingsError(f"-r must be {store}, the recovery store of UNDERTONE_STATE_DIR")
    return build(settings, stop=drain_on_sigterm())


def build(settings: Settings, stop: Callable[[], bool], *, process_id: int = 0) -> Dataflow:
    """Build the dataflow with the real parts that `settings` name, for one process and its share of the partitions."""
    rules = Rules.load(settings.rules)
    timers = Timers()
    scorer = make_scorer(settings)
    announce(settings, scorer, rules, process_id=process_id)
    intake = make_intake(settings, scorer, now_ms)
    return pipeline(
        make_ends(settings, timers, stop, intake.begin, process_id=process_id),
        intake,
        make_reducer(settings, rules),
        timers,
        rules.keyword_bits,
        shard=str(process_id),
        reject_run_limit=settings.reject_run_limit,
    )


def run(settings: Settings, *, process_id: int = 0, addresses: Sequence[str] = ()) -> None:
    """Run one worker until it is drained (SIGTERM) or fails; `addresses` lists all processes when there are several.

    Raises:
        SettingsError: `settings`, `addresses` and `process_id` do not agree on the number of processes, or the settings
            do not name a topic any more that the recovery store has state of.
        FolderInUseError: Another job has the state folder.
    """
    check_processes(settings, process_id, addresses)
    log_to_stderr()
    with lock(settings.state_dir, name=f"lock-{process_id}"):
        _run(settings, process_id, addresses)


def _run(settings: Settings, process_id: int, addresses: Sequence[str]) -> None:
    recovery = _prepare(settings, alone=not addresses)
    stop = drain_on_sigterm()
    flow = build(settings, stop, process_id=process_id)
    metrics.start_server(settings.metrics_host, settings.metrics_port and settings.metrics_port + process_id)
    if process_id == 0:
        metrics.RECOVERY_SIZE.set_function(lambda: size(recovery))
    tune_interpreter()
    cli_main(
        flow,
        process_id=process_id if addresses else None,
        addresses=list(addresses) or None,
        epoch_interval=timedelta(seconds=settings.epoch),
        recovery_config=RecoveryConfig(str(recovery)),
    )


def _prepare(settings: Settings, *, alone: bool) -> Path:
    """Return the recovery store, checked, and rid of what the engine should not read. Call before the engine opens it.

    Of several processes one may read the store already: there the supervisor has cleaned it.
    """
    check_topics(settings)
    store = recovery_store(settings)
    if alone:
        drop_uncommitted(store)
    return store


def check_processes(settings: Settings, process_id: int, addresses: Sequence[str]) -> None:
    """Refuse settings and addresses that differ in the number of processes.

    Else some partitions would not be read, or some processes would not get every partition's stream time.

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


def tune_interpreter() -> None:
    """Run the cyclic garbage collector rarely, and let the scorer's thread have the interpreter soon.

    Records contain no cycles and are freed by reference counting; with its default thresholds the collector traverses
    the states of all customers often, at a cost that grows with their number. Between two calls of ONNX Runtime the
    scorer's thread needs the interpreter for a moment, for which by default it waits up to 5 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    sys.setswitchinterval(0.0005)


def drain_on_sigterm() -> Callable[[], bool]:
    """Install a SIGTERM handler and return a function that tells whether the signal came.

    The sources then end, the last epoch is committed, and the next start replays nothing.
    """
    stop = threading.Event()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
    return stop.is_set


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
    """Run the command line; return 0 after a drain, else a status of `flows.ending`."""
    options = _parser().parse_args(argv)
    addresses = [address for address in options.addresses.split(";") if address]
    return ending.status(
        "flows.live",
        lambda: run(Settings.from_env(os.environ), process_id=options.process_id, addresses=addresses),
    )


if __name__ == "__main__":
    ending.leave(cli())
