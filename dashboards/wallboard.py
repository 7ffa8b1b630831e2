"""The wall: what needs a supervisor in the next minutes. Fits a 1080p screen without scrolling."""

from __future__ import annotations

from dashboards.board import dashboard, place, queue, tenant
from dashboards.common import (
    ACKNOWLEDGE_TARGET_S,
    BAD,
    DATA_AGE_LIMIT_S,
    DATA_AGE_TARGET_S,
    GOOD,
    LEVEL_MAP,
    MIN_MESSAGES,
    MOOD_STEPS,
    NEGATIVE_CLEAR,
    NEGATIVE_LIMIT,
    NEGATIVE_TARGET,
    TAGS,
    TREND_MAP,
    WATCH,
    Json,
    chosen,
    feedback_links,
    journey_link,
    key_text,
    value_map,
)
from dashboards.panels import alerts, column, stat, states, table
from dashboards.sql import data_age, heard, indent, open_alerts, queue_moods, rolling

UID = "undertone-wallboard"
WHERE = chosen("tenant", "queue")
QUEUES_SHOWN, CONVERSATIONS_SHOWN = 5, 7
"""Rows for which the two tables have room, because nobody scrolls a wall."""
ESCALATIONS = "/d/undertone-escalations?${__url_time_range}&${tenant:queryparam}&${queue:queryparam}"


def negative_share() -> Json:
    """Share of negative customer messages over the last 15 minutes."""
    return stat(
        1,
        "Negative messages",
        f"Share of customers' messages of the last 15 minutes that are negative. "
        f"Shown from {MIN_MESSAGES} messages on.",
        rolling("negatives / messages", WHERE),
        unit="percentunit",
        decimals=0,
        steps=((None, GOOD), (NEGATIVE_TARGET, WATCH), (NEGATIVE_LIMIT, BAD)),
        sparkline=True,
        empty="too few",
        beside=f"negative, target < {NEGATIVE_TARGET:.0%}",
    )


def mood() -> Json:
    """Mean score of the last 15 minutes."""
    return stat(
        2,
        "Mood, -1 to 1",
        "Mean score of customers' messages of the last 15 minutes, each weighted by how sure the model is.",
        rolling("score_sum / nullIf(weight_sum, 0)", WHERE),
        decimals=2,
        steps=((None, BAD), (-0.2, WATCH), (0, GOOD)),
        sparkline=True,
        empty="too few",
        beside="mood, target > 0",
    )


def in_conversation() -> Json:
    """Customers with an open session that has a message in the last 15 minutes."""
    return stat(
        3,
        "Customers in conversation",
        "Customers with an open session, on any channel, who were heard in the last 15 minutes.",
        f"""
        SELECT uniqExact(tenant, customer_key) AS customers
        FROM {heard(15, WHERE)} AND ended_time <= $__toTime
        """,
        colour="none",
        beside="customers, 15 minutes",
    )


def critical_open() -> Json:
    """Open alerts of the highest level."""
    return stat(
        4,
        "Critical alerts open",
        "Alerts of level 3 for supervisors, raised in the last 7 days, that nobody has closed and whose customer has "
        "not calmed down.",
        f"SELECT count() AS alerts FROM ({open_alerts(WHERE)}\n) WHERE level = 3 AND route = 'supervisor'",
        steps=((None, GOOD), (1, WATCH), (3, BAD)),
        links=[{"title": "All alerts", "url": ESCALATIONS}],
        beside="critical, target 0",
    )


def longest_unanswered() -> Json:
    """Age of the oldest alert without an answer."""
    return stat(
        5,
        "Longest unanswered",
        "Age of the oldest open supervisor alert of the last 7 days that nobody has acknowledged.",
        f"""
        SELECT toFloat64(maxOrNull(age_s)) AS seconds
        FROM ({open_alerts(WHERE)}
        )
        WHERE route = 'supervisor' AND answered_time IS NULL
        """,
        unit="dthms",
        steps=((None, GOOD), (ACKNOWLEDGE_TARGET_S, WATCH), (ACKNOWLEDGE_TARGET_S * 5, BAD)),
        links=[{"title": "All alerts", "url": ESCALATIONS}],
        beside=f"longest, target < {ACKNOWLEDGE_TARGET_S // 60} min",
    )


