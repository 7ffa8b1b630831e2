"""Alert rules, their contact point, their notification policy and their mute timing.

Each rule uses SQL that panels share (`dashboards.sql`). A query returns text columns, which become labels, and exactly
one number, because Grafana reports an error for more. Rules watch queues and the pipeline, never single conversations:
for these the job raises escalations, which reach supervisors without Grafana.
"""

from __future__ import annotations

from dashboards import escalations, pipeline, wallboard
from dashboards.common import (
    ACKNOWLEDGE_TARGET_S,
    ALARM_MEMORY_MIN,
    DATA_AGE_LIMIT_S,
    DATA_SOURCE_UID,
    DRIFT_LIMIT,
    NEGATIVE_CLEAR,
    NEGATIVE_LIMIT,
    REJECT_LIMIT,
    Json,
    target,
)
from dashboards.site import Site, fit_target
from dashboards.sql import ALL, data_age, drift, epoch_age, negative_alarm, open_alerts, reject_share

GROUP = "undertone"
INTERVAL_S = 30
RECEIVER = "undertone-supervisors"
CLOSED = "undertone-closed-hours"
WEBHOOK_VARIABLE = "UNDERTONE_ALERT_WEBHOOK"
SILENT_DAYS = 7
"""An organisation that is silent for longer leaves the alarm; with a day, a silent one would look mended the next."""


def negative_queue() -> Json:
    """Too many messages of a queue are negative; the query contains the hysteresis."""
    return _rule(
        "undertone-negative-queue",
        "Queue turned negative",
        negative_alarm(),
        above=0,
        minutes=ALARM_MEMORY_MIN,
        wait="1m",
        severity="warning",
        summary=_summary(
            "{{ $labels.queue }}: {{ humanizePercentage .Value }} of messages negative "
            f"(from {NEGATIVE_LIMIT:.0%} until below {NEGATIVE_CLEAR:.0%})"
        ),
        panel=(wallboard.UID, 7),
    )


def unanswered() -> Json:
    """Critical alerts that nobody has answered."""
    return _rule(
        "undertone-unanswered",
        "Critical alert unanswered",
        f"""
        SELECT tenant, queue, toFloat64(countIf(age_s >= {ACKNOWLEDGE_TARGET_S})) AS value
        FROM ({open_alerts(ALL)}
        )
        WHERE level = 3 AND route = 'supervisor' AND answered_time IS NULL
        GROUP BY tenant, queue
        """,
        above=0,
        minutes=10,
        wait="0s",
        severity="critical",
        summary=_summary(
            "{{ $labels.queue }}: {{ .Value }} critical alerts without an answer for "
            f"{ACKNOWLEDGE_TARGET_S // 60} minutes"
        ),
        panel=(escalations.UID, 13),
    )


def job_stands_still() -> Json:
    """The job commits no epoch any more, so nothing is scored and no escalation is sent; critical at any hour.

    It fires too while the store does not answer. The other rules then only go to the state Error, which the alarms on
    the wall do not count.
    """
    return _rule(
        "undertone-job",
        "Job stands still",
        f"SELECT job, seconds AS value FROM ({epoch_age()}\n)",
        above=pipeline.EPOCH_LIMIT_S,
        minutes=10,
        wait="1m",
        severity="critical",
        summary=_summary(
            "last epoch committed {{ humanizeDuration .Value }} ago: nothing is scored, nobody is called",
            "no epoch was committed for a day, or the store does not answer: nothing on the wall can be trusted",
        ),
        panel=(pipeline.UID, 18),
        no_data="Alerting",
        error="Alerting",
    )


def data_too_old() -> Json:
    """No messages arrive although the job may run: a source is silent. At night this is normal, so it is a warning."""
    return _rule(
        "undertone-data-age",
        "Data too old",
        f"SELECT tenant, seconds AS value FROM ({data_age(ALL, days=SILENT_DAYS)}\n)",
        above=DATA_AGE_LIMIT_S,
        minutes=10,
        wait="1m",
        severity="warning",
        summary=_summary(
            "{{ $labels.tenant }}: newest message is {{ humanizeDuration .Value }} old",
            f"no organisation has sent a message for {SILENT_DAYS} days, or the store does not answer",
        ),
        panel=(pipeline.UID, 2),
        no_data="Alerting",
    )


def drifted() -> Json:
    """The scores of a channel are distributed differently from those of the last week."""
    return _rule(
        "undertone-drift",
        "Scores drifted",
        f"SELECT toString(channel) AS channel, psi AS value FROM ({drift(ALL)}\n)",
        above=DRIFT_LIMIT,
        minutes=60,
        wait="30m",
        severity="info",
        summary=_summary('{{ $labels.channel }}: stability index {{ printf "%.2f" .Value }}; mind the trends'),
        panel=(pipeline.UID, 12),
    )


