"""The alerts that the reducers raise are those that the documents define, counted again by none of their code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.settings import Settings
from infra import traffic
from operators.escalation import Alarms, end_session
from operators.fold import ends_wait
from operators.parameters import Parameters
from operators.records import Origin, Raw
from operators.rows import TABLES
from operators.rules import Rules
from tests.operators.customers import DEFAULT_RULES, SHORT_GAPS, reducer
from tests.operators.rough_traffic import as_rows, rough_rows
from tests.oracle import expected, stub_parts
from tests.recount_escalations import recount_escalations
from tests.recount_rules import default_rules, read_rules
from tests.store_reader import Rows

CUSTOMERS = 150
BROKEN = 25
"""Customers that are enough to find out a job that is wrong."""
EVERY_TERM = (Path(__file__).parent / "every_term.yaml").read_text(encoding="utf-8")


def counts(rows: Rows, *columns: str) -> Counter[Any]:
    at = [TABLES["escalations"].columns.index(column) for column in columns]
    return Counter(tuple(row[place] for place in at) for row in rows["escalations"])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_by_the_default_rules_in_any_order_with_corrections_and_answers(seed: int) -> None:
    rows = rough_rows(reducer(rules=DEFAULT_RULES), DEFAULT_RULES.keyword_bits, seed, CUSTOMERS)
    found = recount_escalations(rows, default_rules())

    assert found.wrong[:5] == []
    assert found.customers > 0.9 * CUSTOMERS
    assert found.alerts > 1000
    assert found.to_the_letter > 300
    assert {name for (name,) in counts(rows, "transition")} == {"cleared", "suppressed", "retracted"}
    assert {name for (name,) in counts(rows, "rule")} >= {rule.id for rule in default_rules().rules} - {"cue-sliding"}
    assert {level for (level,) in counts(rows, "level")} == {1, 2, 3}


@pytest.mark.parametrize("parameters", [Parameters(), SHORT_GAPS], ids=["gaps as they are", "short gaps"])
def test_by_rules_that_use_every_term(parameters: Parameters) -> None:
    rules = Rules.parse(EVERY_TERM)
    rows = rough_rows(reducer(parameters, rules), rules.keyword_bits, 4, CUSTOMERS)
    found = recount_escalations(rows, read_rules(EVERY_TERM), parameters.gap_ms)

    assert found.wrong[:5] == []
    assert found.customers > 0.9 * CUSTOMERS
    assert {name for (name,) in counts(rows, "rule")} == {rule.id for rule in rules.rules}


@pytest.mark.parametrize("seed", [1, 2])
def test_of_the_demo_s_conversations(seed: int) -> None:
    start = datetime(2026, 3, 2, 9, tzinfo=timezone.utc)
    sent = traffic.generate(seed=seed, customers=CUSTOMERS, start=start, minutes=60, late=0.05)
    raws = [
        Raw(payload=one.payload, origin=Origin(topic="undertone.events", partition=0, offset=at, broker_ms=one.at_ms))
        for at, one in enumerate(sent)
    ]
    parts = stub_parts(Settings(reject_run_limit=len(raws)), raws[-1].origin.broker_ms)
    found = recount_escalations(as_rows(expected(raws, *parts).tables), default_rules())

    assert found.wrong[:5] == []
    assert found.customers > 0.9 * CUSTOMERS
    assert found.to_the_letter > 15


def altered(change: Callable[[dict[str, Any]], object]) -> Rules:
    """The default rules with one thing about each of them changed."""
    file = yaml.safe_load(Path("operators/rules.yaml").read_text(encoding="utf-8"))
    for rule in file["rules"]:
        change(rule)
    return Rules.parse(yaml.safe_dump(file))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda rule: rule.update(cooldown=0), id="no cooldown"),
        pytest.param(lambda rule: rule.update(budget=12), id="no budget"),
        pytest.param(lambda rule: rule.pop("clear", None), id="no hysteresis"),
        pytest.param(lambda rule: rule.setdefault("for", {}).update(messages=3), id="another de-bounce"),
        pytest.param(lambda rule: rule.pop("level_up", None), id="no level-up"),
        pytest.param(lambda rule: rule.pop("remind", None), id="no reminder"),
        pytest.param(lambda rule: rule.update(route="agent"), id="another route"),
        pytest.param(lambda rule: rule.pop("scope", None), id="no scope"),
    ],
)
def test_a_job_that_keeps_other_rules_is_found_out(change: Callable[[dict[str, Any]], object]) -> None:
    rules = altered(change)
    rows = rough_rows(reducer(rules=rules), rules.keyword_bits, 5, BROKEN)

    assert recount_escalations(rows, default_rules()).wrong


def forgetful(alarms: Alarms, at_ms: int) -> Any:
    """The end of a session that takes the cooldowns with it."""
    after, changes = end_session(alarms, at_ms)
    return Alarms((), after.raised_ms), changes


@pytest.mark.parametrize(
    ("what", "broken"),
    [
        ("operators.alerts.reconcile", lambda told, *_args, **_options: (told, [])),
        ("operators.fold.end_session", forgetful),
        ("operators.fold.ends_wait", lambda entry: ends_wait(entry) and entry.speaker != "bot"),
        ("operators.escalation._graver", lambda _rule, _facts: None),
        ("operators.escalation._blocked", lambda *_args: ""),
        ("operators.escalation.HOUR", 1_800_000),
    ],
)
def test_reducers_that_are_broken_are_found_out(what: str, broken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(what, broken)
    rows = rough_rows(reducer(rules=DEFAULT_RULES), DEFAULT_RULES.keyword_bits, 5, BROKEN)

    assert recount_escalations(rows, default_rules()).wrong
