"""SQL that panels and alert rules share, so that an alert rule counts the same as the panel to which it links.

For age of data, last epoch, drift and the state of a queue, rule and panel use the same query. Two rules link to a
panel that lists what they count: unanswered critical alerts to the list of alerts, rejected records to their reasons.

Each function returns a query or a part of one. `where` is a condition on the dashboard's variables (`common.chosen`),
or `ALL` in alert rules, which have no variables. "Now" is always `$__toTime`, the end of the time range, so that a page
can also show, for example, what was on the wall yesterday at 10:42.
"""

from __future__ import annotations

from dashboards.common import ALARM_MEMORY_MIN, CHANNEL_CODES, MIN_MESSAGES, NEGATIVE_CLEAR, NEGATIVE_LIMIT, tidy

ALL = "1 = 1"
SCORED = "speaker = 'customer' AND kind = 'utterance' AND skipped = ''"
"""Messages of scored_events that say something about the customer's mood."""
OPEN_SINCE = "$__toTime - INTERVAL 7 DAY"
"""Start of the period whose open alerts are counted; nobody will answer older ones."""
OPEN = "state = 'active' AND closed_time IS NULL"
"""Rows of `alerts` that neither the job nor a supervisor has closed."""
Z = 1.96
"""Standard normal quantile of 95% intervals."""


def indent(sql: str, spaces: int = 4) -> str:
    r"""Indent a query that is put into another one.

    >>> indent("a\nb", 2)
    'a\n  b'
    """
    return sql.replace("\n", "\n" + " " * spaces)


def newest(rows: str, time: str, limit: int) -> str:
    """The `limit` rows with the latest `time`, oldest first; `ORDER BY ... LIMIT` alone would keep the oldest rows."""
    return f"""
SELECT *
FROM
(
    {indent(tidy(rows))}
    ORDER BY {time} DESC
    LIMIT {limit}
)
ORDER BY {time}"""


def gaps(rows: str, lane: str = "") -> str:
    """The rows of a graph, and an empty row for each interval between them that has no row.

    Without empty rows, Grafana draws a line to the next row, even across an hour without data. `rows` is a query with a
    column `time` of whole intervals, numbers that may be NULL, and, if each text has its own line, the column `lane`.
    """
    each, last = (f"{lane}, ", f", {lane}") if lane else ("", "")
    return f"""
SELECT *
FROM
(
    {indent(tidy(rows))}
    ORDER BY {each}time WITH FILL STEP toIntervalSecond($__interval_s)
)
ORDER BY time{last}"""


def wilson(good: str, total: str) -> tuple[str, str]:
    """SQL of the lower and the upper end of the 95% Wilson interval of a share; NULL when `total` is 0."""
    share = f"({good}) / ({total})"
    centre = f"({share} + {Z**2 / 2:.4f} / ({total}))"
    half = f"{Z} * sqrt({share} * (1 - {share}) / ({total}) + {Z**2 / 4:.4f} / pow({total}, 2))"
    scale = f"(1 + {Z**2:.4f} / ({total}))"
    low = f"if(({total}) > 0, ({centre} - {half}) / {scale}, NULL)"
    high = f"if(({total}) > 0, ({centre} + {half}) / {scale}, NULL)"
    return low, high


def rolling(value: str, where: str) -> str:
    """One value for each minute, also for minutes without messages; each covers the 15 minutes up to it.

    `value` is an expression of the sums `messages`, `negatives`, `score_sum`, `weight_sum`; it is NULL while the
    15 minutes have fewer than `MIN_MESSAGES` messages. At least the last half hour of the range is read, so that the
    last value covers 15 minutes even in a shorter range.
    """
    since = "least($__fromTime, $__toTime - INTERVAL 30 MINUTE)"
    sums = "messages", "negatives", "score_sum", "weight_sum"
    window = "ROWS BETWEEN 14 PRECEDING AND CURRENT ROW"
    windows = ", ".join(f"sum(m_{name}) OVER (ORDER BY time {window}) AS {name}" for name in sums)
    minutes = ", ".join(f"sum({name}) AS m_{name}" for name in sums)
    return f"""
SELECT time, if(messages >= {MIN_MESSAGES}, {value}, NULL) AS value
FROM
(
    SELECT time, {windows}
    FROM
    (
        SELECT minute AS time, {minutes}
        FROM undertone.rollup_1m FINAL
        WHERE minute >= {since} AND minute <= $__toTime AND {where}
        GROUP BY time
        ORDER BY time WITH FILL FROM toStartOfMinute({since}) TO toStartOfMinute($__toTime) STEP 60
    )
)
WHERE time < toStartOfMinute($__toTime)
ORDER BY time"""