def age_of_data() -> Json:
    """Seconds since the newest message: distinguishes a calm wall from one that gets no data."""
    return stat(
        6,
        "Age of this data",
        "Time since the newest message of any organisation shown or, if messages wait to be counted, since the newest "
        "minute that was. When it grows, the rest of this wall is old.",
        f"SELECT minOrNull(seconds) AS seconds FROM ({data_age(chosen('tenant'))}\n)",
        unit="s",
        steps=((None, GOOD), (DATA_AGE_TARGET_S, WATCH), (DATA_AGE_LIMIT_S, BAD)),
        empty="no data",
        links=[{"title": "Pipeline", "url": "/d/undertone-pipeline?${__url_time_range}&${tenant:queryparam}"}],
        beside=f"data age, target < {DATA_AGE_TARGET_S} s",
    )


def queue_states() -> Json:
    """State of each queue in blocks of five minutes; angry means that its alarm was on.

    Grafana extends a block to the next row, so each block ends with an empty row, unless the next block begins there.
    """
    states_of = value_map(
        {"0": ("calm", GOOD), "1": ("watch", WATCH), "2": ("angry", BAD), "-1": ("too few", "#DDDDDD")}
    )
    return states(
        7,
        "Queues over time",
        f"Per queue, by the negative share of 5 minutes: watch from {NEGATIVE_TARGET:.0%}, angry from "
        f"{NEGATIVE_LIMIT:.0%} until below {NEGATIVE_CLEAR:.0%}, which is when the alarm is on; too few below "
        f"{MIN_MESSAGES} messages. A block shows its worst minute, and of several organisations the worst; a gap is "
        "where nobody said anything.",
        f"""
        SELECT time, queue, encodeURLComponent(queue) AS link, max(part) AS state
        FROM
        (
            SELECT
                $__timeInterval(minute) AS block, queue,
                toInt8(max(multiIf(alarmed, 2, total < {MIN_MESSAGES}, -1, share >= {NEGATIVE_TARGET}, 1, 0))) AS worst
            FROM ({indent(queue_moods(WHERE, "$__fromTime"), 12)}
            )
            WHERE $__timeFilter(minute)
            GROUP BY block, queue
        )
        ARRAY JOIN [block, block + toIntervalSecond($__interval_s)] AS time, [worst, NULL] AS part
        WHERE time <= $__toTime
        GROUP BY time, queue
        ORDER BY time, queue
        """,
        states_of,
        interval="5m",
        name="${__field.labels.queue}",
        # Encoded by the query, because up to Grafana 10 `:percentencode` is ignored for labels.
        links=[{"title": "After the conversation: this queue", "url": _after("${__field.labels.link:raw}")}],
    )


def queues_now() -> Json:
    """The worst queues of the last 15 minutes."""
    return table(
        8,
        f"Worst queues now (15 minutes, target < {NEGATIVE_TARGET:.0%} negative)",
        f"The {QUEUES_SHOWN} queues with the highest negative share; it and the mood stay empty below {MIN_MESSAGES} "
        "messages.",
        f"""
        SELECT
            queue AS Queue, sum(messages) AS Messages,
            if(Messages >= {MIN_MESSAGES}, sum(negatives) / Messages, NULL) AS Negative,
            if(Messages >= {MIN_MESSAGES}, sum(score_sum) / nullIf(sum(weight_sum), 0), NULL) AS Mood
        FROM undertone.rollup_1m FINAL
        WHERE minute >= $__toTime - INTERVAL 15 MINUTE AND minute <= $__toTime AND {WHERE}
        GROUP BY queue
        HAVING Messages > 0
        ORDER BY Negative DESC NULLS LAST, Messages DESC
        LIMIT {QUEUES_SHOWN}
        """,
        columns=[
            column("Queue", links=[{"title": "After the conversation", "url": _after("${__value.raw:percentencode}")}]),
            column("Messages", width=100),
            column(
                "Negative",
                unit="percentunit",
                decimals=0,
                width=100,
                steps=((None, GOOD), (NEGATIVE_TARGET, WATCH), (NEGATIVE_LIMIT, BAD)),
            ),
            column("Mood", decimals=2, width=90, steps=MOOD_STEPS),
        ],
        empty="no messages for 15 minutes",
    )


def worst_conversations() -> Json:
    """Live conversations with the lowest mood, with reason and trend."""
    return table(
        9,
        "Worst live conversations (click to open the journey)",
        "Customers heard in the last 30 minutes, lowest mood over all channels first. The reason is that of the open "
        "alert, or else what the messages were flagged with.",
        _worst_sql(),
        columns=[
            column("Mood", decimals=2, width=80, steps=MOOD_STEPS, links=[journey_link()]),
            column("Trend", width=170, mappings=[TREND_MAP]),
            column("Path", width=190),
            column("Queue", width=130),
            column("Minutes", width=80),
            column("Reason", links=[journey_link(), *feedback_links()]),
            column("Customer", hidden=True),
            column("Alert", hidden=True),
            column("Tenant", hidden=True),
        ],
        empty="nobody is in conversation",
    )


