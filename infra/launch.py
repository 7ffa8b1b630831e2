"""Run and supervise the live job: `python -m infra.launch`.

It starts `UNDERTONE_PROCESSES` worker processes, which form one cluster. When one of them ends or hangs, all are killed
and all are restarted, because the engine's processes cannot run without each other. SIGTERM or Ctrl-C drains: the last
epoch is committed and nothing is replayed at the next start. The state folder stays locked while any worker runs, even
after the supervisor was killed, because two jobs on one folder would count everything twice without an error.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Final

import msgspec

from flows.settings import Settings, SettingsError
from infra import recovery_store
from infra.exit_status import NEEDS_MENDING, TOO_MANY_REJECTS, WRONG_CONFIGURATION
from infra.mortal import bound
from infra.state_folder import FolderInUseError, heartbeat, lock, recovery, sweep

ROOT: Final = Path(__file__).resolve().parents[1]
NOT_AGAIN: Final = {
    WRONG_CONFIGURATION: "the configuration is wrong",
    TOO_MANY_REJECTS: "nothing was accepted for too long",
}
"""Statuses of a worker that also end the launcher, and the reason that it logs."""
CUT_SHORT: Final = "at most two epochs are replayed at the next start"
POLL_SECONDS: Final = 0.1
HEALTHY_SECONDS: Final = 60.0
FAIL_TOGETHER_SECONDS: Final = 1.0


class LaunchError(RuntimeError):
    """The job must not start; the message says why and what to do."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the supervisor. All times in seconds."""

    processes: int
    state_dir: Path
    watchdog: float = 60.0
    """After this time without a committed epoch, all workers are killed and restarted."""
    start_timeout: float = 600.0
    """The same limit from a start to its first committed epoch."""
    drain: float = 50.0
    """Longest time that a drain may take before the workers are killed."""
    backoff: float = 1.0
    """Pause before the first restart; it doubles with each restart until a run lasts longer than `HEALTHY_SECONDS`."""
    backoff_cap: float = 60.0


def log(message: str) -> None:
    """Print one line with the time in UTC to the standard error stream."""
    print(f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ} launch: {message}", file=sys.stderr, flush=True)


class Pulse:
    """Measures the time without a committed epoch, by the monotonic clock.

    A change of the heartbeat file's time shows that an epoch was committed; its value is not used: clocks can be set.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._seen = self._written()
        self._since = time.monotonic()
        self._started = False

    def stopped(self) -> str | None:
        """Return the limit that was exceeded, as a sentence; None while there is none."""
        now = time.monotonic()
        if (written := self._written()) != self._seen:
            self._seen, self._since, self._started = written, now, True
        age = now - self._since
        if self._started:
            return f"no epoch was committed for {age:.0f} s" if age > self._plan.watchdog else None
        if age <= self._plan.start_timeout:
            return None
        return f"the first epoch was not committed within {age:.0f} s of the start (UNDERTONE_START_TIMEOUT)"

    def _written(self) -> int:
        file = heartbeat(self._plan.state_dir)
        return file.stat().st_mtime_ns if file.exists() else 0


class Supervisor:
    """Runs `command(i)` for each process `i` until a signal ends the supervisor. Use once, from the main thread."""

    def __init__(self, plan: Plan, command: Callable[[int], Sequence[str]]) -> None:
        self._plan = plan
        self._command = command
        self._workers: list[subprocess.Popen[bytes]] = []
        self._signals = 0
        self._pause = plan.backoff

    def run(self) -> int:
        """Supervise; return 0 after a clean drain, 1 without one or if it is cut short, else one of `NOT_AGAIN`."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        with lock(self._plan.state_dir) as held:
            while True:
                self._clean()
                outcome = self._run_once(held)
                if outcome is not None:
                    return outcome
                if self._wait_out_pause():
                    log(f"ended without a drain: {CUT_SHORT}")
                    return 1

    def _clean(self) -> None:
        """Remove what killed workers left in the state folder, and what the engine never removes."""
        sweep(self._plan.state_dir)
        store = recovery(self._plan.state_dir)
        if uncommitted := recovery_store.drop_uncommitted(store):
            log(f"{uncommitted} snapshots of uncommitted epochs dropped from the recovery store")
        if discarded := recovery_store.prune(store):
            log(f"{discarded} discarded keys pruned from the recovery store")

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._signals += 1

    def _run_once(self, held: IO[str]) -> int | None:
        """Start and watch all workers; return the exit status, or None if they are to be restarted."""
        started, pulse = time.monotonic(), Pulse(self._plan)
        self._start(held)
        try:
            while not self._signals:
                reason = self._ended() or pulse.stopped()
                if reason is not None:
                    return self._failed(reason, started)
                time.sleep(POLL_SECONDS)
            return self._drain()
        finally:
            self._kill()

    def _start(self, held: IO[str]) -> None:
        for number in range(self._plan.processes):
            worker = subprocess.Popen(
                bound(self._command(number)),  # else workers of a killed supervisor would keep the folder locked
                cwd=ROOT,
                env={"RUST_BACKTRACE": "0", **os.environ},  # the engine's traces would hide the line with the cause
                pass_fds=(held.fileno(),),
                # Ctrl-C goes to the whole foreground process group, and an interrupted worker blocks its cluster.
                start_new_session=True,
            )
            self._workers.append(worker)
        log(f"started {self._plan.processes} worker(s): " + ", ".join(str(worker.pid) for worker in self._workers))

    def _ended(self) -> str | None:
        for number, worker in enumerate(self._workers):
            status = worker.poll()
            if status is not None:
                return f"worker {number} ended with status {status}"
        return None

    def _failed(self, reason: str, started: float) -> int | None:
        statuses = self._statuses()
        for status, why in NOT_AGAIN.items():
            if status in statuses:
                log(f"{reason}: {why}, see above; not started again")
                return status
        if time.monotonic() - started > HEALTHY_SECONDS:
            self._pause = self._plan.backoff
        if NEEDS_MENDING in statuses:
            reason += ": the job cannot go on before somebody mends what it says above"
        log(f"{reason}: all workers are killed and started anew in {self._pause:.1f} s")
        return None

    def _statuses(self) -> list[int | None]:
        """Return the exit statuses of the workers, after a short wait.

        A worker that fails makes the others fail, and any of them may end first.
        """
        until = time.monotonic() + FAIL_TOGETHER_SECONDS
        while time.monotonic() < until and any(worker.poll() is None for worker in self._workers):
            time.sleep(POLL_SECONDS)
        return [worker.poll() for worker in self._workers]

    def _wait_out_pause(self) -> bool:
        """Sleep for the pause before a restart; return True if a signal came meanwhile."""
        until = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, self._plan.backoff_cap)
        while time.monotonic() < until and not self._signals:
            time.sleep(POLL_SECONDS)
        return bool(self._signals)

    def _drain(self) -> int:
        log("draining: the last epoch is committed, then all workers end")
        for worker in self._workers:
            worker.terminate()
        until = time.monotonic() + self._plan.drain
        while any(worker.poll() is None for worker in self._workers):
            if time.monotonic() > until or self._signals > 1:
                log(f"the drain is cut short: {CUT_SHORT}")
                return 1
            time.sleep(POLL_SECONDS)
        statuses = [worker.returncode for worker in self._workers]
        # A worker that was ended by the signal itself had not installed its handler yet, so it has read nothing.
        drained = all(status in (0, -signal.SIGTERM) for status in statuses)
        log("drained" if drained else f"ended with status {statuses}")
        return int(not drained)

    def _kill(self) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.kill()
        for worker in self._workers:
            worker.wait()
        self._workers.clear()


