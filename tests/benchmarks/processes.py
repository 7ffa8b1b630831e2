"""One process against two, under the supervisor, all else on the same cores: broker, store front and producer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

from infra import traffic
from infra.embedded_kafka import MockCluster
from infra.mortal import bound
from infra.ports import free_ports
from tests.benchmarks.report import heading, progress, say
from tests.flows.job import PATIENCE_SECONDS, TOPICS, send
from tests.metrics_page import page, total
from tests.store_reader import ROOT

READ = "undertone_records_read_total"


def measure(events: int) -> None:
    """Print how long each takes for the same events, and the ratio."""
    heading(f"One process against two ({events:,} events, {os.cpu_count()} cores shared with broker and store)")
    with MockCluster(TOPICS) as cluster:
        send(cluster.bootstrap_servers, distinct(traffic.bulk(seed=4, n=events, customers=2_000)))
        seconds = {}
        for processes in (1, 2):
            progress(f"{processes} process(es)")
            seconds[processes] = _run(cluster.bootstrap_servers, events, processes)
            say(f"{processes} process(es)", f"{events / seconds[processes]:,.0f} /s")
    ratio = seconds[1] / seconds[2]
    say("two / one", f"{ratio:.2f}", ">= 1.8", ratio >= 1.8)


def distinct(records: Iterable[traffic.Sent]) -> Iterator[traffic.Sent]:
    """The same with a number before each text, so that none is remembered from before."""
    for number, sent in enumerate(records):
        yield sent._replace(payload=sent.payload.replace(b'"text":"', b'"text":"No %d: ' % number, 1))


def _run(brokers: str, events: int, processes: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        store_port, metrics_port, _, base, _ = free_ports(5)
        front = _front(Path(folder), store_port)
        environment = {
            **os.environ,
            "UNDERTONE_BROKERS": brokers,
            "UNDERTONE_STORE": f"clickhouse://default@127.0.0.1:{store_port}/undertone",
            "UNDERTONE_STATE_DIR": f"{folder}/state",
            "UNDERTONE_PROCESSES": str(processes),
            "UNDERTONE_BASE_PORT": str(base),
            "UNDERTONE_METRICS_PORT": str(metrics_port),
            "UNDERTONE_DEMO": "1",
            # Records are counted at the end of each epoch: epochs must be short beside the run, yet not all of it.
            "UNDERTONE_EPOCH": "4",
            "UNDERTONE_BATCH": "50",
        }
        migrate = [sys.executable, "-m", "infra.clickhouse", "migrate"]
        subprocess.run(migrate, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        launch = bound([sys.executable, "-m", "infra.launch"])
        job = subprocess.Popen(launch, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        try:
            return _time(range(metrics_port, metrics_port + processes), events, job)
        finally:
            for process in (job, front):
                process.send_signal(signal.SIGTERM)
                process.wait(PATIENCE_SECONDS)


def _front(folder: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "infra.clickhouse_front", "--path", str(folder / "db"), "--port", str(port)]
    front = subprocess.Popen(bound(command), cwd=ROOT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=1).close()
        except OSError:  # noqa: PERF203 - waiting is the point
            time.sleep(0.1)
        else:
            return front
    raise AssertionError("the front over the embedded store did not start")


def _time(ports: range, events: int, job: subprocess.Popen[bytes]) -> float:
    """Seconds for all records at the rate between the first epoch's end and the last one's; starting is not counted."""
    began, before = 0.0, 0.0
    while job.poll() is None:
        done = total(map(page, ports), READ)
        if done > 0 and not began:
            began, before = time.perf_counter(), done
        if done >= events:
            assert before < events / 2, "too few events to measure a rate: ask for more with --events"
            return (time.perf_counter() - began) * events / (events - before)
        time.sleep(0.25)
    raise AssertionError("the job ended before it had read everything")
