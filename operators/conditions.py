"""Conditions of the rules: they are evaluated for every message and can explain why they hold.

`condition_parser.py` describes the syntax. An unknown number (such as the slope of three messages) makes every
comparison with it false, in both directions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

import msgspec

from operators.records import KINDS, TAGS, Turn


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What a condition can read after one message: the turn, and values that the turn does not hold."""

    turn: Turn
    keywords: int = 0
    silence_ms: int = 0
    overtalk_ms: int = 0
    wait_ms: int = 0
    rating: float | None = None
    change_point: bool = False
    waiting: bool = False
    shift: Callable[[], float] = float


class Condition(Protocol):
    """A test of one message."""

    def holds(self, facts: Facts, /) -> bool:
        """Whether the condition is true."""

    def explain(self, facts: Facts, /) -> str:
        """Explain to a supervisor, with numbers, why the condition is true."""


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
        tuple(kind for kind in KINDS if kind != "retracted"),
    ),
}
COMPARATORS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "above": (operator.gt, ">"),
    "below": (operator.lt, "<"),
    "at_least": (operator.ge, ">="),
    "at_most": (operator.le, "<="),
}
TERMS = (*NUMBERS, *CLAIMS, *CHOICES, "tags", "keywords")


KIND_SIGNS: dict[str, int] = {kind: 1 << bit for bit, kind in enumerate(KINDS)}
_TAG_SHIFT = len(KIND_SIGNS)
_KEYWORD_SHIFT = _TAG_SHIFT + len(TAGS)


@dataclass(frozen=True)
class Compare:
    """Compares a number with one bound."""

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
        """Show the number and the bound."""
        return f"{self.term} {_figure(self.read(facts))} {COMPARATORS[self.comparator][1]} {_figure(self.bound)}"


@dataclass(frozen=True)
class Claim:
    """Compares a true-or-false fact with the wanted value."""

    term: str
    wanted: bool
    read: Callable[[Facts], bool]

    def holds(self, facts: Facts) -> bool:
        """Whether it is true now."""
        return self.read(facts) is self.wanted

    def explain(self, _: Facts) -> str:
        """Say what made it true."""
        return self.term if self.wanted else f"no {self.term}"


@dataclass(frozen=True)
class Choice:
    """Holds when a name is one of the wanted names."""

    term: str
    wanted: tuple[str, ...]
    read: Callable[[Facts], str]

    def holds(self, facts: Facts) -> bool:
        """Whether it is true now."""
        return self.read(facts) in self.wanted

    def explain(self, facts: Facts) -> str:
        """Say what made it true."""
        return f"{self.term} {self.read(facts)}"


@dataclass(frozen=True)
class Bits:
    """Holds when any, or with `every` all, of some tags or keyword lists are set."""

    term: str
    mask: int
    every: bool
    names: tuple[str, ...]

    def _found(self, facts: Facts) -> int:
        return (facts.turn.flags if self.term == "tags" else facts.keywords) & self.mask

    def holds(self, facts: Facts) -> bool:
        """Whether any, or all, of the names are set."""
        found = self._found(facts)
        return found == self.mask if self.every else found != 0

    def explain(self, facts: Facts) -> str:
        """Say what made it true."""
        found = self._found(facts)
        return f"{self.term} {', '.join(name for bit, name in enumerate(self.names) if found >> bit & 1)}"


@dataclass(frozen=True)
class All:
    """Holds when all parts hold."""

    parts: tuple[Condition, ...]

    def holds(self, facts: Facts) -> bool:
        """Whether all hold."""
        for part in self.parts:  # noqa: SIM110  # a generator costs more than the conditions themselves
            if not part.holds(facts):
                return False
        return True

    def explain(self, facts: Facts) -> str:
        """Say what made it true."""
        return " and ".join(part.explain(facts) for part in self.parts)


@dataclass(frozen=True)
class AnyOf:
    """Holds when at least one part holds; the explanation names only the parts that hold."""

    parts: tuple[Condition, ...]

    def holds(self, facts: Facts) -> bool:
        """Whether it is true now."""
        return any([part.holds(facts) for part in self.parts])

    def explain(self, facts: Facts) -> str:
        """Say what made it true."""
        return " and ".join(part.explain(facts) for part in self.parts if part.holds(facts))


@dataclass(frozen=True)
class Not:
    """Holds when its part does not."""

    part: Condition

    def holds(self, facts: Facts) -> bool:
        """Whether it is true now."""
        return not self.part.holds(facts)

    def explain(self, facts: Facts) -> str:
        """Say what made it true."""
        return f"not ({self.part.explain(facts)})"


def signs_of(facts: Facts) -> int:
    """Return the kind, the tags and the keyword lists of a message as bits of one integer."""
    turn = facts.turn
    return KIND_SIGNS[turn.kind] | turn.flags << _TAG_SHIFT | facts.keywords << _KEYWORD_SHIFT


def needed_signs(condition: Condition) -> int:
    """Return bits of `signs_of`, at least one of which must be set for the condition to hold; 0 when it needs none.

    Most rules need a bit that most messages do not have, so this cheap test saves evaluating their conditions.

    >>> bin(needed_signs(Bits("tags", 0b11, False, ("frustration", "anger"))))
    '0b1100000000'
    """
    for part in condition.parts if isinstance(condition, All) else (condition,):
        if isinstance(part, Bits):
            return part.mask << (_TAG_SHIFT if part.term == "tags" else _KEYWORD_SHIFT)
        if isinstance(part, Choice) and part.term == "kind":
            return sum([KIND_SIGNS[kind] for kind in part.wanted])
    return 0


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}".removesuffix(".00")
