"""Parts that all panels share: colours, thresholds, mappings, links, and the JSON of a query.

A panel built from these parts is readable by colour-blind people (Okabe-Ito colours, always with a text or a number
beside them) and loads in Grafana 9.3 to 13. This module imports no dashboard.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

Json = dict[str, Any]
"""A JSON object of Grafana's dashboard model."""

Format = Literal["timeseries", "table"]
Steps = Sequence[tuple[float | None, str]]
"""Thresholds as (from, colour); the first `from` is None, the rest ascend."""

PLUGIN = "grafana-clickhouse-datasource"
DATA_SOURCE_UID = "undertone-clickhouse"
"""Uid of our data source; panels, alert rules and provisioning refer to it."""
DATA_SOURCE: Json = {"type": PLUGIN, "uid": DATA_SOURCE_UID}

GOOD, FAIR, WATCH, BAD = "#56B4E9", "#009E73", "#E69F00", "#D55E00"
MUTED, INK, VIOLET, YELLOW = "#999999", "#0072B2", "#CC79A7", "#F0E442"

MIN_MESSAGES = 20
"""Smallest number of messages for which a share is shown; smaller samples are shown as "too few"."""
MIN_AGENT_SESSIONS = 20
"""Smallest number of conversations for which an agent's figures are shown, so that no single one can be guessed."""
NEGATIVE_TARGET, NEGATIVE_LIMIT, NEGATIVE_CLEAR = 0.25, 0.40, 0.30
"""Share of negative messages: the target is below the first; the alarm is on from the second until below the third."""
ALARM_MEMORY_MIN = 360
"""Minutes for which the alarm stays on while the share is between `NEGATIVE_CLEAR` and `NEGATIVE_LIMIT`."""
ACKNOWLEDGE_TARGET_S = 120
"""Seconds within which an alert of the highest level should be acknowledged."""
DATA_AGE_TARGET_S, DATA_AGE_LIMIT_S = 30, 120
DRIFT_WATCH, DRIFT_LIMIT = 0.10, 0.25
"""Population stability index: by convention, scores are stable below the first and shifted above the second."""
REJECT_TARGET, REJECT_LIMIT = 0.005, 0.02

CHANNEL_CODES = {"voice": 1, "chat": 2, "email": 3, "social": 4, "survey": 5}
CHANNEL_COLOURS = {"voice": INK, "chat": GOOD, "email": FAIR, "social": VIOLET, "survey": YELLOW}
TAGS = ("frustration", "anger", "urgency", "confusion", "disappointment", "satisfaction", "sarcasm")

_FORMATS: dict[Format, int] = {"timeseries": 0, "table": 1}


def target(sql: str, shape: Format, ref: str = "A") -> Json:
    """Make one query of a panel; `shape` is the format into which the plugin turns the rows.

    >>> target("SELECT 1", "table")["format"]
    1
    """
    return {
        "refId": ref,
        "datasource": DATA_SOURCE,
        "editorType": "sql",
        "rawSql": tidy(sql),
        "format": _FORMATS[shape],
        "queryType": shape,
        "pluginVersion": "4.20.0",
        "meta": {},
    }


def tidy(sql: str) -> str:
    r"""Strip the common indentation that SQL has inside a Python file.

    >>> tidy('''
    ...     SELECT 1
    ...       AS n
    ... ''')
    'SELECT 1\n  AS n'
    """
    lines = [line.rstrip() for line in sql.strip("\n").rstrip().split("\n")]
    margin = min((len(line) - len(line.lstrip()) for line in lines if line), default=0)
    return "\n".join(line[margin:] for line in lines).strip()


def chosen(*variables: str) -> str:
    """SQL condition for the dashboard's variables of the same names; with "All" chosen it is always true.

    >>> chosen("queue")
    '$__conditionalAll(queue IN (${queue:singlequote}), $queue)'
    """
    return " AND ".join(f"$__conditionalAll({name} IN (${{{name}:singlequote}}), ${name})" for name in variables)


