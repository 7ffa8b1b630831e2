"""Conditions of the rules: parsed once from plain mappings, then asked of every message and able to say why.

    condition = mapping of one or more of                 (several keys: all must hold)
      all: [condition, ...]   any: [condition, ...]   not: condition
      <number>: {above | below | at_least | at_most: bound, ...}
      <claim>: true | false          label, kind: value or [values]          tags, keywords: {any | all: [names]}

A number that is not known (the slope of three messages) makes its comparison false, whichever way it points.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

import msgspec

from operators.records import TAGS, Turn


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What a rule may look at after one message: the turn, and what the turn does not hold."""

    turn: Turn
    keywords: int = 0
    silence_ms: int = 0
    overtalk_ms: int = 0
    wait_ms: int = 0
    rating: float | None = None
    change_point: bool = False
    waiting: bool = False
    shift: Callable[[], float] = float


class ConditionError(ValueError):
    """A condition that cannot be understood: says where, what, and what would be right."""


class Condition(Protocol):
    """Something that holds of a message or not."""

    def holds(self, facts: Facts, /) -> bool:
        """Whether it is true now."""

    def explain(self, facts: Facts, /) -> str:
        """Say with numbers what made it true, for a supervisor to read."""


Number = Callable[[Facts], "float | None"]

NUMBERS: dict[str, Number] = {
    "level": attrgetter("turn.level"),
    "customer_level": attrgetter("turn.customer_level"),
    "carried": attrgetter("turn.carried"),
    "last": attrgetter("turn.score"),
    "streak": attrgetter("turn.streak"),
    "slope": attrgetter("turn.slope"),
    "slope_high": attrgetter("turn.slope_high"),
    "shift": lambda f: f.shift(),
    "volatility": attrgetter("turn.volatility"),
    "cusum": attrgetter("turn.cusum"),
    "under_s": lambda f: f.turn.under_ms / 1000,
    "silence_s": lambda f: f.silence_ms / 1000,
    "overtalk_s": lambda f: f.overtalk_ms / 1000,
    "response_s": lambda f: f.wait_ms / 1000,
    "contacts_24h": attrgetter("turn.contacts_24h"),
    "contacts_7d": attrgetter("turn.contacts_7d"),
    "hops": attrgetter("turn.hops"),
    "rating": attrgetter("rating"),
    "messages": attrgetter("turn.messages"),
    "evidence": attrgetter("turn.level_evidence"),
    "customer_evidence": attrgetter("turn.customer_evidence"),
}
CLAIMS: dict[str, Callable[[Facts], bool]] = {
    "change_point": attrgetter("change_point"),
    "waiting": attrgetter("waiting"),
    "provisional": attrgetter("turn.provisional"),
}
CHOICES: dict[str, tuple[Callable[[Facts], str], tuple[str, ...]]] = {
    "label": (attrgetter("turn.label"), ("negative", "neutral", "positive")),
    "kind": (
        attrgetter("turn.kind"),
        ("utterance", "opened", "closed", "hold", "resume", "transfer", "rating"),
    ),
}
COMPARATORS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "above": (operator.gt, ">"),
    "below": (operator.lt, "<"),
    "at_least": (operator.ge, ">="),
    "at_most": (operator.le, "<="),
}
TERMS = (*NUMBERS, *CLAIMS, *CHOICES, "tags", "keywords")


@dataclass(frozen=True)
class Compare:
    """A number against one bound."""

    term: str
    comparator: str
    bound: float
    read: Number
    test: Callable[[float, float], bool]

    def holds(self, facts: Facts) -> bool:
        """Whether the number is known and within the bound."""
        value = self.read(facts)
        return value is not None and self.test(value, self.bound)

    def explain(self, facts: Facts) -> str:
        """Say the number and the bound."""
        return f"{self.term} {_figure(self.read(facts))} {COMPARATORS[self.comparator][1]} {_figure(self.bound)}"


@dataclass(frozen=True)
class _Claim:
    """Something that is so or is not."""

    term: str
    wanted: bool
    read: Callable[[Facts], bool]

    def holds(self, facts: Facts) -> bool:
        return self.read(facts) is self.wanted

    def explain(self, _: Facts) -> str:
        return self.term if self.wanted else f"no {self.term}"


@dataclass(frozen=True)
class _Choice:
    """One of several names."""

    term: str
    wanted: tuple[str, ...]
    read: Callable[[Facts], str]

    def holds(self, facts: Facts) -> bool:
        return self.read(facts) in self.wanted

    def explain(self, facts: Facts) -> str:
        return f"{self.term} {self.read(facts)}"


@dataclass(frozen=True)
class _Bits:
    """Any or all of some tags or keyword lists."""

    term: str
    mask: int
    every: bool
    names: tuple[str, ...]

    def _found(self, facts: Facts) -> int:
        return (facts.turn.flags if self.term == "tags" else facts.keywords) & self.mask

    def holds(self, facts: Facts) -> bool:
        found = self._found(facts)
        return found == self.mask if self.every else found != 0

    def explain(self, facts: Facts) -> str:
        found = self._found(facts)
        return f"{self.term} {', '.join(name for bit, name in enumerate(self.names) if found >> bit & 1)}"


@dataclass(frozen=True)
class _All:
    """Every one of the parts."""

    parts: tuple[Condition, ...]

    def holds(self, facts: Facts) -> bool:
        for part in self.parts:  # noqa: SIM110  # a generator costs more than the conditions themselves
            if not part.holds(facts):
                return False
        return True

    def explain(self, facts: Facts) -> str:
        return " and ".join(part.explain(facts) for part in self.parts)


