"""Whether the numbers can be trusted: speed, lag, rejects, drift, calibration, size of the store."""

from __future__ import annotations

from dashboards.board import bands, channel, dashboard, tenant
from dashboards.common import (
    BAD,
    CHANNEL_COLOURS,
    DATA_AGE_LIMIT_S,
    DATA_AGE_TARGET_S,
    DRIFT_LIMIT,
    DRIFT_WATCH,
    GOOD,
    INK,
    MUTED,
    REJECT_LIMIT,
    REJECT_TARGET,
    VIOLET,
    WATCH,
    Json,
    chosen,
)
from dashboards.panels import bars, column, lines, series, stat, table
from dashboards.sql import SCORED, data_age, drift, epoch_age, gaps, records, scored, survey_answers

UID = "undertone-pipeline"
WHERE = chosen("tenant", "channel")
EVENTS = scored("$__fromTime", WHERE)
LAST_MINUTES = scored("$__toTime - INTERVAL 5 MINUTE", WHERE)
EPOCH_TARGET_S, EPOCH_LIMIT_S = 15, 60
"""Age of the last committed epoch: three epochs of the default length, and the age at which the watchdog restarts the
job by default."""
BEHIND_WATCH, BEHIND_LIMIT = 1_000, 20_000
"""Records still to be read: the second is the number that one partition may read in one epoch by default."""
COMMITTED_TODAY = "committed_time >= $__toTime - INTERVAL 1 DAY AND committed_time <= $__toTime"
LATENCY = "dateDiff('millisecond', broker_time, scored_time)"
ROW_LATENCY = "dateDiff('millisecond', broker_time, stored_time) / 1000"


def rate() -> Json:
    """Messages scored per second."""
    return stat(
        1,
        "Messages a second",
        "Messages scored a second, over the last 5 minutes.",
        f"SELECT count() / 300 AS rate FROM {LAST_MINUTES}",
        decimals=2,
        colour="none",
    )


def age() -> Json:
    """Age of the newest message."""
    return stat(
        2,
        f"Age of the newest message (target < {DATA_AGE_TARGET_S} s)",
        "Time since the newest message, by its own clock.",
        f"SELECT minOrNull(seconds) AS seconds FROM ({data_age(chosen('tenant'))}\n)",
        unit="s",
        steps=((None, GOOD), (DATA_AGE_TARGET_S, WATCH), (DATA_AGE_LIMIT_S, BAD)),
        empty="no data for a day",
    )


def latency_p99() -> Json:
    """99th percentile of the time from Kafka to the score."""
    return stat(
        3,
        "Kafka to score, p99 (target < 250 ms)",
        "From Kafka's timestamp to the finished score, 99 of 100 messages of the last 5 minutes. A backlog being "
        "worked off after downtime shows here.",
        f"SELECT quantileOrNull(0.99)({LATENCY}) AS ms FROM {LAST_MINUTES}",
        unit="ms",
        steps=((None, GOOD), (250, WATCH), (1500, BAD)),
        empty="no messages",
    )


def rejects() -> Json:
    """Share of records that were rejected."""
    return stat(
        4,
        f"Rejected (target < {REJECT_TARGET:.1%})",
        "Share of the records of the range that could not be accepted; they are in dead letters with their reason. Of "
        "all organisations and channels, whatever is chosen: whose a refused record is, nobody knows.",
        f"SELECT sum(bad) / nullIf(sum(total), 0) AS share FROM ({records()}\n)",
        unit="percentunit",
        decimals=2,
        steps=((None, GOOD), (REJECT_TARGET, WATCH), (REJECT_LIMIT, BAD)),
        empty="no messages",
    )


def late() -> Json:
    """Share of events that came after their session had closed."""
    return stat(
        5,
        "Late (target < 1%)",
        "Events that came after their session had closed, of all events of the sessions begun in the range. They are "
        "counted all the same, by correction.",
        f"SELECT sum(late_events) / nullIf(sum(events), 0) AS share FROM undertone.sessions FINAL "
        f"WHERE $__timeFilter(started_time) AND {chosen('tenant')}",
        unit="percentunit",
        decimals=2,
        steps=((None, GOOD), (0.01, WATCH), (0.05, BAD)),
        empty="no messages",
    )


