"""Both brokers as commands, and what they say when something is missing."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from infra.embedded_kafka import EmbeddedKafkaError, MockCluster, parse_topics
from infra.kafka import broker as kafka
from infra.kafka.__main__ import main
from infra.ports import free_port
from tests.kafka_traffic import PATIENCE_SECONDS, fill, read_all

ROOT = Path(__file__).resolve().parents[2]


def topics_at(address: str) -> dict[str, int]:
    found = AdminClient({"bootstrap.servers": address}).list_topics(timeout=PATIENCE_SECONDS).topics
    return {name: len(topic.partitions) for name, topic in found.items() if not name.startswith("__")}


def test_the_embedded_broker_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    command = [sys.executable, "-m", "infra.embedded_kafka", "--topics", "a:3,b", "--port-file", str(port_file)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not port_file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert topics_at(port_file.read_text()) == {"a": 3, "b": 1}
        process.terminate()
        printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0
    assert printed.strip() == port_file.read_text()


def test_a_topic_cannot_be_made_twice(mock_cluster: MockCluster) -> None:
    mock_cluster.create_topic("a", 1)
    with pytest.raises(EmbeddedKafkaError, match="refused to create topic"):
        mock_cluster.create_topic("a", 1)


@pytest.mark.parametrize("text", ["a:x", "a:0", "a:-1"])
def test_a_number_of_partitions_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="topic a: partitions are"):
        parse_topics(text)


@pytest.mark.broker
def test_a_real_broker_keeps_its_data_over_a_kill_and_a_stop(tmp_path: Path) -> None:
    with kafka.KafkaBroker(tmp_path / "data") as broker:
        broker.create_topic("a", 1)
        fill(broker.bootstrap_servers, "a", [b"kept"])
        broker.kill()
        broker.start()
        assert [message.value() for message in read_all(broker.bootstrap_servers, "a")] == [b"kept"]


def order(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.kafka", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS * 3, check=False)


@pytest.mark.broker
def test_start_and_stop_as_commands(tmp_path: Path) -> None:
    port, data = free_port(), str(tmp_path / "data")
    started = order("start", "--port", str(port), "--data", data, "--topics", "a:2")
    assert f"127.0.0.1:{port}" in started.stdout, started.stderr
    assert topics_at(f"127.0.0.1:{port}") == {"a": 2}
    assert order("stop", "--data", data).returncode == 0
    again = order("stop", "--data", data)
    assert (again.returncode, "no broker was started" in again.stderr) == (2, True)


@pytest.mark.parametrize("missing", ["java", "mvn"])
def test_a_missing_program_is_told_with_its_package(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(kafka, "JARS", tmp_path / "jars")
    monkeypatch.setattr(kafka, "MARK", tmp_path / "mark")
    if missing == "java":
        (tmp_path / "mark").write_text((kafka.HERE / "pom.xml").read_text())
    assert main(["start", "--data", str(tmp_path / "data")]) == 2
    told = capsys.readouterr().err
    assert f"{missing} is missing" in told
    assert {"java": "openjdk-17-jre-headless", "mvn": "maven"}[missing] in told
