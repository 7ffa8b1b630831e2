"""Rules load, say what is wrong with them, and find what they look for."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.condition_parser import parse
from operators.conditions import Facts
from operators.rules import RuleError, Rules
from tests.operators.customers import DEFAULT_RULES, reducer, run, turns
from tests.strategies import message

HEAD = "schema: undertone.rules/1\nversion: v1\nkeywords: {leaving: [bye now]}\nrules:\n"


def rule(**fields: str) -> str:
    """A file with one rule; fields replace, add to, or (empty) take away from a good one."""
    good = {"id": "r1", "family": "f", "raise": "{level: {below: -0.4}}", "level": "2", "route": "supervisor"}
    good |= {name.rstrip("_"): text for name, text in fields.items()}
    return HEAD + "- {" + ", ".join(f"{name}: {text}" for name, text in good.items() if text) + "}\n"


def facts(**changes: object) -> Facts:
    """What a rule sees after one strongly negative message."""
    (turn,) = turns(run(reducer(), [message(1, 0, -0.8, flags=0b10)])[1])
    return Facts(turn, **changes)  # type: ignore[arg-type]  # changes are named by each test


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param(
            rule(raise_="{level: {belov: -0.4}}"),
            "rule 'r1': raise.level.belov is not a comparator; use above, below, at_least, at_most",
            id="comparator",
        ),
        pytest.param(rule(raise_="{mood: {below: 0}}"), "rule 'r1': raise.mood is not a term; use all, any", id="term"),
        pytest.param(
            rule(raise_="{all: [{level: {below: -0.4}}, {label: angry}]}"),
            "rule 'r1': raise.all[1].label: 'angry' is not known; use negative, neutral, positive",
            id="choice inside all",
        ),
        pytest.param(rule(raise_="{level: {below: low}}"), "raise.level.below must be a number", id="bound"),
        pytest.param(rule(raise_="{any: []}"), "raise.any must be a list with at least one entry", id="empty any"),
        pytest.param(rule(raise_="{change_point: 1}"), "raise.change_point must be true or false", id="claim"),
        pytest.param(rule(raise_="{tags: {some: [anger]}}"), "raise.tags must have one of any, all", id="how many"),
        pytest.param(rule(raise_="{tags: {any: [rage]}}"), "'rage' is not known; use frustration, anger", id="tag"),
        pytest.param(rule(raise_="{keywords: {any: [legal]}}"), "'legal' is not known; use leaving", id="keyword list"),
        pytest.param(rule(raise_="{}"), "rule 'r1': raise must be a mapping with at least one entry", id="empty"),
        pytest.param(
            rule(clear="{level: {above: -0.4}}"),
            "rule 'r1': clear.level -0.4 must lie above the bound -0.4 of raise",
            id="no hysteresis",
        ),
        pytest.param(
            rule(clear="{level: {below: -0.1}}"),
            "rule 'r1': clear.level must point the other way than raise: use above",
            id="clear points the wrong way",
        ),
        pytest.param(rule(level="4"), "rule 'r1': level: expected int", id="level"),
        pytest.param(rule(route="everybody"), "rule 'r1': route: invalid enum value", id="route"),
        pytest.param(rule(colour="red"), "rule 'r1': object contains unknown field colour", id="unknown field"),
        pytest.param(rule(family=""), "rule 'r1': object missing required field family", id="missing field"),
        pytest.param(rule(for_="{messages: 0}"), "rule 'r1': for.messages: expected int", id="for"),
        pytest.param(rule(scope="{channels: [fax]}"), "rule 'r1': scope.channels[0]: invalid enum", id="scope"),
        pytest.param(rule(id="'Very Angry'"), "rule 'Very Angry': id: expected str matching", id="id"),
        pytest.param(
            rule(level_up="{level: 2, when: {streak: {at_least: 5}}}"),
            "rule 'r1': level_up.level 2 must be above level 2",
            id="level up",
        ),
        pytest.param(rule() + rule().split("rules:\n")[1], "rule 'r1': id is used 2 times", id="twice"),
        pytest.param("rules: [", "rules: not YAML", id="not yaml"),
        pytest.param("[]", "rules: expected object", id="not a mapping"),
        pytest.param(HEAD.replace("rules/1", "rules/9") + " []", "rules: schema: invalid enum", id="schema"),
        pytest.param(HEAD.replace("bye now", "'!'") + " []", "a phrase without a word", id="empty phrase"),
    ],
)
def test_errors_name_the_rule_the_field_and_the_fix(text: str, error: str) -> None:
    with pytest.raises(RuleError) as caught:
        Rules.parse(text)

    assert error in str(caught.value)


def test_a_file_that_cannot_be_read_is_named_with_its_variable(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"schema: \xe9")

    with pytest.raises(RuleError, match=r"none\.yaml cannot be read: No such file.*UNDERTONE_RULES"):
        Rules.load(tmp_path / "none.yaml")
    with pytest.raises(RuleError, match=r"latin\.yaml is not UTF-8 text; check UNDERTONE_RULES"):
        Rules.load(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    ("condition", "holds", "reason"),
    [
        ({"level": {"below": -0.3}, "streak": {"at_least": 1}}, True, "level -0.36 < -0.30 and streak 1 >= 1"),
        ({"level": {"below": -0.9}}, False, None),
        ({"last": {"at_most": -0.8, "at_least": -0.8}}, True, "last -0.80 <= -0.80 and last -0.80 >= -0.80"),
        ({"slope": {"below": 9}}, False, None),
        ({"slope": {"above": -9}}, False, None),
        ({"not": {"level": {"above": 0}}}, True, "not (level -0.36 > 0)"),
        ({"any": [{"label": "positive"}, {"label": "negative"}]}, True, "label negative"),
        ({"any": [{"label": "positive"}, {"kind": "opened"}]}, False, None),
        ({"tags": {"any": ["anger", "urgency"]}}, True, "tags anger"),
        ({"tags": {"all": ["anger", "urgency"]}}, False, None),
        ({"keywords": {"all": ["a", "b"]}}, True, "keywords a, b"),
        ({"provisional": False, "change_point": True}, True, "no provisional and change_point"),
        ({"response_s": {"above": 59}, "silence_s": {"at_least": 2}}, True, "response_s 60 > 59 and silence_s 2 >= 2"),
        ({"rating": {"at_most": -0.5}}, True, "rating -1 <= -0.50"),
        ({"shift": {"below": 1}, "overtalk_s": {"below": 1}}, True, "shift 0.50 < 1 and overtalk_s 0 < 1"),
    ],
)
def test_conditions_hold_and_say_why(condition: dict[str, object], holds: bool, reason: str | None) -> None:
    seen = facts(keywords=0b11, change_point=True, wait_ms=60_000, silence_ms=2000, rating=-1.0, shift=lambda: 0.5)
    parsed = parse(condition, "raise", ["a", "b"])

    assert holds == parsed.holds(seen)
    if reason is not None:
        assert reason == parsed.explain(seen)


@pytest.mark.parametrize(
    ("text", "lists"),
    [
        ("I want to CANCEL my\naccount.", {"leaving"}),
        ("cancel my accounts", set()),
        ("You'll lose me as a customer; my lawyer will write", {"leaving", "legal"}),
        ("may I talk to a manager?", {"manager"}),
        ("that was a lawyerly answer", set()),
        ("straße, emoji \U0001f600 and nothing else", set()),
        ("", set()),
    ],
)
def test_keywords_are_whole_phrases_in_any_case(text: str, lists: set[str]) -> None:
    bits = DEFAULT_RULES.keyword_bits(text)

    assert lists == {name for bit, name in enumerate(DEFAULT_RULES.keyword_lists) if bits >> bit & 1}


def test_scope_selects_by_tenant_queue_channel_and_language() -> None:
    rules = Rules.parse(rule(scope="{tenants: [acme], queues: [care], channels: [voice], languages: [de]}"))

    assert len(rules.in_scope("acme", "care", "voice", "de-AT")) == 1
    for outside in [("x", "care", "voice", "de"), ("acme", "x", "voice", "de"), ("acme", "care", "chat", "de")]:
        assert rules.in_scope(*outside) == ()
    assert rules.in_scope("acme", "care", "voice", "den") == ()


def test_scope_knows_a_language_however_it_is_spelled() -> None:
    whole = Rules.parse(rule(scope="{languages: [de]}"))
    assert [len(whole.in_scope("acme", "", "chat", tag)) for tag in ("de", "DE_at", "de_AT", "en_DE", "")] == [
        1,
        1,
        1,
        0,
        0,
    ]

    one = Rules.parse(rule(scope="{languages: [de_at]}"))
    assert [len(one.in_scope("acme", "", "chat", tag)) for tag in ("de-AT", "de_AT", "de-CH", "de")] == [1, 1, 0, 0]


def test_the_default_rules_have_their_families() -> None:
    assert {rule.family for rule in DEFAULT_RULES.rules} >= {
        "cue_souring",
        "angry",
        "urgent",
        "arrives_angry",
        "repeat_contact",
        "threat_to_leave",
        "frustrated",
        "low_rating",
        "unanswered",
    }
