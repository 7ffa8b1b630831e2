-- The rolling values of a customer after each message; small granules as in `journey`.
CREATE TABLE IF NOT EXISTS {db}.trajectory{local} {on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation that the customer belongs to',
    customer_key UInt64 CODEC(ZSTD(1)) COMMENT 'Pseudonym of the customer',
    event_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When the message was said or written',
    event_id String CODEC(ZSTD(1)) COMMENT 'Id of the message',
    revision UInt32 COMMENT 'Revision of the message that these values stand on',
    version UInt64 COMMENT 'Grows with what was known of this and earlier messages; the highest stands',
    deleted UInt8 COMMENT '1 takes the row back after a retraction; FINAL leaves it out',
    session_id String CODEC(ZSTD(1)) COMMENT 'Session across channels that the message is part of',
    interaction_id String CODEC(ZSTD(1)) COMMENT 'Call, chat, mail thread or post that the message is part of',
    channel LowCardinality(String) COMMENT 'voice, chat, email, social or survey',
    queue LowCardinality(String) COMMENT 'Queue or team that handles the interaction',
    agent_key LowCardinality(String) COMMENT 'Pseudonym of the agent; empty when none is known',
    speaker LowCardinality(String) COMMENT 'customer, agent, bot or system',
    kind LowCardinality(String) COMMENT 'utterance, opened, closed, hold, resume, transfer or rating',
    score Float32 COMMENT 'Polarity of the message, in [-1, 1]',
    weight Float32 COMMENT 'What the message counts, in [0, 1]',
    label LowCardinality(String) COMMENT 'negative, neutral or positive',
    tags Array(LowCardinality(String)) COMMENT 'Tags flagged on the message',
    level Float32 COMMENT 'Rolling score of this interaction, in (-1, 1)',
    level_evidence Float32 COMMENT 'Decayed weight that level stands on; near 0 means little is known',
    customer_level Float32 COMMENT 'Rolling score of the customer over all channels and earlier sessions, in (-1, 1)',
    customer_evidence Float32 COMMENT 'Decayed weight that customer_level stands on',
    carried Float32 COMMENT 'Customer level as it stood when the session began',
    slope Nullable(Float32) COMMENT 'Trend of the score per minute over the trailing window of the channel; NULL with fewer than 4 points',
    slope_low Nullable(Float32) COMMENT 'Lower end of the 90 % interval of the slope',
    slope_high Nullable(Float32) COMMENT 'Upper end of the 90 % interval of the slope',
    trend LowCardinality(String) COMMENT 'improving, slightly_improving, no_change, slightly_declining, declining or not_calculated',
    volatility Float32 COMMENT 'Mean absolute change from one score to the next within the session, in [0, 2]',
    reversals UInt32 COMMENT 'Changes of sign among clear scores in the session',
    streak UInt32 COMMENT 'Run of negative customer messages up to here; abstentions do not break it',
    cusum Float32 COMMENT 'Accumulated downward departure from the baseline; an alarm resets it',
    change_points UInt32 COMMENT 'Change points found in the session so far',
    low Float32 COMMENT 'Lowest customer level of the session so far',
    low_time DateTime64(3, 'UTC') COMMENT 'When the low point was',
    under_ms UInt64 COMMENT 'Time in the session with the customer level below -0.2, in milliseconds',
    messages UInt32 COMMENT 'Customer messages of the session so far',
    hops UInt32 COMMENT 'Changes of channel in the session so far; an answer to a survey is none',
    contacts_24h UInt32 COMMENT 'Interactions begun in the last 24 hours, this one included',
    contacts_7d UInt32 COMMENT 'Interactions begun in the last 7 days, this one included',
    response_ms UInt64 COMMENT 'Longest wait of the customer for an answer in the session so far, in milliseconds',
    silence_ms UInt64 COMMENT 'Silence in the session so far, in milliseconds',
    overtalk_ms UInt64 COMMENT 'Time in which both spoke in the session so far, in milliseconds',
    late Bool COMMENT 'true when the message came after its session had closed',
    provisional Bool COMMENT 'true while the values stand on a partial transcript',
    parameters LowCardinality(String) COMMENT 'Version of the parameters of the formulas',
    model_version LowCardinality(String) COMMENT 'Version of the model that scored the message'
)
ENGINE = {replacing:version, deleted}
PARTITION BY toYYYYMM(event_time)
ORDER BY (tenant, customer_key, event_time, event_id)
TTL toDateTime(event_time) + INTERVAL 400 DAY
SETTINGS index_granularity = 1024
COMMENT 'Rolling values of each customer after each message; read FINAL, or the view v_trajectory';

-- only: cluster
CREATE TABLE IF NOT EXISTS {db}.trajectory {on_cluster} AS {db}.trajectory{local}
ENGINE = {distributed:trajectory:cityHash64(tenant, customer_key)};
