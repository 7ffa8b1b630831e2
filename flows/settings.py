"""The configuration of the job: `Settings.from_env()` reads the environment and returns a frozen, validated record.

Every setting is an environment variable `UNDERTONE_<FIELD>`; a wrong value stops the job at its start, with the name
of the variable and what it accepts. Kafka client settings pass through as `UNDERTONE_KAFKA_<NAME>`, where underscores
stand for dots (`UNDERTONE_KAFKA_SECURITY_PROTOCOL=SASL_SSL` becomes `security.protocol`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import phonenumbers
from msgspec import Meta

PREFIX = "UNDERTONE_"
KAFKA_PREFIX = PREFIX + "KAFKA_"
OTHER_READERS = frozenset({"ALERT_WEBHOOK", "GRAFANA_STORE_PASSWORD", "GRAFANA_TOKEN", "GRAFANA_URL", "TRAINING_DATA"})
"""Names, without the prefix, of variables that only other commands read; the job ignores them."""

SHORTEST_SECRET = 16
"""Characters. Whoever knows some customers and their pseudonyms could find a shorter secret by trying all."""

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class SettingsError(ValueError):
    """A variable is missing or wrong. The message names it and says what is allowed, but never contains its value."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configuration of the job. The variable of a field is `UNDERTONE_` and the name of the field in upper case."""

    brokers: str = "localhost:9092"
    """Kafka bootstrap list."""
    topics: str = "undertone.events"
    """Comma-separated source topics, whose records follow the contract `undertone.event/1`. None occurs twice."""
    escalation_topic: str = "undertone.escalations"
    dead_letter_topic: str = "undertone.dead_letters"
    feedback_topic: str = "undertone.feedback"
    start: Literal["earliest", "latest"] = "earliest"
    """Where a partition without a snapshot is read from, at the first start on a state folder."""
    recorded_idle: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    """Above 0 for recorded or accelerated traffic: stream time follows event time only, and after this many seconds
    without a record the input counts as over and all sessions close. 0 for live traffic."""
    store: str = "clickhouse://undertone@localhost:8123/undertone"
    """ClickHouse DSN: `clickhouse://user@host:8123/undertone` or `chdb:///path/to/folder`."""
    store_password: str = ""
    state_dir: Path = Path(".state/live")
    """Folder of the recovery store; one job at a time may use it."""
    recovery_partitions: Count = 16
    epoch: Annotated[float, Meta(gt=0, le=60)] = 5.0
    """Seconds between snapshots."""
    processes: Annotated[int, Meta(ge=1, le=1024)] = 1
    """Worker processes under `infra.launch`; at most the number of Kafka partitions."""
    base_port: Annotated[int, Meta(ge=1024, le=65000)] = 2101
    model_dir: Path = Path(__file__).resolve().parents[1] / "models" / "sentiment"
    scorer: Literal["onnx", "fake"] = "onnx"
    """`fake` is a deterministic stub for chaos tests, which scores by a few words only."""
    scorer_threads: Count = 1
    rules: Path = Path(__file__).resolve().parents[1] / "operators" / "rules.yaml"
    customer_secret: str = "undertone-demo-key-change-me"  # noqa: S105 - a placeholder that the launcher refuses
    """Key of the customer pseudonyms (HMAC-SHA-256), 16 characters or more. `infra.launch` refuses the default unless
    `UNDERTONE_DEMO=1`."""
    demo: bool = False
    default_region: str = "US"
    """Region of phone numbers without a country prefix: two capital letters of ISO 3166."""
    acoustic_tenants: str = ""
    """Comma-separated `tenant` or `tenant/region` whose silence and overtalk may be used; none by default."""
    allowed_lateness: Annotated[float, Meta(gt=0, le=3600)] = 120.0
    """Allowed lateness in seconds of event time: within it, the order of arrival does not change any result."""
    reject_run_limit: Count = 1000
    """Number of rejects in a row, with nothing accepted between them, that stops the job."""
    credit: Count = 20_000
    """Most records that a source partition reads in one epoch."""
    batch: Annotated[int, Meta(ge=1, le=5000)] = 500
    """Most records in one poll of a process, divided among its partitions (at least one each). A poll is scored as a
    whole before results are emitted, so a larger batch adds latency and little throughput."""
    flush_interval: Seconds = 0.5
    """Seconds between two inserts of buffered rows into ClickHouse; a snapshot also inserts them."""
    metrics_port: Annotated[int, Meta(ge=0, le=65535)] = 9464
    """Prometheus port of process 0; process n uses the port n higher. 0 switches metrics off."""
    metrics_host: str = "127.0.0.1"
    watchdog: Seconds = 60.0
    """Seconds since the last committed epoch after which the supervisor restarts the job."""
    start_timeout: Seconds = 600.0
    """The same limit from a start to its first committed epoch: in this time the job also loads the model and the
    states and reads the ends of the output topics."""
    kafka: Mapping[str, str] = {}
    """librdkafka settings passed through to every client."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Make settings from the variables in `environ` that begin with `UNDERTONE_`.

        >>> Settings.from_env({"UNDERTONE_EPOCH": "2.5"}).epoch
        2.5
        >>> Settings.from_env({"UNDERTONE_STATE_DIR": "/var/lib/undertone"}).state_dir.name
        'undertone'
        >>> Settings.from_env({"UNDERTONE_EPOC": "2.5"})
        Traceback (most recent call last):
        flows.settings.SettingsError: UNDERTONE_EPOC is not a setting; did you mean UNDERTONE_EPOCH?
        """
        values: dict[str, object] = {}
        kafka: dict[str, str] = {}
        for variable, value in environ.items():
            if variable.startswith(KAFKA_PREFIX):
                kafka[variable[len(KAFKA_PREFIX) :].lower().replace("_", ".")] = value
            elif variable.startswith(PREFIX) and variable[len(PREFIX) :] not in OTHER_READERS:
                values[_field(variable)] = value
        try:
            settings = msgspec.convert({**values, "kafka": kafka}, cls, strict=False, dec_hook=_read)
        except msgspec.ValidationError as error:
            raise SettingsError(_explain(str(error))) from None
        for problem in (_wrong_topic(settings), _wrong_secret(settings), _wrong_region(settings)):
            if problem:
                raise SettingsError(PREFIX + problem)
        return settings

    def topic_list(self) -> tuple[str, ...]:
        """Return the source topics in their given order, without surrounding blanks."""
        return tuple(name.strip() for name in self.topics.split(",") if name.strip())


