"""A job to kill: copies a topic through the engine, one output for each input, with recovery.

Run as `python tests/operators/copy_job.py BROKERS SOURCE TARGET STATE_FOLDER SCAN_LIMIT`; SIGTERM drains it.
A scan limit of 0 switches off what keeps repeats out: tests show with it that they would notice.
"""

from __future__ import annotations

import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main

from operators.kafka_sink import KafkaSink, Outgoing
from operators.kafka_source import KafkaSource, Raw, StreamTime
from tests.kafka_traffic import FAST


def copies(item: Raw | StreamTime) -> list[tuple[str, Outgoing]]:
    """The item under an identity that depends on where it was read alone."""
    if isinstance(item, StreamTime):
        return []
    name = f"{item.origin.partition}-{item.origin.offset}"
    return [(name, Outgoing(identity=name, payload=item.payload or b""))]


def main(brokers: str, source: str, target: str, folder: str, scan_limit: str) -> None:
    """Copy until SIGTERM."""
    stop, state = threading.Event(), Path(folder)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if not state.exists():
        state.mkdir()
        init_db_dir(state, 1)
    flow = Dataflow("copy")
    read = op.input("in", flow, KafkaSource(brokers, (source,), settings=FAST, stop=stop.is_set))
    sink = KafkaSink(brokers, target, settle_seconds=0.5, scan_limit=int(scan_limit))
    op.output("out", op.flat_map("copies", read, copies), sink)
    cluster_main(flow, [], 0, epoch_interval=timedelta(seconds=0.3), recovery_config=RecoveryConfig(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
