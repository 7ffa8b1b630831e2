"""The supervisor, with small scripts in place of the workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flows import parts
from flows.settings import Settings
from infra.launch import Plan, Pulse, check, main, worker_command
from infra.state_folder import HALF_MADE, FolderInUseError, heartbeat, lock, sweep
from tests.processes import is_running

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0
HARNESS = """
import sys
from pathlib import Path
from infra.launch import Plan, Supervisor
folder, script, processes, watchdog, drain, start = sys.argv[1:]
times = {"watchdog": float(watchdog), "drain": float(drain), "start_timeout": float(start), "backoff": 0.1}
plan = Plan(processes=int(processes), state_dir=Path(folder), **times)
sys.exit(Supervisor(plan, lambda number: [sys.executable, "-c", script, str(number), folder]).run())
"""
PRELUDE = """
import os, signal, sys, time
from pathlib import Path
number, folder = int(sys.argv[1]), Path(sys.argv[2])
def started():
    with open(folder / "started", "a") as file:
        file.write(f"{number} {os.getpid()}\\n")
"""
DRAINS = PRELUDE + "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); started(); time.sleep(600)"
IMPORTING = PRELUDE + "started(); time.sleep(600)"
STUBBORN = PRELUDE + "signal.signal(signal.SIGTERM, lambda *_: None); started()\nwhile True: time.sleep(1)"
WRONG = PRELUDE + "started(); sys.exit(2)"
NOTHING_BUT_REJECTS = PRELUDE + "started(); sys.exit(4)"
FIRST_THE_INNOCENT = PRELUDE + "started(); time.sleep(0.4 * number); sys.exit(1 + number)"


@contextmanager
def supervised(
    folder: Path, script: str, processes: int = 2, watchdog: float = 60, drain: float = 30, start: float = 60
) -> Iterator[subprocess.Popen[str]]:
    command = [
        sys.executable,
        "-c",
        HARNESS,
        str(folder),
        script,
        str(processes),
        str(watchdog),
        str(drain),
        str(start),
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait(reached: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def workers(folder: Path) -> list[int]:
    """Process ids of all workers that ever started, in order."""
    path = folder / "started"
    return [int(line.split()[1]) for line in path.read_text().splitlines()] if path.exists() else []


def test_sigterm_drains_all_workers(tmp_path: Path) -> None:
    with supervised(tmp_path, DRAINS) as process:
        wait(lambda: len(workers(tmp_path)) == 2)
        process.terminate()
        _, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert "drained" in log
    assert not any(map(is_running, workers(tmp_path)))


def test_workers_that_have_not_begun_yet_are_drained_by_the_signal_itself(tmp_path: Path) -> None:
    with supervised(tmp_path, IMPORTING) as process:
        wait(lambda: len(workers(tmp_path)) == 2)
        process.terminate()
        _, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert "launch: drained" in log


def test_a_worker_that_does_not_drain_in_time_is_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, STUBBORN, drain=0.3) as process:
        wait(lambda: len(workers(tmp_path)) == 2)
        process.terminate()
        process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert not any(map(is_running, workers(tmp_path)))


def test_when_one_worker_ends_all_are_started_anew(tmp_path: Path) -> None:
    with supervised(tmp_path, DRAINS) as process:
        wait(lambda: len(workers(tmp_path)) == 2)
        first = workers(tmp_path)
        os.kill(first[0], signal.SIGKILL)
        wait(lambda: len(workers(tmp_path)) == 4)
        assert not any(map(is_running, first))
        process.terminate()
        _, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert "ended with status -9: all workers are killed and started anew" in log


def test_without_a_committed_epoch_the_watchdog_starts_all_anew(tmp_path: Path) -> None:
    with supervised(tmp_path, DRAINS, watchdog=1.5) as process:
        wait(lambda: len(workers(tmp_path)) >= 2)
        time.sleep(2)  # a start may take longer than an epoch
        for _ in range(10):  # committed epochs keep the watchdog quiet
            (tmp_path / "committed").touch()
            time.sleep(0.3)
        assert len(workers(tmp_path)) == 2
        wait(lambda: len(workers(tmp_path)) > 2)
        process.terminate()
        _, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert "launch: no epoch was committed for 2 s: all workers are killed" in log


def test_a_start_that_takes_too_long_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "committed").touch()  # by the run before
    with supervised(tmp_path, DRAINS, watchdog=0.1, start=1.5) as process:
        wait(lambda: len(workers(tmp_path)) > 2)
        process.terminate()
        _, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert "the first epoch was not committed within 2 s of the start (UNDERTONE_START_TIMEOUT): all workers" in log


@pytest.mark.parametrize("jump", [-7200, 7200], ids=["back", "forward"])
def test_a_clock_that_is_set_neither_blinds_the_watchdog_nor_lets_it_bite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    plan = Plan(processes=1, state_dir=tmp_path, watchdog=60)
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pulse = Pulse(plan)
    for second in (10, 20):
        now += 10
        heartbeat(tmp_path).touch()
        os.utime(heartbeat(tmp_path), (second, second))
        assert pulse.stopped() is None
    os.utime(heartbeat(tmp_path), (9000 + jump, 9000 + jump))
    now += 10
    assert pulse.stopped() is None
    now += 61
    assert pulse.stopped() == "no epoch was committed for 61 s"


def test_a_wrong_configuration_is_not_tried_again(tmp_path: Path) -> None:
    with supervised(tmp_path, WRONG, processes=1) as process:
        _, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 2
    assert "not started again" in log
    assert len(workers(tmp_path)) == 1


def test_a_job_that_refused_everything_is_not_started_again(tmp_path: Path) -> None:
    with supervised(tmp_path, NOTHING_BUT_REJECTS, processes=1) as process:
        _, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 4
    assert "nothing was accepted for too long, see above; not started again" in log
    assert len(workers(tmp_path)) == 1


def test_the_status_that_counts_is_not_that_of_the_worker_which_ended_first(tmp_path: Path) -> None:
    with supervised(tmp_path, FIRST_THE_INNOCENT) as process:
        _, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 2
    assert "worker 0 ended with status 1: the configuration is wrong" in log


def test_workers_die_with_their_supervisor_and_free_the_folder(tmp_path: Path) -> None:
    with supervised(tmp_path, STUBBORN) as process:
        wait(lambda: len(workers(tmp_path)) == 2)
        process.kill()
        wait(lambda: not any(map(is_running, workers(tmp_path))))
        lock(tmp_path).close()


def test_a_second_job_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(FolderInUseError, match=rf"process {os.getpid()}.* runs on {tmp_path}"):
        lock(tmp_path, patience=0.1)
    lock(tmp_path).close()


def test_a_folder_that_a_dying_job_still_holds_is_waited_for(tmp_path: Path) -> None:
    held = lock(tmp_path)
    threading.Timer(0.3, held.close).start()
    lock(tmp_path).close()


def test_the_published_secret_is_refused_outside_a_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("UNDERTONE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UNDERTONE_STATE_DIR", str(tmp_path / "state"))
    assert main([]) == 2
    assert "UNDERTONE_CUSTOMER_SECRET is not set" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
    check(Settings(demo=True))
    check(Settings(customer_secret="something long and random"))


def test_an_empty_secret_is_a_wrong_configuration_and_not_a_crash_that_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("UNDERTONE_CUSTOMER_SECRET", "")
    monkeypatch.setenv("UNDERTONE_STATE_DIR", str(tmp_path / "state"))
    assert main([]) == 2
    assert "infra.launch: UNDERTONE_CUSTOMER_SECRET needs 16 characters or more" in capsys.readouterr().err


def test_each_worker_is_told_the_addresses_of_all() -> None:
    settings = Settings(processes=2, base_port=3000)
    assert worker_command(settings)(0)[1:] == [
        "-m", "flows.live", "--process-id", "0", "--addresses", "127.0.0.1:3000;127.0.0.1:3001",
    ]  # fmt: skip
    assert worker_command(Settings())(0)[1:] == ["-m", "flows.live", "--process-id", "0"]


def test_half_made_recovery_stores_are_swept_away(tmp_path: Path) -> None:
    whole = parts.recovery_store(Settings(state_dir=tmp_path, recovery_partitions=2))
    half_made = tmp_path / f"{HALF_MADE}x1y2"
    half_made.mkdir()
    (half_made / "part-0.sqlite3").touch()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [whole]
    assert len(list(whole.iterdir())) >= 2


def test_a_backup_beside_the_recovery_store_is_left_alone(tmp_path: Path) -> None:
    whole = parts.recovery_store(Settings(state_dir=tmp_path, recovery_partitions=2))
    shutil.copytree(whole, tmp_path / "recovery-2026-11-01")
    (tmp_path / "recovery-2026-11-01.tar.gz").touch()
    sweep(tmp_path)
    assert (tmp_path / "recovery-2026-11-01.tar.gz").exists()
    assert len(list((tmp_path / "recovery-2026-11-01").iterdir())) >= 2
