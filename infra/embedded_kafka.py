"""A Kafka broker inside the process: librdkafka's mock cluster, driven through its C interface.

It speaks the real protocol on a loopback port, so other processes can connect, and tests can make it fail on purpose.
It keeps about 5 MB per partition in memory and drops the oldest records first; all data is lost when its process ends.
Do not use it for Kafka transactions (aborted records are visible) or for data that matters.

    python -m infra.embedded_kafka --topics undertone.events:4,undertone.escalations:2
"""

from __future__ import annotations

import argparse
import ctypes
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from ctypes import c_char_p, c_int, c_int16, c_int32, c_int64, c_size_t, c_void_p
from pathlib import Path
from types import TracebackType
from typing import Final

import confluent_kafka.cimpl

ALL_BROKERS: Final = -1
_PRODUCER: Final = 0
_SIGNATURES: Final[dict[str, tuple[object, tuple[object, ...]]]] = {
    "rd_kafka_new": (c_void_p, (c_int, c_void_p, c_char_p, c_size_t)),
    "rd_kafka_conf_new": (c_void_p, ()),
    "rd_kafka_conf_set": (c_int, (c_void_p, c_char_p, c_char_p, c_char_p, c_size_t)),
    "rd_kafka_destroy": (None, (c_void_p,)),
    "rd_kafka_mock_cluster_new": (c_void_p, (c_void_p, c_int)),
    "rd_kafka_mock_cluster_destroy": (None, (c_void_p,)),
    "rd_kafka_mock_cluster_bootstraps": (c_char_p, (c_void_p,)),
    "rd_kafka_mock_topic_create": (c_int, (c_void_p, c_char_p, c_int, c_int)),
    "rd_kafka_mock_broker_set_down": (c_int, (c_void_p, c_int32)),
    "rd_kafka_mock_broker_set_up": (c_int, (c_void_p, c_int32)),
    "rd_kafka_mock_partition_delete_records": (c_int, (c_void_p, c_char_p, c_int32, c_int64)),
    "rd_kafka_mock_push_request_errors_array": (None, (c_void_p, c_int16, c_size_t, c_void_p)),
}


class EmbeddedKafkaError(RuntimeError):
    """The embedded broker could not be started, or a call to it failed."""


def _library() -> ctypes.CDLL:
    """Open the librdkafka that confluent-kafka ships: its symbols are found through the extension that links it."""
    library = ctypes.CDLL(confluent_kafka.cimpl.__file__)
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class MockCluster:
    """An embedded cluster of `brokers` brokers with the given topics, for the length of a `with` block.

    >>> with MockCluster({"events": 2}) as cluster:
    ...     cluster.bootstrap_servers.startswith("127.0.0.1:")
    True
    """

    def __init__(self, topics: Mapping[str, int] | None = None, brokers: int = 1) -> None:
        self._lib = _library()
        self._handle = self._new_handle()
        self._cluster = self._lib.rd_kafka_mock_cluster_new(self._handle, brokers)
        if not self._cluster:
            raise EmbeddedKafkaError("librdkafka could not start its mock cluster")
        for topic, partitions in (topics or {}).items():
            self.create_topic(topic, partitions)

    def _new_handle(self) -> int:
        conf, error = self._lib.rd_kafka_conf_new(), ctypes.create_string_buffer(512)
        self._lib.rd_kafka_conf_set(conf, b"log_level", b"0", error, len(error))
        handle = self._lib.rd_kafka_new(_PRODUCER, conf, error, len(error))
        if not handle:
            raise EmbeddedKafkaError(f"librdkafka could not start: {error.value.decode()}")
        return int(handle)

    @property
    def bootstrap_servers(self) -> str:
        """Addresses of the brokers, in the form of the client setting `bootstrap.servers`."""
        addresses: bytes = self._lib.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return addresses.decode()

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic; a topic that was not created gets 4 partitions when a client first uses it."""
        self._check(self._lib.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1), "create topic")

    def set_down(self, broker: int = ALL_BROKERS) -> None:
        """Close all connections and accept no new ones until `set_up` is called."""
        self._check(self._lib.rd_kafka_mock_broker_set_down(self._cluster, broker), "set broker down")

    def set_up(self, broker: int = ALL_BROKERS) -> None:
        """Accept connections again."""
        self._check(self._lib.rd_kafka_mock_broker_set_up(self._cluster, broker), "set broker up")

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Delete the records below offset `before`, as retention would."""
        result = self._lib.rd_kafka_mock_partition_delete_records(self._cluster, topic.encode(), partition, before)
        self._check(result, "delete records")

    def fail_requests(self, api: int, errors: Sequence[int]) -> None:
        """Answer the next requests of one kind (0 = produce, 1 = fetch) with these error codes, one per request."""
        codes = (c_int * len(errors))(*errors)
        self._lib.rd_kafka_mock_push_request_errors_array(self._cluster, api, len(errors), codes)

    def _check(self, code: int, order: str) -> None:
        if code:
            raise EmbeddedKafkaError(f"the embedded broker refused to {order}: librdkafka error {code}")

    def close(self) -> None:
        """Stop the brokers; their data is lost."""
        cluster, self._cluster = self._cluster, None
        if cluster:
            self._lib.rd_kafka_mock_cluster_destroy(cluster)
            self._lib.rd_kafka_destroy(self._handle)

    def __enter__(self) -> MockCluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def parse_topics(text: str) -> dict[str, int]:
    """Read `name:partitions,...`; a name alone gets one partition. Raise the error that `argparse` prints.

    >>> parse_topics("a:4,b")
    {'a': 4, 'b': 1}
    """
    topics: dict[str, int] = {}
    for item in filter(None, map(str.strip, text.split(","))):
        name, _, partitions = item.partition(":")
        if not (partitions or "1").isdecimal() or partitions == "0":
            raise argparse.ArgumentTypeError(f"topic {name}: partitions are a number from 1, as in {name}:4")
        topics[name] = int(partitions or 1)
    return topics


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a broker until SIGTERM or SIGINT; print its address."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.embedded_kafka",
        description="Run an in-memory Kafka broker on a free loopback port until it is stopped (SIGTERM or Ctrl-C). "
        "It prints its bootstrap address. It keeps about 5 MB a partition, and nothing survives a stop.",
    )
    parser.add_argument(
        "--topics", type=parse_topics, default={}, help="topics to make, as name:partitions,... (a:4,b:2)"
    )
    parser.add_argument("--port-file", type=Path, help="also write the address to this file, once ready")
    options = parser.parse_args(arguments)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with MockCluster(options.topics) as cluster:
        print(cluster.bootstrap_servers, flush=True)
        if options.port_file:
            partial = options.port_file.with_suffix(".partial")
            partial.write_text(cluster.bootstrap_servers)
            partial.rename(options.port_file)
        while not stopped.wait(1.0):
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
