"""The contents of the wall at one moment, as plain values: `render` needs no database, `store` needs no terminal."""

from __future__ import annotations

import msgspec


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """One queue over the last quarter of an hour of event time."""

    name: str
    messages: int
    """Number of customer messages."""
    negative: float
    """Share of these messages that are negative, in [0, 1]."""
    before: float | None
    """The same share in the quarter of an hour before; None when there were no messages then."""


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """One customer in an open session."""

    customer: str
    """First 8 hex digits of the pseudonym."""
    queue: str
    path: tuple[str, ...]
    """Channels in event order."""
    level: float
    """Customer level, in (-1, 1)."""
    trend: str
    """Trend class of `Turn.trend`."""
    messages: int
    alert: int
    """Highest level of the session's active escalations; 0 when there is none."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One escalation in its current state."""

    at_ms: int
    family: str
    level: int
    route: str
    state: str
    queue: str
    channel: str
    customer: str
    reason: str
    excerpt: str
    """Redacted text of the triggering message."""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of one latency, in milliseconds."""

    name: str
    p50: float
    p95: float


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The wall at one moment."""

    at_ms: int = 0
    """Newest event time in the store; 0 before the first message."""
    messages: int = 0
    customers: int = 0
    redactions: int = 0
    rate: float | None = None
    """Messages per second of wall-clock time; None when not measured."""
    latencies: tuple[Latency, ...] = ()
    queues: tuple[Queue, ...] = ()
    conversations: tuple[Conversation, ...] = ()
    alerts: tuple[Alert, ...] = ()
    """Newest first."""
    raised: int = 0
    rejected: tuple[tuple[str, int], ...] = ()
    """Number of dead letters by reason, most frequent first."""
