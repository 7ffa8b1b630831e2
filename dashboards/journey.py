"""One customer across all channels: what was said, the mood, and what was known at each moment."""

from __future__ import annotations

from dashboards.board import annotation, bands, dashboard, tenant, typed
from dashboards.common import (
    BAD,
    CHANNEL_COLOURS,
    CHANNEL_MAP,
    CHOSEN_CUSTOMER,
    GOOD,
    ID_WIDTH,
    LEVEL_MAP,
    MOOD_STEPS,
    MUTED,
    OUTCOME_COLOURS,
    TREND_MAP,
    VIOLET,
    WATCH,
    Json,
    chosen,
    feedback_links,
    value_map,
)
from dashboards.panels import column, lines, series, stat, states, table
from dashboards.sql import Z, alerts, channel_code, newest

UID = "undertone-journey"
WHERE = f"{chosen('tenant')} AND customer_key = {CHOSEN_CUSTOMER}"
SESSIONS = f"""undertone.sessions FINAL
        WHERE (tenant, started_time, session_id) GLOBAL IN
        (
            SELECT tenant, started_time, session_id FROM undertone.sessions
            WHERE started_time >= $__fromTime - INTERVAL 2 DAY AND started_time <= $__toTime
                AND ended_time >= $__fromTime AND {WHERE}
        )"""
"""The customer's sessions that overlap the range, found as on the wall; they may begin up to 2 days before it.

The inner query finds their keys without FINAL, from a few columns; FINAL then reads only the rows of these sessions.
"""
EMPTY = "choose a customer on another page, or widen the time range"
LONGEST_LINE_MS = 6 * 3600 * 1000
"""Milliseconds; messages further apart are not joined by a line, because the mood in between is unknown."""
SPREAD = 0.5
"""Standard deviation of single message scores that the band around the mood assumes."""


def mood_now() -> Json:
    """Rolling mood after the last message in the range."""
    return stat(
        1,
        "Mood at the end of the range",
        "Rolling score over all channels after the customer's last message, from -1 to 1.",
        f"SELECT argMaxOrNull(customer_level, event_time) AS mood FROM undertone.trajectory FINAL "
        f"WHERE $__timeFilter(event_time) AND {WHERE}",
        decimals=2,
        steps=MOOD_STEPS,
        empty="nobody chosen, or silent",
    )


def contacts() -> Json:
    """Interactions that began in the 7 days before the last message."""
    return stat(
        2,
        "Contacts in 7 days",
        "Interactions begun in the 7 days before the last message. Three and more point at an unsolved problem.",
        f"SELECT argMaxOrNull(contacts_7d, event_time) AS contacts FROM undertone.trajectory FINAL "
        f"WHERE $__timeFilter(event_time) AND {WHERE}",
        steps=((None, GOOD), (3, WATCH), (5, BAD)),
    )


def hops() -> Json:
    """Number of channel changes in the sessions of the range."""
    return stat(
        3,
        "Channel changes",
        "How often the customer moved from one channel to another within a session, in the sessions of the range.",
        f"SELECT sum(hops) AS hops FROM {SESSIONS}",
        steps=((None, GOOD), (2, WATCH)),
    )


def alerts_raised() -> Json:
    """Number of alerts and cues about this customer."""
    return stat(
        4,
        "Alerts raised",
        "Cues and alerts about this customer in the range, without suppressed ones.",
        f"SELECT count() AS alerts FROM undertone.escalations FINAL "
        f"WHERE $__timeFilter(raised_time) AND {WHERE} AND state != 'suppressed'",
        steps=((None, GOOD), (1, WATCH), (3, BAD)),
    )


def last_rating() -> Json:
    """Last survey answer."""
    return stat(
        5,
        "Last survey answer, -1 to 1",
        "The customer's own rating, mapped to -1 (worst) to 1 (best).",
        f"SELECT argMaxOrNull(rating, started_time) AS answer FROM {SESSIONS} AND rating IS NOT NULL",
        decimals=2,
        steps=((None, BAD), (0, WATCH), (0.5, GOOD)),
        empty="not asked",
    )


def channel_lane() -> Json:
    """Which channel the customer was on, with gaps between sessions."""
    return states(
        6,
        "Channels",
        "The channel that the customer was on; gaps are the time between sessions.",
        f"""
        SELECT time, {channel_code()} AS Channel
        FROM
        (
            SELECT toDateTime64(event_time, 3) AS time, toString(channel) AS channel
            FROM undertone.trajectory FINAL
            WHERE $__timeFilter(event_time) AND {WHERE}
            UNION ALL
            SELECT toDateTime64(ended_time, 3) + toIntervalSecond(60) AS time, '' AS channel
            FROM {SESSIONS}
        )
        ORDER BY time
        """,
        CHANNEL_MAP,
        interval="1s",
        show="always",
        empty=EMPTY,
    )


