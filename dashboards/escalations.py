"""Alerts as work for supervisors: how many there are, how fast they are answered, and how often they are right."""

from __future__ import annotations

from dashboards.board import bands, channel, dashboard, queue, tenant, typed
from dashboards.common import (
    ACKNOWLEDGE_TARGET_S,
    BAD,
    CHANNEL_COLOURS,
    FAIR,
    GOOD,
    ID_WIDTH,
    INK,
    LEVEL_MAP,
    MUTED,
    WATCH,
    Json,
    chosen,
    feedback_links,
    journey_before_link,
    journey_link,
    key_text,
)
from dashboards.panels import bars, column, lines, series, stat, table
from dashboards.sql import OPEN, OPEN_SINCE, alerts, indent, open_alerts, wilson

UID = "undertone-escalations"
WHERE = chosen("tenant", "queue", "channel")
LOAD_TARGET = 6
"""Alerts that one supervisor can handle in an hour. The rules' default `budget`, which is per customer, is also 6."""
PRECISION_TARGET = 0.7
PRECISION_DAYS = 28
"""Days that the graph of precision covers: a single day has too few answers to be read alone."""
LISTED = 500
"""Most rows of the list: so many because on a busy day the wall's oldest open alert is far down."""
SUPERVISORS = "greatest(1, toUInt32OrZero(${supervisors:singlequote}))"
RAISED = f"SELECT * FROM undertone.escalations FINAL WHERE $__timeFilter(raised_time) AND {WHERE}"
ANSWERED = alerts(WHERE)
SENT = "route = 'supervisor' AND state != 'suppressed'"
"""Alerts that reached a supervisor: neither cues to the agent nor held back."""
LEVEL_COLOURS = (("1 watch", MUTED), ("2 frustrated", WATCH), ("3 critical", BAD))
LEVEL_COUNTS = (
    "countIf(level = 1) AS `1 watch`, countIf(level = 2) AS `2 frustrated`, countIf(level = 3) AS `3 critical`"
)


def load_now() -> Json:
    """Alerts per supervisor and hour."""
    return stat(
        1,
        f"Per supervisor-hour (target < {LOAD_TARGET})",
        "Alerts sent to supervisors in the range, divided by hours and by the number of supervisors typed in above.",
        f"""
        SELECT countIf({SENT})
            / greatest(dateDiff('second', $__fromTime, $__toTime) / 3600, 1 / 60) / {SUPERVISORS} AS load
        FROM ({RAISED})
        """,
        decimals=1,
        steps=((None, GOOD), (LOAD_TARGET, WATCH), (2 * LOAD_TARGET, BAD)),
    )


def answer_time() -> Json:
    """Median time from the alert to its first answer."""
    return stat(
        2,
        f"Median answer (target < {ACKNOWLEDGE_TARGET_S // 60} min)",
        "From the message that raised the alert to the first answer of a supervisor, of any kind.",
        f"""
        SELECT quantileOrNull(0.5)(dateDiff('second', raised_time, answered_time)) AS seconds
        FROM ({ANSWERED}
        )
        WHERE {SENT} AND answered_time IS NOT NULL
        """,
        unit="dthms",
        steps=((None, GOOD), (ACKNOWLEDGE_TARGET_S, WATCH), (5 * ACKNOWLEDGE_TARGET_S, BAD)),
        empty="no answers",
    )


def resolve_time() -> Json:
    """Median time until the alert was closed by a supervisor or by the job."""
    return stat(
        3,
        "Median end (target < 15 min)",
        "Until a supervisor resolved the alert, or the customer's mood recovered far enough to clear it.",
        f"""
        SELECT quantileOrNull(0.5)(dateDiff('second', raised_time, closed_time)) AS seconds
        FROM ({ANSWERED}
        )
        WHERE {SENT} AND closed_time IS NOT NULL
        """,
        unit="dthms",
        steps=((None, GOOD), (900, WATCH), (3600, BAD)),
        empty="none resolved",
    )


