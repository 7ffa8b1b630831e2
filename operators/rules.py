"""Escalation rules: declarative YAML, validated when loaded, with errors that name the rule, the field and the fix.

A rule says when to raise an alert, when to clear it, how long its condition must last, and which messages it applies
to. `escalation.py` evaluates the rules; `conditions.py` holds the conditions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml
from msgspec import Meta

from models.language import is_one_of, spelled
from operators.condition_parser import ConditionError, bounds, needs_waiting, parse
from operators.conditions import Condition, Facts, needed_signs
from operators.entry import hash64
from operators.keywords import KeywordMatcher, has_words
from operators.records import Channel, Route

LISTS = 60
"""Most keyword lists allowed, because each list is one bit of an integer."""

Level = Annotated[int, Meta(ge=1, le=3)]
Seconds = Annotated[float, Meta(ge=0, le=7 * 86400)]


class RuleError(ValueError):
    """The rules cannot be used. The message names the rule, the field and the fix."""


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the structures in the rules file; unknown fields are refused."""


class Scope(_Strict, frozen=True, kw_only=True):
    """Which messages a rule applies to; an empty list means all."""

    tenants: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    channels: tuple[Channel, ...] = ()
    languages: tuple[str, ...] = ()
    """Primary subtags or full tags, in any spelling; `en` includes `en-GB`."""

    def covers(self, tenant: str, queue: str, channel: str, language: str) -> bool:
        """Whether a message is in scope.

        >>> Scope(languages=("en",)).covers("acme", "sales", "chat", "en-GB")
        True
        """
        return (
            (not self.tenants or tenant in self.tenants)
            and (not self.queues or queue in self.queues)
            and (not self.channels or channel in self.channels)
            and (not self.languages or is_one_of(spelled(language), [spelled(tag) for tag in self.languages]))
        )


class For(_Strict, frozen=True, kw_only=True):
    """How long `raise` must hold before the alert is raised; both limits must be met."""

    messages: Annotated[int, Meta(ge=1, le=20)] = 2
    """Successive customer messages; with 2, a single outburst or misread message raises no alert."""
    seconds: Seconds = 0.0


class RawLevelUp(_Strict, frozen=True, kw_only=True):
    """When an active alert rises to a higher level."""

    level: Level
    when: dict[str, object]
    route: Route | None = None


class RawRule(_Strict, frozen=True, kw_only=True, rename={"raise_": "raise", "for_": "for"}):
    """One rule as written in the file."""

    id: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_\-]{0,63}$")]
    family: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_\-]{0,63}$")]
    about: str = ""
    scope: Scope = Scope()
    raise_: dict[str, object]
    clear: dict[str, object] | None = None
    for_: For = For()
    cooldown: Seconds = 600.0
    level: Level
    route: Route
    budget: Annotated[int, Meta(ge=1, le=12)] = 6
    remind: Seconds = 0.0
    level_up: RawLevelUp | None = None


class RawRules(_Strict, frozen=True, kw_only=True):
    """The whole file."""

    schema: Literal["undertone.rules/1"]
    version: Annotated[str, Meta(min_length=1, max_length=64)]
    keywords: dict[str, list[str]] = {}
    rules: list[dict[str, object]]


class LevelUp(msgspec.Struct, frozen=True):
    """The higher level of an alert and the condition for it."""

    level: int
    route: Route
    when: Condition


class Rule(msgspec.Struct, frozen=True):
    """One parsed rule. Durations are in milliseconds."""

    id: str
    family: str
    scope: Scope
    raises: Condition
    clears: Condition | None
    """None: the alert is cleared by the first customer message for which `raises` does not hold."""
    messages: int
    duration_ms: int
    cooldown_ms: int
    level: int
    route: Route
    budget: int
    """This rule raises no alert when the customer had this many alerts, of any rule, within the last hour."""
    level_up: LevelUp | None
    remind_ms: int = 0
    """Time after which an alert that nobody has acknowledged is published once more; 0: never."""
    waits: bool = False
    """Whether the rule is about waiting: the passing of time raises its alert, an answer clears it."""
    signs: int = 0
    """Bits of `conditions.signs_of`, at least one of which `raises` needs to hold; 0: it needs none."""


