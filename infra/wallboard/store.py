"""Read the contents of the wall from the store, with six queries.

Queues and conversations cover the last 15 minutes of event time. "Now" is the newest event time in the store, so that
the wall also works for a replay of last week. Alerts show the words and the reason that raised them, also after they
have changed state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from infra.wallboard.snapshot import Alert, Conversation, Latency, Queue, Snapshot

TOTALS = """
SELECT toUnixTimestamp64Milli(max(event_time)) AS at_ms, countIf(kind = 'utterance') AS messages,
    uniqExact(customer_key) AS customers, sum(redactions) AS redactions
FROM undertone.scored_events FINAL
"""

QUEUES = """
WITH (SELECT max(event_time) FROM undertone.scored_events) AS now_time
SELECT queue, countIf(recent) AS messages, countIf(recent AND label = 'negative') / messages AS negative,
    if(countIf(NOT recent) = 0, NULL, countIf(NOT recent AND label = 'negative') / countIf(NOT recent)) AS before
FROM
(
    SELECT queue, label, event_time > now_time - INTERVAL 15 MINUTE AS recent
    FROM undertone.scored_events FINAL
    WHERE speaker = 'customer' AND kind = 'utterance' AND skipped = '' AND event_time > now_time - INTERVAL 30 MINUTE
)
GROUP BY queue
HAVING messages > 0
ORDER BY negative * messages DESC, messages DESC, queue
LIMIT 40
"""

CONVERSATIONS = """
WITH (SELECT max(event_time) FROM undertone.scored_events) AS now_time
SELECT leftPad(lower(hex(s.customer_key)), 16, '0') AS customer, s.queue, s.channels, s.final_level, t.trend,
    s.messages, a.alert
FROM
(
    SELECT customer_key, session_id, queue, channels, final_level, messages
    FROM undertone.sessions FINAL
    WHERE ended_time > now_time - INTERVAL 15 MINUTE AND messages > 0
    ORDER BY final_level, customer_key
    LIMIT 40
) AS s
LEFT JOIN
(
    SELECT session_id, argMax(trend, (event_time, event_id)) AS trend
    FROM undertone.trajectory FINAL
    WHERE event_time > now_time - INTERVAL 1 HOUR AND speaker = 'customer' AND kind = 'utterance'
    GROUP BY session_id
) AS t ON t.session_id = s.session_id
LEFT JOIN
(
    SELECT session_id, max(level) AS alert FROM undertone.escalations FINAL WHERE state = 'active' GROUP BY session_id
) AS a ON a.session_id = s.session_id
ORDER BY s.final_level, customer
"""

ALERTS = """
SELECT toUnixTimestamp64Milli(argMax(event_time, step)) AS at_ms, any(family), max(level), argMax(route, step),
    argMax(state, version), argMax(queue, step), argMax(channel, step),
    leftPad(lower(hex(any(customer_key))), 16, '0'), argMax(reason, step), argMax(excerpt, step)
FROM
(
    SELECT *, if(transition IN ('raised', 'level_up', 'suppressed'), version, 0) AS step
    FROM undertone.escalation_steps FINAL
)
GROUP BY escalation_id
ORDER BY at_ms DESC, escalation_id
LIMIT 40
"""

RAISED = "SELECT count() FROM undertone.escalations FINAL"

REJECTED = """
SELECT reason, count() AS n FROM undertone.dead_letters FINAL GROUP BY reason ORDER BY n DESC, reason
"""


class Client(Protocol):
    """The part of a ClickHouse client that is used here; `clickhouse_connect` clients have it."""

    def query(self, query: str) -> Any:
        """Run a SELECT; the answer has `result_rows`."""


class Wall:
    """Takes snapshots of the store, and measures the message rate between two snapshots.

    `latencies` is called for each snapshot, because the tables hold when a row was scored, not when it became readable.
    """

    def __init__(self, client: Client, latencies: Callable[[], tuple[Latency, ...]] = tuple) -> None:
        self._client = client
        self._latencies = latencies
        self._before: tuple[float, int] | None = None

    def snapshot(self) -> Snapshot:
        """Read the current contents of the wall."""
        at_ms, messages, customers, redactions = self._rows(TOTALS)[0]
        return Snapshot(
            at_ms=max(0, at_ms),
            messages=messages,
            customers=customers,
            redactions=redactions,
            rate=self._rate(messages),
            latencies=self._latencies(),
            queues=tuple(Queue(name=n, messages=m, negative=s, before=b) for n, m, s, b in self._rows(QUEUES)),
            conversations=tuple(_conversation(row) for row in self._rows(CONVERSATIONS)),
            alerts=tuple(_alert(row) for row in self._rows(ALERTS)),
            raised=self._rows(RAISED)[0][0],
            rejected=tuple((reason, count) for reason, count in self._rows(REJECTED)),
        )

    def _rows(self, query: str) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = self._client.query(query).result_rows
        return rows

    def _rate(self, messages: int) -> float | None:
        before, self._before = self._before, (time.monotonic(), messages)
        if before is None or self._before[0] - before[0] < 0.05:
            return None
        return max(0.0, (messages - before[1]) / (self._before[0] - before[0]))


def _conversation(row: Sequence[Any]) -> Conversation:
    customer, queue, path, level, trend, messages, alert = row
    return Conversation(
        customer=customer[:8],
        queue=queue,
        path=tuple(path),
        level=level,
        trend=trend or "not_calculated",
        messages=messages,
        alert=alert,
    )


def _alert(row: Sequence[Any]) -> Alert:
    at_ms, family, level, route, state, queue, channel, customer, reason, excerpt = row
    return Alert(
        at_ms=at_ms,
        family=family,
        level=level,
        route=route,
        state=state,
        queue=queue,
        channel=channel,
        customer=customer[:8],
        reason=reason,
        excerpt=excerpt,
    )
