"""Sessions and moods counted again from the stored messages, by the definitions alone: none of the job's folds is used.

The oracle shares the job's reducers, so that a mistake in them would be on both sides. This knows only what the
documents say: an event covers the time from itself to its channel's gap, a session is a connected piece of what a
customer's events cover, and a level is the decayed mean of the customer's words, pulled to nought by one message's
weight. It sums over all earlier messages each time, where the job goes on from its last sum. `recount_figures` has the
rest of a session's figures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from hashlib import blake2b
from itertools import pairwise
from typing import Any

from operators.rows import TABLES
from tests import recount_figures as figures
from tests.recount_figures import DAY, MINUTE, Record
from tests.store_reader import Rows, hashable

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
    said, turns, sessions = (by_customer(found, table) for table in ("scored_events", "trajectory", "sessions"))
    wrong: list[str] = []
    compared = 0
    for customer, messages in said.items():
        if not _plain(messages, turns[customer], sessions[customer]):
            continue
        compared += 1
        wrong += _compare_turns(customer, messages, turns[customer])
        wrong += _compare_sessions(customer, messages, turns[customer], sessions[customer])
    return wrong + [
        f"customer {customer} has rows and no message" for customer in sessions.keys() - said.keys()
    ], compared


def by_customer(found: Rows, table: str) -> dict[Any, list[Record]]:
    """The rows that count, by customer, in the order of event time."""
    grouped: dict[Any, list[Record]] = defaultdict(list)
    for values in found[table]:
        row = {name: hashable(value) for name, value in zip(TABLES[table].columns, values, strict=True)}
        if not row.get("deleted"):
            grouped[row["tenant"], row["customer_key"]].append(row)
    if "event_id" in TABLES[table].columns:
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
    wrong = []
    at = 0
    for group in _cut(messages):
        for place in range(len(group)):
            until, turn = messages[: at + 1], turns[at]
            wanted = _levels(until) | _so_far(until, group[: place + 1])
            wrong += differences(f"{customer} {turn['event_id']}", wanted, turn)
            at += 1
    return wrong


def differences(where: str, wanted: Record, found: Record) -> list[str]:
    """Say which of the values wanted the row does not have."""
    return [
        f"{where}: {name} is {found[name]}, not {value}"
        for name, value in wanted.items()
        if _differs(found[name], value)
    ]


def _differs(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, float):
        return abs(found - wanted) > ROUNDING * max(1.0, abs(wanted))
    return bool(found != wanted)


def _levels(until: Sequence[Record]) -> Record:
    """Levels right after the last of these messages."""
    last = until[-1]
    mine = [message for message in until if message["interaction_id"] == last["interaction_id"]]
    return {
        "level": _level(mine, HALF_LIFE[last["channel"]], last["event_time"]),
        "level_evidence": _sums(mine, HALF_LIFE[last["channel"]], last["event_time"])[1],
        "customer_level": _level(until, CUSTOMER_HALF_LIFE, last["event_time"]),
        "customer_evidence": _sums(until, CUSTOMER_HALF_LIFE, last["event_time"])[1],
    }


def _so_far(until: Sequence[Record], group: Sequence[Record]) -> Record:
    """What a turn says of its session up to it, and of the customer's contacts."""
    now = until[-1]["event_time"]
    return {
        **figures.slope(group),
        "streak": figures.streak(group),
        "messages": len(figures.spoken(group)),
        "contacts_24h": _contacts(until, now, DAY),
        "contacts_7d": _contacts(until, now, 7 * DAY),
    }


def _contacts(messages: Sequence[Record], now: int, span: int, without: str = "") -> int:
    """Conversations begun in the time before `now`; an asked survey is none."""
    begun: dict[str, int] = {}
    for message in messages:
        if message["channel"] != "survey":
            begun.setdefault(message["interaction_id"], message["event_time"])
    return sum(name != without and 0 <= now - time < span for name, time in begun.items())


def _level(messages: Iterable[Record], half_life: float, now: int) -> float:
    scores, evidence = _sums(messages, half_life, now)
    return scores / (evidence + PRIOR)


def _sums(messages: Iterable[Record], half_life: float, now: int) -> tuple[float, float]:
    """Decayed sums of weighted scores, and of the weights alone: the evidence."""
    above, below = 0.0, 0.0
    for message in messages:
        if message["speaker"] == "customer" and message["kind"] == "utterance" and not message["abstained"]:
            weight = message["weight"] * 0.5 ** ((now - message["event_time"]) / half_life)
            above, below = above + weight * message["score"], below + weight
    return above, below


def _compare_sessions(
    customer: Any, messages: Sequence[Record], turns: Sequence[Record], sessions: Sequence[Record]
) -> list[str]:
    groups = _cut(messages)
    found = {session["started_time"]: session for session in sessions}
    if found.keys() != {group[0]["event_time"] for group in groups}:
        return [f"{customer}: sessions begin at {sorted(found)}, not {[group[0]['event_time'] for group in groups]}"]
    wrong, end = [], 0
    for group in groups:
        start, end = end, end + len(group)
        session = found[group[0]["event_time"]]
        wanted = _session(group) | _moods(messages, turns, start, end)
        wanted |= figures.sums(group) | figures.course(group, session["carried"]) | figures.ends(group)
        where = f"{customer} session {session['session_id']}"
        wrong += differences(where, wanted, session)
        under = _time_under(messages, start, end)
        if abs(under - session["under_ms"]) > len(group):  # each stretch is rounded to a millisecond
            wrong.append(f"{where}: under_ms is {session['under_ms']}, not {under}")
    return wrong


def _moods(messages: Sequence[Record], turns: Sequence[Record], start: int, end: int) -> Record:
    """Levels at the beginning and the end of the session messages[start:end], and its lowest."""
    group, after = messages[start:end], turns[start:end]
    levels = [(turn["level"], turn["event_time"]) for turn in figures.spoken(after)]
    asked = next((place for place, message in enumerate(group) if message["channel"] == "survey"), len(group))
    heard = [turn["customer_level"] for turn in figures.spoken(after[:asked])]
    carried = _level(messages[:start], CUSTOMER_HALF_LIFE, group[0]["event_time"])
    return {
        "carried": carried,
        "final_level": _level(messages[:end], CUSTOMER_HALF_LIFE, group[-1]["event_time"]),
        "forecast": heard[-1] if heard else carried or None,
        "low": min(levels)[0] if levels else 0.0,
        "low_time": min(levels)[1] if levels else 0,
        "contacts_before": _contacts(messages[:start], group[0]["event_time"], 7 * DAY, group[0]["interaction_id"]),
    }


def _time_under(messages: Sequence[Record], start: int, end: int) -> int:
    """How long the customer's level was under the threshold, from the first to the last event of the session."""
    total = 0
    for place in range(start, end - 1):
        since, until = messages[place]["event_time"], messages[place + 1]["event_time"]
        level_at = partial(_level, messages[: place + 1], CUSTOMER_HALF_LIFE)
        total += figures.time_under(since, until, level_at)
    return total


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
    walked = [message["channel"] for message in group]
    asked = [channel for channel in walked if channel != "survey"]
    return {
        "ended_time": group[-1]["event_time"],
        "events": len(group),
        "messages": len(figures.spoken(group)),
        "response_ms": figures.longest_wait(group),
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
