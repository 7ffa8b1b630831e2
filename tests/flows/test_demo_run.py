"""The whole demo as `make demo` runs it, only faster: it ends by itself, all adds up, its advice works."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    state = tmp_path_factory.mktemp("demo") / "state"
    return subprocess.run(
        [sys.executable, "-m", "flows.demo", "--speed", "100", "--state", str(state)],
        cwd=ROOT,
        env={**os.environ, "CI": "true", "COLUMNS": "140"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_it_ends_by_itself_and_all_adds_up(demo: "subprocess.CompletedProcess[str]") -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "PROBLEM" not in demo.stdout


def test_it_tells_of_every_family_of_rules(demo: "subprocess.CompletedProcess[str]") -> None:
    rules = yaml.safe_load((ROOT / "operators" / "rules.yaml").read_text(encoding="utf-8"))["rules"]
    summary = " ".join(demo.stdout[demo.stdout.index("What happened") :].split())
    for rule in rules:
        assert re.search(rf"\b{rule['family']} [1-9]", summary), rule["family"]


def test_the_last_session_is_over_and_its_outcome_known(demo: "subprocess.CompletedProcess[str]") -> None:
    found = re.search(r"sessions +(\d+) over, (\d+) open: (\d+) recovered, \d+ soured", demo.stdout)
    assert found is not None, demo.stdout
    over, still_open, recovered = map(int, found.groups())
    assert (over >= 100, still_open, recovered > 0) == (True, 0, True)


def test_it_follows_one_customer_from_chat_to_call(demo: "subprocess.CompletedProcess[str]") -> None:
    story = demo.stdout[demo.stdout.index("One customer's story") :]
    assert story.index("CHAT") < story.index("VOICE")
    assert ">> escalation raised" in story
    assert "because" in story


def test_the_commands_that_it_prints_work(demo: "subprocess.CompletedProcess[str]") -> None:
    advice = demo.stdout[demo.stdout.index("Ask it yourself") :]
    commands = [line for line in advice.splitlines() if " -m infra.wallboard" in line or " -c '" in line]
    assert len(commands) == 4
    for command in commands:
        told = subprocess.run(
            ["/bin/sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        assert told.returncode == 0, told.stderr
        assert "telecom" in told.stdout or "chat" in told.stdout
