"""After the conversation: outcomes, drivers, trends, the effect of a change, survey answers, and agents."""

from __future__ import annotations

from dashboards.board import bands, channel, dashboard, pick, queue, tenant, typed
from dashboards.common import (
    BAD,
    CHANNEL_COLOURS,
    GOOD,
    INK,
    MIN_AGENT_SESSIONS,
    MIN_MESSAGES,
    MOOD_STEPS,
    MUTED,
    OUTCOME_COLOURS,
    TAGS,
    WATCH,
    Json,
    chosen,
    journey_link,
    key_text,
)
from dashboards.panels import bars, column, lines, series, stat, table
from dashboards.sql import Z, survey_answers

UID = "undertone-after"
CHANNEL_CHOSEN = "$__conditionalAll(hasAny(channels, [${channel:singlequote}]), $channel)"
WHERE = f"{chosen('tenant', 'queue')} AND {CHANNEL_CHOSEN}"
ENDED = f"undertone.sessions FINAL WHERE $__timeFilter(started_time) AND messages > 0 AND {WHERE}"
"""Sessions that began in the range and in which the customer said something."""
KNOWN = "outcome != 'unknown'"
SAMPLE = 32
"""`by_quarter` reads one customer in this many: keys are hashes, so a range of keys is a random sample."""


def recovered() -> Json:
    """Share of sessions that began badly and ended well."""
    return stat(
        1,
        "Recovered (target > soured)",
        "Sessions that began below -0.2 and ended above 0.2, of all whose outcome is known.",
        f"SELECT countIf(outcome = 'recovered') / nullIf(countIf({KNOWN}), 0) AS share FROM {ENDED}",
        unit="percentunit",
        decimals=1,
        colour="value",
        empty="no sessions",
    )


def soured() -> Json:
    """Share of sessions that began well and ended badly."""
    return stat(
        2,
        "Soured (target < 3%)",
        "Sessions that began above 0.2 and ended below -0.2, of all whose outcome is known.",
        f"SELECT countIf(outcome = 'soured') / nullIf(countIf({KNOWN}), 0) AS share FROM {ENDED}",
        unit="percentunit",
        decimals=1,
        steps=((None, GOOD), (0.03, WATCH), (0.08, BAD)),
        empty="no sessions",
    )


def shift() -> Json:
    """Mean change of mood from begin to end."""
    return stat(
        3,
        "Mean shift (target > 0)",
        "Mood of the last quarter of a session minus that of the first, from -2 to 2, over all sessions.",
        f"SELECT avgOrNull(shift) AS shift FROM {ENDED} AND {KNOWN}",
        decimals=2,
        steps=((None, BAD), (-0.1, WATCH), (0, GOOD)),
        empty="no sessions",
    )


def repeat_contact() -> Json:
    """Share of sessions that were not the first contact of the week."""
    return stat(
        4,
        "Repeat contact (target < 20%)",
        "Sessions of customers who had been in contact before within 7 days.",
        f"SELECT countIf(contacts_before > 0) / nullIf(count(), 0) AS share FROM {ENDED}",
        unit="percentunit",
        decimals=0,
        steps=((None, GOOD), (0.2, WATCH), (0.35, BAD)),
        empty="no sessions",
    )


def rating_gap() -> Json:
    """How well the mood before a survey predicts an unhappy answer."""
    return stat(
        5,
        "Survey foretold, AUC (chance 0.5)",
        "How often a customer with an unhappy survey answer was in a lower mood before the survey than one with a "
        "happy answer: 1 is always, 0.5 is chance. Needs 30 answers, 5 of each kind.",
        f"""
        SELECT if(count() >= 30 AND least(sum(rating < 0), sum(rating >= 0)) >= 5,
            toNullable(arrayROCAUC(groupArray(-predicted), groupArray(rating < 0))), NULL) AS auc
        FROM ({survey_answers(WHERE)}
        )
        """,
        decimals=2,
        steps=((None, BAD), (0.6, WATCH), (0.7, GOOD)),
        empty="too few answers",
    )


def ratings() -> Json:
    """Mean of the survey answers."""
    return stat(
        6,
        "Mean survey answer, -1 to 1",
        "Mean of the customers' own ratings in the range, mapped to -1 (worst) to 1 (best).",
        f"SELECT avgOrNull(rating) AS answer FROM {ENDED} AND rating IS NOT NULL",
        decimals=2,
        steps=((None, BAD), (0, WATCH), (0.4, GOOD)),
        empty="no answers",
    )


