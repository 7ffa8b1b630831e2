"""Command: write lifelike traffic as JSON lines, or play it into Kafka."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone

from confluent_kafka import Producer

from infra import traffic

EPILOG = """examples:
  python -m infra.traffic --customers 20 | head             look at events, one JSON object a line
  python -m infra.traffic --bulk 1000000 > events.jsonl     a million short events for a benchmark
  python -m infra.traffic --brokers localhost:9092 --speed 1  play half an hour of conversations as they would happen
  python -m infra.traffic --planted                         personal data of these customers, to grep outputs for

The same --seed and --start give the same bytes. Malformed records go into Kafka only: a line of a file could not hold
all of them. The key of each record is the customer's id."""


def parser() -> argparse.ArgumentParser:
    """Command line of `python -m infra.traffic`."""
    made = argparse.ArgumentParser(
        prog="python -m infra.traffic",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    made.add_argument("--seed", type=int, default=7, help="which traffic (default 7)")
    made.add_argument("--customers", type=int, default=120, help="how many people (default 120)")
    made.add_argument("--minutes", type=float, default=27, help="event time that it spans (default 27)")
    made.add_argument("--start", type=instant, help="when it begins, ISO 8601 (default: so that it ends now)")
    made.add_argument("--malformed", type=share, default=0.01, help="share of records to be refused (default 0.01)")
    made.add_argument("--late", type=share, default=0.02, help="share sent out of order (default 0.02)")
    made.add_argument("--duplicates", type=share, default=0.01, help="share sent twice (default 0.01)")
    made.add_argument("--brokers", help="produce into Kafka at this bootstrap list instead of writing lines")
    made.add_argument("--topic", default="undertone.events", help="topic to produce to (default undertone.events)")
    made.add_argument("--speed", type=float, help="event seconds per wall second (default: as fast as it goes)")
    made.add_argument("--bulk", type=int, metavar="N", help="N short well-formed events instead of conversations")
    made.add_argument("--planted", action="store_true", help="list the personal data in the traffic, and stop")
    return made


def instant(text: str) -> datetime:
    """Read an ISO 8601 instant; without an offset it is UTC."""
    read = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return read if read.tzinfo else read.replace(tzinfo=timezone.utc)


def share(text: str) -> float:
    """Read a number in [0, 1]."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    asked = parser().parse_args(argv)
    if asked.planted:
        print("\n".join(traffic.planted(asked.seed, asked.customers)))
        return 0
    sent = _stream(asked)
    try:
        count = _produce(asked, sent) if asked.brokers else _write(sent, asked.speed)
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        return 0
    print(f"{count} records", file=sys.stderr)
    return 0


def _stream(asked: argparse.Namespace) -> Iterator[traffic.Sent]:
    start = asked.start or datetime.now(timezone.utc) - timedelta(minutes=asked.minutes)
    if asked.bulk:
        return traffic.bulk(asked.seed, asked.bulk, asked.customers, asked.start)
    malformed = asked.malformed if asked.brokers else 0.0
    return traffic.generate(asked.seed, asked.customers, start, asked.minutes, malformed, asked.late, asked.duplicates)


def _write(sent: Iterator[traffic.Sent], speed: float | None) -> int:
    count = 0
    for count, one in enumerate(_paced(sent, speed), 1):  # noqa: B007 - the last number is the count
        sys.stdout.buffer.write(one.payload + b"\n")
    sys.stdout.buffer.flush()
    return count


def _produce(asked: argparse.Namespace, sent: Iterator[traffic.Sent]) -> int:
    producer = Producer({"bootstrap.servers": asked.brokers, "linger.ms": 5})
    count = 0
    for count, one in enumerate(_paced(sent, asked.speed), 1):  # noqa: B007 - the last number is the count
        while True:
            try:
                producer.produce(asked.topic, one.payload, one.key)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(60)
    if left:
        raise SystemExit(f"{left} records were not delivered to {asked.topic} at {asked.brokers} within 60 s")
    return count


def _paced(sent: Iterator[traffic.Sent], speed: float | None) -> Iterator[traffic.Sent]:
    if not speed:
        yield from sent
        return
    begun: float | None = None
    for one in sent:
        due = one.at_ms / 1000 / speed
        begun = time.monotonic() - due if begun is None else begun
        time.sleep(max(0.0, begun + due - time.monotonic()))
        yield one


if __name__ == "__main__":
    raise SystemExit(main())