def alerts_by_age() -> Json:
    """Open supervisor alerts by level and age."""
    return table(
        10,
        "Open alerts by age (target: none over 10 min)",
        "Open alerts for supervisors, raised in the last 7 days: how many of each level are how old, and how many "
        "nobody has answered.",
        f"""
        SELECT
            lane AS Level, countIf(known AND age_s < 120) AS `< 2 min`,
            countIf(known AND age_s >= 120 AND age_s < 600) AS `2-10`,
            countIf(known AND age_s >= 600) AS `> 10 min`, countIf(known AND answered_time IS NULL) AS Unanswered
        FROM (SELECT toUInt8(3 - number) AS lane FROM numbers(3)) AS lanes
        LEFT JOIN
        (
            SELECT level AS lane, age_s, answered_time, 1 AS known
            FROM ({open_alerts(WHERE)}
            )
            WHERE route = 'supervisor'
        ) AS open USING (lane)
        GROUP BY lane
        ORDER BY lane DESC
        """,
        columns=[
            column("Level", mappings=[LEVEL_MAP], width=120),
            column("> 10 min", steps=((None, "transparent"), (1, BAD))),
            column("Unanswered", steps=((None, "transparent"), (1, WATCH))),
        ],
        links=[{"title": "All alerts", "url": ESCALATIONS}],
    )


def firing() -> Json:
    """Number of alert rules on queues and on the pipeline that are not normal now."""
    return alerts(
        11,
        "Alarms on queues and pipeline (target 0)",
        "How many of the rules that watch whole queues, unanswered alerts and the pipeline itself fire or are about "
        "to. The link in the corner leads to them.",
        {"product": "undertone"},
    )


def board() -> Json:
    """Six numbers, the queues, the worst conversations and the open alerts."""
    top = [negative_share(), mood(), in_conversation(), critical_open(), longest_unanswered(), age_of_data()]
    panels = [place(panel, 4 * index, 0, 4, 5) for index, panel in enumerate(top)]
    panels += [place(queue_states(), 0, 5, 14, 8), place(queues_now(), 14, 5, 10, 8)]
    panels += [place(worst_conversations(), 0, 13, 16, 10)]
    panels += [place(alerts_by_age(), 16, 13, 8, 6), place(firing(), 16, 19, 8, 4)]
    return dashboard(
        UID,
        "Undertone: wallboard",
        "What needs a supervisor in the next minutes. Fits a 1080p screen; open it with &kiosk.",
        panels,
        since="now-1h",
        refresh="10s",
        variables=[tenant(), queue()],
        tags=["wall"],
    )


def _after(queue_value: str) -> str:
    return "/d/undertone-after?${__url_time_range}&${tenant:queryparam}&var-queue=" + queue_value


def _worst_sql() -> str:
    """SQL that finds the live sessions with the lowest mood, then the gravest active alert of each."""
    drivers = ", ".join(f"(n_{tag}, '{tag}')" for tag in TAGS if tag != "satisfaction")
    return f"""
    WITH
    (
        SELECT
            groupArray((final_level, channels, queue, started_time, drivers, tenant, customer_key, session_id, trend))
        FROM
        (
            SELECT
                final_level, channels, queue, started_time, tenant, customer_key, session_id, trend,
                arrayStringConcat(arrayMap(pair -> pair.2, arrayReverseSort(
                    arrayFilter(pair -> pair.1 > 0, [{drivers}]))), ', ') AS drivers
            FROM {heard(30, WHERE)} AND messages > 0
            ORDER BY final_level
            LIMIT {CONVERSATIONS_SHOWN}
        )
    ) AS worst
    SELECT
        live.1 AS Mood, live.9 AS Trend, arrayStringConcat(live.2, ' → ') AS Path, live.3 AS Queue,
        dateDiff('minute', live.4, $__toTime) AS Minutes, if(why.reason != '', why.reason, live.5) AS Reason,
        {key_text("live.7")} AS Customer, why.alert AS Alert, live.6 AS Tenant
    FROM (SELECT arrayJoin(worst) AS live, live.8 AS session_id) AS sessions
    LEFT JOIN
    (
        SELECT
            session_id, argMax(reason, (level, event_time)) AS reason,
            argMax(escalation_id, (level, event_time)) AS alert
        FROM undertone.escalations FINAL
        WHERE raised_time >= $__toTime - INTERVAL 2 DAY AND state = 'active'
            AND session_id IN (SELECT arrayJoin(arrayMap(live -> live.8, worst)))
        GROUP BY session_id
    ) AS why USING (session_id)
    ORDER BY Mood
    """