def worker_command(settings: Settings) -> Callable[[int], list[str]]:
    """Return a function that gives the command line of each worker of the live job.

    >>> worker_command(Settings(processes=2))(1)[-3:]
    ['1', '--addresses', '127.0.0.1:2101;127.0.0.1:2102']
    """
    command = [sys.executable, "-m", "flows.live", "--process-id"]
    addresses = [f"127.0.0.1:{settings.base_port + number}" for number in range(settings.processes)]
    cluster = ["--addresses", ";".join(addresses)] if settings.processes > 1 else []
    return lambda number: [*command, str(number), *cluster]


def check(settings: Settings) -> None:
    """Check that the settings are fit for production. Raises `LaunchError`."""
    if settings.customer_secret == Settings().customer_secret and not settings.demo:
        raise LaunchError(
            "UNDERTONE_CUSTOMER_SECRET is not set. It keys the pseudonyms of customers: with the published default"
            " anybody could recompute them. Set it to a long random value and keep it (a new one changes the key of"
            " every customer), or set UNDERTONE_DEMO=1 for a demo."
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(argv)
    try:
        settings = Settings.from_env(os.environ)
        check(settings)
        plan = Plan(
            processes=settings.processes,
            state_dir=settings.state_dir,
            watchdog=settings.watchdog,
            start_timeout=settings.start_timeout,
            drain=options.drain,
            backoff=options.backoff,
            backoff_cap=options.backoff_cap,
        )
        return Supervisor(plan, worker_command(settings)).run()
    except (SettingsError, LaunchError, FolderInUseError) as error:
        print(f"infra.launch: {error}", file=sys.stderr)
        return WRONG_CONFIGURATION


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.launch",
        description="Run the live job and keep it running: starts UNDERTONE_PROCESSES workers, restarts all of them"
        " when one ends or when no epoch was committed for UNDERTONE_WATCHDOG seconds (UNDERTONE_START_TIMEOUT after a"
        " start), and drains on SIGTERM or Ctrl-C (a second one cuts the drain short).",
        epilog="Set at least UNDERTONE_BROKERS, UNDERTONE_STORE and UNDERTONE_CUSTOMER_SECRET;"
        " all settings are in docs/data-engineers.md."
        " Exit status: 0 drained, 1 the drain was cut short, 2 wrong configuration, 4 nothing but rejects.",
    )
    parser.add_argument("--drain", type=float, default=50.0, metavar="SECONDS", help="longest drain (50)")
    parser.add_argument("--backoff", type=float, default=1.0, metavar="SECONDS", help="pause before a restart (1)")
    parser.add_argument("--backoff-cap", type=float, default=60.0, metavar="SECONDS", help="longest such pause (60)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