def rejecting() -> Json:
    """Too large a share of a topic's records goes to dead letters."""
    return _rule(
        "undertone-dead-letters",
        "Records rejected",
        f"SELECT topic, share AS value FROM ({reject_share()}\n)",
        above=REJECT_LIMIT,
        minutes=10,
        wait="2m",
        severity="warning",
        summary=_summary("{{ $labels.topic }}: {{ humanizePercentage .Value }} of records rejected"),
        panel=(pipeline.UID, 10),
    )


def rules(site: Site) -> list[Json]:
    """All rules, in the form that both the API and provisioning files accept."""
    made = [negative_queue(), unanswered(), job_stands_still(), data_too_old(), drifted(), rejecting()]
    for rule in made:
        for query in rule["data"]:
            if query["datasourceUid"] == DATA_SOURCE_UID:
                query["model"] = {**fit_target(query["model"], site), "intervalMs": 1000, "maxDataPoints": 43200}
    return made


def contact_points(webhook: str) -> list[Json]:
    """Where alerts go: one webhook, which chat, paging and ticket systems all offer."""
    return [
        {
            "uid": "undertone-webhook",
            "name": RECEIVER,
            "type": "webhook",
            "settings": {"url": webhook, "httpMethod": "POST"},
            "disableResolveMessage": False,
        }
    ]


def policy() -> Json:
    """Notification policy: one message per queue and severity; critical alerts at once, others after 30 seconds."""
    ours = ["product", "=", "undertone"]
    return {
        "receiver": RECEIVER,
        "group_by": ["product", "queue", "severity"],
        "group_wait": "30s",
        "group_interval": "5m",
        "repeat_interval": "4h",
        "routes": [
            {
                "receiver": RECEIVER,
                "object_matchers": [ours, ["severity", "=", "critical"]],
                "group_wait": "0s",
                "group_interval": "1m",
                "repeat_interval": "15m",
            },
            {
                "receiver": RECEIVER,
                "object_matchers": [ours, ["severity", "=~", "warning|info"]],
                "repeat_interval": "1h",
                "mute_time_intervals": [CLOSED],
            },
        ],
    }


def mute_timings() -> list[Json]:
    """Times at which warnings are muted: nights and Sundays, UTC. Critical alerts are never muted."""
    nights = [{"start_time": "20:00", "end_time": "24:00"}, {"start_time": "00:00", "end_time": "07:00"}]
    return [{"name": CLOSED, "time_intervals": [{"times": nights}, {"weekdays": ["sunday"]}]}]


def _summary(text: str, without: str = "the store does not answer") -> str:
    """Template of a summary; `text` reads the value as `.Value`, and `without` stands where the rule has no value.

    Without a value (no data, an error), Grafana would send a template that formats it as it is written.

    >>> _summary("{{ .Value }} rejected")
    '{{ with $values.A }}{{ .Value }} rejected{{ else }}the store does not answer{{ end }}'
    """
    return f"{{{{ with $values.A }}}}{text}{{{{ else }}}}{without}{{{{ end }}}}"


def _rule(
    uid: str,
    title: str,
    sql: str,
    *,
    above: float,
    minutes: int,
    wait: str,
    severity: str,
    summary: str,
    panel: tuple[str, int],
    no_data: str = "OK",
    error: str = "Error",
) -> Json:
    query = {key: value for key, value in target(sql, "table").items() if key != "datasource"}
    threshold = {
        "refId": "B",
        "type": "threshold",
        "expression": "A",
        "datasource": {"type": "__expr__", "uid": "__expr__"},
        "conditions": [{"evaluator": {"type": "gt", "params": [above]}}],
    }
    return {
        "uid": uid,
        "title": title,
        "condition": "B",
        "for": wait,
        "noDataState": no_data,
        "execErrState": error,
        "labels": {"product": "undertone", "severity": severity},
        "annotations": {"summary": summary, "__dashboardUid__": panel[0], "__panelId__": str(panel[1])},
        "data": [
            {
                "refId": "A",
                "relativeTimeRange": {"from": minutes * 60, "to": 0},
                "datasourceUid": DATA_SOURCE_UID,
                "model": query,
            },
            {
                "refId": "B",
                "relativeTimeRange": {"from": 0, "to": 0},
                "datasourceUid": "__expr__",
                "model": threshold,
            },
        ],
    }
