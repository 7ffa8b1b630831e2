"""The supervised job on a broker and a store, with ways to hurt it."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from confluent_kafka import Producer

from infra.mortal import bound
from infra.ports import free_ports
from infra.traffic import Sent
from operators.records import Origin, Raw
from tests.kafka_traffic import read_all
from tests.metrics_page import page, total, wait_until_quiet
from tests.processes import is_running
from tests.store_reader import ROOT

PATIENCE_SECONDS = 240.0
PARTITIONS = {"events": 4, "escalations": 2, "dead_letters": 2, "feedback": 1}


class Topics:
    """Topics of one test, on a broker that others use too."""

    def __init__(self, broker: Any, run: str) -> None:
        self.brokers: str = broker.bootstrap_servers
        self.names = {name: f"{run}.{name}" for name in PARTITIONS}
        for name, partitions in PARTITIONS.items():
            broker.create_topic(self.names[name], partitions)

    def fill(self, records: list[Sent]) -> None:
        """Produce all and wait for the acknowledgements."""
        producer = Producer({"bootstrap.servers": self.brokers, "linger.ms": 5, "enable.idempotence": True})
        for record in records:
            producer.produce(self.names["events"], record.payload, record.key)
        assert producer.flush(PATIENCE_SECONDS) == 0

    def raws(self) -> list[Raw]:
        """All source records as the job reads them, partition by partition."""
        found: list[Raw] = []
        for message in read_all(self.brokers, self.names["events"]):
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            origin = Origin(
                topic=self.names["events"], partition=partition, offset=offset, broker_ms=message.timestamp()[1]
            )
            found.append(Raw(payload=message.value(), origin=origin))
        return found

    def settings(self) -> dict[str, str]:
        """The job's settings for these topics."""
        return {
            "UNDERTONE_BROKERS": self.brokers,
            "UNDERTONE_TOPICS": self.names["events"],
            "UNDERTONE_ESCALATION_TOPIC": self.names["escalations"],
            "UNDERTONE_DEAD_LETTER_TOPIC": self.names["dead_letters"],
            "UNDERTONE_FEEDBACK_TOPIC": self.names["feedback"],
        }


class SupervisedJob:
    """`infra.launch` with its workers, for the length of a `with` block."""

    def __init__(self, folder: Path, processes: int, settings: dict[str, str]) -> None:
        self._log = folder / "launch.log"
        self._processes = processes
        ports = free_ports(2 * processes)
        self._metrics_port = ports[processes]
        self.environment = {
            "PATH": os.environ["PATH"],
            "UNDERTONE_STATE_DIR": str(folder / "state"),
            "UNDERTONE_PROCESSES": str(processes),
            "UNDERTONE_BASE_PORT": str(ports[0]),
            "UNDERTONE_METRICS_PORT": str(self._metrics_port),
            "UNDERTONE_SCORER": "fake",
            "UNDERTONE_EPOCH": "0.5",
            "UNDERTONE_RECOVERY_PARTITIONS": "2",
            "UNDERTONE_DEMO": "1",
            **settings,
        }

    def start(self) -> None:
        """Start the supervisor; a lock that dying workers still hold is waited for."""
        command = [sys.executable, "-m", "infra.launch", "--backoff", "0.1", "--backoff-cap", "0.2"]
        with self._log.open("ab") as log:
            self._supervisor = subprocess.Popen(bound(command), cwd=ROOT, env=self.environment, stdout=log, stderr=log)

    def __enter__(self) -> SupervisedJob:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._supervisor.kill()
        self._supervisor.wait()

    @property
    def log(self) -> str:
        """All that supervisor and workers printed."""
        return self._log.read_text()

    def starts(self) -> int:
        """How often all workers were started."""
        return self.log.count("launch: started")

    def workers(self) -> list[int]:
        """Process ids of the workers started last."""
        lines: list[str] = re.findall(r"launch: started \d+ worker\(s\): ([\d, ]+)", self.log)
        return [int(pid) for pid in lines[-1].split(",")] if lines else []

    def kill_worker(self, number: int) -> None:
        """Kill one worker; the supervisor starts all anew."""
        before = self.starts()
        os.kill(self.workers()[number % self._processes], signal.SIGKILL)
        self.wait(lambda: self.starts() > before)

    def hang_worker(self, number: int) -> None:
        """Stop one worker without ending it; the watchdog has to notice."""
        before = self.starts()
        os.kill(self.workers()[number % self._processes], signal.SIGSTOP)
        self.wait(lambda: self.starts() > before)

    def kill_supervisor(self) -> None:
        """Kill the supervisor and start another as soon as its workers have let the folder go."""
        workers = self.workers()
        self._supervisor.kill()
        self._supervisor.wait()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(map(is_running, workers)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.start()

    def metric(self, name: str) -> float:
        """Sum of a metric over labels and workers; -1 until every worker shows it."""
        shown = [total([page(self._metrics_port + number)], name) for number in range(self._processes)]
        return -1.0 if -1.0 in shown else sum(shown)

    def wait(self, reached: Callable[[], bool]) -> None:
        """Wait for a condition; fail loudly when the supervisor ends or nothing moves."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            ended = self._supervisor.poll() is not None
            assert not ended, self.log[-3000:]
            assert time.monotonic() < deadline, self.log[-3000:]
            time.sleep(0.05)

    def wait_for_progress(self, rng: random.Random) -> None:
        """Until the workers that run now have read records and there are more, then up to two epochs longer."""
        self.wait(lambda: self.metric("undertone_records_read_total") > 0)
        assert self.metric("undertone_kafka_lag_records") != 0, "the load ended before the harm was done"
        time.sleep(rng.uniform(0.0, 1.2))

    def wait_until_quiet(self) -> None:
        """Until the job has written all that it will write of what is in its topics."""
        wait_until_quiet(self.metric, PATIENCE_SECONDS, lambda: self.log)

    def end(self) -> int:
        """Let it end by itself; the exit status."""
        return self._supervisor.wait(PATIENCE_SECONDS)

    def drain(self) -> int:
        """SIGTERM; the exit status."""
        self._supervisor.terminate()
        return self._supervisor.wait(PATIENCE_SECONDS)


def finish(folder: Path, processes: int, settings: dict[str, str]) -> None:
    """Let the job read the rest, undisturbed and at full speed."""
    with SupervisedJob(folder, processes, settings) as job:
        job.wait_until_quiet()
        assert job.drain() == 0