def outcomes() -> Json:
    """Outcomes over time."""
    counts = ", ".join(f"countIf(outcome = '{name}') AS {name}" for name in OUTCOME_COLOURS)
    return lines(
        7,
        "Outcomes of sessions",
        "Recovered: began badly, ended well. Soured: the reverse. Unknown: too few messages to tell.",
        f"SELECT $__timeInterval(started_time) AS time, {counts} FROM {ENDED} GROUP BY time ORDER BY time",
        interval="1h",
        style="stacked",
        overrides=[series(name, colour=colour) for name, colour in OUTCOME_COLOURS.items()],
    )


def begin_end() -> Json:
    """Mood at begin and end per queue."""
    return bars(
        8,
        "Begin and end, by queue",
        f"Mean mood of the first and of the last quarter of a session whose outcome is known. Queues with "
        f"{MIN_MESSAGES} such sessions and more.",
        f"""
        SELECT toString(queue) AS queue, avg(begin) AS Begin, avg(end) AS End
        FROM {ENDED} AND {KNOWN}
        GROUP BY queue
        HAVING count() >= {MIN_MESSAGES}
        ORDER BY End
        LIMIT 15
        """,
        empty=f"no queue has {MIN_MESSAGES} sessions in this time range",
        limits=(-1, 1),
        stacked=False,
        overrides=[series("Begin", colour=MUTED), series("End", colour=INK)],
    )


def by_quarter() -> Json:
    """Mean score in each quarter of the conversation, by channel."""
    means = ", ".join(f"avgOrNullIf(score, channel = '{name}') AS {name}" for name in CHANNEL_COLOURS)
    return bars(
        9,
        "Score by quarter of the conversation",
        f"Mean score of the customers' messages in each quarter of their session, by channel, for sessions with four "
        f"and more messages. A random sample of one customer in {SAMPLE}, so that long ranges stay fast.",
        f"""
        SELECT concat('Quarter ', toString(quarter)) AS part, {means}
        FROM
        (
            SELECT toString(channel) AS channel, score,
                intDiv(4 * (row_number() OVER turns - 1),
                    count() OVER (PARTITION BY customer_key, session_id)) + 1 AS quarter,
                count() OVER (PARTITION BY customer_key, session_id) AS total
            FROM undertone.trajectory FINAL
            WHERE $__timeFilter(event_time) AND speaker = 'customer' AND kind = 'utterance' AND weight > 0
                AND customer_key < {2**64 // SAMPLE} AND {chosen("tenant", "queue", "channel")}
            WINDOW turns AS (PARTITION BY customer_key, session_id ORDER BY event_time, event_id)
        )
        WHERE total >= 4
        GROUP BY quarter
        ORDER BY quarter
        """,
        horizontal=False,
        limits=(-1, 1),
        overrides=[series(name, colour=colour) for name, colour in CHANNEL_COLOURS.items()],
    )


def drivers() -> Json:
    """Share of sessions with each tag: soured or unhappy ones against all."""
    names = ", ".join(f"'{tag}'" for tag in TAGS)
    flags = ", ".join(f"toUInt32(n_{tag} > 0)" for tag in TAGS)
    return bars(
        10,
        "Drivers: tags in soured and in all sessions",
        "Share of sessions with at least one message flagged with the tag. A driver is a tag that soured sessions have "
        "more often than others.",
        f"""
        SELECT tag, flagged / total AS `All sessions`, flagged_bad / nullIf(bad, 0) AS `Soured or ended unhappy`
        FROM
        (
            SELECT
                [{names}] AS names, count() AS total, countIf(outcome = 'soured' OR final_level < -0.2) AS bad,
                sumForEach([{flags}]) AS flags,
                sumForEachIf([{flags}], outcome = 'soured' OR final_level < -0.2) AS bad_flags
            FROM {ENDED}
        )
        ARRAY JOIN names AS tag, arrayResize(flags, {len(TAGS)}) AS flagged,
            arrayResize(bad_flags, {len(TAGS)}) AS flagged_bad
        WHERE total > 0
        ORDER BY `Soured or ended unhappy` DESC
        """,
        unit="percentunit",
        overrides=[series("All sessions", colour=MUTED), series("Soured or ended unhappy", colour=BAD)],
    )