def suppressed() -> Json:
    """Share of alerts for supervisors that were held back, by a rule's cool-down or by the hourly budget."""
    return stat(
        4,
        "Held back (target < 10%)",
        "Share of alerts that a rule's cool-down or the customer's hourly budget kept from being sent. They are in the "
        "list below; a high share means that rules are too eager.",
        f"SELECT countIf(state = 'suppressed') / nullIf(count(), 0) AS share "
        f"FROM ({RAISED}) WHERE route = 'supervisor'",
        unit="percentunit",
        decimals=0,
        steps=((None, GOOD), (0.1, WATCH), (0.3, BAD)),
        empty="no alerts",
    )


def precision() -> Json:
    """Share of judged alerts that were right."""
    return stat(
        5,
        f"Good catches (target > {PRECISION_TARGET:.0%})",
        "Good catches among the alerts that supervisors judged (good catch or false alarm).",
        f"""
        SELECT countIf(verdict = 'good_catch') / nullIf(countIf(verdict != ''), 0) AS share
        FROM ({ANSWERED}
        )
        """,
        unit="percentunit",
        decimals=0,
        steps=((None, BAD), (0.5, WATCH), (PRECISION_TARGET, GOOD)),
        empty="none judged",
    )


def open_now() -> Json:
    """Alerts that are open at the end of the range."""
    return stat(
        6,
        "Open now",
        "Alerts for supervisors, raised in the last 7 days, that are neither resolved nor cleared.",
        f"SELECT count() AS alerts FROM ({open_alerts(WHERE)}\n) WHERE route = 'supervisor'",
        steps=((None, GOOD), (5, WATCH), (15, BAD)),
    )


def load_over_time() -> Json:
    """Supervisor alerts by level over time, scaled to supervisor-hours."""
    per_hour = f"/ ($__interval_s / 3600) / {SUPERVISORS}"
    levels = ", ".join(
        f"countIf(level = {level}) {per_hour} AS `{name}`" for level, (name, _) in enumerate(LEVEL_COLOURS, 1)
    )
    return lines(
        7,
        "Alerts per supervisor-hour, by level",
        f"The dashed line is the load that one supervisor can carry: {LOAD_TARGET} an hour.",
        f"""
        SELECT $__timeInterval(raised_time) AS time, {levels}
        FROM ({RAISED})
        WHERE {SENT}
        GROUP BY time
        ORDER BY time
        """,
        interval="15m",
        style="stacked",
        steps=((None, "transparent"), (LOAD_TARGET, BAD)),
        overrides=[series(name, colour=colour) for name, colour in LEVEL_COLOURS],
    )


def answer_time_over_time() -> Json:
    """How fast alerts were answered and resolved."""
    return lines(
        8,
        "Time to answer and to resolve",
        f"Median and 9 of 10; the dashed line is the target for an answer, {ACKNOWLEDGE_TARGET_S} s.",
        f"""
        SELECT
            $__timeInterval(raised_time) AS time,
            quantileOrNull(0.5)(dateDiff('second', raised_time, answered_time)) AS `answered, median`,
            quantileOrNull(0.9)(dateDiff('second', raised_time, answered_time)) AS `answered, 9 of 10`,
            quantileOrNull(0.5)(dateDiff('second', raised_time, closed_time)) AS `resolved, median`
        FROM ({ANSWERED}
        )
        WHERE {SENT}
        GROUP BY time
        ORDER BY time
        """,
        unit="s",
        interval="15m",
        steps=((None, "transparent"), (ACKNOWLEDGE_TARGET_S, BAD)),
        overrides=[
            series("answered, median", colour=INK),
            series("answered, 9 of 10", colour=GOOD),
            series("resolved, median", colour=FAIR),
        ],
    )


