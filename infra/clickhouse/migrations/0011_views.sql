-- What BI reads: deduplicated, without text. Columns that a table has too get their comment from there on migration.
CREATE OR REPLACE VIEW {db}.v_messages {on_cluster}
AS SELECT * EXCEPT (text, version, deleted) FROM {db}.scored_events FINAL
COMMENT 'Messages with their scores, one row each, without text';

CREATE OR REPLACE VIEW {db}.v_trajectory {on_cluster}
AS SELECT * EXCEPT (version, deleted) FROM {db}.trajectory FINAL
COMMENT 'Rolling values of each customer after each message';

CREATE OR REPLACE VIEW {db}.v_sessions {on_cluster}
AS SELECT
    * EXCEPT (version, deleted),
    arrayStringConcat(channels, ' > ') AS path,
    dateDiff('millisecond', started_time, ended_time) AS length_ms,
    contacts_7d > 1 AS repeat_contact
FROM {db}.sessions FINAL
COMMENT 'Sessions of customers across channels, open ones included';

CREATE OR REPLACE VIEW {db}.v_feedback {on_cluster}
AS SELECT * FROM {db}.feedback FINAL
COMMENT 'Actions of supervisors on escalations';

CREATE OR REPLACE VIEW {db}.v_escalation_steps {on_cluster}
AS SELECT * EXCEPT (excerpt) FROM {db}.escalation_steps FINAL
COMMENT 'Each step in the life of each escalation, without text';

CREATE OR REPLACE VIEW {db}.v_escalations {on_cluster}
AS SELECT
    e.*, f.acked_time AS acked_time, f.closed_time AS closed_time,
    if(e.state = 'resolved', e.event_time, NULL) AS cleared_time,
    multiIf(isNull(f.closed_time), cleared_time, isNull(cleared_time), f.closed_time, least(f.closed_time, cleared_time)) AS resolved_time,
    f.verdict AS verdict, f.acted_by AS acted_by,
    multiIf(
        e.state = 'suppressed', 'suppressed', isNotNull(resolved_time), 'resolved', isNotNull(f.acked_time), 'acknowledged', 'open'
    ) AS status
FROM
(
    SELECT
        tenant, raised_time, escalation_id,
        max(version) AS steps, argMax(transition, version) AS transition, argMax(state, version) AS state,
        max(event_time) AS event_time, any(customer_key) AS customer_key, any(session_id) AS session_id,
        any(interaction_id) AS interaction_id, any(channel) AS channel, argMax(queue, version) AS queue,
        argMax(agent_key, version) AS agent_key, any(rule) AS rule, argMax(rule_version, version) AS rule_version,
        any(family) AS family, argMax(level, version) AS level, argMax(route, version) AS route,
        argMin(reason, version) AS reason, argMin(score, version) AS score,
        argMin(interaction_level, version) AS interaction_level, argMin(level_evidence, version) AS level_evidence,
        argMin(customer_level, version) AS customer_level, argMin(carried, version) AS carried,
        argMin(tuple(slope), version).1 AS slope, argMin(streak, version) AS streak, argMin(tags, version) AS tags,
        argMin(event_ids, version) AS event_ids, argMin(broker_time, version) AS broker_time
    FROM {db}.escalation_steps FINAL
    GROUP BY tenant, raised_time, escalation_id
) AS e
GLOBAL LEFT JOIN
(
    SELECT
        tenant, escalation_id, minOrNull(event_time) AS acked_time,
        minOrNullIf(event_time, action = 'resolved') AS closed_time,
        argMaxIf(action, event_time, action IN ('good_catch', 'false_alarm')) AS verdict,
        argMin(by, event_time) AS acted_by
    FROM {db}.feedback FINAL
    GROUP BY tenant, escalation_id
) AS f ON e.tenant = f.tenant AND e.escalation_id = f.escalation_id
COMMENT 'Escalations as they stand now, with the evidence that first raised them and what supervisors did';

CREATE OR REPLACE VIEW {db}.v_dead_letters {on_cluster}
AS SELECT * FROM {db}.dead_letters FINAL
COMMENT 'Records that could not be accepted, without what they said';

CREATE OR REPLACE VIEW {db}.v_queues_1m {on_cluster}
AS SELECT
    tenant, toDateTime(toStartOfMinute(event_time), 'UTC') AS minute, queue, channel,
    count() AS messages, countIf(label = 'negative') AS negatives, countIf(label = 'neutral') AS neutrals,
    countIf(label = 'positive') AS positives, countIf(s.abstained) AS abstained,
    sum(toFloat64(weight) * toFloat64(score)) AS score_sum, sum(toFloat64(weight)) AS weight_sum,
    uniqExact(customer_key) AS customers
FROM
(
    SELECT tenant, event_time, queue, channel, label, abstained, weight, score, customer_key, speaker, kind, skipped
    FROM {db}.scored_events FINAL
) AS s
WHERE speaker = 'customer' AND kind = 'utterance' AND skipped = ''
GROUP BY tenant, minute, queue, channel
COMMENT 'Customer messages by minute, queue and channel, exact and up to the second; for ranges up to a day';

CREATE OR REPLACE VIEW {db}.v_queues_history {on_cluster}
AS SELECT
    tenant, minute, queue, channel,
    sum(r.messages) AS messages, sum(r.negatives) AS negatives, sum(r.neutrals) AS neutrals, sum(r.positives) AS positives,
    sum(r.abstained) AS abstained, sum(r.score_sum) AS score_sum, sum(r.weight_sum) AS weight_sum, sum(r.customers) AS customers
FROM (SELECT * FROM {db}.rollup_1m FINAL) AS r
WHERE r.messages > 0
GROUP BY tenant, minute, queue, channel
COMMENT 'The same numbers as v_queues_1m from the rollup, at most some 10 seconds behind; for ranges above a day';

CREATE OR REPLACE VIEW {db}.v_customers {on_cluster}
AS SELECT
    tenant, customer_key,
    argMax(s.session_id, s.started_time) AS last_session_id, min(s.started_time) AS first_time, max(s.ended_time) AS last_time,
    argMax(s.state, s.started_time) AS state, argMax(arrayElement(s.channels, -1), s.started_time) AS last_channel,
    argMax(s.queue, s.started_time) AS queue, argMax(s.final_level, s.started_time) AS customer_level,
    argMax(s.outcome, s.started_time) AS outcome, argMax(s.contacts_24h, s.started_time) AS contacts_24h,
    argMax(s.contacts_7d, s.started_time) AS contacts_7d, count() AS sessions, sum(s.messages) AS messages,
    sum(s.negatives) AS negatives, sum(s.escalations) AS escalations, min(s.low) AS lowest,
    argMaxIf(s.rating, s.started_time, isNotNull(s.rating)) AS rating
FROM (SELECT * FROM {db}.sessions FINAL) AS s
GROUP BY tenant, customer_key
COMMENT 'Latest state of each customer';

CREATE OR REPLACE VIEW {db}.v_moved_events {on_cluster}
AS SELECT tenant, event_id, groupArray(event_time) AS event_times, argMax(event_time, revision) AS stands
FROM {db}.scored_events FINAL
GROUP BY tenant, event_id
HAVING uniqExact(event_time) > 1
COMMENT 'Messages whose revisions came with different event times, against the contract: each time counts as a message of its own. Reads everything: for checks';