def trends() -> Json:
    """End mood, carried mood and ratings by day."""
    return lines(
        11,
        "Trends after the conversation, by day",
        "Mood at the end of sessions, mood that customers brought with them from earlier contacts, and survey answers "
        "(days with 5 answers and more), all from -1 to 1. Days are UTC.",
        f"""
        SELECT
            toDateTime(toStartOfDay(started_time)) AS time, avg(final_level) AS `End mood`,
            avg(carried) AS `Brought along`,
            if(count(rating) >= 5, avgOrNull(rating), NULL) AS `Survey answer`
        FROM {ENDED}
        GROUP BY time
        ORDER BY time
        """,
        interval="1d",
        limits=(-1, 1),
        overrides=[
            series("End mood", colour=INK, custom_lineWidth=3),
            series("Brought along", colour=MUTED),
            series("Survey answer", colour=GOOD),
        ],
    )


def baselines() -> Json:
    """The last full hour of each queue against the same hour of the four weeks before."""
    return table(
        12,
        "KPI baselines: this hour of the week against the four before",
        "The last full hour of each queue against the same hour of the same weekday of the four weeks before. "
        "Deviation is in standard errors of a share: beyond 3 is more than chance.",
        f"""
        SELECT
            queue AS Queue, sum(now_n) AS Messages, sum(now_bad) / sum(now_n) AS `Negative now`,
            sum(then_bad) / nullIf(sum(then_n), 0) AS Baseline, sum(then_n) AS `Baseline messages`,
            (`Negative now` - Baseline) / nullIf(sqrt(Baseline * (1 - Baseline) * (1 / Messages
                + 1 / nullIf(`Baseline messages`, 0))), 0) AS Deviation,
            sum(now_mood) / nullIf(sum(now_weight), 0) AS `Mood now`,
            sum(then_mood) / nullIf(sum(then_weight), 0) AS `Mood baseline`
        FROM
        (
            SELECT
                queue, intDiv(dateDiff('hour', minute, toStartOfHour($__toTime) - INTERVAL 1 HOUR) , 168) AS week,
                sumIf(messages, week = 0) AS now_n, sumIf(messages, week > 0) AS then_n,
                sumIf(negatives, week = 0) AS now_bad, sumIf(negatives, week > 0) AS then_bad,
                sumIf(score_sum, week = 0) AS now_mood, sumIf(score_sum, week > 0) AS then_mood,
                sumIf(weight_sum, week = 0) AS now_weight, sumIf(weight_sum, week > 0) AS then_weight
            FROM undertone.rollup_1m FINAL
            WHERE ({_hours()}) AND {chosen("tenant", "queue", "channel")}
            GROUP BY queue, week
        )
        GROUP BY queue
        HAVING Messages >= {MIN_MESSAGES}
        ORDER BY Deviation DESC NULLS LAST
        """,
        columns=[
            column("Negative now", unit="percentunit", decimals=0),
            column("Baseline", unit="percentunit", decimals=0),
            column("Baseline messages", width=140),
            column("Deviation", decimals=1, steps=((None, GOOD), (-3, "transparent"), (3, WATCH), (5, BAD))),
            column("Mood now", decimals=2),
            column("Mood baseline", decimals=2),
        ],
        empty=f"no queue has {MIN_MESSAGES} messages in the last full hour",
    )


def before_after() -> Json:
    """A change on one queue, measured against the other queues."""
    return table(
        13,
        "Before and after a change on one queue",
        "Set the queue and the moment of the change above (the middle of the range when empty). What the other queues "
        "did at the same time is taken off, so that a quiet week does not count as success; the interval is 95%.",
        _before_after_sql(),
        columns=[
            column("Before", decimals=3),
            column("After", decimals=3),
            column("Change", decimals=3),
            column("Others' change", decimals=3),
            column("Net effect", decimals=3),
            column("from", decimals=3),
            column("to", decimals=3),
        ],
    )


