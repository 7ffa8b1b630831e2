"""Seeded conversations written straight into the tables, by ClickHouse itself: a test's day or a benchmark's millions.

All is a pure function of `seed`, the number of events and the end of the period. Sessions have 12 turns, customer and
agent by turns; moods start somewhere and drift; some rows are inserted twice, as a replay does. The tables agree with
each other: trajectory follows scored_events, sessions and escalations follow trajectory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from clickhouse_connect.driver.client import Client

TURNS = 12
QUEUES = ("billing", "claims", "delivery", "mobile", "retention", "support", "travel", "renewals")
CHANNELS = ("voice", "chat", "email", "social", "survey")
TAGS = ("frustration", "anger", "urgency", "confusion", "disappointment", "satisfaction", "sarcasm")
CHUNK = 1_000_000


@dataclass(frozen=True)
class Traffic:
    """What to make."""

    end: int
    """End of the period, seconds since the Unix epoch."""
    events: int = 48_000
    days: float = 2.0
    seed: int = 7
    tenants: int = 2

    @property
    def sessions(self) -> int:
        """Number of sessions."""
        return self.events // TURNS


def write(client: Client, traffic: Traffic) -> None:
    """Fill every table the dashboards read."""
    for _, sql in steps(traffic):
        client.command(sql)


def steps(traffic: Traffic) -> Iterator[tuple[str, str]]:
    """What fills the tables, in order, each step with its name. A step that runs twice leaves the same rows."""
    for first in range(0, traffic.sessions, CHUNK // TURNS):
        last = min(traffic.sessions, first + CHUNK // TURNS)
        yield f"events {first}", _events(traffic, first, last)
        yield f"trajectory {first}", _trajectory(traffic, first, last)
        yield f"sessions {first}", _sessions(traffic, first, last)
    yield "replay", _events(traffic, 0, traffic.sessions // 20)  # the same rows again
    yield "escalations", _escalations(traffic)
    yield "feedback", _feedback(traffic)
    yield "dead letters", _dead_letters(traffic)
    yield "progress", _progress(traffic)
    for day in range(ceil(traffic.days) + 1):
        yield f"rollup {day}", _rollup(traffic.end - 86400 * (day + 1), traffic.end - 86400 * day)


def _noise(key: str, salt: int, seed: int) -> str:
    """SQL of a number in [0, 1), fixed by a key."""
    return f"(cityHash64({key}, {salt}, {seed}) % 10000 / 10000)"


def _names(names: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'{name}'" for name in names) + "]"


def _turns(traffic: Traffic, first: int, last: int) -> str:
    """SQL of the turns of some sessions with the values that all tables take from."""

    def at(key: str, salt: int) -> str:
        return _noise(key, salt, traffic.seed)

    spread = int(traffic.days * 86400 * 1000)
    customers = max(1, traffic.sessions // 3)
    return f"""
    SELECT
        intDiv(number, {TURNS}) AS s, number % {TURNS} AS turn,
        concat('tenant', toString(s % {traffic.tenants})) AS tenant,
        concat('s', toString(s)) AS session_id, concat('i', toString(s)) AS interaction_id,
        concat('e', toString(number)) AS event_id,
        cityHash64(s % {customers}, {traffic.seed}) AS customer_key,
        fromUnixTimestamp64Milli(toInt64({traffic.end * 1000} - {spread}
            + floor({at("s", 1)} * {spread - 300_000}) + s % 997 + turn * 20000), 'UTC') AS event_time,
        {_names(QUEUES)}[1 + toUInt8(floor({at("s", 2)} * {len(QUEUES)}))] AS queue,
        {_names(CHANNELS)}[1 + if(turn < 6, toUInt8(floor(pow({at("s", 3)}, 2) * 4)),
        toUInt8(floor(pow({at("s", 4)}, 2) * 4)))] AS channel,
        if(turn % 2 = 0, 'customer', 'agent') AS speaker,
        lower(hex(cityHash64(toUInt8(floor({at("s", 5)} * 40)), {traffic.seed}))) AS agent_key,
        {at("s", 6)} * 1.6 - 0.9 AS mood_start, {at("s", 7)} * 1.4 - 0.7 AS mood_drift,
        greatest(-0.95, least(0.95,
        mood_start + mood_drift * turn / {TURNS} + ({at("number", 8)} - 0.5) * 0.6)) AS score,
        {at("number", 9)} AS luck
    FROM numbers({first * TURNS}, {(last - first) * TURNS})"""


def _events(traffic: Traffic, first: int, last: int) -> str:
    chances = ", ".join(
        f"toFloat32({_noise('event_id', 20 + place, traffic.seed)}) AS p_{tag}" for place, tag in enumerate(TAGS)
    )
    return f"""
    INSERT INTO undertone.scored_events (tenant, event_time, event_id, revision, version, deleted, region, channel,
    kind,
        interaction_id, customer_key, speaker, agent_key, queue, language, text, redactions, final, asr_confidence,
        silence_ms, overtalk_ms, rating, skipped, topic, partition, offset, broker_time, p_negative, p_neutral,
        p_positive,
        score, intensity, confidence, label, abstained, weight, {", ".join(f"p_{tag}" for tag in TAGS)}, tags,
        model_version, calibration_version, scored_time, stored_time)
    SELECT
        tenant, event_time, event_id, 0, 0, 0, 'EU', channel, 'utterance', interaction_id, customer_key, speaker,
        agent_key,
        queue, 'en', concat('message ', event_id, ' about [CARD]'), 1, true, 1, 0, 0, NULL, '', 'undertone.events',
        s % 4,
        toInt64(substring(event_id, 2)), event_time + toIntervalMillisecond(toUInt32(luck * 50)),
        greatest(0, -score) AS p_negative, 1 - abs(score) AS p_neutral, greatest(0, score) AS p_positive,
        score, abs(score), 0.5 + abs(score) / 2,
        multiIf(score < -0.33, 'negative', score > 0.33, 'positive', 'neutral') AS label, luck < 0.08 AS abstained,
        if(luck < 0.08, 0, 0.5 + abs(score) / 2), {chances},
        multiIf(score < -0.6, ['frustration', 'anger'], score < -0.33, ['frustration'], score > 0.6, ['satisfaction'],
        []),
        if(event_time > fromUnixTimestamp64Milli(toInt64({traffic.end * 1000 - 7200_000})), 'm2', 'm1'), 'c1',
        event_time + toIntervalMillisecond(toUInt32(60 + luck * 120)),
        event_time + toIntervalMillisecond(toUInt32(500 + luck * 5000))
    FROM ({_turns(traffic, first, last)})"""


_MOVED = (
    "tenant",
    "customer_key",
    "event_time",
    "event_id",
    "revision",
    "version",
    "deleted",
    "session_id",
    "interaction_id",
    "channel",
    "queue",
    "agent_key",
    "speaker",
    "kind",
    "score",
    "weight",
    "label",
    "tags",
    "level",
    "level_evidence",
    "customer_level",
    "customer_evidence",
    "carried",
    "slope",
    "slope_low",
    "slope_high",
    "trend",
    "volatility",
    "reversals",
    "streak",
    "cusum",
    "change_points",
    "low",
    "low_time",
    "under_ms",
    "messages",
    "hops",
    "contacts_24h",
    "contacts_7d",
    "response_ms",
    "silence_ms",
    "overtalk_ms",
    "late",
    "provisional",
    "parameters",
    "model_version",
)


def _trajectory(traffic: Traffic, first: int, last: int) -> str:
    return f"INSERT INTO undertone.trajectory ({', '.join(_MOVED)})\n{_moved(traffic, first, last)}"


def _moved(traffic: Traffic, first: int, last: int) -> str:
    """SQL of the trajectory's rows of some sessions, from which the sessions are made too."""
    values = f"""
        tenant; customer_key; event_time; event_id; 0; turn; 0; session_id; interaction_id; channel; queue; agent_key;
        speaker; 'utterance'; score; if(luck < 0.08, 0, 0.5 + abs(score) / 2);
        multiIf(score < -0.33, 'negative', score > 0.33, 'positive', 'neutral'); if(score < -0.33, ['frustration'], []);
        mood_start + mood_drift * turn / {TURNS}; turn / 2; level * 0.9; turn / 2 + 0.5;
        mood_start / 2; if(turn > 5, mood_drift, NULL); if(turn > 5, mood_drift - 0.2, NULL);
        if(turn > 5, mood_drift + 0.2, NULL);
        multiIf(turn <= 5, 'not_calculated', mood_drift > 0.4, 'improving', mood_drift > 0.1, 'slightly_improving',
            mood_drift > -0.1, 'no_change', mood_drift > -0.4, 'slightly_declining', 'declining');
        0.3; 1; if(score < -0.33, turn, 0); 0.1; 0; least(mood_start, customer_level); event_time; turn * 1000;
        intDiv(turn, 2) + 1; if(turn < 6, 0, 1); 1 + s % 3; 1 + s % 5; 20000; 0; 0; luck < 0.004; false; 'p1'; 'm1'
    """.split(";")
    named = (
        value.strip() if value.strip() == name else f"{value.strip()} AS {name}"
        for name, value in zip(_MOVED, values, strict=True)
    )
    return f"SELECT {', '.join(named)}\nFROM ({_turns(traffic, first, last)})"


