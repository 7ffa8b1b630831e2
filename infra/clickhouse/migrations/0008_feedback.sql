-- What supervisors did with the alerts they got.
CREATE TABLE IF NOT EXISTS {db}.feedback{local} {on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation that the escalation belongs to',
    escalation_id String CODEC(ZSTD(1)) COMMENT 'Escalation that was acted on',
    feedback_id String CODEC(ZSTD(1)) COMMENT 'Id of this action; the same id twice counts once',
    action LowCardinality(String) COMMENT 'acknowledged, resolved, good_catch or false_alarm',
    by LowCardinality(String) COMMENT 'Pseudonym of the supervisor',
    event_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When the supervisor acted'
)
ENGINE = {replacing:}
ORDER BY (tenant, escalation_id, feedback_id)
TTL toDateTime(event_time) + INTERVAL 400 DAY
COMMENT 'Actions of supervisors on escalations; read FINAL, or the view v_feedback';

-- only: cluster
CREATE TABLE IF NOT EXISTS {db}.feedback {on_cluster} AS {db}.feedback{local}
ENGINE = {distributed:feedback:cityHash64(tenant, escalation_id)};