def rating_by_mood() -> Json:
    """Survey answers against the mood that was predicted."""
    return bars(
        14,
        "Survey answer by predicted mood",
        "Mean survey answer by the mood that was known before the survey; bands with 5 answers and more. Bars that "
        "rise from band to band say that the live mood means what customers say afterwards.",
        f"""
        SELECT
            multiIf(predicted < -0.6, '1 very unhappy', predicted < -0.2, '2 unhappy', predicted < 0.2, '3 neutral',
                predicted < 0.6, '4 happy', '5 very happy') AS band,
            avg(rating) AS `Mean answer`
        FROM ({survey_answers(WHERE)}
        )
        GROUP BY band
        HAVING count() >= 5
        ORDER BY band
        """,
        empty="fewer than 5 survey answers of a kind",
        horizontal=False,
        steps=MOOD_STEPS,
        limits=(-1, 1),
    )


def hops_and_mood() -> Json:
    """Mood at the end by number of channel changes."""
    return bars(
        15,
        "Mood at the end, by channel changes",
        f"Mean mood at the end of sessions with no, one, two and more changes of channel, where there are "
        f"{MIN_MESSAGES} sessions of the kind.",
        f"""
        SELECT multiIf(hops = 0, 'none', hops = 1, 'one', hops = 2, 'two', 'three and more') AS changes,
            avg(final_level) AS `End mood`
        FROM {ENDED}
        GROUP BY changes
        HAVING count() >= {MIN_MESSAGES}
        ORDER BY any(least(hops, 3))
        """,
        empty=f"fewer than {MIN_MESSAGES} sessions of a kind",
        horizontal=False,
        steps=MOOD_STEPS,
        limits=(-1, 1),
    )


def agents() -> Json:
    """How much higher an agent's sessions end than other sessions with the same queue and mood at the beginning."""
    return table(
        16,
        f"Value added, by agent pseudonym (from {MIN_AGENT_SESSIONS} sessions)",
        "How much higher sessions ended than others that began in the same mood on the same queue. For coaching, "
        f"never for decisions about a person. Below {MIN_AGENT_SESSIONS} sessions nothing is shown; an interval (95%) "
        "that holds 0 says nothing and has no colour: `from` is coloured when it is above 0, `to` when it is below. "
        "Agents' own feelings are never measured.",
        f"""
        SELECT
            agent_key AS Agent, count() AS Sessions, avg(begin) AS `Arrival mood`, avg(added) AS `Value added`,
            `Value added` - {Z} * stddevSamp(added) / sqrt(Sessions) AS `from`,
            `Value added` + {Z} * stddevSamp(added) / sqrt(Sessions) AS `to`
        FROM
        (
            SELECT
                toString(agent_key) AS agent_key, begin,
                end - avg(end) OVER (PARTITION BY queue, least(9, floor((begin + 1) * 5))) AS added
            FROM {ENDED} AND agent_key != '' AND {KNOWN}
        )
        GROUP BY agent_key
        HAVING Sessions >= {MIN_AGENT_SESSIONS}
        ORDER BY `Value added` DESC
        LIMIT 100
        """,
        columns=[
            column("Arrival mood", decimals=2),
            column("Value added", decimals=3),
            column("from", decimals=3, steps=((None, "transparent"), (0, GOOD))),
            column("to", decimals=3, steps=((None, WATCH), (0, "transparent"))),
        ],
        empty=f"no agent has {MIN_AGENT_SESSIONS} sessions in this time range",
    )


def soured_list() -> Json:
    """Sessions with the largest fall of mood, for review."""
    return table(
        17,
        "Sessions that soured most (click to open the journey)",
        "Sessions with the largest fall of mood in the range: where to begin a review.",
        f"""
        SELECT
            started_time AS Started, arrayStringConcat(channels, ' → ') AS Path, queue AS Queue,
            begin AS Begin, end AS End,
            shift AS Shift, messages AS Messages, escalations AS Alerts, rating AS Rating, {key_text()} AS Customer
        FROM {ENDED} AND messages >= 4
        ORDER BY Shift
        LIMIT 50
        """,
        columns=[
            column("Started", unit="dateTimeAsIso", width=170, links=[journey_link()]),
            column("Begin", decimals=2, width=70, steps=MOOD_STEPS),
            column("End", decimals=2, width=70, steps=MOOD_STEPS),
            column("Shift", decimals=2, width=70),
            column("Alerts", width=70),
            column("Rating", width=75),
            column("Customer", hidden=True),
        ],
    )