def thresholds(steps: Steps) -> Json:
    """Grafana's threshold object.

    >>> thresholds([(None, GOOD), (0.4, BAD)])["steps"][1]
    {'color': '#D55E00', 'value': 0.4}
    """
    return {"mode": "absolute", "steps": [{"color": colour, "value": start} for start, colour in steps]}


def value_map(texts: dict[str, tuple[str, str]]) -> Json:
    """Show text and colour for exact values: `{"2": ("Angry", BAD)}`."""
    options = {
        value: {"text": text, "color": colour, "index": index}
        for index, (value, (text, colour)) in enumerate(texts.items())
    }
    return {"type": "value", "options": options}


def empty_map(text: str, colour: str = MUTED) -> Json:
    """Show a text instead of Grafana's "No data" where a value is missing."""
    return {"type": "special", "options": {"match": "null+nan", "result": {"text": text, "color": colour, "index": 99}}}


CHANNEL_MAP = value_map({str(code): (name, CHANNEL_COLOURS[name]) for name, code in CHANNEL_CODES.items()})
MOOD_STEPS: Steps = ((None, BAD), (-0.4, WATCH), (-0.1, MUTED), (0.2, GOOD))
"""Rolling mood in (-1, 1): the live rules escalate below -0.4."""
TREND_MAP = value_map(
    {
        "improving": ("↑ improving", GOOD),
        "slightly_improving": ("↗ slightly improving", GOOD),
        "no_change": ("→ steady", MUTED),
        "slightly_declining": ("↘ slightly declining", WATCH),
        "declining": ("↓ declining", BAD),
        "not_calculated": ("· too early", MUTED),
    }
)
"""Arrow and words: the trend can be read without its colour."""
LEVEL_MAP = value_map({"1": ("1 watch", MUTED), "2": ("2 frustrated", WATCH), "3": ("3 critical", BAD)})
OUTCOME_COLOURS = {"recovered": GOOD, "steady": MUTED, "soured": BAD, "unknown": "#DDDDDD"}


def key_text(column: str = "customer_key") -> str:
    """SQL: 64-bit key as 16 hex digits, because a browser rounds integers above 2**53."""
    return f"lower(leftPad(hex({column}), 16, '0'))"


CHOSEN_CUSTOMER = "reinterpretAsUInt64(reverse(unhex(${customer:singlequote})))"
"""SQL: the customer that was typed in or clicked, as the number by which the tables are sorted."""


def journey_link(title: str = "Open the customer's journey") -> Json:
    """Link from a row with a field `Customer` to that customer's journey; keeps the time range and the organisation."""
    url = "/d/undertone-journey?${__url_time_range}&var-customer=${__data.fields.Customer}&${tenant:queryparam}"
    return {"title": title, "url": url, "targetBlank": False}


def journey_before_link() -> Json:
    """Link from a row with fields `Customer` and `Since` (milliseconds, as text) to the journey from that time on.

    For rows that may be older than the time range, whose journey would be empty in it.
    """
    url = (
        "/d/undertone-journey?from=${__data.fields.Since}&to=${__to}&var-customer=${__data.fields.Customer}"
        "&${tenant:queryparam}"
    )
    return {"title": "The journey from a day before the alert", "url": url, "targetBlank": False}


ID_WIDTH = 240
"""Pixels that a column needs for an alert's id, which is the argument of `flows.feedback --escalation`."""
FEEDBACK_URL = "feedback:"
"""Placeholder at the start of a feedback link; `dashboards.site` puts in the site's address, or drops the link."""


def feedback_links() -> list[Json]:
    """Links from a row with fields `Alert` and `Tenant` to the feedback page, one for each answer."""
    answers = {
        "acknowledged": "Acknowledge",
        "resolved": "Resolved",
        "good_catch": "Good catch",
        "false_alarm": "False alarm",
    }
    row = "escalation=${__data.fields.Alert}&tenant=${__data.fields.Tenant}"
    return [
        {
            "title": title,
            "url": f"{FEEDBACK_URL}?action={action}&{row}",
            "targetBlank": True,
        }
        for action, title in answers.items()
    ]