def mood_line() -> Json:
    """Each message's score, and the rolling mood with its uncertainty."""
    half = f"{Z * SPREAD:.2f} / sqrt(customer_evidence + 1)"
    points = ", ".join(
        f"if(channel = '{name}' AND kind = 'utterance', score, NULL) AS {name}" for name in CHANNEL_COLOURS
    )
    line: Json = {"custom_drawStyle": "line", "custom_insertNulls": LONGEST_LINE_MS}
    band = {**line, "colour": MUTED, "custom_lineWidth": 0, "custom_showPoints": "never"}
    looks = [
        series("Mood", colour="text", custom_lineWidth=3, custom_fillOpacity=0, custom_showPoints="auto", **line),
        series("Lower", custom_fillOpacity=0, **band),
        series("Upper", custom_fillOpacity=20, custom_fillBelowTo="Lower", **band),
    ]
    looks += [series(name, colour=colour) for name, colour in CHANNEL_COLOURS.items()]
    return lines(
        7,
        "Score of each message, and the rolling mood with its 95% band",
        "Points are messages, coloured by channel; the line is the mood over all channels. The band is that of a mean "
        f"with the evidence so far, a start at 0 that counts as one message, and a spread of {SPREAD} between "
        "messages: wide at first, narrow after a long conversation. Alerts and channel changes are marked.",
        f"""
        SELECT
            event_time AS time, customer_level AS Mood, greatest(-1, customer_level - {half}) AS Lower,
            least(1, customer_level + {half}) AS Upper, {points}
        FROM undertone.trajectory FINAL
        WHERE $__timeFilter(event_time) AND {WHERE} AND speaker = 'customer'
        ORDER BY time
        """,
        interval="1s",
        limits=(-1, 1),
        style="points",
        overrides=looks,
        empty=EMPTY,
    )


def messages() -> Json:
    """What was said, without personal data."""
    return table(
        8,
        "Messages (personal data removed)",
        "The last 500 messages of the range, newest last. The text is kept for 30 days. Agents are pseudonyms.",
        newest(
            f"""
            SELECT
                event_time AS Time, channel AS Channel, speaker AS Who, text AS Message,
                if(speaker = 'customer', score, NULL) AS Score, arrayStringConcat(tags, ', ') AS Tags, queue AS Queue
            FROM undertone.journey FINAL
            WHERE $__timeFilter(event_time) AND {WHERE}
            """,
            "Time",
            500,
        ),
        columns=[
            column("Time", unit="dateTimeAsIso", width=170),
            column("Channel", width=80, mappings=[_channels()]),
            column("Who", width=90),
            column("Message", wrap=True),
            column("Score", decimals=2, width=80, steps=MOOD_STEPS),
            column("Tags", width=200),
            column("Queue", width=120),
        ],
        empty=EMPTY,
    )


def known_then() -> Json:
    """The rolling values as they stood after each message of the customer."""
    return table(
        9,
        "What was known at each moment",
        "The numbers that rules and screens had right after each of the last 500 messages: nothing in a row comes from "
        "later messages.",
        newest(
            f"""
            SELECT
                event_time AS Time, channel AS Channel, customer_level AS Mood, customer_evidence AS Evidence,
                level AS `This contact`, carried AS `Carried in`, trend AS Trend, slope AS `Slope / min`,
                slope_low AS `from`, slope_high AS `to`, streak AS Streak, under_ms / 1000 AS `Time unhappy`,
                response_ms / 1000 AS `Longest wait`, contacts_24h AS `Contacts 24 h`, late AS Late,
                provisional AS Provisional
            FROM undertone.trajectory FINAL
            WHERE $__timeFilter(event_time) AND {WHERE} AND speaker = 'customer'
            """,
            "Time",
            500,
        ),
        columns=[
            column("Time", unit="dateTimeAsIso", width=170),
            column("Channel", width=80, mappings=[_channels()]),
            column("Mood", decimals=2, width=80, steps=MOOD_STEPS),
            column("Evidence", decimals=1, width=90),
            column("This contact", decimals=2),
            column("Carried in", decimals=2),
            column("Trend", mappings=[TREND_MAP], width=160),
            column("from", width=80),
            column("to", width=80),
            column("Time unhappy", unit="dthms"),
            column("Longest wait", unit="dthms"),
        ],
        empty=EMPTY,
    )