def _wrong_topic(settings: Settings) -> str:
    """Return what is wrong with the topics: each variable must name one, and no topic may occur twice.

    A topic that the job both writes and reads would be a loop. Empty when nothing is wrong.
    """
    named = {
        "TOPICS": settings.topic_list(),
        "ESCALATION_TOPIC": (settings.escalation_topic.strip(),),
        "DEAD_LETTER_TOPIC": (settings.dead_letter_topic.strip(),),
        "FEEDBACK_TOPIC": (settings.feedback_topic.strip(),),
    }
    owner: dict[str, str] = {}
    for variable, topics in named.items():
        if not any(topics):
            return f"{variable} names no topic"
        for topic in topics:
            if topic in owner:
                twice = owner[topic] == variable
                return f"{variable} names a topic " + ("twice" if twice else f"of {PREFIX}{owner[topic]}")
            owner[topic] = variable
    return ""


def _wrong_secret(settings: Settings) -> str:
    if len(settings.customer_secret.strip()) >= SHORTEST_SECRET:
        return ""
    return (
        f"CUSTOMER_SECRET needs {SHORTEST_SECRET} characters or more: set a long random value, for example from"
        " `openssl rand -hex 32`, and keep it (a new one changes the key of every customer)"
    )


def _wrong_region(settings: Settings) -> str:
    if settings.default_region in phonenumbers.SUPPORTED_REGIONS:
        return ""
    return "DEFAULT_REGION: expected two capital letters of ISO 3166, such as US, DE or GB (not UK)"


def _read(kind: type, value: object) -> object:
    """Convert what msgspec cannot convert by itself: paths."""
    return Path(str(value)) if kind is Path else value


def _field(variable: str) -> str:
    field = variable[len(PREFIX) :].lower()
    known = Settings.__struct_fields__
    if field in known and field != "kafka":
        return field
    close = difflib.get_close_matches(field, known, n=1)
    hint = f"; did you mean {PREFIX}{close[0].upper()}?" if close else "; see docs/data-engineers.md"
    raise SettingsError(f"{variable} is not a setting{hint}")


def _explain(problem: str) -> str:
    """Turn msgspec's "Expected `float` - at `$.epoch`" into a sentence with the variable's name."""
    what, _, path = problem.partition(" - at `$.")
    return f"{PREFIX}{path.rstrip('`').upper()}: {what[0].lower()}{what[1:]}"