def alerts(where: str, since: str = "$__fromTime") -> str:
    """Alerts raised from `since` on, each with the answers of supervisors.

    Adds to the columns of `escalations`: `answered_time` (first answer of any kind), `cleared_time` (closed by the job
    when the customer calmed down), `closed_time` (that, or resolved by a supervisor, whichever came first) and
    `verdict` (good_catch, false_alarm, or empty). All but `cleared_time` equal `acked_time`, `resolved_time` and
    `verdict` of the view `v_escalations`, which reads all history and is too slow for a wall.
    """
    return f"""
SELECT
    *, answered_time, if(verdict IS NULL, '', verdict) AS verdict,
    if(state = 'resolved', event_time, NULL) AS cleared_time,
    coalesce(least(resolved_time, cleared_time), resolved_time, cleared_time) AS closed_time
FROM
(
    SELECT * FROM undertone.escalations FINAL
    WHERE raised_time >= {since} AND raised_time <= $__toTime AND {where}
) AS raised
LEFT JOIN
(
    SELECT
        tenant, escalation_id, minOrNull(event_time) AS answered_time,
        minOrNullIf(event_time, action = 'resolved') AS resolved_time,
        argMaxOrNullIf(toString(action), event_time, action IN ('good_catch', 'false_alarm')) AS verdict
    FROM undertone.feedback FINAL
    WHERE event_time >= {since}
    GROUP BY tenant, escalation_id
) AS answers USING (tenant, escalation_id)"""


def open_alerts(where: str) -> str:
    """Alerts of the last seven days that neither the job nor a supervisor has closed, with their age `age_s`."""
    return f"""
SELECT *, dateDiff('second', raised_time, $__toTime) AS age_s
FROM
({indent(alerts(where, OPEN_SINCE))}
)
WHERE {OPEN}"""


def heard(minutes: int, where: str) -> str:
    """Open sessions with a message in the last `minutes`, as text to put after FROM.

    The inner query finds their keys without FINAL, from few columns; FINAL then reads only the few granules that hold
    them. The inner query may also find a replaced version of a session; the outer query repeats the conditions, which
    leaves it out.
    """
    said = f"ended_time >= $__toTime - INTERVAL {minutes} MINUTE AND {where}"
    return f"""undertone.sessions FINAL
WHERE state = 'open' AND started_time <= $__toTime AND {said}
    AND (tenant, started_time, session_id) GLOBAL IN
    (
        SELECT tenant, started_time, session_id FROM undertone.sessions
        WHERE started_time >= $__toTime - INTERVAL 2 DAY AND started_time <= $__toTime AND {said}
    )"""


def survey_answers(where: str, since: str = "$__fromTime") -> str:
    """Survey answers of the sessions begun from `since` on, with the mood that was predicted before the survey.

    Columns `rating` and `predicted`. The mood at the end of a session would prove nothing, because a survey's comment
    is scored too and agrees with the rating.
    """
    return f"""
SELECT rating, forecast AS predicted
FROM undertone.sessions FINAL
WHERE started_time >= {since} AND started_time <= $__toTime AND rating IS NOT NULL AND forecast IS NOT NULL
    AND {where}"""


def data_age(where: str, days: int = 1) -> str:
    """Seconds since the newest message of the last `days`, per organisation, or since the newest minute counted.

    The counts by minute are made by a view of its own. Where a message stored a minute ago is not counted yet, the view
    stands still, and what is drawn from it is as old as its newest minute.
    """
    begin = f"$__toTime - INTERVAL {days} DAY"
    return f"""
SELECT
    tenant,
    toFloat64(dateDiff('second', if(counted < due, greatest(counted, {begin}), newest), $__toTime)) AS seconds
FROM
(
    SELECT
        tenant, max(event_time) AS newest,
        maxIf(toStartOfMinute(event_time), stored_time < $__toTime - INTERVAL 1 MINUTE) AS due
    FROM undertone.scored_events
    WHERE event_time >= {begin} AND event_time <= $__toTime AND {where}
    GROUP BY tenant
) AS messages
LEFT JOIN
(
    SELECT tenant, max(minute) AS counted
    FROM undertone.rollup_1m
    WHERE minute <= $__toTime AND {where}
    GROUP BY tenant
) AS counts USING (tenant)"""


def epoch_age() -> str:
    """Seconds since the job last committed an epoch, over all partitions; no row when it committed none for a day."""
    return """
SELECT 'undertone' AS job, toFloat64(greatest(0, dateDiff('second', max(committed_time), $__toTime))) AS seconds
FROM undertone.progress
WHERE committed_time >= $__toTime - INTERVAL 1 DAY AND committed_time <= $__toTime
HAVING count() > 0"""


