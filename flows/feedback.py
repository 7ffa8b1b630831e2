"""Record what a person did with an alert: acknowledged, resolved, good_catch or false_alarm.

    python -m flows.feedback --tenant acme --escalation ID --action acknowledged --by desk-4

The command writes one record of the contract `undertone.feedback/1` to the feedback topic. The job copies the record
to the table `feedback`, from which the dashboards compute response times and precision. `--serve` starts a small web
page that does the same, for the links on the dashboards. Broker and topic come from UNDERTONE_BROKERS and
UNDERTONE_FEEDBACK_TOPIC. The job stores feedback that names a tenant other than the alert's, but does not change the
alert.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from threading import Lock
from typing import Literal, get_args

import msgspec

from flows.sender import NotSentError, Sender
from flows.settings import Settings, SettingsError
from operators.kafka_client import KafkaSettingsError
from operators.records import Feedback

Action = Literal["acknowledged", "resolved", "good_catch", "false_alarm"]
ACTIONS: tuple[str, ...] = get_args(Action)
Send = Callable[[Feedback], None]


def feedback(escalation: str, action: str, by: str, tenant: str, at: datetime) -> Feedback:
    """Make the record; equal arguments give the same `feedback_id`, so a record that is sent twice counts once.

    Raises:
        msgspec.ValidationError: A value is not allowed; the message names the field, never the value.

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
    """Make the function that writes a record to the feedback topic and waits until the broker has stored it."""
    out, topic = Sender(settings), settings.feedback_topic
    one_at_a_time = Lock()  # the page handles each click in a thread, which must get the result of its own record

    def send(record: Feedback) -> None:
        with one_at_a_time:
            out.send(topic, msgspec.json.encode(record), record.escalation_id.encode())
            out.flush(topic)

    return send


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m flows.feedback", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--escalation", metavar="ID", help="escalation_id, as the alert and the dashboards show it")
    parser.add_argument("--action", choices=ACTIONS)
    parser.add_argument("--by", default="", metavar="PSEUDONYM", help="who says so; stored as given, so send no name")
    parser.add_argument("--tenant", help="organisation of the alert, as its record names it")
    parser.add_argument(
        "--serve", metavar="HOST:PORT", help="show the page that dashboards link to, instead of sending"
    )
    chosen = parser.parse_args(argv)
    if not chosen.serve and not (chosen.escalation and chosen.action and chosen.tenant):
        parser.error("--tenant, --escalation and --action are needed (or --serve)")
    return chosen


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run the command; return 0 when the broker has stored the record."""
    chosen = _arguments(argv)
    try:
        send = sender(Settings.from_env(environ))
        if chosen.serve:
            from flows.feedback_page import serve_forever  # noqa: PLC0415 - the page imports this module

            serve_forever(chosen.serve, send)
            return 0
        record = feedback(chosen.escalation, chosen.action, chosen.by, chosen.tenant, datetime.now(timezone.utc))
        send(record)
    except (SettingsError, KafkaSettingsError, NotSentError, ValueError) as error:
        print(f"flows.feedback: {error}", file=sys.stderr)
        return 1
    print(f"{record.action} {record.escalation_id} ({record.feedback_id})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
