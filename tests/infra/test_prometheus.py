"""Alert rules for Prometheus: well formed, on metrics that the job exports, each with what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from operators import metrics

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "data-engineers.md").read_text(encoding="utf-8")
(GROUP,) = yaml.safe_load((ROOT / "infra" / "prometheus" / "rules.yaml").read_text(encoding="utf-8"))["groups"]
RULES: list[dict[str, Any]] = GROUP["rules"]


def exported() -> dict[str, set[str]]:
    """Names that the endpoint shows, with the labels of each."""
    found: dict[str, set[str]] = {}
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", metrics.table(), re.MULTILINE):
        own = set(re.findall(r"`(\w+)`", labels))
        found |= {name + end: own | {"le"} for end in ("_bucket",)} if kind == "histogram" else {name: own}
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_and_labels_that_the_job_exports(rule: dict[str, Any]) -> None:
    named = set(re.findall(r"\bundertone_\w+", rule["expr"]))
    known = exported()

    assert named <= known.keys()
    assert named
    labels = set().union(*(known[name] for name in named)) | {"job"}
    for grouped in re.findall(r"\bby \(([^)]*)\)", rule["expr"]):
        assert set(grouped.split(", ")) <= labels
    assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= labels


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_is_complete_and_on_the_page(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"].keys() == {"summary", "action"}
    assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))
    assert rule["expr"].count("(") == rule["expr"].count(")")
    assert f"`{rule['alert']}`" in PAGE


def test_a_counter_is_looked_at_as_a_rate() -> None:
    counters = {name for name in exported() if name.endswith(("_total", "_bucket"))}
    for rule in RULES:
        for name in re.findall(r"\bundertone_\w+", rule["expr"]):
            assert (f"rate({name}[" in rule["expr"]) == (name in counters), rule["alert"]
