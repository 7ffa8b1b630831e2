"""Escalations counted again from the stored messages and turns, by the documented rules and none of the job's code.

`recount` holds what a turn says against the messages; here it is taken as it stands and asked what it must have set
off (`recount_alerts`), with the rules read anew from their file (`recount_rules`). What the job made is read as it is
in the end: of each escalation the latest version.

Not all of it can be told from rows. When a correction moves an alert that stays, its first time stays with it and its
end is not told anew, so times, versions, reasons and evidence are compared of customers alone whose events came in
order and were never corrected. Left out altogether are those of whom a message was corrected after its place had
settled (its row then holds what the rules never saw), and whose session is still open.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from operators.rows import TABLES
from tests.recount import GAP, by_customer, differences
from tests.recount_alerts import Alert, Customer, is_answer
from tests.recount_figures import Record, ends
from tests.recount_rules import Facts, PlainRules
from tests.store_reader import Rows

SECOND = 1000


class Compared(NamedTuple):
    """What a comparison found, and on how much it stands."""

    wrong: list[str]
    customers: int
    alerts: int
    to_the_letter: int
    """Alerts of customers whose times and evidence were compared too."""


def recount_escalations(found: Rows, rules: PlainRules, gaps: dict[str, int] = GAP) -> Compared:
    """Say which escalations are not those that the messages and turns must have set off."""
    said, turns, sessions, told = (
        by_customer(found, table) for table in ("scored_events", "trajectory", "sessions", "escalations")
    )
    by_hand = {row[TABLES["feedback"].columns.index("escalation_id")] for row in found.get("feedback", [])}
    wrong: list[str] = []
    customers = alerts = to_the_letter = 0
    for customer in turns.keys() | told.keys():
        if not _can_be_told(turns[customer], sessions[customer]):
            continue
        history = facts_of(said[customer], turns[customer], rules)
        straight = _is_straight(said[customer], turns[customer], sessions[customer])
        wanted = {_id(customer, alert): alert for alert in _alerts(history, turns[customer], rules, gaps)}
        standing = {row["escalation_id"]: row for row in told[customer] if row["transition"] != "retracted"}
        wrong += [f"{customer}: {_words(wanted[name])} is missing" for name in wanted.keys() - standing.keys()]
        wrong += [f"{customer}: {_row(standing[name])} is one too many" for name in standing.keys() - wanted.keys()]
        for name in wanted.keys() & standing.keys():
            values = _outcome(wanted[name])
            if straight and name not in by_hand:
                values |= _to_the_letter(wanted[name], history)
            wrong += differences(f"{customer} {_row(standing[name])}", values, _abridged(standing[name], values))
        customers += 1
        alerts += len(wanted)
        to_the_letter += len(wanted) if straight else 0
    return Compared(wrong, customers, alerts, to_the_letter)


def _can_be_told(turns: Sequence[Record], sessions: Sequence[Record]) -> bool:
    late = [turn for turn in turns if turn["late"]]
    corrected = any(turn["revision"] for turn in late) or sum(row["late_events"] for row in sessions) != len(late)
    return not corrected and all(session["state"] == "closed" for session in sessions)


def _is_straight(messages: Sequence[Record], turns: Sequence[Record], sessions: Sequence[Record]) -> bool:
    """Whether every event came after those before it, and none was corrected: versions then count the events."""
    came = [(message["partition"], message["offset"]) for message in messages]
    known = [turn["version"] for turn in turns]
    last = max((session["version"] for session in sessions), default=0)
    return came == sorted(came) and known == [*range(1, len(turns) + 1)] and last == 2 * len(turns) + 1


def facts_of(messages: Sequence[Record], turns: Sequence[Record], rules: PlainRules) -> list[Facts]:
    """What the rules may look at after each event, in event order; what came too late they are not asked about."""
    said = {message["event_id"]: message for message in messages}
    history: list[Facts] = []
    session, so_far, queue, changes, waiting = "", list[Record](), "", 0, 0
    for turn in turns:
        if turn["late"]:
            continue
        if turn["session_id"] != session:
            session, so_far, queue, changes, waiting = turn["session_id"], [], "", 0, 0
        message = said[turn["event_id"]]
        mine = turn["speaker"] == "customer" and turn["kind"] == "utterance"
        so_far.append(message)
        queue = turn["queue"] or queue
        waited = turn["event_time"] - waiting if waiting else 0
        if is_answer(turn):
            waiting = 0
        elif mine:
            waiting = waiting or turn["event_time"]
        history.append(
            {name: round(value, 4) if isinstance(value, float) else value for name, value in turn.items()}
            | _of_message(message, rules)
            | {
                "queue": queue,
                "last": round(turn["score"], 4),
                "evidence": round(turn["level_evidence"], 4),
                "under_s": turn["under_ms"] / SECOND,
                "response_s": waited / SECOND,
                "change_point": mine and turn["change_points"] > changes,
                "waiting": waiting > 0,
                **{name: value for name, value in ends(so_far).items() if name == "shift"},
            }
        )
        changes = turn["change_points"]
    return history


def _of_message(message: Record, rules: PlainRules) -> Record:
    """What a turn does not hold of its message."""
    rating, heard = message["rating"], message["speaker"] == "customer"
    return {
        "language": message["language"],
        "provisional": not message["final"],
        "keywords": rules.keywords_in(message["text"]) if heard else set(),
        "silence_s": message["silence_ms"] / SECOND,
        "overtalk_s": message["overtalk_ms"] / SECOND,
        "rating": None if rating is None else round(rating, 4),
    }


def _alerts(history: Sequence[Facts], turns: Sequence[Record], rules: PlainRules, gaps: dict[str, int]) -> list[Alert]:
    customer = Customer(rules.rules)
    for session in dict.fromkeys(facts["session_id"] for facts in history):
        covered = [turn["event_time"] + gaps[turn["channel"]] for turn in turns if turn["session_id"] == session]
        customer.live(session, [facts for facts in history if facts["session_id"] == session], max(covered))
    return customer.alerts


def _id(customer: Any, alert: Alert) -> str:
    """The customer's key, and a hash of rule, session and ordinal."""
    tenant, key = customer
    hashed = blake2b(f"{tenant}\0{key}\0{alert.rule.id}\0{alert.session}\0{alert.ordinal}".encode(), digest_size=6)
    return f"{key:016x}-{hashed.hexdigest()}"


