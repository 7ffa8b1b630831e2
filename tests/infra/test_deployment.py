"""Compose file, image and Kubernetes manifest agree with the settings, the files and each other. No engine needed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows import __version__
from flows.settings import OTHER_READERS, PREFIX, Settings
from infra.launch import Plan, check

INFRA = Path(__file__).resolve().parents[2] / "infra"
ROOT = INFRA.parent
COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OBJECTS = {each["kind"]: each for each in yaml.safe_load_all((INFRA / "k8s" / "undertone.yaml").read_text())}
DOCKERFILE = (INFRA / "Dockerfile").read_text()
ONE_OFF = {"topics", "migrate"}
GIVEN = {"UNDERTONE_CUSTOMER_SECRET": "a long and random value", "UNDERTONE_STORE_PASSWORD": "secret"}
_REFERENCE = re.compile(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}")


def filled(environment: dict[str, Any]) -> dict[str, str]:
    """An environment as a container gets it, from an outer one that holds only what has no default."""
    return {
        name: _REFERENCE.sub(lambda found: GIVEN.get(found[1], found[2] or ""), str(value))
        for name, value in environment.items()
    }


def pod() -> dict[str, Any]:
    found: dict[str, Any] = OBJECTS["StatefulSet"]["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("service", ["migrate", "job"])
def test_containers_are_given_settings_that_the_job_takes(service: str) -> None:
    settings = Settings.from_env(filled(SERVICES[service]["environment"]))
    check(settings)
    assert settings.brokers.partition(":")[0] == "kafka"
    assert f"INTERNAL://{settings.brokers}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert settings.store == "clickhouse://undertone@clickhouse:8123/undertone"
    assert settings.metrics_host == "0.0.0.0"
    volumes = [volume.split(":")[1] for volume in SERVICES["job"]["volumes"]]
    assert str(settings.state_dir) in volumes


@pytest.mark.parametrize("service", ["migrate", "job"])
def test_what_the_file_for_settings_says_takes_effect_in_containers(service: str) -> None:
    (read,) = SERVICES[service]["env_file"]
    assert read == {"path": "../.env.undertone", "required": False}
    assert (INFRA / read["path"]).resolve() == ROOT / ".env.undertone"
    assert "$(addprefix --env-file ,$(wildcard .env.undertone))" in (ROOT / "Makefile").read_text()
    ours = {"UNDERTONE_DEFAULT_REGION": "GB", "UNDERTONE_KAFKA_LINGER_MS": "5"}
    settings = Settings.from_env({**ours, **filled(SERVICES[service]["environment"])})
    assert (settings.default_region, settings.kafka) == ("GB", {"linger.ms": "5"})


def test_what_the_file_for_settings_cannot_change_is_documented_and_it_is_nobodys_to_commit() -> None:
    environment = SERVICES["job"]["environment"]
    settled = {name for name, value in environment.items() if f"${{{name}:" not in str(value)}
    page = (ROOT / "docs" / "data-engineers.md").read_text()
    told = page[page.index("`infra/compose.yaml` fixes only these") : page.index("four topics above; others")]
    assert set(re.findall(r"`(UNDERTONE_\w+)`", told)) == settled
    assert all(".env.undertone" in (ROOT / name).read_text().split() for name in (".gitignore", ".dockerignore"))


def test_pods_are_given_settings_that_the_job_takes() -> None:
    settings = Settings.from_env({**OBJECTS["ConfigMap"]["data"], **GIVEN})
    check(settings)
    (job,) = pod()["containers"]
    assert {mount["mountPath"] for mount in job["volumeMounts"]} == {str(settings.state_dir)}
    ports = [settings.metrics_port + number for number in range(settings.processes)]
    assert [port["containerPort"] for port in job["ports"]] == ports
    assert [port["port"] for port in OBJECTS["Service"]["spec"]["ports"]] == ports
    assert job["readinessProbe"]["httpGet"]["port"] in {port["name"] for port in job["ports"]}
    annotations = OBJECTS["StatefulSet"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports[0])
    assert OBJECTS["StatefulSet"]["spec"]["serviceName"] == OBJECTS["Service"]["metadata"]["name"]


def test_no_service_of_the_cluster_becomes_a_setting() -> None:
    assert pod()["enableServiceLinks"] is False


def test_every_variable_with_our_prefix_is_read_by_somebody() -> None:
    known = {PREFIX + name for name in OTHER_READERS} | {PREFIX + name.upper() for name in Settings.__struct_fields__}
    for path in (INFRA / "compose.yaml", INFRA / "k8s" / "undertone.yaml", INFRA / "Dockerfile"):
        used = set(re.findall(r"\bUNDERTONE_[A-Z_]+\b", path.read_text()))
        assert used <= known, path


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "data-engineers.md").read_text()
    fields = [name for name in Settings.__struct_fields__ if name != "kafka"]
    assert [name for name in fields if f"`{PREFIX}{name.upper()}`" not in page] == []


def test_images_are_pinned_and_the_broker_is_the_one_that_is_tested() -> None:
    images = {name: service["image"] for name, service in SERVICES.items()}
    assert {image for image in images.values() if not re.search(r":\d+\.\d+(\.\d+)?$", image)} == set()
    tested = re.search(r"<kafka.version>(.*)</kafka.version>", (INFRA / "kafka" / "pom.xml").read_text())
    assert tested is not None
    assert {images["kafka"], images["topics"]} == {f"apache/kafka:{tested[1]}"}
    containers = pod()["containers"] + pod()["initContainers"]
    assert {container["image"] for container in containers} == {images["job"], images["migrate"]}


def test_the_version_is_the_same_everywhere() -> None:
    named = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert named is not None
    assert {named[1], SERVICES["job"]["image"].partition(":")[2]} == {__version__}


def test_what_runs_on_has_a_health_check_and_nobody_waits_for_one_that_is_not_there() -> None:
    checked = {name for name, service in SERVICES.items() if "healthcheck" in service}
    assert checked == SERVICES.keys() - ONE_OFF
    for name, service in SERVICES.items():
        for other, awaited in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONE_OFF else "service_healthy"
            assert awaited == {"condition": wanted}, (name, other)


def test_a_job_that_no_restart_mends_comes_to_rest() -> None:
    policy, _, limit = SERVICES["job"]["restart"].partition(":")
    assert policy == "on-failure"
    assert int(limit) > 0


def test_a_stop_leaves_time_to_drain() -> None:
    drain = Plan(processes=1, state_dir=Path()).drain
    assert pod()["terminationGracePeriodSeconds"] > drain
    assert int(SERVICES["job"]["stop_grace_period"].removesuffix("s")) > drain


def test_the_topics_that_are_made_are_those_of_the_settings() -> None:
    (script,) = SERVICES["topics"]["command"]
    made = {name: (count, days) for name, count, days in re.findall(r"(undertone\.\w+):(\d+):(\d+)", script)}
    settings = Settings()
    own = {settings.escalation_topic, settings.dead_letter_topic, settings.feedback_topic}
    assert made.keys() == {*settings.topic_list(), *own}
    page = (ROOT / "docs" / "data-engineers.md").read_text()
    suggested = re.findall(r"\| `(undertone\.\w+)` \|.*\| (\d+) partitions?, (\d+) days \|", page)
    assert made == {name: (partitions, days) for name, partitions, days in suggested}


def test_the_script_that_makes_the_topics_asks_for_partitions_retention_and_the_brokers_time() -> None:
    (script,) = SERVICES["topics"]["command"]
    script = script.replace("$$", "$").replace("/opt/kafka/bin/kafka-topics.sh", "echo")

    asked = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()

    assert len(asked) == 4
    assert asked[2].endswith(
        "--topic undertone.dead_letters --partitions 4 --config retention.ms=2592000000"
        " --config message.timestamp.type=LogAppendTime"
    )


def test_what_is_mounted_exists_and_is_read_only() -> None:
    named = set(COMPOSE["volumes"])
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, _, rest = volume.partition(":")
            if source in named:
                named.discard(source)
                continue
            assert (INFRA / source).exists(), (name, volume)
            assert rest.endswith(":ro"), (name, volume)
    assert named == set(), "a volume that nobody mounts"


def test_the_broker_keeps_its_data_in_its_volume() -> None:
    targets = [volume.split(":")[1] for volume in SERVICES["kafka"]["volumes"]]
    assert SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"] in targets


def test_grafana_finds_its_dashboards_and_variables() -> None:
    mounts = {target: source for source, target, *_ in (v.split(":") for v in SERVICES["grafana"]["volumes"])}
    provisioning = INFRA / mounts["/etc/grafana/provisioning"]
    provider = yaml.safe_load((provisioning / "dashboards" / "undertone.yaml").read_text())["providers"][0]
    assert any((INFRA / mounts[provider["options"]["path"]]).glob("*.json"))
    texts = [path.read_text() for path in provisioning.rglob("*.yaml")]
    wanted = {name for text in texts for name in re.findall(r":\s*\$\{?([A-Z][A-Z_]+)\}?\s*$", text, re.MULTILINE)}
    assert wanted == {"CLICKHOUSE_GRAFANA_PASSWORD", "UNDERTONE_ALERT_WEBHOOK"}
    assert wanted <= SERVICES["grafana"]["environment"].keys()
    user = (INFRA / "grafana" / "clickhouse-user.xml").read_text()
    (store_variable,) = re.findall(r'from_env="(\w+)"', user)
    assert store_variable in SERVICES["clickhouse"]["environment"]


def test_the_image_holds_what_the_job_needs_and_runs_as_nobody_special() -> None:
    copied = [line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("COPY")]
    assert set(copied) == {"requirements/run.lock", "flows", "operators", "models", "infra", "dashboards"}
    assert all((ROOT / source).exists() for source in copied)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not set(copied) & set(ignored)
    python = re.search(r"^FROM python:3\.(\d+)-slim", DOCKERFILE)
    assert python is not None
    assert 10 <= int(python[1]) <= 12
    assert f"USER {pod()['securityContext']['runAsUser']}" in DOCKERFILE.splitlines()
    assert pod()["securityContext"]["runAsNonRoot"] is True
