-- Records that could not be accepted: where they are and why. Never what they said: Kafka still has that.
CREATE TABLE IF NOT EXISTS {db}.dead_letters{local} {on_cluster}
(
    topic LowCardinality(String) COMMENT 'Kafka topic of the record',
    partition Int32 COMMENT 'Kafka partition of the record',
    offset Int64 COMMENT 'Kafka offset of the record',
    stage LowCardinality(String) COMMENT 'Stage that refused it: decode, channel, redact or score',
    reason LowCardinality(String) COMMENT 'Why it was refused, one of a fixed list',
    field LowCardinality(String) COMMENT 'Path of the field to blame in our schema, never a value; empty when none is',
    broker_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka timestamp of the record'
)
ENGINE = {replacing:}
PARTITION BY toYYYYMM(broker_time)
ORDER BY (topic, partition, offset, stage)
TTL toDateTime(broker_time) + INTERVAL 400 DAY
COMMENT 'Records that could not be accepted; read FINAL, or the view v_dead_letters';

-- only: cluster
CREATE TABLE IF NOT EXISTS {db}.dead_letters {on_cluster} AS {db}.dead_letters{local}
ENGINE = {distributed:dead_letters:cityHash64(topic, partition, offset)};
