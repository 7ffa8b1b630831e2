"""Fetch, start and stop one Kafka broker in KRaft mode (broker and controller in one process), on loopback.

For tests, for demos with a real broker, and for machines without containers. There is one broker and no replication,
so do not use it in production.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from types import TracebackType
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.kafka.security import LISTENER, CertificateError, Login, make_certificate
from infra.mortal import bound
from infra.ports import free_ports

HERE: Final = Path(__file__).parent
JARS: Final = HERE / "target" / "jars"
MARK: Final = HERE / "target" / "pom.fetched"
START_SECONDS: Final = 90.0
_JVM: Final = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class KafkaStartError(RuntimeError):
    """The broker could not be fetched or started; the message says what is missing and how to get it."""


def _program(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise KafkaStartError(
            f"{name} is missing, and a real Kafka broker needs it: install it (apt-get install {package})"
        )
    return path


def fetch() -> None:
    """Copy Kafka's jars from Maven Central to `infra/kafka/target/jars`, once for each version of `pom.xml`."""
    pom = (HERE / "pom.xml").read_text()
    if MARK.is_file() and MARK.read_text() == pom:
        return
    maven = _program("mvn", "maven")
    print("Fetching Apache Kafka from Maven Central (about 45 MB, once) ...", flush=True)
    shutil.rmtree(JARS, ignore_errors=True)
    command = [maven, "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise KafkaStartError("Maven could not fetch Kafka:\n" + (result.stdout + result.stderr)[-2000:])
    MARK.write_text(pom)


def _properties(port: int, controller_port: int, data: Path, login: Login | None) -> str:
    name = LISTENER if login else "PLAINTEXT"
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"{name}://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"{name}://127.0.0.1:{port}",
        "listener.security.protocol.map": f"{name}:{name},CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": data / "log",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        **(login.broker_settings(data) if login else {}),
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


class KafkaBroker:
    """One broker, which runs for the length of a `with` block or until `stop`.

    The folder `data` is created when missing, and kept: a broker that is started on it again has its topics. `port` 0
    means a free port. With a `login` the broker accepts TLS and SASL only; `client_settings` then holds what a client
    needs. The user and password of the first start on `data` remain valid. The broker is killed when the process that
    started it ends, unless `background` is set.
    """

    def __init__(self, data: Path, port: int = 0, login: Login | None = None, *, background: bool = False) -> None:
        free, self._controller_port = free_ports(2)
        self.port = port or free
        self.data = data.resolve()
        self.login = login
        self.background = background
        self.log = self.data / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Address of the broker, in the form of the client setting `bootstrap.servers`."""
        return f"127.0.0.1:{self.port}"

    @property
    def client_settings(self) -> dict[str, str]:
        """Settings of librdkafka that clients need in addition to the address."""
        return self.login.client_settings(self.data) if self.login else {}

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        if self._process is None:
            raise KafkaStartError("the broker is not running")
        return self._process.pid

    def start(self) -> None:
        """Format the data folder if it is new, start the broker and wait until it answers."""
        fetch()
        java = _program("java", "openjdk-17-jre-headless")
        self.data.mkdir(parents=True, exist_ok=True)
        properties = self.data / "server.properties"
        properties.touch(mode=0o600)  # it may hold a password
        properties.write_text(_properties(self.port, self._controller_port, self.data, self.login))
        self._certify()
        command = [java, *_JVM, f"-Dundertone.log={self.log}", f"-Dlog4j2.configurationFile={HERE}/log4j2.properties"]
        command += ["-cp", f"{JARS}/*"]
        if not (self.data / "log" / "meta.properties").is_file():
            self._format(command, properties)
        command += ["kafka.Kafka", str(properties)]
        with (self.data / "stderr.log").open("ab") as errors:
            self._process = subprocess.Popen(
                command if self.background else bound(command), stdout=errors, stderr=errors, start_new_session=True
            )
        self._wait_ready()

    def _certify(self) -> None:
        if self.login is None:
            return
        try:
            make_certificate(_program("keytool", "openjdk-17-jre-headless"), self.data)
        except CertificateError as error:
            raise KafkaStartError(str(error)) from None

    def _format(self, java: list[str], properties: Path) -> None:
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = [*java, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties)]
        command += self.login.format_arguments() if self.login else []
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise KafkaStartError(
                "Kafka could not prepare its data folder:\n" + (result.stdout + result.stderr)[-2000:]
            )

    def _wait_ready(self) -> None:
        admin = self.admin()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise KafkaStartError("Kafka ended while starting:\n" + self._tail())
            try:
                if admin.list_topics(timeout=1).brokers:
                    return
            except KafkaException:
                continue  # not listening yet
        self.kill()
        raise KafkaStartError(f"Kafka did not answer within {START_SECONDS:.0f} s:\n" + self._tail())

    def _tail(self) -> str:
        logs = [path.read_text()[-1500:] for path in (self.data / "stderr.log", self.log) if path.is_file()]
        return "\n".join(logs)

    def admin(self) -> AdminClient:
        """Make an admin client, which logs nothing while the broker does not answer yet."""
        return AdminClient(
            {
                **self.client_settings,
                "bootstrap.servers": self.bootstrap_servers,
                "log_level": 0,
                "reconnect.backoff.max.ms": 300,
            }
        )

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic and wait until clients see all of its partitions, which is later than the answer.

        Raises:
            KafkaException: the broker refuses, or the partitions do not appear in time.
        """
        admin = self.admin()
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            seen = admin.list_topics(name, timeout=5).topics[name]
            if seen.error is None and sum(one.leader >= 0 for one in seen.partitions.values()) == partitions:
                return
            time.sleep(0.02)
        raise KafkaException(f"topic {name} does not show {partitions} partitions after {START_SECONDS:.0f} s")

    def stop(self, seconds: float = 30.0) -> None:
        """Shut the broker down cleanly; kill it if it takes longer than `seconds`."""
        self._end(signal.SIGTERM, seconds)

    def kill(self) -> None:
        """Kill the broker as a power failure would."""
        self._end(signal.SIGKILL, 30.0)

    def _end(self, number: signal.Signals, seconds: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        os.kill(process.pid, number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> KafkaBroker:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
