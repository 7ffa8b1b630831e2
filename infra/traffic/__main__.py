"""Write lifelike traffic as JSON lines, or send it to Kafka."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone

from msgspec import structs

from flows.sender import NotSentError, Sender
from flows.settings import Settings, SettingsError
from infra import traffic
from operators.kafka_client import KafkaSettingsError

EPILOG = """examples:
  python -m infra.traffic --customers 20 | head             look at events, one JSON object a line
  python -m infra.traffic --bulk 1000000 > events.jsonl     a million short events for a benchmark
  python -m infra.traffic --brokers localhost:9092 --speed 1  play half an hour of conversations as they would happen
  python -m infra.traffic --planted                         personal data of these customers, to grep outputs for

The same --seed and --start give the same bytes. Malformed records are sent to Kafka only, because some of them cannot
be written as a line of text. The key of each record is the customer's id. Where Kafka requires a login or TLS, set the
job's own UNDERTONE_KAFKA_* variables (docs/data-engineers.md)."""


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


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run the command; return 0 when all records were written, 1 when Kafka refused one."""
    asked = parser().parse_args(argv)
    if asked.planted:
        print("\n".join(traffic.planted(asked.seed, asked.customers)))
        return 0
    sent = _paced(_stream(asked), asked.speed)
    try:
        count = _produce(_kafka(asked.brokers, environ), asked.topic, sent) if asked.brokers else _write(sent)
    except BrokenPipeError:  # `| head` has closed the pipe
        sys.stderr.close()
        return 0
    except (SettingsError, KafkaSettingsError, NotSentError) as error:
        print(f"infra.traffic: {error}", file=sys.stderr)
        return 1
    print(f"{count} records", file=sys.stderr)
    return 0


def _stream(asked: argparse.Namespace) -> Iterator[traffic.Sent]:
    start = asked.start or datetime.now(timezone.utc) - timedelta(minutes=asked.minutes)
    if asked.bulk:
        return traffic.bulk(asked.seed, asked.bulk, asked.customers, asked.start)
    malformed = asked.malformed if asked.brokers else 0.0
    return traffic.generate(asked.seed, asked.customers, start, asked.minutes, malformed, asked.late, asked.duplicates)


def _kafka(brokers: str, environ: Mapping[str, str]) -> Settings:
    """Settings for Kafka, with login and certificates from the job's own variables UNDERTONE_KAFKA_*."""
    return structs.replace(Settings.from_env(environ), brokers=brokers)


def _write(sent: Iterator[traffic.Sent]) -> int:
    count = 0
    for count, one in enumerate(sent, 1):  # noqa: B007 - the last number is the count
        sys.stdout.buffer.write(one.payload + b"\n")
    sys.stdout.buffer.flush()
    return count


def _produce(settings: Settings, topic: str, sent: Iterator[traffic.Sent]) -> int:
    out = Sender(settings)
    count = 0
    for count, one in enumerate(sent, 1):  # noqa: B007 - the last number is the count
        out.send(topic, one.payload, one.key)
    out.flush(topic)
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