def _sessions(traffic: Traffic, first: int, last: int) -> str:
    flagged = ", ".join(
        f"countIf(speaker = 'customer' AND {_noise('event_id', 40 + place, traffic.seed)} < 0.1 - score / 10)"
        for place in range(len(TAGS))
    )
    open_after = f"fromUnixTimestamp64Milli(toInt64({traffic.end * 1000 - 1800_000}))"
    return f"""
    INSERT INTO undertone.sessions (tenant, customer_key, session_id, started_time, ended_time, version, deleted, state,
        channels, interactions, queue, agent_key, messages, events, negatives, positives, mean_score, begin, end, shift,
        outcome, carried, final_level, trend, forecast, low, low_time, under_ms, volatility, reversals,
        change_points, hops, contacts_24h, contacts_7d, response_ms, silence_ms, overtalk_ms,
        {", ".join(f"n_{tag}" for tag in TAGS)}, rating, escalations, late_events, contacts_before,
        parameters, model_version)
    SELECT
        tenant, customer_key, session_id, min(t.event_time) AS started, max(t.event_time) AS ended, 1, 0,
        if(ended > {open_after}, 'open', 'closed'),
        arrayCompact(arrayMap(pair -> pair.2, arraySort(groupArray((t.event_time, toString(channel)))))) AS path,
        [any(t.interaction_id)], any(t.queue), any(t.agent_key), countIf(speaker = 'customer'), count(),
        countIf(speaker = 'customer' AND label = 'negative'), countIf(speaker = 'customer' AND label = 'positive'),
        avg(score), avgIf(score, turn < 3) AS mood_begin, avgIf(score, turn >= 9) AS mood_end, mood_end - mood_begin,
        multiIf(mood_begin <= -0.2 AND mood_end >= 0.2, 'recovered', mood_begin >= 0.2 AND mood_end <= -0.2, 'soured',
        'steady'),
        any(t.carried), argMax(customer_level, t.event_time) AS last_level, argMax(toString(trend), t.event_time),
        last_level, min(customer_level), argMin(t.event_time,
        customer_level), 1000,
        0.3, 1, 0, length(path) - 1, max(t.contacts_24h), max(t.contacts_7d), 20000, 0, 0, {flagged},
        if(cityHash64(session_id) % 6 = 0, toNullable(toFloat32(greatest(-1, least(1, round(mood_end * 2) / 2)))),
        NULL),
        countIf(customer_level < -0.5) > 0, 0, max(t.contacts_7d) - 1, 'p1', 'm1'
    FROM
    (
        SELECT *, version AS turn FROM ({_moved(traffic, first, last)})
    ) AS t
    GROUP BY tenant, customer_key, session_id"""