def _outcome(alert: Alert) -> Record:
    """What must be so in the end however the events came."""
    return {
        "rule": alert.rule.id,
        "family": alert.rule.family,
        "session_id": alert.session,
        "level": alert.level,
        "route": alert.route,
        "state": alert.state,
    }


def _to_the_letter(alert: Alert, history: Sequence[Facts]) -> Record:
    """What must be so besides when all came in order: times, number of steps, and the evidence of the last one."""
    first, last, event = alert.steps[0], alert.steps[-1], alert.steps[-1].event
    before = [facts for facts in history[: history.index(event)] if facts["kind"] == "utterance"]
    mine = [facts["event_id"] for facts in reversed(before) if facts["speaker"] == "customer"]
    return {
        "transition": last.name,
        "raised_time": first.at,
        "event_time": last.at,
        "version": len(alert.with_reminders()),
        "reason": last.reason,
        "score": event["score"],
        "interaction_level": event["level"],
        "tags": tuple(sorted(event["tags"])),
        "event_ids": (event["event_id"], *mine)[:3],
        **{name: event[name] for name in ("interaction_id", "channel", "queue", "streak", "slope")},
        **{name: event[name] for name in ("level_evidence", "customer_level", "carried")},
    }


def _abridged(row: Record, values: Record) -> Record:
    """A row with its tags in the order of their names, and its reason as far as that can be told."""
    told = values.get("reason", "")
    reason = told if row["reason"].startswith(told) else row["reason"]
    return {**row, "reason": reason, "tags": tuple(sorted(row["tags"]))}


def _words(alert: Alert) -> str:
    return f"{alert.rule.id} {alert.ordinal} of session {alert.session} ({alert.state}, level {alert.level})"


def _row(row: Record) -> str:
    return f"{row['rule']} {row['escalation_id']} of session {row['session_id']} ({row['state']}, level {row['level']})"