def abstained() -> Json:
    """Share of customers' messages on which the model abstained."""
    return stat(
        6,
        "Abstained (expected 5 to 15%)",
        "Customers' messages that the model was too unsure about; they move nobody's mood. Far fewer than expected "
        "mean that it judges what it should not.",
        f"SELECT countIf(abstained) / nullIf(count(), 0) AS share FROM undertone.scored_events "
        f"WHERE $__timeFilter(event_time) AND {SCORED} AND {WHERE}",
        unit="percentunit",
        decimals=1,
        steps=((None, WATCH), (0.05, GOOD), (0.15, WATCH), (0.3, BAD)),
        empty="no messages",
    )


def last_epoch() -> Json:
    """Age of the last committed epoch."""
    return stat(
        18,
        f"Last committed epoch (target < {EPOCH_TARGET_S} s ago)",
        "Time since the job last committed an epoch: until then all is stored, and a restart goes on from there.",
        f"SELECT minOrNull(seconds) AS seconds FROM ({epoch_age()}\n)",
        unit="s",
        steps=((None, GOOD), (EPOCH_TARGET_S, WATCH), (EPOCH_LIMIT_S, BAD)),
        empty="none for a day",
    )


def behind() -> Json:
    """Records that are still to be read, over all partitions."""
    return stat(
        19,
        f"Records to be read (target < {BEHIND_WATCH:,})",
        "End of each Kafka partition minus the position of the job, added up, as of the last epoch of each.",
        f"""
        SELECT sumOrNull(lag) AS records
        FROM
        (
            SELECT argMax(end_offset - position, committed_time) AS lag
            FROM undertone.progress
            WHERE {COMMITTED_TODAY}
            GROUP BY topic, partition
        )
        """,
        steps=((None, GOOD), (BEHIND_WATCH, WATCH), (BEHIND_LIMIT, BAD)),
        empty="no epoch for a day",
    )


def rate_by_channel() -> Json:
    """Messages scored per second, by channel."""
    return lines(
        7,
        "Messages a second, by channel",
        "Messages of every speaker, by the time of scoring; a replay of messages older than a day is not counted.",
        f"""
        SELECT $__timeInterval(scored_time) AS time, channel, count() / $__interval_s AS rate
        FROM {EVENTS}
        GROUP BY time, channel
        ORDER BY time, channel
        """,
        style="stacked",
        name="${__field.labels.channel}",
        overrides=[series(name, colour=colour) for name, colour in CHANNEL_COLOURS.items()],
    )


def latency() -> Json:
    """Percentiles of the time from Kafka to the score, and to the stored row that panels read."""
    seconds: Json = {"unit": "s", "custom_thresholdsStyle": {"mode": "off"}}
    return lines(
        8,
        "Kafka to score, and to the stored row (s, right)",
        "Milliseconds from Kafka's timestamp to the finished score; the dashed line is the budget of 250 ms for p99. "
        "On the right, in seconds, to the row that panels read. Records of a replay are as late as they are old.",
        gaps(
            f"""
            SELECT
                $__timeInterval(scored_time) AS time, quantileOrNull(0.5)({LATENCY}) AS p50,
                quantileOrNull(0.95)({LATENCY}) AS p95, quantileOrNull(0.99)({LATENCY}) AS p99,
                quantileOrNull(0.5)({ROW_LATENCY}) AS `row p50`, quantileOrNull(0.99)({ROW_LATENCY}) AS `row p99`
            FROM {EVENTS}
            GROUP BY time
            """
        ),
        unit="ms",
        steps=((None, "transparent"), (250, BAD)),
        overrides=[
            series("p50", colour=GOOD),
            series("p95", colour=INK),
            series("p99", colour=BAD),
            series("row p50", colour=MUTED, **seconds),
            series("row p99", colour=VIOLET, **seconds),
        ],
    )


def record_age() -> Json:
    """How old records are when they are scored, per partition."""
    return lines(
        9,
        "Age of records when scored, by partition",
        "By Kafka's clock (what the job waited for), and by the messages' own clock (also what the source kept back).",
        gaps(
            f"""
            SELECT
                $__timeInterval(scored_time) AS time, concat(topic, ' ', toString(partition)) AS partition,
                greatest(0, maxOrNull({LATENCY})) / 1000 AS kafka,
                greatest(0, quantileOrNull(0.5)(dateDiff('millisecond', event_time, scored_time))) / 1000 AS stream
            FROM {EVENTS}
            GROUP BY time, partition
            """,
            "partition",
        ),
        unit="s",
        name="${__field.labels.partition} ${__field.name}",
    )


def kafka_lag() -> Json:
    """Records still to be read, per partition."""
    return lines(
        20,
        "Kafka lag: records to be read, by partition",
        "End of the partition minus the position of the job, at the worst epoch of each interval. A line that rises "
        "means that more comes in than is read.",
        _by_partition("toFloat64(maxOrNull(end_offset - position)) AS records"),
        name="${__field.labels.source}",
    )