def board() -> Json:
    """Numbers, outcomes, drivers, baselines, a change, ratings, and agents."""
    numbers = [recovered(), soured(), shift(), repeat_contact(), ratings(), rating_gap()]
    panels = bands(
        (4, [(number, 4) for number in numbers]),
        (8, [(outcomes(), 12), (trends(), 12)]),
        (9, [(begin_end(), 8), (by_quarter(), 8), (drivers(), 8)]),
        (8, [(baselines(), 24)]),
        (7, [(before_after(), 24)]),
        (8, [(rating_by_mood(), 12), (hops_and_mood(), 12)]),
        (9, [(agents(), 12), (soured_list(), 12)]),
    )
    changed = pick(
        "changed",
        "Changed queue",
        "SELECT DISTINCT queue FROM undertone.rollup_1m WHERE minute > now() - INTERVAL 7 DAY ORDER BY queue",
        several=False,
    )
    changed |= {"includeAll": False, "current": {}}
    moment = typed("moment", "Changed at (UTC)", "", "Like 2026-05-04 09:00; empty is the middle of the range")
    return dashboard(
        UID,
        "Undertone: after the conversation",
        "Outcomes, drivers, trends, baselines, the effect of a change, survey answers, and coaching.",
        panels,
        since="now-7d",
        refresh="",
        variables=[tenant(), queue(), channel(), changed, moment],
        tags=["after"],
    )


def _hours() -> str:
    """SQL condition for the last full hour and the same hour of the four weeks before."""
    hour = "toStartOfHour($__toTime) - INTERVAL 1 HOUR"
    return " OR ".join(
        f"(minute >= {hour} - INTERVAL {week} WEEK AND minute < {hour} - INTERVAL {week} WEEK + INTERVAL 1 HOUR)"
        for week in range(5)
    )


def _before_after_sql() -> str:
    names = "'Mood at the end', 'Shift', 'Soured share', 'Share with an alert', 'Survey answer'"
    values = f"final_level, if({KNOWN}, shift, NULL), if({KNOWN}, outcome = 'soured', NULL), escalations > 0, rating"
    cells = ", ".join(
        f"anyIf(mean, mine = {mine} AND later = {later}) AS {name}, "
        f"anyIf(variance / nullIf(n, 0), mine = {mine} AND later = {later}) AS {name}_variance"
        for name, mine, later in (("b", 1, 0), ("a", 1, 1), ("ob", 0, 0), ("oa", 0, 1))
    )
    others = "if(isNull(oa), 0, ifNull(ob_variance, 0) + ifNull(oa_variance, 0))"
    half = f"{Z} * sqrt(b_variance + a_variance + {others})"
    return f"""
    SELECT
        measure AS Measure, sessions AS Sessions, b AS Before, a AS After, a - b AS Change, oa - ob AS `Others' change`,
        Change - ifNull(`Others' change`, 0) AS `Net effect`,
        `Net effect` - {half} AS `from`, `Net effect` + {half} AS `to`
    FROM
    (
        SELECT measure, any(place) AS place, sumIf(n, mine = 1) AS sessions, {cells}
        FROM
        (
            SELECT
                measure, place, mine, later,
                count(value) AS n, avgOrNull(value) AS mean, varSampOrNull(value) AS variance
            FROM
            (
                SELECT
                    queue IN (${{changed:singlequote}}) AS mine, started_time >= {_moment()} AS later,
                    [{names}] AS measures, [{values}] AS measured
                FROM undertone.sessions FINAL
                WHERE $__timeFilter(started_time) AND messages > 0 AND {chosen("tenant")}
            )
            ARRAY JOIN measures AS measure, measured AS value, arrayEnumerate(measures) AS place
            GROUP BY measure, place, mine, later
        )
        GROUP BY measure
    )
    WHERE sessions > 0
    ORDER BY place
    """


def _moment() -> str:
    """SQL of the moment of the change: as typed, else the middle of the range."""
    middle = "$__fromTime + toIntervalSecond(intDiv(dateDiff('second', $__fromTime, $__toTime), 2))"
    return f"coalesce(parseDateTimeBestEffortOrNull(${{moment:singlequote}}, 'UTC'), {middle})"
