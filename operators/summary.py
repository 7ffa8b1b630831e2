"""Summarise one session as of one place in event order."""

from __future__ import annotations

from operators import trajectory as trajectories
from operators.bins import mean, quarters
from operators.entry import REVISED
from operators.fold import Fold
from operators.mood import level_at
from operators.parameters import SCALE, Parameters
from operators.records import SessionUpdate
from operators.session import NO_SESSION, contact_counts


def session_knowledge(known: int, latest: int) -> int:
    """Combine the messages known up to the session's end with all corrections known of this customer.

    Corrections fill the higher bits. All of them count, because a correction can split or join sessions: with only
    those before the session's end, the version could decrease.

    >>> session_knowledge(known=5, latest=9 + 2 * REVISED) == 5 + 2 * REVISED
    True
    """
    return latest // REVISED * REVISED + known % REVISED


def session_update(
    tenant: str, customer_key: int, fold: Fold, *, closed: bool, deleted: bool, known: int, parameters: Parameters
) -> SessionUpdate:
    """Make the row of the fold's session.

    Its version is 2 x knowledge, plus 1 once it is closed or deleted: a closed row replaces the open row with equal
    knowledge, and any row with more knowledge replaces the closed row.
    """
    session = fold.session or NO_SESSION
    trajectory = fold.trajectory
    begin, end = quarters(trajectory.bins)
    final, _ = level_at(fold.mood.customer, session.ended_ms, parameters.customer_half_life_ms, parameters.kappa)
    day, week = contact_counts(fold.contacts, session.ended_ms)
    return SessionUpdate(
        tenant,
        customer_key,
        session.id,
        session.started_ms,
        session.ended_ms,
        2 * known + (closed or deleted),
        deleted,
        "closed" if closed else "open",
        session.channels,
        session.interactions,
        session.queue,
        session.agent_key,
        trajectory.messages,
        session.events,
        trajectory.negatives,
        trajectory.positives,
        mean(trajectory.weight, trajectory.weighted),
        begin,
        end,
        round((end - begin) * SCALE) / SCALE,
        trajectories.outcome(begin, end, trajectory.scored, parameters),
        session.carried,
        final,
        trajectory.trend,
        (session.carried or None) if session.forecast is None else session.forecast,
        trajectory.low if trajectory.messages else 0.0,
        trajectory.low_ms,
        trajectory.under_ms,
        trajectories.volatility(trajectory),
        trajectory.reversals,
        trajectory.change_points,
        session.hops,
        day,
        week,
        session.response_ms,
        session.silence_ms,
        session.overtalk_ms,
        trajectory.tag_counts,
        None if session.rating is None else session.rating / SCALE,
        fold.alarms.in_session,
        session.late_events,
        session.contacts_before,
        parameters.version,
        session.model_version,
    )
