-- One row a session of one customer across channels, open ones included.
CREATE TABLE IF NOT EXISTS {db}.sessions{local} {on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation that the customer belongs to',
    customer_key UInt64 CODEC(ZSTD(1)) COMMENT 'Pseudonym of the customer',
    session_id String CODEC(ZSTD(1)) COMMENT 'Id of the session across channels',
    started_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When the first event of the session happened',
    ended_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When the last event of the session happened, so far',
    version UInt64 COMMENT 'Grows with what was known of the session; the highest stands',
    deleted UInt8 COMMENT '1 takes the session back after a late event joined it with an earlier one; FINAL leaves it out',
    state LowCardinality(String) COMMENT 'open or closed',
    channels Array(LowCardinality(String)) COMMENT 'Path through the channels in order, at most 8 steps',
    interactions Array(String) COMMENT 'Ids of the interactions in order of appearance, at most 8',
    queue LowCardinality(String) COMMENT 'Queue that handled the session last',
    agent_key LowCardinality(String) COMMENT 'Pseudonym of the agent who handled the session last',
    messages UInt32 COMMENT 'Customer messages',
    events UInt32 COMMENT 'Events of every kind and speaker',
    negatives UInt32 COMMENT 'Negative customer messages',
    positives UInt32 COMMENT 'Positive customer messages',
    mean_score Float32 COMMENT 'Weighted mean of the scores, in [-1, 1]',
    begin Float32 COMMENT 'Weighted mean score of the first quarter of the customer messages',
    end Float32 COMMENT 'Weighted mean score of the last quarter of the customer messages',
    shift Float32 COMMENT 'end - begin, in [-2, 2]; above 0 the mood rose',
    outcome LowCardinality(String) COMMENT 'recovered, soured, steady or unknown',
    carried Float32 COMMENT 'Customer level when the session began',
    final_level Float32 COMMENT 'Customer level after the last message, in (-1, 1)',
    trend LowCardinality(String) COMMENT 'Trend after the last message: improving, slightly_improving, no_change, slightly_declining, declining or not_calculated',
    forecast Nullable(Float32) COMMENT 'Customer level after the last words before a survey, or carried in: what foretells the answer; NULL when nothing but a survey was heard',
    low Float32 COMMENT 'Lowest customer level of the session',
    low_time DateTime64(3, 'UTC') COMMENT 'When the low point was',
    under_ms UInt64 COMMENT 'Time with the customer level below -0.2, in milliseconds',
    volatility Float32 COMMENT 'Mean absolute change from one score to the next, in [0, 2]',
    reversals UInt32 COMMENT 'Changes of sign among clear scores',
    change_points UInt32 COMMENT 'Change points found',
    hops UInt32 COMMENT 'Changes of channel; an answer to a survey is none',
    contacts_24h UInt32 COMMENT 'Interactions begun in the 24 hours up to the last one of this session, that one included',
    contacts_7d UInt32 COMMENT 'Interactions begun in the 7 days up to the last one of this session, that one included',
    response_ms UInt64 COMMENT 'Longest wait of the customer for an answer, in milliseconds',
    silence_ms UInt64 COMMENT 'Silence that the source measured, in milliseconds',
    overtalk_ms UInt64 COMMENT 'Time in which both spoke, in milliseconds',
    n_frustration UInt32 COMMENT 'Customer messages flagged with frustration',
    n_anger UInt32 COMMENT 'Customer messages flagged with anger',
    n_urgency UInt32 COMMENT 'Customer messages flagged with urgency',
    n_confusion UInt32 COMMENT 'Customer messages flagged with confusion',
    n_disappointment UInt32 COMMENT 'Customer messages flagged with disappointment',
    n_satisfaction UInt32 COMMENT 'Customer messages flagged with satisfaction',
    n_sarcasm UInt32 COMMENT 'Customer messages flagged with sarcasm',
    rating Nullable(Float32) COMMENT 'Survey answer after the session mapped to [-1, 1]; NULL when there is none',
    escalations UInt32 COMMENT 'Escalations raised in the session',
    late_events UInt32 COMMENT 'Events that came after the session had closed',
    parameters LowCardinality(String) COMMENT 'Version of the parameters of the formulas',
    model_version LowCardinality(String) COMMENT 'Version of the model that scored the last message',
    INDEX ended ended_time TYPE minmax
)
ENGINE = {replacing:version, deleted}
PARTITION BY toYYYYMM(started_time)
ORDER BY (tenant, started_time, session_id)
TTL toDateTime(started_time) + INTERVAL 400 DAY
SETTINGS index_granularity = 1024
COMMENT 'One row a session of one customer across channels; read FINAL, or the view v_sessions';

-- only: cluster
CREATE TABLE IF NOT EXISTS {db}.sessions {on_cluster} AS {db}.sessions{local}
ENGINE = {distributed:sessions:cityHash64(tenant, customer_key)};
