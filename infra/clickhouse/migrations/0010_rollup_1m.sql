-- Counts by minute for long ranges. A refreshable view recomputes, from FINAL, each minute that new rows touched since
-- the last refresh; an insert-time rollup would count a replay twice. Keys seen without FINAL add a row of zeros, so that
-- a key that a revision or retraction emptied is overwritten and not left behind.
CREATE TABLE IF NOT EXISTS {db}.rollup_1m{local} {on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation',
    minute DateTime('UTC') CODEC(Delta(4), ZSTD(1)) COMMENT 'Start of the minute of event time',
    queue LowCardinality(String) COMMENT 'Queue or team',
    channel LowCardinality(String) COMMENT 'voice, chat, email, social or survey',
    messages UInt64 COMMENT 'Customer messages with text that was scored',
    negatives UInt64 COMMENT 'Negative ones among them',
    neutrals UInt64 COMMENT 'Neutral ones among them',
    positives UInt64 COMMENT 'Positive ones among them',
    abstained UInt64 COMMENT 'Ones that the model was too unsure about',
    score_sum Float64 COMMENT 'Sum of weight x score; divide by weight_sum for the mean score',
    weight_sum Float64 COMMENT 'Sum of weights',
    customers UInt64 COMMENT 'Distinct customers of this minute, queue and channel; do not add up over minutes',
    calculated_time DateTime64(3, 'UTC') COMMENT 'When the row was computed; the newest stands'
)
ENGINE = {replacing:calculated_time}
PARTITION BY toYYYYMMDD(minute)
ORDER BY (tenant, minute, queue, channel)
TTL minute + INTERVAL 400 DAY
COMMENT 'Customer messages by minute, queue and channel, recomputed every 10 seconds; read FINAL, or the view v_queues_history';

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.rollup_1m_refresh {on_cluster}
REFRESH EVERY 10 SECOND APPEND TO {db}.rollup_1m{local}
AS
WITH
    (SELECT max(calculated_time) FROM {db}.rollup_1m{local}) AS last_time,
    touched AS
    (
        SELECT DISTINCT toStartOfMinute(event_time) FROM {db}.scored_events{local}
        WHERE stored_time >= last_time - INTERVAL 10 MINUTE
    )
SELECT
    tenant, minute, queue, channel,
    sum(n) AS messages, sum(n * negative) AS negatives, sum(n * neutral) AS neutrals, sum(n * positive) AS positives,
    sum(n * unsure) AS abstained, sum(n * weight * score) AS score_sum, sum(n * weight) AS weight_sum,
    uniqExactIf(customer, n = 1) AS customers, now64(3, 'UTC') AS calculated_time
FROM
(
    SELECT
        tenant, toDateTime(toStartOfMinute(event_time), 'UTC') AS minute, queue, channel, 1 AS n,
        label = 'negative' AS negative, label = 'neutral' AS neutral, label = 'positive' AS positive,
        toUInt8(abstained) AS unsure, toFloat64(weight) AS weight, toFloat64(score) AS score, customer_key AS customer
    FROM {db}.scored_events{local} FINAL
    WHERE speaker = 'customer' AND kind = 'utterance' AND skipped = '' AND toStartOfMinute(event_time) IN (touched)
    UNION ALL
    SELECT DISTINCT
        tenant, toDateTime(toStartOfMinute(event_time), 'UTC') AS minute, queue, channel, 0 AS n,
        0 AS negative, 0 AS neutral, 0 AS positive, 0 AS unsure, 0. AS weight, 0. AS score, toUInt64(0) AS customer
    FROM {db}.scored_events{local}
    WHERE toStartOfMinute(event_time) IN (touched)
)
GROUP BY tenant, minute, queue, channel;

-- only: cluster
CREATE TABLE IF NOT EXISTS {db}.rollup_1m {on_cluster} AS {db}.rollup_1m{local}
ENGINE = {distributed:rollup_1m:rand()};
