-- A later step of an escalation may be told of another conversation: session, interaction and channel are those of the
-- step that raised it, as all the evidence is. Comments that said something else than the records say are put right.
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
        max(event_time) AS event_time, argMin(customer_key, version) AS customer_key,
        argMin(session_id, version) AS session_id, argMin(interaction_id, version) AS interaction_id,
        argMin(channel, version) AS channel, argMax(queue, version) AS queue,
        argMax(agent_key, version) AS agent_key, argMin(rule, version) AS rule,
        argMax(rule_version, version) AS rule_version, argMin(family, version) AS family,
        argMax(level, version) AS level, argMax(route, version) AS route,
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

ALTER TABLE {db}.v_escalations {on_cluster}
    COMMENT COLUMN interaction_id 'Interaction that it was raised in',
    COMMENT COLUMN channel 'Channel of that interaction: voice, chat, email, social or survey',
    COMMENT COLUMN rule_version 'Version of the rules file at the last transition',
    COMMENT COLUMN steps 'Transitions so far, the raising included',
    COMMENT COLUMN event_time 'Event time of what made the last transition: a message, the passing of time, or an answer',
    COMMENT COLUMN acked_time 'When a supervisor first answered it, in any way: who resolves or judges an alert has seen it; NULL until then',
    COMMENT COLUMN closed_time 'When a supervisor resolved it; NULL until then',
    COMMENT COLUMN cleared_time 'When the job cleared it: the mood recovered, the session ended, or an answer said so; NULL until then',
    COMMENT COLUMN resolved_time 'The earlier of closed_time and cleared_time; NULL while open',
    COMMENT COLUMN verdict 'good_catch or false_alarm, the last one given; empty when none was',
    COMMENT COLUMN acted_by 'Pseudonym of the supervisor who acted first; empty when none did',
    COMMENT COLUMN status 'open, acknowledged (answered in any way), resolved or suppressed: the job and the supervisors taken together';

ALTER TABLE {db}.escalations{local} {on_cluster}
    COMMENT COLUMN interaction_id 'Interaction in which this step happened',
    COMMENT COLUMN channel 'Channel of that interaction: voice, chat, email, social or survey',
    COMMENT COLUMN rule_version 'Version of the rules file',
    COMMENT COLUMN level '1 watch, 2 frustrated, 3 critical';

-- only: cluster
ALTER TABLE {db}.escalations {on_cluster}
    COMMENT COLUMN interaction_id 'Interaction in which this step happened',
    COMMENT COLUMN channel 'Channel of that interaction: voice, chat, email, social or survey',
    COMMENT COLUMN rule_version 'Version of the rules file',
    COMMENT COLUMN level '1 watch, 2 frustrated, 3 critical';

ALTER TABLE {db}.escalation_steps{local} {on_cluster}
    COMMENT COLUMN interaction_id 'Interaction in which this step happened',
    COMMENT COLUMN channel 'Channel of that interaction: voice, chat, email, social or survey',
    COMMENT COLUMN rule_version 'Version of the rules file',
    COMMENT COLUMN level '1 watch, 2 frustrated, 3 critical';

-- only: cluster
ALTER TABLE {db}.escalation_steps {on_cluster}
    COMMENT COLUMN interaction_id 'Interaction in which this step happened',
    COMMENT COLUMN channel 'Channel of that interaction: voice, chat, email, social or survey',
    COMMENT COLUMN rule_version 'Version of the rules file',
    COMMENT COLUMN level '1 watch, 2 frustrated, 3 critical';

ALTER TABLE {db}.v_escalation_steps {on_cluster}
    COMMENT COLUMN interaction_id 'Interaction in which this step happened',
    COMMENT COLUMN channel 'Channel of that interaction: voice, chat, email, social or survey',
    COMMENT COLUMN rule_version 'Version of the rules file',
    COMMENT COLUMN level '1 watch, 2 frustrated, 3 critical';

-- The low point is that of the interactions' levels, which move at once; the customer level is slow.
ALTER TABLE {db}.trajectory{local} {on_cluster}
    COMMENT COLUMN low 'Lowest level of an interaction in the session so far';

-- only: cluster
ALTER TABLE {db}.trajectory {on_cluster}
    COMMENT COLUMN low 'Lowest level of an interaction in the session so far';

ALTER TABLE {db}.v_trajectory {on_cluster}
    COMMENT COLUMN low 'Lowest level of an interaction in the session so far';

ALTER TABLE {db}.sessions{local} {on_cluster}
    COMMENT COLUMN low 'Lowest level of an interaction in the session';

-- only: cluster
ALTER TABLE {db}.sessions {on_cluster}
    COMMENT COLUMN low 'Lowest level of an interaction in the session';

ALTER TABLE {db}.v_sessions {on_cluster}
    COMMENT COLUMN low 'Lowest level of an interaction in the session';

ALTER TABLE {db}.v_customers {on_cluster}
    COMMENT COLUMN lowest 'Lowest level of an interaction in them';