def sessions() -> Json:
    """The customer's sessions with begin, end and outcome."""
    return table(
        10,
        "Sessions",
        "One row a session across channels that reaches into the range: how it began, how it ended, and the customer's "
        "own rating.",
        newest(
            f"""
            SELECT
                started_time AS Started, dateDiff('second', started_time, ended_time) AS Length,
                arrayStringConcat(channels, ' → ') AS Path, messages AS Messages, carried AS `Carried in`,
                begin AS Begin, end AS End, outcome AS Outcome, low AS `Low point`, escalations AS Alerts,
                rating AS Rating, state AS State
            FROM {SESSIONS}
            """,
            "Started",
            200,
        ),
        columns=[
            column("Started", unit="dateTimeAsIso", width=170),
            column("Length", unit="dthms"),
            column("Carried in", decimals=2),
            column("Begin", decimals=2, steps=MOOD_STEPS),
            column("End", decimals=2, steps=MOOD_STEPS),
            column("Outcome", mappings=[value_map({name: (name, colour) for name, colour in OUTCOME_COLOURS.items()})]),
            column("Low point", decimals=2),
        ],
        empty=EMPTY,
    )


def alerts_of_customer() -> Json:
    """The customer's alerts with their evidence and answers."""
    return table(
        11,
        "Alerts",
        "Why each alert was raised, on what evidence, and what became of it.",
        newest(
            f"""
            SELECT
                raised_time AS Raised, level AS Level, route AS `For`, rule AS Rule, reason AS Reason,
                excerpt AS Excerpt, dateDiff('second', raised_time, answered_time) AS `Answered after`,
                dateDiff('second', raised_time, closed_time) AS `Closed after`,
                if(verdict = '', 'none yet', verdict) AS Verdict, state AS State,
                escalation_id AS Alert, tenant AS Tenant
            FROM ({alerts(WHERE)}
            )
            """,
            "Raised",
            200,
        ),
        columns=[
            column("Raised", unit="dateTimeAsIso", width=170),
            column("Level", mappings=[LEVEL_MAP], width=110),
            column("For", width=100),
            column("Rule", width=130),
            column("Excerpt", wrap=True),
            column("Answered after", unit="dthms", width=130),
            column("Closed after", unit="dthms", width=130),
            column("Verdict", links=feedback_links(), width=110),
            column("State", width=110),
            column("Alert", width=ID_WIDTH),
            column("Tenant", hidden=True),
        ],
        empty="no alert about this customer in this time range",
    )


def alert_marks() -> Json:
    """Alerts as marks across the graphs."""
    return annotation(
        "Alerts",
        newest(
            f"""
            SELECT
                raised_time AS time, coalesce(closed_time, raised_time) AS timeEnd,
                concat('Level ', toString(level), ': ', rule) AS title, reason AS text, concat('alert,', route) AS tags,
                escalation_id AS id
            FROM ({alerts(WHERE)}
            )
            WHERE state != 'suppressed'
            """,
            "time",
            500,
        ),
    )


def hop_marks() -> Json:
    """Channel changes as marks across the graphs; as in `hops`, a survey is not a change of channel."""
    return annotation(
        "Channel changes",
        newest(
            f"""
            SELECT
                event_time AS time, event_time AS timeEnd, concat(before, ' → ', channel) AS title,
                'The customer changed the channel' AS text, 'hop' AS tags, event_id AS id
            FROM
            (
                SELECT
                    event_time, event_id, toString(channel) AS channel,
                    lagInFrame(toString(channel)) OVER (PARTITION BY session_id ORDER BY event_time, event_id) AS before
                FROM undertone.trajectory FINAL
                WHERE $__timeFilter(event_time) AND {WHERE} AND channel != 'survey'
            )
            WHERE before != '' AND before != channel
            """,
            "time",
            500,
        ),
        VIOLET,
    )


def board() -> Json:
    """Numbers, lane of channels, mood, messages, what was known at each moment, sessions, and alerts."""
    numbers = [mood_now(), contacts(), hops(), alerts_raised(), last_rating()]
    widths = [5, 5, 5, 4, 5]
    panels = bands(
        (4, list(zip(numbers, widths, strict=True))),
        (4, [(channel_lane(), 24)]),
        (10, [(mood_line(), 24)]),
        (12, [(messages(), 24)]),
        (9, [(known_then(), 24)]),
        (7, [(sessions(), 24)]),
        (7, [(alerts_of_customer(), 24)]),
    )
    customer = typed(
        "customer", "Customer", "", "Pseudonym of the customer, 16 hex digits; links from other pages fill it in"
    )
    return dashboard(
        UID,
        "Undertone: customer journey",
        "One customer across voice, chat, email, social and survey. Come here by a click on another page.",
        panels,
        since="now-7d",
        refresh="",
        variables=[tenant(), customer],
        annotations=[alert_marks(), hop_marks()],
        tags=["journey"],
    )


def _channels() -> Json:
    return value_map({name: (name, colour) for name, colour in CHANNEL_COLOURS.items()})
