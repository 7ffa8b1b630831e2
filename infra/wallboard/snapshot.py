"""What the wall shows at one moment: plain numbers, so that drawing needs no database and reading no terminal."""

from __future__ import annotations

import msgspec


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """One queue over the last quarter of an hour of event time."""

    name: str
    messages: int
    """Customer messages."""
    negative: float
    """Share of them that are negative, in [0, 1]."""
    before: float | None
    """The same share in the quarter of an hour before; None when nobody wrote then."""


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """One customer in an open session."""

    customer: str
    """First digits of the pseudonym."""
    queue: str
    path: tuple[str, ...]
    """Channels in order."""
    level: float
    """Customer level, in (-1, 1)."""
    trend: str
    """Trend class of `Turn.trend`."""
    messages: int
    alert: int
    """Highest level of an active escalation of the customer, 0 for none."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One escalation as it stands."""

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
    """Redacted."""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long messages take, in milliseconds."""

    name: str
    p50: float
    p95: float


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The wall at one moment."""

    at_ms: int = 0
    """Event time that the wall has reached; 0 before the first message."""
    messages: int = 0
    customers: int = 0
    redactions: int = 0
    rate: float | None = None
    """Messages a second of wall time; None when not measured."""
    latencies: tuple[Latency, ...] = ()
    queues: tuple[Queue, ...] = ()
    conversations: tuple[Conversation, ...] = ()
    alerts: tuple[Alert, ...] = ()
    """Newest first."""
    raised: int = 0
    rejected: tuple[tuple[str, int], ...] = ()
    """Dead letters by reason, most first."""