def stream_lag() -> Json:
    """How far event time is behind the wall clock, per partition."""
    return lines(
        21,
        "Stream-time lag, by partition",
        "How far event time is behind the wall clock. Sessions close by the slowest partition: one that stays behind "
        "holds closing back for all, though not scoring and not alerts.",
        _by_partition("greatest(0, maxOrNull(dateDiff('millisecond', stream_time, committed_time))) / 1000 AS seconds"),
        unit="s",
        name="${__field.labels.source}",
    )


def rejects_by_reason() -> Json:
    """Rejected records over time, by reason."""
    return lines(
        10,
        "Rejected records, by reason",
        "Records in dead letters, by why they were refused. Redrive them when the cause is mended.",
        """
        SELECT $__timeInterval(broker_time) AS time, concat(stage, ': ', reason) AS reason,
            toFloat64(count()) AS records
        FROM undertone.dead_letters FINAL
        WHERE $__timeFilter(broker_time)
        GROUP BY time, reason
        ORDER BY time, reason
        """,
        style="stacked",
        name="${__field.labels.reason}",
        empty="no record was rejected in this time range",
    )


def abstained_share() -> Json:
    """Share of messages on which the model abstained, over time and by channel."""
    return lines(
        11,
        "Abstained share, by channel",
        "A channel that rises alone usually changed its format or its language.",
        gaps(
            f"""
            SELECT $__timeInterval(event_time) AS time, channel, toNullable(countIf(abstained) / count()) AS share
            FROM undertone.scored_events
            WHERE $__timeFilter(event_time) AND {SCORED} AND {WHERE}
            GROUP BY time, channel
            HAVING count() >= 20
            """,
            "channel",
        ),
        unit="percentunit",
        interval="5m",
        name="${__field.labels.channel}",
        overrides=[series(name, colour=colour) for name, colour in CHANNEL_COLOURS.items()],
    )


def drift_by_channel() -> Json:
    """Drift of the scores: the last hour against the same hour of the 7 days before, by channel."""
    return bars(
        12,
        f"Drift of scores (stable < {DRIFT_WATCH}, shifted > {DRIFT_LIMIT})",
        "Population stability index of the last hour's scores against the same hour of the 7 days before, per channel "
        "with at least 200 messages in the hour. Shifted means: customers, traffic or the model changed; look before "
        "trusting trends.",
        f"SELECT toString(channel) AS channel, psi FROM ({drift(WHERE)}\n)",
        steps=((None, GOOD), (DRIFT_WATCH, WATCH), (DRIFT_LIMIT, BAD)),
        limits=(0, None),
        empty="no channel has 200 messages in the last hour and before",
    )


def model_share() -> Json:
    """Share of messages that each model version scored."""
    return lines(
        13,
        "Model versions",
        "Share of messages by the model that scored them: a roll-out, or a worker left behind.",
        f"""
        SELECT time, model_version, n / sum(n) OVER (PARTITION BY time) AS share
        FROM
        (
            SELECT $__timeInterval(scored_time) AS time, model_version, count() AS n
            FROM {EVENTS}
            GROUP BY time, model_version
        )
        ORDER BY time, model_version
        """,
        unit="percentunit",
        style="stacked",
        limits=(0, 1),
        interval="5m",
        name="${__field.labels.model_version}",
    )


def calibration() -> Json:
    """Survey answers by predicted mood: whether the mood before a survey agrees with the answer."""
    return table(
        14,
        "Calibration against survey answers",
        "Survey answers by the mood that was known before the survey. A trustworthy model shows ratings that rise "
        "from row to row; the last column is the share of customers who were in fact unhappy. 28 days to the end "
        "of the range; rows need 5 answers.",
        f"""
        SELECT
            concat(toString(round(bin / 5 - 1, 1)), ' to ', toString(round(bin / 5 - 0.8, 1))) AS `Predicted mood`,
            count() AS Answers, avg(predicted) AS `Mean predicted`, avg(rating) AS `Mean rating`,
            countIf(rating < 0) / count() AS Unhappy
        FROM ({survey_answers(chosen("tenant"), "$__toTime - INTERVAL 28 DAY")}
        )
        GROUP BY least(9, floor((predicted + 1) * 5)) AS bin
        HAVING Answers >= 5
        ORDER BY bin
        """,
        columns=[
            column("Mean predicted", decimals=2),
            column("Mean rating", decimals=2),
            column("Unhappy", unit="percentunit", decimals=0),
        ],
        empty="fewer than 5 survey answers of a kind",
    )


