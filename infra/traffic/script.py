"""Story scripts: what people say, written by hand, one file per industry in `stories/`.

    brand: Northbeam @northbeam          the company that customers contact; fills {brand} and {at}
    == name | topic | shows=angry,wait   begins a story; `shows` lists what the demo should show in it
    @chat                                a new interaction on that channel
    c: one way | another way             the customer says one of these; `a:` the agent, `b:` a bot, `auto:` mail
                                         that no person wrote
    ~ 6m                                 time passes before the next line (s or m)
    ! hold 90s     ! transfer retention  the call is put on hold and resumed, or handed to another team
    r: csat5 4                           a survey rating

`{Monday/Friday}` picks one; `{card}`, `{iban}`, `{phone}`, `{mail}`, `{national_id}`, `{account}`, `{link}` are the
customer's (see `people.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

FOLDER = Path(__file__).parent / "stories"
Action = Literal["contact", "customer", "agent", "bot", "auto", "wait", "hold", "transfer", "rating"]
SPEAKERS: dict[str, Action] = {"c": "customer", "a": "agent", "b": "bot", "auto": "auto"}
UNITS = {"s": 1, "m": 60}
_LINE = re.compile(r"(c|a|b|auto|r): *(.+)")


class ScriptError(ValueError):
    """A story file has an invalid line; the message names file and line."""


class Step(msgspec.Struct, frozen=True):
    """One line of a story."""

    action: Action
    value: str = ""
    """Channel, team or rating scale."""
    variants: tuple[str, ...] = ()
    seconds: float = 0.0


class Story(msgspec.Struct, frozen=True):
    """One story: everything that is said and done, in order."""

    name: str
    industry: str
    topic: str
    shows: frozenset[str]
    brand: str
    at: str
    """The brand's social handle, with its @."""
    steps: tuple[Step, ...]


def parse_step(line: str) -> Step:
    """Read one line of a story.

    >>> parse_step("c: Hello? | Anyone?").variants
    ('Hello?', 'Anyone?')
    >>> parse_step("! hold 2m").seconds
    120.0
    """
    if line.startswith("@"):
        return Step("contact", line[1:].strip())
    if line.startswith("~"):
        return Step("wait", seconds=_seconds(line[1:].strip()))
    if line.startswith("! hold "):
        return Step("hold", seconds=_seconds(line[7:].strip()))
    if line.startswith("! transfer "):
        return Step("transfer", line[11:].strip())
    found = _LINE.fullmatch(line)
    if not found:
        raise ScriptError(f"not a line of a story: {line[:40]!r}")
    who, said = found.groups()
    if who == "r":
        scale, value = said.split()
        return Step("rating", scale, (value,))
    return Step(SPEAKERS[who], variants=tuple(one.strip() for one in said.split(" | ")))


def parse(text: str, industry: str) -> Iterator[Story]:
    """Read the stories of one file.

    Raises:
        ScriptError: A line is invalid.
    """
    brand = at = ""
    head: tuple[str, str, frozenset[str]] | None = None
    steps: list[Step] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("brand: "):
            brand, _, at = line[7:].rpartition(" ")
        elif line.startswith("== "):
            if head:
                yield Story(head[0], industry, head[1], head[2], brand, at, tuple(steps))
            head, steps = _head(line), []
        else:
            try:
                steps.append(parse_step(line))
            except (ScriptError, KeyError, ValueError) as error:
                raise ScriptError(f"{industry}.txt:{number}: {error}") from None
    if head:
        yield Story(head[0], industry, head[1], head[2], brand, at, tuple(steps))


def _head(line: str) -> tuple[str, str, frozenset[str]]:
    name, topic, *rest = (part.strip() for part in line[3:].split(" | "))
    shows = rest[0].removeprefix("shows=").split(",") if rest else []
    return name, topic, frozenset(shows)


def _seconds(text: str) -> float:
    return float(text[:-1]) * UNITS[text[-1]]


@cache
def stories() -> tuple[Story, ...]:
    """Return all stories: those with the most entries in `shows` first, then in the order of files and lines."""
    every = [
        story for path in sorted(FOLDER.glob("*.txt")) for story in parse(path.read_text(encoding="utf-8"), path.stem)
    ]
    return tuple(sorted(every, key=lambda story: -len(story.shows)))
