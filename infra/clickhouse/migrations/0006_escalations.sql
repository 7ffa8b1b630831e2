-- One row an escalation as it stands now, and beside it one row a step of its life, which keeps what first raised it.
CREATE TABLE IF NOT EXISTS {db}.escalations{local} {on_cluster}
(
    tenant LowCardinality(String) COMMENT 'Organisation that the customer belongs to',
    raised_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When the message that first raised it was said or written; never changes',
    escalation_id String CODEC(ZSTD(1)) COMMENT 'Deterministic id of the escalation',
    version UInt64 COMMENT '1 when raised, then one more for each transition; the highest stands',
    transition LowCardinality(String) COMMENT 'Last step: raised, level_up, reminded, acked, cleared, retracted or suppressed',
    state LowCardinality(String) COMMENT 'active (acknowledged or not), resolved or suppressed, as the job sees it',
    event_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Event time of what made this transition: a message, the passing of time, or an answer of a supervisor',
    customer_key UInt64 CODEC(ZSTD(1)) COMMENT 'Pseudonym of the customer',
    session_id String CODEC(ZSTD(1)) COMMENT 'Session that it was raised in',
    interaction_id String CODEC(ZSTD(1)) COMMENT 'Interaction that it was raised in',
    channel LowCardinality(String) COMMENT 'voice, chat, email, social or survey',
    queue LowCardinality(String) COMMENT 'Queue or team that handles the interaction',
    agent_key LowCardinality(String) COMMENT 'Pseudonym of the agent; empty when none is known',
    rule LowCardinality(String) COMMENT 'Name of the rule that raised it',
    rule_version LowCardinality(String) COMMENT 'Version of the rule',
    family LowCardinality(String) COMMENT 'What kind of rule it is',
    level UInt8 COMMENT '1 watch, 2 frustrated, 3 escalate',
    route LowCardinality(String) COMMENT 'agent (a cue) or supervisor (an alert)',
    reason String CODEC(ZSTD(1)) COMMENT 'Condition of the rule with the values that made it true',
    score Float32 COMMENT 'Polarity of the triggering message, in [-1, 1]',
    interaction_level Float32 COMMENT 'Rolling score of the interaction at that moment, in (-1, 1)',
    level_evidence Float32 COMMENT 'Decayed weight that interaction_level stands on',
    customer_level Float32 COMMENT 'Rolling score of the customer at that moment, in (-1, 1)',
    carried Float32 COMMENT 'Customer level when the session began',
    slope Nullable(Float32) COMMENT 'Trend of the score per minute; NULL with fewer than 4 points',
    streak UInt32 COMMENT 'Run of negative customer messages at that moment',
    tags Array(LowCardinality(String)) COMMENT 'Tags of the triggering message, most probable first',
    excerpt String CODEC(ZSTD(3)) TTL toDateTime(raised_time) + INTERVAL 30 DAY COMMENT 'First characters of the triggering message without personal data; emptied after 30 days',
    event_ids Array(String) COMMENT 'The triggering message first, then up to two customer messages before it',
    broker_time DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Kafka timestamp of the triggering record'
)
ENGINE = {replacing:version}
PARTITION BY toYYYYMM(raised_time)
ORDER BY (tenant, raised_time, escalation_id)
TTL toDateTime(raised_time) + INTERVAL 400 DAY
COMMENT 'One row an escalation as it stands now; read FINAL, or the view v_escalations';

CREATE TABLE IF NOT EXISTS {db}.escalation_steps{local} {on_cluster} AS {db}.escalations{local}
ENGINE = {replacing:version}
PARTITION BY toYYYYMM(raised_time)
ORDER BY (tenant, raised_time, escalation_id, version)
TTL toDateTime(raised_time) + INTERVAL 400 DAY
COMMENT 'One row a step in the life of an escalation, with the evidence of that moment; read FINAL';

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.escalation_steps_feed {on_cluster} TO {db}.escalation_steps{local}
AS SELECT * FROM {db}.escalations{local};

-- only: cluster
CREATE TABLE IF NOT EXISTS {db}.escalations {on_cluster} AS {db}.escalations{local}
ENGINE = {distributed:escalations:cityHash64(tenant, customer_key)};

-- only: cluster
CREATE TABLE IF NOT EXISTS {db}.escalation_steps {on_cluster} AS {db}.escalation_steps{local}
ENGINE = {distributed:escalation_steps:cityHash64(tenant, customer_key)};