def by_rule() -> Json:
    """Load, speed and precision of each rule."""
    low, high = wilson("good", "Judged")
    return table(
        9,
        "Rules: load, speed and precision",
        "Precision is good catches among judged alerts, with its 95% interval (Wilson): do not act on a wide one. "
        "Cues went to the agent, alerts to a supervisor; answered are alerts, as nobody answers a cue.",
        f"""
        SELECT
            rule AS Rule, rule_version AS Version, countIf({SENT}) AS Alerts,
            countIf(route = 'agent' AND state != 'suppressed') AS Cues, countIf(state = 'suppressed') AS `Held back`,
            countIf({SENT} AND answered_time IS NOT NULL) / nullIf(Alerts, 0) AS Answered,
            quantileOrNullIf(0.5)(dateDiff('second', raised_time, answered_time), {SENT}) AS `Answered after`,
            countIf(verdict != '') AS Judged, countIf(verdict = 'good_catch') AS good,
            good / nullIf(Judged, 0) AS Precision, {low} AS `from`, {high} AS `to`
        FROM ({indent(ANSWERED)}
        )
        GROUP BY rule, rule_version
        ORDER BY Alerts DESC, Cues DESC
        """,
        columns=[
            column("Judged", width=90),
            column("good", hidden=True),
            column("Answered", unit="percentunit", decimals=0),
            column("Answered after", unit="dthms"),
            column(
                "Precision", unit="percentunit", decimals=0, steps=((None, BAD), (0.5, WATCH), (PRECISION_TARGET, GOOD))
            ),
            column("from", unit="percentunit", decimals=0),
            column("to", unit="percentunit", decimals=0),
        ],
    )


def by_queue() -> Json:
    """Alerts by queue and level."""
    return _by(10, "queue")


def by_channel() -> Json:
    """Alerts by channel and level."""
    return _by(11, "channel")


def precision_over_time() -> Json:
    """Precision by day, with its interval."""
    low, high = wilson("countIf(verdict = 'good_catch')", "countIf(verdict != '')")
    whole = "toStartOfDay($__fromTime - INTERVAL 1 SECOND, 'UTC') + INTERVAL 1 DAY"
    since = f"least({whole}, toStartOfDay($__toTime, 'UTC') - INTERVAL {PRECISION_DAYS - 1} DAY)"
    return lines(
        12,
        "Precision by day, with its 95% interval",
        f"Good catches among the judged alerts of each day (UTC). Shows the last {PRECISION_DAYS} days, or the range "
        f"above where that has fixed ends. The dashed line is the target, {PRECISION_TARGET:.0%}.",
        f"""
        SELECT
            toDateTime(toStartOfDay(raised_time)) AS time, {low} AS Lower, {high} AS Upper,
            countIf(verdict = 'good_catch') / nullIf(countIf(verdict != ''), 0) AS Precision
        FROM ({indent(alerts(WHERE, since))}
        )
        GROUP BY time
        ORDER BY time
        """,
        unit="percentunit",
        interval="1d",
        last=f"{PRECISION_DAYS}d",
        limits=(0, 1),
        steps=((None, "transparent"), (PRECISION_TARGET, GOOD)),
        overrides=[
            series("Precision", colour=INK, custom_lineWidth=3),
            series("Lower", colour=MUTED, custom_lineWidth=0),
            series("Upper", colour=MUTED, custom_lineWidth=0, custom_fillBelowTo="Lower"),
        ],
    )


