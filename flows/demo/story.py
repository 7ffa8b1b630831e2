"""Print one customer's story from the store: the messages, the mood after each, and the escalations with reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from rich.table import Table
from rich.text import Text

from flows.demo.stack import DemoError
from infra import traffic
from infra.wallboard.render import BAD, FAINT, clock, flat, mood
from operators.decode import decode
from operators.identity import Identity
from operators.records import Event, Origin

FOLLOWED = ("dead-line", "frozen-account", "lost-results")
"""Stories to print, best first: each goes from an angry chat to a call."""
MARKS = {"raised": ">>", "level_up": ">>", "reminded": ">>", "cleared": "<<", "retracted": "<<"}

TURNS = """
SELECT t.event_id, toUnixTimestamp64Milli(t.event_time), t.channel, t.speaker, t.kind, s.text, t.score, t.level,
    t.customer_level, t.tags
FROM (SELECT * FROM undertone.trajectory FINAL WHERE customer_key = {customer:UInt64}) AS t
LEFT JOIN (SELECT event_id, text FROM undertone.journey FINAL WHERE customer_key = {customer:UInt64}) AS s
    ON s.event_id = t.event_id
ORDER BY t.event_time, t.event_id
"""
STEPS = """
SELECT event_ids, transition, family, level, route, reason
FROM undertone.escalation_steps FINAL WHERE customer_key = {customer:UInt64} ORDER BY event_time, escalation_id, version
"""


class Client(Protocol):
    """The part of a ClickHouse client that is used here."""

    def query(self, query: str, parameters: Mapping[str, Any]) -> Any:
        """Run a SELECT; the answer has `result_rows`."""


class Turn(msgspec.Struct, frozen=True):
    """One line of the transcript."""

    event_id: str
    at_ms: int
    channel: str
    speaker: str
    kind: str
    text: str
    score: float
    level: float
    customer_level: float
    tags: Sequence[str]


def choose(scenes: Sequence[traffic.Scene]) -> traffic.Scene:
    """Choose the scene to print: the first story of `FOLLOWED` that was played, else the first scene."""
    played = {scene.story.name: scene for scene in reversed(scenes)}
    return next((played[name] for name in FOLLOWED if name in played), scenes[0])


def customer_key(scene: traffic.Scene, secret: str) -> int:
    """The pseudonym under which the store knows the customer of a scene."""
    first = scene.timed[0]
    origin = Origin(topic="", partition=0, offset=0, broker_ms=0)
    event = decode(msgspec.json.encode(first.fields), origin, first.at_ms)
    if not isinstance(event, Event):
        raise DemoError(f"the traffic holds an event that is refused: {event.reason.value}")
    return Identity(secret).customer_key(event)


def transcript(client: Client, customer: int) -> Table:
    """Make a table of the turns with the mood after each, and each escalation below the turn that raised it."""
    turns = [Turn(*row) for row in client.query(TURNS, parameters={"customer": customer}).result_rows]
    steps: dict[str, list[Text]] = {}
    for event_ids, *step in client.query(STEPS, parameters={"customer": customer}).result_rows:
        steps.setdefault(event_ids[0] if event_ids else "", []).append(_step(*step))
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(4):
        table.add_column(vertical="top")
    channel = ""
    for turn in turns:
        if turn.channel != channel:
            channel = turn.channel
            table.add_row("", Text(channel.upper(), style="bold"))
        table.add_row(clock(turn.at_ms), turn.speaker, *_turn(turn))
        for line in steps.pop(turn.event_id, []):
            table.add_row("", "", "", line)
    for line in (line for left in steps.values() for line in left):
        table.add_row("", "", "", line)
    return table


def _turn(turn: Turn) -> tuple[Text, Text]:
    """Return mood and words; the mood is shown only for the customer's words, because only they change it."""
    if turn.kind != "utterance":
        return Text(""), Text(f"({turn.kind})", style=FAINT)
    if turn.speaker != "customer":
        return Text(""), Text(flat(turn.text), style=FAINT)
    words = Text(flat(turn.text))
    return mood(turn.customer_level), words.append(f"  [{', '.join(turn.tags)}]", style=FAINT) if turn.tags else words


def _step(transition: str, family: str, level: int, route: str, reason: str) -> Text:
    what = transition.replace("_", " ")
    line = Text(f"{MARKS.get(transition, '--')} escalation {what}: {family}, level {level}, to the {route}")
    line.stylize(BAD if transition in ("raised", "level_up") else FAINT)
    return line.append(f", because {flat(reason)}", style=FAINT)
