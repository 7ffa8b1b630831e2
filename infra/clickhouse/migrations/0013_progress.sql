-- How far the job has come in each partition of Kafka: one row a partition and committed epoch. It tells of the run, not
-- of the data: a replay does not repeat it.
CREATE TABLE IF NOT EXISTS {db}.progress{local} {on_cluster}
(
    topic LowCardinality(String) COMMENT 'Kafka topic',
    partition Int32 COMMENT 'Kafka partition',
    committed_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Wall clock when the epoch was known to be committed by every worker',
    position Int64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Offset that the job goes on from: everything before it is stored',
    end_offset Int64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Offset that the next record of the partition will get, as of the last fetch',
    stream_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'How far the partition has come in event time'
)
ENGINE = {replacing:}
PARTITION BY toYYYYMM(committed_time)
ORDER BY (topic, partition, committed_time)
TTL toDateTime(committed_time) + INTERVAL 60 DAY
COMMENT 'How far the job has come in each partition of Kafka, a row for each committed epoch; read the view v_progress';

-- only: cluster
CREATE TABLE IF NOT EXISTS {db}.progress {on_cluster} AS {db}.progress{local}
ENGINE = {distributed:progress:cityHash64(topic, partition)};

CREATE OR REPLACE VIEW {db}.v_progress {on_cluster}
AS SELECT
    *, end_offset - position AS lag, dateDiff('millisecond', stream_time, committed_time) AS stream_lag_ms
FROM {db}.progress FINAL
COMMENT 'How far the job has come in each partition of Kafka, and how far it is behind';

ALTER TABLE {db}.v_progress {on_cluster}
    COMMENT COLUMN topic 'Kafka topic',
    COMMENT COLUMN partition 'Kafka partition',
    COMMENT COLUMN lag 'Records of the partition that were still to be read',
    COMMENT COLUMN stream_lag_ms 'How far event time was behind the wall clock, in milliseconds; below 0 when a source clock runs ahead';
