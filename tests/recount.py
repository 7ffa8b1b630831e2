"""Sessions and moods counted again from the stored messages, by the definitions alone: none of the job's folds is used.

The oracle shares the job's reducers, so that a mistake in them would be on both sides. This knows only what the
documents say: an event covers the time from itself to its channel's gap, a session is a connected piece of what a
customer's events cover, and a level is the decayed mean of the customer's words, pulled to nought by one message's
weight. It sums over all earlier messages each time, where the job goes on from its last sum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Any

from operators.rows import TABLES
from tests.store_reader import Rows, hashable

Record = dict[str, Any]

MINUTE, DAY = 60_000, 86_400_000
GAP = {"voice": 30 * MINUTE, "chat": 30 * MINUTE, "survey": 30 * MINUTE, "email": DAY, "social": DAY}
HALF_LIFE = {"voice": 1.5 * MINUTE, "chat": 5 * MINUTE, "email": DAY, "social": DAY, "survey": 7 * DAY}
CUSTOMER_HALF_LIFE = 3 * DAY
PRIOR = 1.0
KEPT_INTERACTIONS = 4
PATH = 8
ROUNDING = 2e-4
"""Scores are stored to 1e-4, and so is a level."""


def recount(found: Rows) -> tuple[list[str], int]:
    """Say where turns and sessions are not what the messages make them, and how many customers were compared.

    Left out are customers of whom a message came after its session was closed, was corrected to another time, or who
    had more conversations at a time than the job keeps apart: there the definitions leave room.
    """
    said, turns, sessions = (_by_customer(found, table) for table in ("scored_events", "trajectory", "sessions"))
    wrong: list[str] = []
    compared = 0
    for customer, messages in said.items():
        if not _plain(messages, turns[customer], sessions[customer]):
            continue
        compared += 1
        wrong += _compare_turns(customer, messages, turns[customer])
        wrong += _compare_sessions(customer, messages, sessions[customer])
    return wrong + [
        f"customer {customer} has rows and no message" for customer in sessions.keys() - said.keys()
    ], compared


def _by_customer(found: Rows, table: str) -> dict[Any, list[Record]]:
    """The rows that count, by customer, in the order of event time."""
    grouped: dict[Any, list[Record]] = defaultdict(list)
    for values in found[table]:
        row = {name: hashable(value) for name, value in zip(TABLES[table].columns, values, strict=True)}
        if not row["deleted"]:
            grouped[row["tenant"], row["customer_key"]].append(row)
    if table != "sessions":
        for rows in grouped.values():
            rows.sort(key=_place)
    return grouped


def _place(row: Record) -> tuple[int, bytes]:
    return row["event_time"], blake2b(row["event_id"].encode(), digest_size=8).digest()


def _plain(messages: Sequence[Record], turns: Sequence[Record], sessions: Sequence[Record]) -> bool:
    ids = [message["event_id"] for message in messages]
    conversations = {message["interaction_id"] for message in messages}
    late = any(turn["late"] for turn in turns) or any(session["late_events"] for session in sessions)
    return not late and len(set(ids)) == len(ids) and len(conversations) <= KEPT_INTERACTIONS


def _compare_turns(customer: Any, messages: Sequence[Record], turns: Sequence[Record]) -> list[str]:
    if [_place(turn) for turn in turns] != [_place(message) for message in messages]:
        return [f"{customer}: {len(messages)} messages, {len(turns)} turns"]
    return [
        f"{customer} {turn['event_id']}: {name} is {turn[name]}, not {value}"
        for at, turn in enumerate(turns)
        for name, value in _moods(messages[: at + 1]).items()
        if abs(turn[name] - value) > ROUNDING
    ]


def _moods(until: Sequence[Record]) -> dict[str, float]:
    """Levels right after the last of these messages."""
    last = until[-1]
    mine = [message for message in until if message["interaction_id"] == last["interaction_id"]]
    return {
        "level": _level(mine, HALF_LIFE[last["channel"]], last["event_time"]),
        "customer_level": _level(until, CUSTOMER_HALF_LIFE, last["event_time"]),
    }


def _level(messages: Iterable[Record], half_life: float, now: int) -> float:
    above, below = 0.0, PRIOR
    for message in messages:
        if message["speaker"] == "customer" and message["kind"] == "utterance" and not message["abstained"]:
            weight = message["weight"] * 0.5 ** ((now - message["event_time"]) / half_life)
            above, below = above + weight * message["score"], below + weight
    return above / below


def _compare_sessions(customer: Any, messages: Sequence[Record], sessions: Sequence[Record]) -> list[str]:
    wanted = {group[0]["event_time"]: _session(group) for group in _cut(messages)}
    found = {session["started_time"]: session for session in sessions}
    if wanted.keys() != found.keys():
        return [f"{customer}: sessions begin at {sorted(found)}, not {sorted(wanted)}"]
    return [
        f"{customer} session {found[start]['session_id']}: {name} is {found[start][name]}, not {value}"
        for start, session in wanted.items()
        for name, value in session.items()
        if found[start][name] != value
    ]


def _cut(messages: Sequence[Record]) -> list[list[Record]]:
    groups: list[list[Record]] = []
    covered = 0
    for message in messages:
        if not groups or message["event_time"] > covered:
            groups.append([])
        groups[-1].append(message)
        covered = max(covered, message["event_time"] + GAP[message["channel"]])
    return groups


def _session(group: Sequence[Record]) -> Record:
    spoken = [message for message in group if message["speaker"] == "customer" and message["kind"] == "utterance"]
    walked = [message["channel"] for message in group]
    asked = [channel for channel in walked if channel != "survey"]
    return {
        "ended_time": group[-1]["event_time"],
        "events": len(group),
        "messages": len(spoken),
        "channels": _path(walked),
        "hops": sum(before != after for before, after in pairwise(asked)),
    }


def _path(walked: Sequence[str]) -> tuple[str, ...]:
    """Changes of channel; a survey stands on the path once, and whoever comes back from it has not changed."""
    path: list[str] = []
    for channel in walked:
        before = [known for known in path if known != "survey"]
        if channel not in before[-1:] and not (channel == "survey" and "survey" in path):
            path.append(channel)
    return tuple(path[:PATH])