class Rules:
    """All rules of one file, and the keyword lists that they use."""

    def __init__(
        self, version: str, rules: tuple[Rule, ...], keywords: Mapping[str, Iterable[str]], fingerprint: int = 0
    ) -> None:
        self.version = version
        self.fingerprint = fingerprint
        """Hash of the file: tells whether the rules changed, also where `version` was left as it is."""
        self.rules = rules
        self.by_id = {rule.id: rule for rule in rules}
        self.waits = {rule.id: rule for rule in rules if rule.waits}
        """Rules about waiting, by id."""
        self.shortest_wait_ms = min([rule.duration_ms for rule in self.waits.values()], default=0)
        self.keyword_lists = tuple(keywords)
        self._matcher = KeywordMatcher(keywords)
        self._scopes: dict[tuple[str, str, str, str], tuple[Rule, ...]] = {}

    @classmethod
    def load(cls, path: Path | str) -> Rules:
        """Read and validate a file of rules."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise RuleError(f"rules: {path} cannot be read: {error.strerror}; check UNDERTONE_RULES") from None
        except UnicodeDecodeError:
            raise RuleError(f"rules: {path} is not UTF-8 text; check UNDERTONE_RULES") from None
        return cls.parse(text)

    @classmethod
    def parse(cls, text: str) -> Rules:
        """Validate rules written in YAML.

        >>> Rules.parse("{schema: undertone.rules/1, version: v1, rules: []}").version
        'v1'
        """
        try:
            raw = msgspec.convert(yaml.safe_load(text), RawRules)
        except yaml.YAMLError as error:
            raise RuleError(f"rules: not YAML: {error}") from None
        except msgspec.ValidationError as error:
            raise RuleError(f"rules: {_plain(error)}") from None
        if len(raw.keywords) > LISTS:
            raise RuleError(f"keywords: {len(raw.keywords)} lists; at most {LISTS}")
        rules = tuple(_rule(node, index, list(raw.keywords)) for index, node in enumerate(raw.rules))
        for name, count in Counter(rule.id for rule in rules).items():
            if count > 1:
                raise RuleError(f"rule '{name}': id is used {count} times; ids must differ")
        for name, phrases in raw.keywords.items():
            if not all(map(has_words, phrases)):
                raise RuleError(f"keywords: list '{name}' holds a phrase without a word")
        return cls(raw.version, rules, raw.keywords, hash64(text))

    def in_scope(self, tenant: str, queue: str, channel: str, language: str) -> tuple[Rule, ...]:
        """Rules that apply to a message, in the order of the file."""
        scope = (tenant, queue, channel, language)
        found = self._scopes.get(scope)
        if found is None:
            if len(self._scopes) >= 4096:
                self._scopes.clear()
            found = self._scopes[scope] = tuple(rule for rule in self.rules if rule.scope.covers(*scope))
        return found

    def keyword_bits(self, text: str) -> int:
        """Return an integer whose bit i is set when a phrase of keyword list i is in the text: whole words, any case.

        >>> rules = Rules("v1", (), {"leaving": ["cancel my account"], "legal": ["lawyer"]})
        >>> rules.keyword_bits("CANCEL  my account or my Lawyer calls"), rules.keyword_bits("cancelled")
        (3, 0)
        """
        return self._matcher.bits(text)


def _rule(node: Mapping[str, object], index: int, keywords: list[str]) -> Rule:
    name = f"rule '{node['id']}'" if isinstance(node.get("id"), str) else f"rule {index + 1}"
    try:
        raw = msgspec.convert(node, RawRule)
        raises = parse(raw.raise_, "raise", keywords)
        clears = None if raw.clear is None else parse(raw.clear, "clear", keywords)
        level_up = _level_up(raw, keywords)
        _check_hysteresis(raises, clears)
        waits = needs_waiting(raises, "raise")
        if waits and not raw.for_.seconds:
            raise ConditionError("for.seconds must say how long waiting may last")
    except msgspec.ValidationError as error:
        raise RuleError(f"{name}: {_plain(error)}") from None
    except ConditionError as error:
        raise RuleError(f"{name}: {error}") from None
    return Rule(
        id=raw.id,
        family=raw.family,
        scope=raw.scope,
        raises=raises,
        clears=clears,
        messages=raw.for_.messages,
        duration_ms=round(raw.for_.seconds * 1000),
        cooldown_ms=round(raw.cooldown * 1000),
        level=raw.level,
        route=raw.route,
        budget=raw.budget,
        level_up=level_up,
        remind_ms=round(raw.remind * 1000),
        waits=waits,
        signs=needed_signs(raises),
    )


def _level_up(raw: RawRule, keywords: list[str]) -> LevelUp | None:
    up = raw.level_up
    if up is None:
        return None
    if up.level <= raw.level:
        raise ConditionError(f"level_up.level {up.level} must be above level {raw.level}")
    return LevelUp(up.level, up.route or raw.route, parse(up.when, "level_up.when", keywords))


def _check_hysteresis(raises: Condition, clears: Condition | None) -> None:
    """Check that each clear bound lies strictly beyond the raise bound of the same term, so that alerts do not flap."""
    if clears is None:
        return
    for raised in bounds(raises):
        for cleared in bounds(clears):
            if raised.term != cleared.term:
                continue
            down = raised.comparator in ("below", "at_most")
            if down == (cleared.comparator in ("below", "at_most")):
                way = "above" if down else "below"
                raise ConditionError(f"clear.{cleared.term} must point the other way than raise: use {way}")
            if not (cleared.bound > raised.bound if down else cleared.bound < raised.bound):
                beyond = "above" if down else "below"
                raise ConditionError(
                    f"clear.{cleared.term} {cleared.bound:g} must lie {beyond} the bound {raised.bound:g} of raise, "
                    "so that the alert does not flap"
                )


def _plain(error: msgspec.ValidationError) -> str:
    """Turn msgspec's "Expected `int` - at `$.level`" into "level: expected int"."""
    what, _, path = str(error).partition(" - at `$.")
    field = path.rstrip("`") + ": " if path else ""
    return f"{field}{what[0].lower()}{what[1:]}".replace("`", "")


__all__ = ["Facts", "LevelUp", "Rule", "RuleError", "Rules", "Scope"]