def _escalations(traffic: Traffic) -> str:
    return f"""
    INSERT INTO undertone.escalations (tenant, raised_time, escalation_id, version, transition, state, event_time,
        customer_key, session_id, interaction_id, channel, queue, agent_key, rule, rule_version, family, level, route,
        reason, score, interaction_level, level_evidence, customer_level, carried, slope, streak, tags, excerpt,
        event_ids, broker_time)
    SELECT
        tenant, min(t.event_time) AS raised, concat('a', session_id) AS id, 1 AS version,
        multiIf(cityHash64(id) % 10 = 0, 'suppressed', cityHash64(id) % 3 = 0, 'cleared', 'raised') AS transition,
        multiIf(transition = 'suppressed', 'suppressed', transition = 'cleared', 'resolved', 'active') AS state,
        raised + toIntervalSecond(if(state = 'resolved', 400, 0)), customer_key, session_id, any(t.interaction_id),
        argMin(t.channel, t.event_time), any(t.queue), any(t.agent_key),
        ['sour', 'falling', 'again', 'cancel'][1 + cityHash64(id, 1) % 4] AS rule, '1',
        ['level', 'trend', 'contact', 'keyword'][1 + cityHash64(id, 1) % 4], 1 + cityHash64(id, 2) % 3 AS level,
        if(level = 1, 'agent', 'supervisor'), 'mood -0.52 below -0.40 for 2 messages', min(score), min(t.level), 1,
        min(t.customer_level), any(t.carried), NULL, 2, ['frustration'], 'I have called three times about [CARD]',
        ['e1'], raised
    FROM
    (
        SELECT * FROM undertone.trajectory FINAL
        WHERE speaker = 'customer' AND customer_level < -0.5 AND cityHash64(session_id, {traffic.seed}) % 5 = 0
    ) AS t
    GROUP BY tenant, customer_key, session_id"""


