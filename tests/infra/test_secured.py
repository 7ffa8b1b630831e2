"""A broker that takes TLS and a login only: the job works on it, and says what is wrong when it cannot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from flows import sender as sender_module
from flows.feedback import feedback, sender
from flows.feedback import main as say_feedback
from flows.redrive import main as redrive_letters
from flows.settings import KAFKA_PREFIX, Settings
from infra import traffic
from infra.kafka.__main__ import main
from infra.kafka.broker import KafkaBroker
from infra.kafka.security import Login
from infra.traffic.__main__ import main as play_traffic
from operators.kafka_client import (
    VARIABLE_PREFIX,
    KafkaSettingsError,
    KafkaSourceError,
    client_config,
    list_partitions,
    open_client,
    variable,
)
from tests.flows.job import TOPICS, LiveJob, send
from tests.store_reader import ROOT

PASSWORD = "correct-horse-battery"
WRONG = "hunter2-staple"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    with KafkaBroker(tmp_path_factory.mktemp("secured"), login=Login("job", PASSWORD)) as broker:
        for name, partitions in TOPICS.items():
            broker.create_topic(name, partitions)
        yield broker


def environment(broker: KafkaBroker, **changed: str) -> dict[str, str]:
    """The variables with which the job reaches the broker; `changed` are variables without their prefix."""
    right = {variable(name): value for name, value in broker.client_settings.items()}
    return {**right, **{VARIABLE_PREFIX + name: value for name, value in changed.items()}}


def held(broker: KafkaBroker, topic: str) -> int:
    """How many records a topic holds."""
    consumer = Consumer({**broker.client_settings, "bootstrap.servers": broker.bootstrap_servers, "group.id": "test"})
    try:
        ends = [consumer.get_watermark_offsets(TopicPartition(topic, n), 10) for n in range(TOPICS[topic])]
        return sum(end[1] for end in ends if end is not None)
    finally:
        consumer.close()


@pytest.mark.broker
def test_the_job_reads_and_writes_over_tls_with_a_login(secured: KafkaBroker, tmp_path: Path) -> None:
    start = datetime.now(timezone.utc) - timedelta(days=1)
    load = traffic.generate(seed=20, customers=12, start=start, minutes=20)
    sent = send(secured.bootstrap_servers, load, settings=secured.client_settings)
    settings = environment(secured)
    record = feedback("e-1", "acknowledged", "desk-4", "acme", datetime.now(timezone.utc))
    sender(Settings.from_env({"UNDERTONE_BROKERS": secured.bootstrap_servers, **settings}))(record)
    with LiveJob(secured.bootstrap_servers, tmp_path, settings) as job:
        job.wait_for("undertone_records_read_total", sent + 1)
        assert job.drain() == 0
        assert PASSWORD not in job.log
    assert held(secured, "undertone.escalations") > 0
    assert held(secured, "undertone.dead_letters") > 0


@pytest.mark.broker
def test_traffic_and_redrive_get_in_as_the_job_does(
    secured: KafkaBroker, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**environment(secured), "UNDERTONE_BROKERS": secured.bootstrap_servers}.items():
        monkeypatch.setenv(name, value)
    before = held(secured, "undertone.events")
    assert play_traffic(["--brokers", secured.bootstrap_servers, "--customers", "2", "--malformed", "0"]) == 0
    sent = held(secured, "undertone.events") - before
    assert sent > 10
    assert f"{sent} records\n" in capfd.readouterr().err
    assert redrive_letters(["--dry-run"]) == 0


@pytest.mark.broker
@pytest.mark.parametrize(
    "command",
    [
        lambda brokers: play_traffic(["--brokers", brokers, "--customers", "1"]),
        lambda _brokers: redrive_letters([]),
        lambda _brokers: say_feedback(["--tenant", "acme", "--escalation", "e-1", "--action", "resolved"]),
    ],
    ids=["traffic", "redrive", "feedback"],
)
def test_a_command_that_is_refused_names_the_variable_and_no_value(
    secured: KafkaBroker,
    command: Callable[[str], int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    wrong = environment(secured, SASL_PASSWORD=WRONG)
    for name, value in {**wrong, "UNDERTONE_BROKERS": secured.bootstrap_servers}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sender_module, "DEADLINE_S", 3.0)
    assert command(secured.bootstrap_servers) != 0
    told = capfd.readouterr().err
    assert "UNDERTONE_KAFKA_SASL_PASSWORD" in told
    assert "Traceback" not in told
    assert WRONG not in told


@pytest.mark.broker
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"SASL_PASSWORD": WRONG}, r"may not talk to Kafka at 127.*invalid credentials.*UNDERTONE_KAFKA_SASL_PASSWORD"),
        ({"SASL_MECHANISM": "PLAIN"}, r"supported mechanisms: SCRAM-SHA-512.*UNDERTONE_KAFKA_SASL_MECHANISM"),
        ({"SSL_CA_LOCATION": "probe"}, r"certificate verify failed.*check UNDERTONE_KAFKA_SSL_CA_LOCATION"),
    ],
)
def test_a_broker_that_refuses_the_job_is_told_with_the_variable(
    secured: KafkaBroker, changed: dict[str, str], told: str
) -> None:
    settings = Settings.from_env(environment(secured, **changed)).kafka
    with pytest.raises(KafkaSourceError, match=told) as raised:
        list_partitions(client_config(secured.bootstrap_servers, {}, settings), ("undertone.events",))
    assert WRONG not in str(raised.value)
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"SASL_PASSWORT": WRONG}, 'No such configuration property: "UNDERTONE_KAFKA_SASL_PASSWORT"'),
        ({"SECURITY_PROTOCOL": WRONG}, r'Invalid value "\*\*\*" .* "UNDERTONE_KAFKA_SECURITY_PROTOCOL"'),
        ({"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": WRONG}, r"SASL mechanism: \*\*\*; check UNDERTONE_KAFKA_"),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "PLAIN", "SASL_PASSWORD": WRONG},
            "UNDERTONE_KAFKA_SASL_USERNAME and UNDERTONE_KAFKA_SASL_PASSWORD must be set",
        ),
        ({"SECURITY_PROTOCOL": "SSL", "SSL_CA_LOCATION": "/none/ca.pem"}, "UNDERTONE_KAFKA_SSL_CA_LOCATION failed"),
    ],
)
def test_a_setting_that_librdkafka_refuses_is_told_without_any_value(variables: dict[str, str], told: str) -> None:
    settings = Settings.from_env({KAFKA_PREFIX + name: value for name, value in variables.items()}).kafka
    with pytest.raises(KafkaSettingsError, match=told) as raised:
        open_client(Consumer, client_config("localhost:1", {}, settings))
    assert WRONG not in str(raised.value)


def test_the_variables_in_errors_are_those_that_settings_read() -> None:
    assert VARIABLE_PREFIX == KAFKA_PREFIX
    assert Settings.from_env({variable("ssl.ca.location"): "x"}).kafka == {"ssl.ca.location": "x"}


def test_the_launcher_does_not_try_again_with_a_setting_that_does_not_exist(tmp_path: Path) -> None:
    environ = {
        "PATH": "/usr/bin:/bin",
        "UNDERTONE_DEMO": "1",
        "UNDERTONE_SCORER": "fake",
        "UNDERTONE_METRICS_PORT": "0",
        "UNDERTONE_STATE_DIR": str(tmp_path / "state"),
        "UNDERTONE_STORE": f"chdb://{tmp_path}/db",
        "UNDERTONE_KAFKA_SASL_PASSWORT": WRONG,
    }
    command = [sys.executable, "-m", "infra.launch"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 2, done.stderr
    assert 'No such configuration property: "UNDERTONE_KAFKA_SASL_PASSWORT"' in done.stderr
    assert "the configuration is wrong, see above; not started again" in done.stderr
    assert WRONG not in done.stderr


def test_a_broker_with_a_login_needs_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KAFKA_PASSWORD", raising=False)
    assert main(["start", "--user", "job", "--data", str(tmp_path)]) == 2
    assert "--user job needs a password: set KAFKA_PASSWORD" in capsys.readouterr().err
