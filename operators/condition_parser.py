"""Parse conditions from plain mappings; errors say where the mistake is, what it is, and what is allowed.

condition = mapping of one or more of                 (several keys: all must hold)
  all: [condition, ...]   any: [condition, ...]   not: condition
  <number>: {above | below | at_least | at_most: bound, ...}
  <claim>: true | false          label, kind: value or [values]          tags, keywords: {any | all: [names]}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from operators.conditions import (
    CHOICES,
    CLAIMS,
    COMPARATORS,
    NUMBERS,
    TERMS,
    All,
    AnyOf,
    Bits,
    Choice,
    Claim,
    Compare,
    Condition,
    Not,
)
from operators.records import TAGS


class ConditionError(ValueError):
    """A condition is not valid: the message says where the mistake is, what it is, and what is allowed."""


def parse(node: object, where: str, keywords: Sequence[str]) -> Condition:
    """Parse a mapping into a condition; `where` names it in errors, `keywords` are the names of the known lists.

    >>> parse({"level": {"below": -0.4}, "streak": {"at_least": 2}}, "raise", []).explain.__name__
    'explain'
    >>> parse({"level": {"belov": -0.4}}, "raise", [])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    operators.condition_parser.ConditionError: raise.level.belov is not a comparator; use above, below, ...
    """
    parts = [_parse_key(key, value, f"{where}.{key}", keywords) for key, value in mapping(node, where).items()]
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def bounds(condition: Condition) -> Iterator[Compare]:
    """Yield all comparisons inside a condition, except those under `not`."""
    if isinstance(condition, Compare):
        yield condition
    elif isinstance(condition, (All, AnyOf)):
        for part in condition.parts:
            yield from bounds(part)


def needs_waiting(condition: Condition, where: str) -> bool:
    """Whether a condition can hold only while the customer waits for an answer; `where` names it in errors.

    >>> needs_waiting(parse({"waiting": True, "label": "negative"}, "raise", []), "raise")
    True
    """
    parts = condition.parts if isinstance(condition, All) else (condition,)
    rest = [part for part in parts if not (isinstance(part, Claim) and part.term == "waiting" and part.wanted)]
    if any([_mentions_waiting(part) for part in rest]):
        raise ConditionError(f"{where}.waiting must be true, and stand beside the other terms, not under any or not")
    return len(rest) < len(parts)


def mapping(node: object, where: str) -> Mapping[str, object]:
    """Check that a node is a mapping with at least one entry, and return it."""
    if not isinstance(node, Mapping) or not node:
        raise ConditionError(f"{where} must be a mapping with at least one entry, like {{level: {{below: -0.4}}}}")
    return node


def _mentions_waiting(condition: Condition) -> bool:
    if isinstance(condition, (All, AnyOf)):
        return any([_mentions_waiting(part) for part in condition.parts])
    if isinstance(condition, Not):
        return _mentions_waiting(condition.part)
    return isinstance(condition, Claim) and condition.term == "waiting"


def _parse_key(key: str, value: object, where: str, keywords: Sequence[str]) -> Condition:
    if key in ("all", "any"):
        parts = tuple(parse(part, f"{where}[{i}]", keywords) for i, part in enumerate(_listed(value, where)))
        return All(parts) if key == "all" else AnyOf(parts)
    if key == "not":
        return Not(parse(value, where, keywords))
    if key in NUMBERS:
        return _compare(key, mapping(value, where), where)
    if key in CLAIMS:
        if not isinstance(value, bool):
            raise ConditionError(f"{where} must be true or false")
        return Claim(key, value, CLAIMS[key])
    if key in CHOICES:
        read, allowed = CHOICES[key]
        return Choice(key, tuple(_names(value, where, allowed)), read)
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
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _bits(term: str, node: Mapping[str, object], where: str, known: tuple[str, ...]) -> Bits:
    if len(node) != 1 or not {"any", "all"} >= set(node):
        raise ConditionError(f"{where} must have one of any, all with a list of names")
    ((how, names),) = node.items()
    mask = sum({1 << known.index(name) for name in _names(names, f"{where}.{how}", known)})
    return Bits(term, mask, how == "all", known)


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
