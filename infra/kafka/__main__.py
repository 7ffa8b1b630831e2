"""Command line of the real broker: `python -m infra.kafka fetch|run|start|stop`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from infra.embedded_kafka import parse_topics
from infra.kafka.broker import KafkaBroker, KafkaStartError, fetch
from infra.kafka.security import Login

DATA = Path(".state/kafka")
PASSWORD = "KAFKA_PASSWORD"  # noqa: S105 - the variable that holds it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.order(options))
    except KafkaStartError as error:
        print(f"infra.kafka: {error}", file=sys.stderr)
        return 2


def _fetch(_options: argparse.Namespace) -> int:
    fetch()
    return 0


def _start(options: argparse.Namespace) -> int:
    broker = _begin(options, background=True)
    (options.data / "broker.pid").write_text(str(broker.pid))
    print(f"{_told(broker)}\nStop it with: python -m infra.kafka stop --data {options.data}")
    return 0


def _run(options: argparse.Namespace) -> int:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    broker = _begin(options)
    print(f"{_told(broker)}\nCtrl-C stops it", flush=True)
    ended.wait()
    broker.stop()
    return 0


def _begin(options: argparse.Namespace, *, background: bool = False) -> KafkaBroker:
    broker = KafkaBroker(options.data, options.port, _login(options), background=background)
    broker.start()
    present = broker.admin().list_topics(timeout=10).topics
    for topic, partitions in options.topics.items():
        if topic not in present:
            broker.create_topic(topic, partitions)
    return broker


def _login(options: argparse.Namespace) -> Login | None:
    if options.user is None:
        return None
    password = os.environ.get(PASSWORD)
    if not password:
        raise KafkaStartError(f"--user {options.user} needs a password: set {PASSWORD}")
    return Login(options.user, password)


def _told(broker: KafkaBroker) -> str:
    """Describe the broker's address and the other settings that clients need, without the password."""
    settings = {name: value for name, value in broker.client_settings.items() if name != "sasl.password"}
    return f"Kafka runs at {broker.bootstrap_servers}" + "".join(f"\n  {n}={v}" for n, v in settings.items())


def _stop(options: argparse.Namespace) -> int:
    pid_file = options.data / "broker.pid"
    if not pid_file.is_file():
        raise KafkaStartError(f"no broker was started with --data {options.data}")
    pid = int(pid_file.read_text())
    pid_file.unlink()
    try:
        os.kill(pid, signal.SIGTERM)
        for _ in range(300):
            time.sleep(0.1)
            os.kill(pid, 0)
    except ProcessLookupError:
        return 0
    raise KafkaStartError(f"the broker (process {pid}) did not stop within 30 s")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.kafka",
        description="A real Apache Kafka broker from Apache's own jars, on loopback, without containers."
        " Needs Java 17 and, to fetch the jars once, Maven.",
        epilog="example: python -m infra.kafka run --port 9092 --topics undertone.events:8,undertone.escalations:4",
    )
    orders = parser.add_subparsers(required=True, metavar="ORDER")
    orders.add_parser("fetch", help="copy the jars from Maven Central (once)").set_defaults(order=_fetch)
    for name, order, text in (
        ("run", _run, "run a broker until Ctrl-C or SIGTERM"),
        ("start", _start, "start a broker in the background"),
        ("stop", _stop, "stop the broker that `start` started"),
    ):
        sub = orders.add_parser(name, help=text)
        sub.set_defaults(order=order)
        sub.add_argument("--data", type=Path, default=DATA, help=f"folder of the broker's data, kept ({DATA})")
        if order is not _stop:
            sub.add_argument("--port", type=int, default=9092, help="port on 127.0.0.1, 0 for a free one (9092)")
            sub.add_argument(
                "--user", help=f"listen with TLS and SCRAM-SHA-512 only, for this user with the password in {PASSWORD}"
            )
            sub.add_argument(
                "--topics", type=parse_topics, default={}, help="topics to make if missing, as name:partitions,..."
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
