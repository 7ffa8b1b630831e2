"""Say what became of an alert: acknowledged, resolved, a good catch, a false alarm.

    python -m flows.feedback --escalation ID --action acknowledged --by desk-4

Writes one record of the contract `undertone.feedback/1` to the feedback topic; the job carries it into the table
`feedback`, and the dashboards take times and precision from there. `--serve` shows the same as a small page that the
links on the wallboard can point at. Broker and topic come from UNDERTONE_BROKERS and UNDERTONE_FEEDBACK_TOPIC.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Literal, get_args

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from flows.settings import Settings, SettingsError
from operators.records import Feedback

Action = Literal["acknowledged", "resolved", "good_catch", "false_alarm"]
ACTIONS: tuple[str, ...] = get_args(Action)
DEADLINE_S = 10.0
"""Seconds that a broker gets to take the record."""

Send = Callable[[Feedback], None]


class NotSent(Exception):
    """The broker did not take the record; the message says why."""


def feedback(escalation: str, action: str, by: str, tenant: str, at: datetime) -> Feedback:
    """Make the record; the same call gives the same `feedback_id`, so that sending it again counts once.

    Raises:
        msgspec.ValidationError: when a value is not allowed; the message names the field, never the value.

    >>> at = datetime(2026, 5, 4, 9, 0, tzinfo=timezone.utc)
    >>> feedback("e1", "resolved", "desk-4", "acme", at).feedback_id
    'fbe04817e6f4c347d9299eb1c02b6b88'
    """
    identity = "\x1f".join((tenant, escalation, action, by, at.isoformat()))
    return msgspec.convert(
        {
            "schema": "undertone.feedback/1",
            "feedback_id": hashlib.sha256(identity.encode()).hexdigest()[:32],
            "tenant": tenant,
            "escalation_id": escalation,
            "action": action,
            "by": by,
            "event_time": at,
        },
        Feedback,
    )


def sender(settings: Settings) -> Send:
    """Make the function that writes a record to the feedback topic and waits until the broker has it."""
    producer = Producer(
        {
            "bootstrap.servers": settings.brokers,
            "enable.idempotence": True,
            "delivery.timeout.ms": int(DEADLINE_S * 1000),
            "log_level": 0,
            **settings.kafka,
        }
    )

    def send(record: Feedback) -> None:
        failures: list[str] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failures.append(error.str())

        try:
            producer.produce(
                settings.feedback_topic,
                key=record.escalation_id.encode(),
                value=msgspec.json.encode(record),
                on_delivery=delivered,
            )
        except (KafkaException, BufferError) as error:
            raise NotSent(str(error)) from error
        if producer.flush(DEADLINE_S + 1) or failures:
            reason = failures[0] if failures else "no answer"
            raise NotSent(f"topic {settings.feedback_topic} at {settings.brokers}: {reason}")

    return send


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m flows.feedback", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--escalation", metavar="ID", help="escalation_id, as the alert and the dashboards show it")
    parser.add_argument("--action", choices=ACTIONS)
    parser.add_argument("--by", default="", metavar="PSEUDONYM", help="who says so; stored as given, so send no name")
    parser.add_argument("--tenant", default="demo", help="organisation of the alert (default: demo)")
    parser.add_argument(
        "--serve", metavar="HOST:PORT", help="show the page that dashboards link to, instead of sending"
    )
    chosen = parser.parse_args(argv)
    if not chosen.serve and not (chosen.escalation and chosen.action):
        parser.error("--escalation and --action are needed (or --serve)")
    return chosen


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run the command; 0 when the broker has the record."""
    chosen = _arguments(argv)
    try:
        send = sender(Settings.from_env(environ))
        if chosen.serve:
            from flows.feedback_page import serve_forever  # noqa: PLC0415 - the page imports this module

            serve_forever(chosen.serve, send)
            return 0
        record = feedback(chosen.escalation, chosen.action, chosen.by, chosen.tenant, datetime.now(timezone.utc))
        send(record)
    except (SettingsError, NotSent, ValueError) as error:
        print(f"flows.feedback: {error}", file=sys.stderr)
        return 1
    print(f"{record.action} {record.escalation_id} ({record.feedback_id})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