def confidence() -> Json:
    """Mean confidence of the scores over time, by channel."""
    return lines(
        15,
        "Mean confidence, by channel",
        "Highest probability times the confidence of speech recognition. A fall without a new model is drift.",
        gaps(
            f"""
            SELECT $__timeInterval(event_time) AS time, channel, avgOrNull(confidence) AS confidence
            FROM undertone.scored_events
            WHERE $__timeFilter(event_time) AND {SCORED} AND {WHERE}
            GROUP BY time, channel
            HAVING count() >= 20
            """,
            "channel",
        ),
        unit="percentunit",
        interval="5m",
        limits=(0, 1),
        name="${__field.labels.channel}",
        overrides=[series(name, colour=colour) for name, colour in CHANNEL_COLOURS.items()],
    )


def store_size() -> Json:
    """Rows and bytes of each table of the store."""
    return table(
        16,
        "Store",
        "Rows and bytes on disk per table, old versions of rows included until merges drop them.",
        """
        SELECT
            table AS Table, sum(rows) AS Rows, sum(bytes_on_disk) AS Size,
            sum(data_uncompressed_bytes) / nullIf(sum(data_compressed_bytes), 0) AS Compression,
            count() AS Parts, max(modification_time) AS `Last written`
        FROM system.parts
        WHERE database = 'undertone' AND active
        GROUP BY table
        ORDER BY Size DESC
        """,
        columns=[
            column("Size", unit="bytes"),
            column("Compression", decimals=1),
            column("Parts", steps=((None, "transparent"), (300, BAD))),
            column("Last written", unit="dateTimeAsIso", width=170),
        ],
        totals=["Rows", "Size", "Parts"],
    )


def progress() -> Json:
    """How far the job has read each Kafka partition."""
    return table(
        17,
        "Progress by partition",
        "Position of the job in each Kafka partition as of its last committed epoch: everything before it is stored.",
        f"""
        SELECT
            topic AS Topic, partition AS Partition, argMax(position, committed_time) AS Position,
            argMax(end_offset, committed_time) AS End, End - Position AS Behind,
            argMax(stream_time, committed_time) AS `Event time`, max(committed_time) AS `Last epoch`,
            greatest(0, dateDiff('second', `Last epoch`, $__toTime)) AS Ago
        FROM undertone.progress
        WHERE {COMMITTED_TODAY}
        GROUP BY topic, partition
        ORDER BY topic, partition
        """,
        columns=[
            column("Partition", width=90),
            column("Position", unit="none", width=90),
            column("End", unit="none", width=90),
            column("Behind", width=80, steps=((None, GOOD), (BEHIND_WATCH, WATCH), (BEHIND_LIMIT, BAD))),
            column("Event time", unit="dateTimeAsIso", width=170),
            column("Last epoch", unit="dateTimeAsIso", width=170),
            column("Ago", unit="s", width=80, steps=((None, GOOD), (EPOCH_TARGET_S, WATCH), (EPOCH_LIMIT_S, BAD))),
        ],
        empty="no epoch for a day",
    )


def board() -> Json:
    """Eight numbers, flow, lag, rejects, the model, and the store."""
    flow = [rate(), age(), last_epoch(), behind()]
    quality = [latency_p99(), rejects(), late(), abstained()]
    panels = bands(
        (4, [(number, 6) for number in flow]),
        (4, [(number, 6) for number in quality]),
        (8, [(rate_by_channel(), 12), (latency(), 12)]),
        (8, [(kafka_lag(), 8), (stream_lag(), 8), (record_age(), 8)]),
        (8, [(rejects_by_reason(), 8), (abstained_share(), 8), (drift_by_channel(), 8)]),
        (8, [(model_share(), 8), (confidence(), 8), (calibration(), 8)]),
        (8, [(progress(), 12), (store_size(), 12)]),
    )
    return dashboard(
        UID,
        "Undertone: pipeline and model",
        "Whether the numbers can be trusted: speed, lag, rejects, drift, calibration, and the store.",
        panels,
        since="now-6h",
        refresh="30s",
        variables=[tenant(), channel()],
        tags=["pipeline"],
    )


def _by_partition(value: str) -> str:
    """SQL of a value of the committed epochs over time, by Kafka partition."""
    return gaps(
        f"""
        SELECT $__timeInterval(committed_time) AS time, concat(topic, ' ', toString(partition)) AS source, {value}
        FROM undertone.progress FINAL
        WHERE $__timeFilter(committed_time)
        GROUP BY time, source
        """,
        "source",
    )