@dataclass(frozen=True)
class _AnyOf:
    """At least one of the parts; only those that hold are told."""

    parts: tuple[Condition, ...]

    def holds(self, facts: Facts) -> bool:
        return any([part.holds(facts) for part in self.parts])

    def explain(self, facts: Facts) -> str:
        return " and ".join(part.explain(facts) for part in self.parts if part.holds(facts))


@dataclass(frozen=True)
class _Not:
    """The opposite."""

    part: Condition

    def holds(self, facts: Facts) -> bool:
        return not self.part.holds(facts)

    def explain(self, facts: Facts) -> str:
        return f"not ({self.part.explain(facts)})"


def parse(node: object, where: str, keywords: Sequence[str]) -> Condition:
    """Make a condition of a plain mapping; `where` names it in errors, `keywords` are the lists known.

    >>> parse({"level": {"below": -0.4}, "streak": {"at_least": 2}}, "raise", []).explain.__name__
    'explain'
    >>> parse({"level": {"belov": -0.4}}, "raise", [])
    Traceback (most recent call last):
    operators.conditions.ConditionError: raise.level.belov is not a comparator; use above, below, at_least, at_most
    """
    parts = [_parse_key(key, value, f"{where}.{key}", keywords) for key, value in mapping(node, where).items()]
    return parts[0] if len(parts) == 1 else _All(tuple(parts))


def bounds(condition: Condition) -> Iterator[Compare]:
    """All comparisons inside a condition, those under `not` left out."""
    if isinstance(condition, Compare):
        yield condition
    elif isinstance(condition, (_All, _AnyOf)):
        for part in condition.parts:
            yield from bounds(part)


def needs_waiting(condition: Condition, where: str) -> bool:
    """Whether a condition can only hold while the customer waits; `where` names it in errors.

    >>> needs_waiting(parse({"waiting": True, "label": "negative"}, "raise", []), "raise")
    True
    """
    parts = condition.parts if isinstance(condition, _All) else (condition,)
    rest = [part for part in parts if not (isinstance(part, _Claim) and part.term == "waiting" and part.wanted)]
    if any([_mentions_waiting(part) for part in rest]):
        raise ConditionError(f"{where}.waiting must be true, and stand beside the other terms, not under any or not")
    return len(rest) < len(parts)


def mapping(node: object, where: str) -> Mapping[str, object]:
    """Check that a node is a mapping with something in it."""
    if not isinstance(node, Mapping) or not node:
        raise ConditionError(f"{where} must be a mapping with at least one entry, like {{level: {{below: -0.4}}}}")
    return node


def _mentions_waiting(condition: Condition) -> bool:
    if isinstance(condition, (_All, _AnyOf)):
        return any([_mentions_waiting(part) for part in condition.parts])
    if isinstance(condition, _Not):
        return _mentions_waiting(condition.part)
    return isinstance(condition, _Claim) and condition.term == "waiting"


def _parse_key(key: str, value: object, where: str, keywords: Sequence[str]) -> Condition:
    if key in ("all", "any"):
        parts = tuple(parse(part, f"{where}[{i}]", keywords) for i, part in enumerate(_listed(value, where)))
        return _All(parts) if key == "all" else _AnyOf(parts)
    if key == "not":
        return _Not(parse(value, where, keywords))
    if key in NUMBERS:
        return _compare(key, mapping(value, where), where)
    if key in CLAIMS:
        if not isinstance(value, bool):
            raise ConditionError(f"{where} must be true or false")
        return _Claim(key, value, CLAIMS[key])
    if key in CHOICES:
        read, allowed = CHOICES[key]
        return _Choice(key, tuple(_names(value, where, allowed)), read)
    if key in ("tags", "keywords"):
        return _bits(key, mapping(value, where), where, TAGS if key == "tags" else tuple(keywords))
    raise ConditionError(f"{where} is not a term; use all, any, not, {', '.join(TERMS)}")


def _compare(term: str, node: Mapping[str, object], where: str) -> Condition:
    parts: list[Condition] = []
    for comparator, bound in node.items():
        if comparator not in COMPARATORS:
            raise ConditionError(f"{where}.{comparator} is not a comparator; use {', '.join(COMPARATORS)}")
        if isinstance(bound, bool) or not isinstance(bound, (int, float)):
            raise ConditionError(f"{where}.{comparator} must be a number")
        parts.append(Compare(term, comparator, float(bound), NUMBERS[term], COMPARATORS[comparator][0]))
    return parts[0] if len(parts) == 1 else _All(tuple(parts))


def _bits(term: str, node: Mapping[str, object], where: str, known: tuple[str, ...]) -> _Bits:
    if len(node) != 1 or not {"any", "all"} >= set(node):
        raise ConditionError(f"{where} must have one of any, all with a list of names")
    ((how, names),) = node.items()
    mask = sum({1 << known.index(name) for name in _names(names, f"{where}.{how}", known)})
    return _Bits(term, mask, how == "all", known)


def _names(value: object, where: str, allowed: Sequence[str]) -> list[str]:
    names = [value] if isinstance(value, str) else list(_listed(value, where))
    for name in names:
        if name not in allowed:
            raise ConditionError(f"{where}: {name!r} is not known; use {', '.join(allowed) or 'a list under keywords'}")
    return [str(name) for name in names]


def _listed(value: object, where: str) -> Sequence[object]:
    if not isinstance(value, list) or not value:
        raise ConditionError(f"{where} must be a list with at least one entry")
    return value


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}".removesuffix(".00")