def newest() -> Json:
    """List of the alerts, newest first."""
    return table(
        13,
        "Alerts (click the time or the reason to open the journey)",
        "What was raised in the range, and alerts for supervisors that are open from the 7 days before its end, as the "
        f"wall counts them; at most {LISTED}, newest first. For one older than the range, the reason also leads to the "
        "journey from a day before it. The excerpt is the message that raised the alert, without "
        "personal data, kept for 30 days. The last column is the id that an answer names; where a feedback page is set "
        "up, the verdict leads there.",
        f"""
        SELECT
            raised_time AS Raised, level AS Level, route AS `For`, rule AS Rule, reason AS Reason, excerpt AS Excerpt,
            queue AS Queue, channel AS Channel, dateDiff('second', raised_time, answered_time) AS `Answered after`,
            if(verdict = '', 'none yet', verdict) AS Verdict, state AS State,
            escalation_id AS Alert, tenant AS Tenant, {key_text()} AS Customer,
            toString(toUnixTimestamp64Milli(raised_time - INTERVAL 1 DAY)) AS Since
        FROM ({indent(alerts(WHERE, f"least($__fromTime, {OPEN_SINCE})"))}
        )
        WHERE raised_time >= $__fromTime OR (route = 'supervisor' AND {OPEN})
        ORDER BY Raised DESC
        LIMIT {LISTED}
        """,
        columns=[
            column("Raised", unit="dateTimeAsIso", width=170, links=[journey_link()]),
            column("Level", mappings=[LEVEL_MAP], width=110),
            column("For", width=100),
            column("Rule", width=130),
            column("Queue", width=120),
            column("Reason", links=[journey_link(), journey_before_link()]),
            column("Excerpt", wrap=True),
            column("Channel", width=80),
            column("Answered after", unit="dthms", width=130),
            column("Verdict", links=feedback_links(), width=110),
            column("State", width=110),
            column("Alert", width=ID_WIDTH),
            column("Tenant", hidden=True),
            column("Customer", hidden=True),
            column("Since", hidden=True),
        ],
    )


def by_family() -> Json:
    """Alerts by family of rules and channel."""
    looks = [series(name, colour=colour) for name, colour in CHANNEL_COLOURS.items()]
    counts = ", ".join(f"countIf(channel = '{name}') AS {name}" for name in CHANNEL_COLOURS)
    return bars(
        14,
        "What alerts were about",
        "Families of rules (level, trend, keywords, repeated contact and so on), by channel.",
        f"""
        SELECT toString(family) AS family, {counts}
        FROM ({RAISED})
        WHERE state != 'suppressed'
        GROUP BY family
        ORDER BY count() DESC
        LIMIT 15
        """,
        stacked=True,
        overrides=looks,
    )


def board() -> Json:
    """Six numbers, load and speed over time, rules, origins, and the list."""
    numbers = [load_now(), answer_time(), resolve_time(), suppressed(), precision(), open_now()]
    panels = bands(
        (4, [(number, 4) for number in numbers]),
        (8, [(load_over_time(), 12), (answer_time_over_time(), 12)]),
        (8, [(by_rule(), 24)]),
        (9, [(by_queue(), 8), (by_channel(), 8), (by_family(), 8)]),
        (7, [(precision_over_time(), 24)]),
        (12, [(newest(), 24)]),
    )
    supervisors = typed("supervisors", "Supervisors", "1", "How many supervisors share these alerts")
    return dashboard(
        UID,
        "Undertone: escalations",
        "Alerts as work: load per supervisor, time to answer and resolve, and how often they are right.",
        panels,
        since="now-24h",
        refresh="1m",
        variables=[tenant(), queue(), channel(), supervisors],
        tags=["escalations"],
    )


def _by(id: int, origin: str) -> Json:  # noqa: A002 - Grafana's word
    """Alerts by `origin` (queue or channel) and level."""
    return bars(
        id,
        f"Alerts by {origin}",
        f"Alerts and cues raised in the range, by {origin} and level; held-back ones are left out.",
        f"""
        SELECT toString({origin}) AS {origin}, {LEVEL_COUNTS}
        FROM ({RAISED})
        WHERE state != 'suppressed'
        GROUP BY {origin}
        ORDER BY count() DESC
        LIMIT 15
        """,
        stacked=True,
        overrides=[series(name, colour=colour) for name, colour in LEVEL_COLOURS],
    )