def queue_moods(where: str, since: str) -> str:
    """Each queue at each minute with messages: columns tenant, queue, minute, total, share and alarmed.

    `share` is the negative share of the `total` messages of the 5 minutes up to the minute. `alarmed` says whether the
    queue's alarm is on: the share reached `NEGATIVE_LIMIT` within the last 6 hours, has not been below `NEGATIVE_CLEAR`
    since, and at most 10 minutes ago there were `MIN_MESSAGES`. The hysteresis is in the query because every version of
    Grafana can evaluate it there and no restart of Grafana loses it. It needs the rows before `since`.
    """
    return f"""
SELECT
    tenant, queue, minute, total, share,
    high > low AND high >= minute - INTERVAL {ALARM_MEMORY_MIN} MINUTE AND known >= minute - INTERVAL 10 MINUTE
        AS alarmed
FROM
(
    SELECT
        tenant, queue, minute, total, share,
        maxIf(minute, total >= {MIN_MESSAGES} AND share >= {NEGATIVE_LIMIT}) OVER so_far AS high,
        maxIf(minute, total >= {MIN_MESSAGES} AND share < {NEGATIVE_CLEAR}) OVER so_far AS low,
        maxIf(minute, total >= {MIN_MESSAGES}) OVER so_far AS known
    FROM
    (
        SELECT
            tenant, queue, minute, sum(messages) OVER last_minutes AS total,
            sum(negatives) OVER last_minutes / total AS share
        FROM
        (
            SELECT tenant, queue, minute, sum(m.messages) AS messages, sum(m.negatives) AS negatives
            FROM undertone.rollup_1m AS m FINAL
            WHERE minute >= {since} - INTERVAL {ALARM_MEMORY_MIN + 5} MINUTE AND minute <= $__toTime AND {where}
            GROUP BY tenant, queue, minute
            HAVING messages > 0
        )
        WINDOW last_minutes AS
            (PARTITION BY tenant, queue ORDER BY minute RANGE BETWEEN 299 PRECEDING AND CURRENT ROW)
    )
    WINDOW so_far AS (PARTITION BY tenant, queue ORDER BY minute)
)"""


def negative_alarm() -> str:
    """Queues with messages in the last 10 minutes; the value is the negative share while the alarm is on, else 0."""
    return f"""
SELECT
    tenant, queue,
    toFloat64(if(argMax(alarmed, minute), argMaxIf(share, minute, total >= {MIN_MESSAGES}), 0)) AS value
FROM
({indent(queue_moods(ALL, "$__toTime"))}
)
GROUP BY tenant, queue
HAVING max(minute) >= $__toTime - INTERVAL 10 MINUTE"""


def drift(where: str, minimum: int = 200) -> str:
    """Population stability index of the scores per channel: the last hour against the same hour of the 7 days before.

    Ten bins of the score; shares are floored at 0.1%; channels with fewer than `minimum` messages in the hour are
    left out, because the index of a small sample is high by chance.
    """
    recent = "event_time >= $__toTime - INTERVAL 1 HOUR"
    hours = " OR ".join(
        f"(event_time >= $__toTime - INTERVAL {hour + 1} HOUR AND event_time <= $__toTime - INTERVAL {hour} HOUR)"
        for hour in range(0, 192, 24)
    )
    return f"""
SELECT channel, sum((now_share - then_share) * log(now_share / then_share)) AS psi
FROM
(
    SELECT
        channel, bin,
        sum(now_count) OVER (PARTITION BY channel) AS messages,
        sum(then_count) OVER (PARTITION BY channel) AS reference,
        greatest(now_count / greatest(messages, 1), 0.001) AS now_share,
        greatest(then_count / greatest(reference, 1), 0.001) AS then_share
    FROM
    (
        SELECT
            channel, least(9, floor((score + 1) * 5)) AS bin,
            countIf({recent}) AS now_count, countIf(NOT ({recent})) AS then_count
        FROM undertone.scored_events
        WHERE ({hours}) AND {SCORED} AND {where}
        GROUP BY channel, bin
    )
)
WHERE messages >= {minimum} AND reference >= {minimum}
GROUP BY channel
ORDER BY psi DESC"""


def records() -> str:
    """Number of records in the range by topic, and how many of them are bad, which means rejected.

    All organisations and channels are counted, because the organisation of an unreadable record is unknown.
    """
    return f"""
SELECT topic, count() AS total, 0 AS bad
FROM {scored("$__fromTime", ALL)}
GROUP BY topic
UNION ALL
SELECT topic, count() AS total, count() AS bad
FROM undertone.dead_letters FINAL
WHERE $__timeFilter(broker_time)
GROUP BY topic"""


def reject_share() -> str:
    """Share of rejected records of each topic that has at least 100 records."""
    return f"""
SELECT topic, toFloat64(sum(bad) / sum(total)) AS share
FROM
({indent(records())}
)
GROUP BY topic
HAVING sum(total) >= 100"""


def scored(since: str, where: str) -> str:
    """Rows scored from `since` on by the wall clock, because speed and lag depend on when work was done.

    Messages more than a day older than `since` are left out: the table is ordered by the time of the message, and
    without a bound on that time the query would read every day that was ever stored.
    """
    return (
        f"undertone.scored_events WHERE scored_time >= {since} AND scored_time <= $__toTime "
        f"AND event_time >= {since} - INTERVAL 1 DAY AND {where}"
    )


def channel_code() -> str:
    """SQL of the number that stands for a channel in a state timeline; NULL (a gap) for any other text."""
    cases = ", ".join(f"channel = '{name}', {code}" for name, code in CHANNEL_CODES.items())
    return f"multiIf({cases}, NULL)"