def _feedback(traffic: Traffic) -> str:
    return """
    INSERT INTO undertone.feedback (tenant, escalation_id, feedback_id, action, by, event_time)
    SELECT tenant, escalation_id, concat(escalation_id, act), act, 'desk-1', raised_time + toIntervalSecond(wait)
    FROM
    (
        SELECT tenant, escalation_id, raised_time, cityHash64(escalation_id, 3) % 100 AS dice,
            arrayFilter(pair -> pair.1 != '', [
                (if(dice < 80, 'acknowledged', ''), 30 + dice * 3), (if(dice < 50, 'resolved', ''), 300 + dice * 9),
                (multiIf(dice < 40, 'good_catch', dice < 55, 'false_alarm', ''), 400 + dice)]) AS acts
        FROM undertone.escalations FINAL
        WHERE route = 'supervisor' AND state != 'suppressed'
    )
    ARRAY JOIN acts.1 AS act, acts.2 AS wait"""


def _dead_letters(traffic: Traffic) -> str:
    rows = max(5, traffic.events // 400)
    start = traffic.end - int(traffic.days * 86400)
    return f"""
    INSERT INTO undertone.dead_letters (topic, partition, offset, stage, reason, field, broker_time)
    SELECT 'undertone.events', number % 4, 10000000 + number, 'decode',
        ['not_json', 'missing_field', 'time_in_future'][1 + number % 3], '',
        fromUnixTimestamp64Milli(toInt64({start * 1000} + number * {int(traffic.days * 86400 * 1000) // rows}), 'UTC')
    FROM numbers({rows})"""


def _progress(traffic: Traffic) -> str:
    """One row a partition and 5 seconds of the last six hours."""
    rows = min(6 * 720, int(traffic.days * 17_280))
    return f"""
    INSERT INTO undertone.progress (topic, partition, committed_time, position, end_offset, stream_time)
    SELECT 'undertone.events', number % 4,
        fromUnixTimestamp64Milli(toInt64({(traffic.end - 5 * rows) * 1000} + intDiv(number, 4) * 5000), 'UTC') AS at,
        intDiv(number, 4) * 100 AS read, read + cityHash64(number, {traffic.seed}) % 300,
        at - toIntervalMillisecond(cityHash64(number, 1, {traffic.seed}) % 4000)
    FROM numbers({4 * rows})"""


def _rollup(since: int, until: int) -> str:
    return f"""
    INSERT INTO undertone.rollup_1m (tenant, minute, queue, channel, messages, negatives, neutrals, positives,
    abstained,
        score_sum, weight_sum, customers, calculated_time)
    SELECT tenant, minute, queue, channel, messages, negatives, neutrals, positives, abstained, score_sum, weight_sum,
        customers, now64(3)
    FROM undertone.v_queues_1m
    WHERE minute >= toDateTime({since}) AND minute < toDateTime({until})"""
