"""Split one customer's events into sessions across channels, by event time alone.

An event at t on channel k covers [t, t + gap(k)]. A session is a connected component of the union of these intervals,
so the sessions depend on the data only, not on when it was read. The functions here add events in event order, except
`late_event`, which adds an event that comes after its place in the order is settled.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

from operators.entry import Entry, hash32
from operators.parameters import DAY, Parameters

PATH = 8
"""Most channels of the path, and most interactions, that a session stores."""
SURVEY: Final = "survey"
CONTACTS = 16
"""Most interactions whose start a customer's state stores."""

Contacts = tuple[tuple[int, int], ...]
"""(hash of interaction id, event time of its first event), oldest first."""


class Session(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The facts about a session apart from mood: its time span, its channel path, its waits."""

    id: str
    started_ms: int
    ended_ms: int
    deadline_ms: int
    """End of the time that the session's events cover; an event at or before it belongs to the session."""
    carried: float
    """Customer level at the start, decayed from earlier sessions; the baseline for change points."""
    events: int = 0
    channel: str = ""
    """Channel of the last event that is not of a survey, because a survey answer is no change of channel."""
    channels: tuple[str, ...] = ()
    interactions: tuple[str, ...] = ()
    hops: int = 0
    queue: str = ""
    agent_key: str = ""
    waiting_ms: int = 0
    """Event time of the customer's first unanswered message; 0 when there is none, or the conversation was closed."""
    wait_ms: int = 0
    """Time from the first unanswered message before the last event to that event; 0 when there was none."""
    response_ms: int = 0
    """Longest time so far until an agent or bot answered."""
    silence_ms: int = 0
    overtalk_ms: int = 0
    rating: int | None = None
    late_events: int = 0
    model_version: str = ""
    forecast: float | None = None
    """Customer level after the customer's last words before a survey; None when there were none."""
    contacts_before: int = 0
    """Other interactions begun in the 7 days before this session."""


NO_SESSION = Session("", 0, 0, 0, 0.0)
"""Used while no session has begun: all events so far are retracted, or retract events that never came."""


def session_id(tenant: str, customer_key: int, started_ms: int) -> str:
    """Return the session id, a hash of the customer and the time of the first event: equal data give equal ids.

    >>> session_id("acme", 7, 1_700_000_000_000)
    'e75930b1d9463ce8'
    """
    return blake2b(f"{tenant}\0{customer_key}\0{started_ms}".encode(), digest_size=8).hexdigest()


def begin(tenant: str, customer_key: int, entry: Entry, carried: float, contacts: Contacts) -> Session:
    """Make an empty session that starts at the entry's time, after earlier `contacts`; `extend` then adds the entry."""
    started, mine = entry.event_ms, hash32(entry.interaction_id)
    _, week = contact_counts(tuple([contact for contact in contacts if contact[0] != mine]), started)
    name = session_id(tenant, customer_key, started)
    return Session(name, started, started, started, carried, contacts_before=week)


def extend(session: Session, entry: Entry, parameters: Parameters, level: float | None = None) -> Session:
    """Add the next event in event order; `level` is the customer level after a message of the customer, else None."""
    now = entry.event_ms
    waiting, wait, longest = _waits(session, entry)
    channels, hops = _walk(session, entry.channel)
    interactions = session.interactions
    if entry.interaction_id not in interactions and len(interactions) < PATH:
        interactions = (*interactions, entry.interaction_id)
    return Session(
        session.id,
        session.started_ms,
        now,
        max(session.deadline_ms, now + parameters.gap_ms[entry.channel]),
        session.carried,
        session.events + 1,
        session.channel if entry.channel == SURVEY else entry.channel,
        channels,
        interactions,
        hops,
        entry.queue or session.queue,
        entry.agent_key or session.agent_key,
        waiting,
        wait,
        longest,
        session.silence_ms + entry.silence_ms,
        session.overtalk_ms + entry.overtalk_ms,
        session.rating if entry.rating is None else entry.rating,
        session.late_events,
        entry.model_version or session.model_version,
        session.forecast if level is None or SURVEY in (entry.channel, *channels) else level,
        session.contacts_before,
    )


def late_event(session: Session, entry: Entry, parameters: Parameters) -> Session:
    """Add a late event, whose place is settled: sums and bounds change, the path and the waits do not."""
    return msgspec.structs.replace(
        session,
        ended_ms=max(session.ended_ms, entry.event_ms),
        deadline_ms=max(session.deadline_ms, entry.event_ms + parameters.gap_ms[entry.channel]),
        events=session.events + 1,
        silence_ms=session.silence_ms + entry.silence_ms,
        overtalk_ms=session.overtalk_ms + entry.overtalk_ms,
        rating=entry.rating if session.rating is None else session.rating,
        late_events=session.late_events + 1,
    )


def with_contact(contacts: Contacts, entry: Entry) -> Contacts:
    """Store when an interaction began; a known interaction keeps its time, and a survey is not stored.

    Of more than 16 interactions, the one stored first is dropped.
    """
    if entry.channel == SURVEY:
        return contacts
    key = hash32(entry.interaction_id)
    for known, _ in contacts:
        if known == key:
            return contacts
    return (*contacts[1 - CONTACTS :], (key, entry.event_ms))


def contact_counts(contacts: Contacts, now_ms: int) -> tuple[int, int]:
    """Count interactions begun in the 24 hours and in the 7 days before `now_ms`.

    >>> contact_counts(((1, 0), (2, 3 * DAY), (3, 4 * DAY - 1)), now_ms=4 * DAY - 1)
    (2, 3)
    """
    day = week = 0
    for _, started in contacts:
        age = now_ms - started
        if 0 <= age < 7 * DAY:  # for a late event, some stored contacts began after `now_ms`
            week += 1
            day += age < DAY
    return day, week


def _waits(session: Session, entry: Entry) -> tuple[int, int, int]:
    """Return (time of the first unanswered message, wait at this event, longest wait) after the entry."""
    waiting = session.waiting_ms
    wait = entry.event_ms - waiting if waiting else 0
    longest = session.response_ms
    if entry.kind == "closed":
        waiting = 0
    elif entry.kind == "utterance":
        if entry.speaker == "customer":
            waiting = waiting or entry.event_ms
        elif entry.speaker != "system":
            longest = max(longest, wait)
            waiting = 0
    return waiting, wait, longest


def _walk(session: Session, channel: str) -> tuple[tuple[str, ...], int]:
    """Channel path and number of hops after an event on `channel`; a survey enters the path once and is no hop."""
    path, hops = session.channels, session.hops
    if channel == session.channel or (channel == SURVEY and SURVEY in path):
        return path, hops
    if channel != SURVEY and session.channel:
        hops += 1
    return ((*path, channel) if len(path) < PATH else path), hops
