"""The embedded parts of the demo, and the job, which runs in its own process as in production.

The mock Kafka runs in this process. The HTTP front owns the embedded store, so that the job can write to it while the
wallboard reads.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

from clickhouse_connect.driver.client import Client

from flows.demo.gauges import Gauges
from flows.settings import PREFIX
from infra.clickhouse.migrate import migrate
from infra.clickhouse.render import Target
from infra.embedded_kafka import MockCluster
from infra.mortal import bound
from infra.ports import free_port
from infra.store import open_store

TOPICS = {"undertone.events": 4, "undertone.escalations": 2, "undertone.dead_letters": 1, "undertone.feedback": 1}
KEPT_VARIABLES = frozenset({"SCORER", "MODEL_DIR", "RULES", "SCORER_THREADS"})
"""Settings that the demo takes from the user's environment; it sets or drops all others."""
SECONDS = 60.0
"""Most seconds that a part may take to start or to stop."""
ROOT = Path(__file__).resolve().parents[2]
MARK = ".made-by-the-demo"


class DemoError(RuntimeError):
    """A part of the demo failed; the message names the part and its log."""


class Child:
    """Runs `python -m module` as a child process until its `with` block ends; its output goes to a log file."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
        self._name = arguments[0]
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(  # noqa: S603 - modules of this project
                bound([sys.executable, "-m", *arguments]),
                env=dict(environment),
                cwd=ROOT,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # only the demo gets Ctrl-C; it then stops its parts in order
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """Raise `DemoError` with the end of the log if the process has ended."""
        status = self._process.poll()
        if status is not None:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-12:])
            raise DemoError(f"{self._name} ended with status {status}; the end of {self._log}:\n{tail}")

    def wait_for(self, ready: Callable[[], bool]) -> None:
        """Return once `ready`; raise `DemoError` if the process ends or takes too long."""
        deadline = time.monotonic() + SECONDS
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(f"{self._name} was not up after {SECONDS:.0f} s; see {self._log}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Send SIGTERM and wait until the process has ended."""
        self.check()
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise DemoError(f"{self._name} did not stop within {SECONDS:.0f} s; see {self._log}") from None
        if status not in (0, -signal.SIGTERM):
            raise DemoError(f"{self._name} ended with status {status}; see {self._log}")


class Stack:
    """The running parts: Kafka's address, a client of the store, the job and its metrics."""

    def __init__(self, brokers: str, client: Client, job: Child, gauges: Gauges) -> None:
        self.brokers = brokers
        self.client = client
        self.job = job
        self.gauges = gauges


@contextmanager
def stack(folder: Path, idle: float, say: Callable[[str], None]) -> Iterator[Stack]:
    """Start all parts with their files in `folder`, and print each start; at the end, stop the parts that still run.

    `idle` is the number of seconds without a record after which the job treats its input as complete.
    """
    with ExitStack() as parts:
        with told(say, "1/4  Kafka: librdkafka's mock cluster, in this process"):
            kafka = parts.enter_context(MockCluster(TOPICS))
        with told(say, "2/4  Store: chDB, the ClickHouse engine, behind a loopback port"):
            dsn = _store(parts, folder)
            client = open_store(dsn)
            parts.callback(client.close)
        with told(say, "3/4  Schema: numbered migrations"):
            migrate(client, Target(profile="embedded"))
        with told(say, "4/4  Job: python -m flows.live, with the model"):
            job, gauges = _job(parts, folder, kafka.bootstrap_servers, dsn, idle)
        yield Stack(kafka.bootstrap_servers, client, job, gauges)


def _store(parts: ExitStack, folder: Path) -> str:
    port = free_port()
    arguments = ["infra.clickhouse_front", "--path", str(folder / "store"), "--port", str(port)]
    front = parts.enter_context(Child(arguments, os.environ, folder / "store.log"))
    front.wait_for(lambda: _accepts(port))
    return f"clickhouse://undertone@127.0.0.1:{port}/undertone"


def _job(parts: ExitStack, folder: Path, brokers: str, dsn: str, idle: float) -> tuple[Child, Gauges]:
    port = free_port()
    own = {
        "BROKERS": brokers,
        "STORE": dsn,
        "STATE_DIR": str(folder / "state"),
        "METRICS_PORT": str(port),
        "EPOCH": "5",
        "RECORDED_IDLE": str(idle),
        "DEMO": "1",
    }
    job = parts.enter_context(Child(["flows.live"], job_environment(os.environ, own), folder / "job.log"))
    gauges = Gauges(port)
    job.wait_for(gauges.reading)
    return job, gauges


def job_environment(environ: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Environment of the job: that of this process without settings for a real job, plus the demo's settings.

    >>> job_environment({"HOME": "/h", "UNDERTONE_BROKERS": "real:9092", "UNDERTONE_RULES": "r"}, {"EPOCH": "2"})
    {'HOME': '/h', 'UNDERTONE_RULES': 'r', 'UNDERTONE_EPOCH': '2'}
    """
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith(PREFIX) or name[len(PREFIX) :] in KEPT_VARIABLES
    }
    return {**kept, **{PREFIX + name: value for name, value in own.items()}}


def fresh(folder: Path) -> Path:
    """Empty the demo's folder, or create it; a folder that no demo made is not touched.

    Raises:
        DemoError: The folder holds something else.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise DemoError(f"{folder} is not empty and was not made by the demo; choose another --state")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    return folder


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """Empty the demo's folder, and lock it against other demos.

    Raises:
        DemoError: Another demo is using it, or it holds something else.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"another demo is using {folder}; wait for its end or choose another --state") from None
        yield fresh(folder)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def told(say: Callable[[str], None], what: str) -> Iterator[None]:
    """Print that a step begins, and then how long it took."""
    say(f"{what} ... ")
    begun = time.monotonic()
    yield
    say(f"{time.monotonic() - begun:.1f} s\n")
