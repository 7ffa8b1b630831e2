"""Rules read as plain YAML, and their conditions asked of plain facts: the documented grammar, not the job's code.

    condition = mapping of one or more of                 (several keys: all must hold)
      all: [condition, ...]   any: [condition, ...]   not: condition
      <number>: {above | below | at_least | at_most: bound, ...}
      <claim>: true | false          label, kind: value or [values]          tags, keywords: {any | all: [names]}

A number that is not known makes its comparison false.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Facts = Mapping[str, Any]
"""What a rule may look at, by the names of the terms; `tags` and `keywords` are sets of names."""
Condition = Mapping[str, Any]

COMPARES = {"above": operator.gt, "below": operator.lt, "at_least": operator.ge, "at_most": operator.le}
SECOND = 1000


@dataclass(frozen=True)
class PlainRule:
    """One rule of the file; durations in milliseconds."""

    id: str
    family: str
    scope: Mapping[str, list[str]]
    raises: Condition
    clears: Condition | None
    messages: int
    duration: int
    cooldown: int
    level: int
    route: str
    budget: int
    remind: int
    graver_when: Condition | None
    graver_level: int
    graver_route: str

    @property
    def waits(self) -> bool:
        """Whether it is about waiting: raised by the passing of time, cleared by an answer."""
        return self.raises.get("waiting") is True

    def covers(self, facts: Facts) -> bool:
        """Whether a message is in the rule's scope; an empty list means everybody."""
        spoken = facts["language"].replace("_", "-").lower() + "-"
        return all(
            any(spoken.startswith(f"{name.replace('_', '-').lower()}-") for name in names)
            if by == "languages"
            else facts[by.removesuffix("s")] in names
            for by, names in self.scope.items()
            if names
        )


@dataclass(frozen=True)
class PlainRules:
    """One file."""

    rules: tuple[PlainRule, ...]
    keywords: Mapping[str, list[str]]

    def keywords_in(self, text: str) -> set[str]:
        """Lists of which a phrase occurs in the text: whole words, any case, whatever is between the words.

        >>> PlainRules((), {"legal": ["sue you"], "leaving": ["leave"]}).keywords_in("I shall SUE,  you! leaves")
        {'legal'}
        """
        line = _words(text)
        return {name for name, phrases in self.keywords.items() if any(_words(phrase) in line for phrase in phrases)}


def read_rules(text: str) -> PlainRules:
    """Rules as they stand in the file, with the documented defaults."""
    file = yaml.safe_load(text)
    return PlainRules(tuple(map(_rule, file["rules"])), file.get("keywords", {}))


def default_rules() -> PlainRules:
    """The rules that come with the job."""
    return read_rules((Path(__file__).resolve().parents[1] / "operators/rules.yaml").read_text(encoding="utf-8"))


def _rule(node: Mapping[str, Any]) -> PlainRule:
    lasting, graver = node.get("for", {}), node.get("level_up", {})
    return PlainRule(
        id=node["id"],
        family=node["family"],
        scope=node.get("scope", {}),
        raises=node["raise"],
        clears=node.get("clear"),
        messages=lasting.get("messages", 2),
        duration=round(lasting.get("seconds", 0) * SECOND),
        cooldown=round(node.get("cooldown", 600) * SECOND),
        level=node["level"],
        route=node["route"],
        budget=node.get("budget", 6),
        remind=round(node.get("remind", 0) * SECOND),
        graver_when=graver.get("when"),
        graver_level=graver.get("level", node["level"]),
        graver_route=graver.get("route", node["route"]),
    )


def holds(condition: Condition, facts: Facts) -> bool:
    """Whether a condition is true of a message.

    >>> holds(
    ...     {"level": {"below": -0.4}, "any": [{"label": "negative"}, {"not": {"waiting": True}}]},
    ...     {"level": -0.5, "label": "neutral", "waiting": False},
    ... )
    True
    >>> holds({"slope": {"below": 0.1, "above": -0.1}}, {"slope": None})
    False
    """
    return all(_term(name, wanted, facts) for name, wanted in condition.items())


def _term(name: str, wanted: Any, facts: Facts) -> bool:
    if name in ("all", "any"):
        parts = [holds(part, facts) for part in wanted]
        return all(parts) if name == "all" else any(parts)
    if name == "not":
        return not holds(wanted, facts)
    known = facts[name]
    if name in ("label", "kind"):
        return known in _names(wanted)
    if name in ("tags", "keywords"):
        ((how, names),) = wanted.items()
        found = [each in known for each in _names(names)]
        return all(found) if how == "all" else any(found)
    if isinstance(wanted, bool):
        return bool(known) is wanted
    return known is not None and all(COMPARES[how](known, bound) for how, bound in wanted.items())


def _names(wanted: str | list[str]) -> list[str]:
    return [wanted] if isinstance(wanted, str) else wanted


def _words(text: str) -> str:
    return " ".join(["", *re.findall(r"\w+", text.casefold()), ""])
