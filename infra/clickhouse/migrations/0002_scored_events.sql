-- One row a message, as scored. The sort key holds the raw event time: FINAL then costs next to nothing.
CREATE TABLE IF NOT EXISTS {db}.scored_events{local} {on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation that the message belongs to',
    event_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When the message was said or written, by its source; every revision of an event keeps it',
    event_id String CODEC(ZSTD(1)) COMMENT 'Id of the message, unique within its tenant',
    revision UInt32 COMMENT '0 for the first account of the message; a final transcript or an edit has a higher one',
    version UInt64 COMMENT 'The row with the highest version stands: 2 x revision, plus 1 for a retraction',
    deleted UInt8 COMMENT '1 when the message was retracted; FINAL leaves it out',
    region LowCardinality(String) COMMENT 'Region of the source, as it names it',
    channel LowCardinality(String) COMMENT 'voice, chat, email, social or survey',
    kind LowCardinality(String) COMMENT 'utterance, opened, closed, hold, resume, transfer, rating or retracted',
    interaction_id String CODEC(ZSTD(1)) COMMENT 'Call, chat, mail thread or post that the message is part of',
    customer_key UInt64 CODEC(ZSTD(1)) COMMENT 'Pseudonym of the customer: a keyed hash that cannot be reversed without the key',
    speaker LowCardinality(String) COMMENT 'customer, agent, bot or system; only the customer moves the mood',
    agent_key LowCardinality(String) COMMENT 'Pseudonym of the agent, 16 hex digits; empty when no agent is known',
    queue LowCardinality(String) COMMENT 'Queue or team that handles the interaction',
    language LowCardinality(String) COMMENT 'Language tag of the message',
    text String CODEC(ZSTD(3)) TTL toDateTime(event_time) + INTERVAL 30 DAY COMMENT 'The message without personal data; emptied after 30 days',
    redactions UInt16 COMMENT 'Placeholders that took the place of personal data in the text',
    final Bool COMMENT 'false for a partial transcript whose final version is still to come',
    asr_confidence Float32 COMMENT 'Confidence of speech recognition in [0, 1]; 1 for typed text',
    silence_ms UInt32 COMMENT 'Silence that the source measured, in milliseconds',
    overtalk_ms UInt32 COMMENT 'Time in which both spoke, in milliseconds',
    rating Nullable(Float32) COMMENT 'Survey answer mapped to [-1, 1]; NULL when there is none',
    skipped LowCardinality(String) COMMENT 'Why the text was not scored (auto_reply, quoted_only, language); empty when it was',
    topic LowCardinality(String) COMMENT 'Kafka topic that the record was read from',
    partition Int32 COMMENT 'Kafka partition that the record was read from',
    offset Int64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka offset of the record',
    broker_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka timestamp of the record; latency is measured from here',
    p_negative Float32 COMMENT 'Calibrated probability that the message is negative, in [0, 1]',
    p_neutral Float32 COMMENT 'Calibrated probability that the message is neutral, in [0, 1]',
    p_positive Float32 COMMENT 'Calibrated probability that the message is positive, in [0, 1]',
    score Float32 COMMENT 'Polarity p_positive - p_negative, in [-1, 1]; below 0 is unhappy',
    intensity Float32 COMMENT '1 - p_neutral, in [0, 1]; high with a score near 0 means mixed feelings',
    confidence Float32 COMMENT 'Highest probability times the confidence of speech recognition, in [0, 1]',
    label LowCardinality(String) COMMENT 'negative, neutral or positive, whichever is most probable',
    abstained Bool COMMENT 'true when the model was too unsure to move the mood',
    weight Float32 COMMENT 'What the message counts in the rolling score, in [0, 1]; 0 when abstained',
    p_frustration Float32 COMMENT 'Probability of frustration, in [0, 1]',
    p_anger Float32 COMMENT 'Probability of anger, in [0, 1]',
    p_urgency Float32 COMMENT 'Probability of urgency, in [0, 1]',
    p_confusion Float32 COMMENT 'Probability of confusion, in [0, 1]',
    p_disappointment Float32 COMMENT 'Probability of disappointment, in [0, 1]',
    p_satisfaction Float32 COMMENT 'Probability of satisfaction, in [0, 1]',
    p_sarcasm Float32 COMMENT 'Probability of sarcasm, in [0, 1]',
    tags Array(LowCardinality(String)) COMMENT 'Tags whose probability passed the threshold of their channel',
    model_version LowCardinality(String) COMMENT 'Version of the model that scored the message',
    calibration_version LowCardinality(String) COMMENT 'Version of the calibration that was applied',
    scored_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Wall clock when the message was scored; only for latency and freshness',
    stored_time DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Wall clock of the database when the row was inserted; a replay has a later one',
    INDEX stored_time_range stored_time TYPE minmax GRANULARITY 1,
    INDEX interaction_bloom interaction_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {replacing:version, deleted}
PARTITION BY toYYYYMMDD(event_time)
ORDER BY (tenant, event_time, event_id)
TTL toDateTime(event_time) + INTERVAL 400 DAY
COMMENT 'One row a message with its score and redacted text; read FINAL, or the view v_messages';

-- only: cluster
CREATE TABLE IF NOT EXISTS {db}.scored_events {on_cluster} AS {db}.scored_events{local}
ENGINE = {distributed:scored_events:cityHash64(tenant, customer_key)};
