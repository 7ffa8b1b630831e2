"""The embedded parts of the demo, and the job as a process of its own, just as it runs against real ones.

This process holds the mock Kafka and owns the store; the job and the wall reach the store through the HTTP front.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from flows.settings import PREFIX
from infra.wallboard import Latency

TOPICS = {"undertone.events": 4, "undertone.escalations": 2, "undertone.dead_letters": 1, "undertone.feedback": 1}
KEPT_VARIABLES = frozenset({"SCORER", "MODEL_DIR", "RULES", "SCORER_THREADS"})
"""Settings that a user may change for the demo; all others are the demo's own."""
HISTOGRAMS = {"undertone_row_latency_seconds": "to row", "undertone_escalation_latency_seconds": "to escalation"}
START_SECONDS = 60.0
STOP_SECONDS = 60.0


class DemoError(RuntimeError):
    """A part of the demo failed; the message says which, and where to look."""


def free_port() -> int:
    """A loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def job_environment(environ: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The job's environment: ours, without settings meant for a real job, plus the demo's.

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
    """Empty the demo's folder; only one that a demo made, or an empty one, is touched.

    Raises:
        DemoError: The folder holds something else.
    """
    mark = folder / ".undertone-demo"
    if folder.exists() and any(folder.iterdir()) and not mark.exists():
        raise DemoError(f"{folder} is not empty and was not made by the demo; choose another --state")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mark.touch()
    return folder


class Job:
    """`python -m flows.live` as a child process; its output goes to `log`."""

    def __init__(self, own: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._metrics = f"http://127.0.0.1:{own['METRICS_PORT']}/metrics"
        with log.open("wb") as out:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "flows.live"],
                env=job_environment(os.environ, own),
                cwd=Path(__file__).resolve().parents[2],
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Job:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """Raise `DemoError` with the end of its log if the job has died."""
        status = self._process.poll()
        if status is not None:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-12:])
            raise DemoError(f"the job ended with status {status}; the end of {self._log}:\n{tail}")

    def wait_ready(self) -> None:
        """Return once it answers on its metrics port."""
        deadline = time.monotonic() + START_SECONDS
        while not self._scrape():
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(f"the job was not up after {START_SECONDS:.0f} s; see {self._log}")
            time.sleep(0.1)

    def drain(self) -> None:
        """Ask it to stop, and wait until it has written everything."""
        self.check()
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise DemoError(f"the job did not stop within {STOP_SECONDS:.0f} s; see {self._log}") from None
        if status:
            raise DemoError(f"the job ended with status {status}; see {self._log}")

    def records_read(self) -> int:
        """Records that it has read so far."""
        return int(sum(value for name, _, value in self._samples() if name == "undertone_records_read_total"))

    def latencies(self) -> tuple[Latency, ...]:
        """Percentiles since it started, from Kafka's timestamp on."""
        samples = list(self._samples())
        found = ((title, _buckets(samples, f"{name}_bucket")) for name, title in HISTOGRAMS.items())
        return tuple(
            Latency(name=title, p50=1000 * quantile(buckets, 0.5), p95=1000 * quantile(buckets, 0.95))
            for title, buckets in found
            if buckets and buckets[-1][1]
        )

    def _samples(self) -> Iterator[tuple[str, dict[str, str], float]]:
        for family in text_string_to_metric_families(self._scrape()):
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value

    def _scrape(self) -> str:
        try:
            with urlopen(self._metrics, timeout=2) as answer:  # noqa: S310 - our own loopback address
                return str(answer.read().decode())
        except (URLError, OSError):
            return ""


Buckets = list[tuple[float, float]]
"""Upper bound in seconds, and how many observations lie at or below it; ascending."""


def _buckets(samples: list[tuple[str, dict[str, str], float]], name: str) -> Buckets:
    counts: dict[float, float] = {}
    for sample, labels, value in samples:
        if sample == name and labels.get("table", "scored_events") == "scored_events":
            bound = float(labels["le"])
            counts[bound] = counts.get(bound, 0.0) + value
    return sorted(counts.items())


def quantile(buckets: Buckets, share: float) -> float:
    """Estimate a quantile from cumulative buckets, linear within a bucket, as Prometheus does.

    >>> quantile([(0.1, 50.0), (0.2, 100.0), (float("inf"), 100.0)], 0.75)
    0.15
    """
    wanted = share * buckets[-1][1]
    below, lower = 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            return lower if bound == float("inf") else lower + (bound - lower) * (wanted - below) / (count - below)
        below, lower = count, bound
    return lower


@contextmanager
def told(say: Callable[[str], None], what: str) -> Iterator[None]:
    """Say that a step begins, and how long it took."""
    begun = time.monotonic()
    yield
    say(f"{what} ({time.monotonic() - begun:.1f} s)")
