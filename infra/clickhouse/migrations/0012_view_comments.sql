-- What the views have and no table: their own columns, and columns that mean something else there.
ALTER TABLE {db}.v_sessions {on_cluster}
    COMMENT COLUMN path 'Path through the channels, readable: chat > voice',
    COMMENT COLUMN length_ms 'From the first to the last event, in milliseconds',
    COMMENT COLUMN repeat_contact '1 when the customer had another interaction in the 7 days before';

ALTER TABLE {db}.v_escalations {on_cluster}
    COMMENT COLUMN steps 'Transitions so far, the raising included',
    COMMENT COLUMN event_time 'Event time of what made the last transition: a message, the passing of time, or an answer',
    COMMENT COLUMN acked_time 'When a supervisor first answered it, in any way: who resolves or judges an alert has seen it; NULL until then',
    COMMENT COLUMN closed_time 'When a supervisor resolved it; NULL until then',
    COMMENT COLUMN cleared_time 'When the job cleared it: the mood recovered, the session ended, or an answer said so; NULL until then',
    COMMENT COLUMN resolved_time 'The earlier of closed_time and cleared_time; NULL while open',
    COMMENT COLUMN verdict 'good_catch or false_alarm, the last one given; empty when none was',
    COMMENT COLUMN acted_by 'Pseudonym of the supervisor who acted first; empty when none did',
    COMMENT COLUMN status 'open, acknowledged (answered in any way), resolved or suppressed: the job and the supervisors taken together';

ALTER TABLE {db}.v_customers {on_cluster}
    COMMENT COLUMN last_session_id 'The latest session',
    COMMENT COLUMN first_time 'First event that is still stored',
    COMMENT COLUMN last_time 'Last event',
    COMMENT COLUMN state 'open or closed: the latest session',
    COMMENT COLUMN last_channel 'Channel that the customer used last',
    COMMENT COLUMN customer_level 'Rolling score over all channels after the last message, in (-1, 1)',
    COMMENT COLUMN outcome 'recovered, soured, steady or unknown: the latest session',
    COMMENT COLUMN contacts_24h 'Interactions begun in the 24 hours up to the last one',
    COMMENT COLUMN contacts_7d 'Interactions begun in the 7 days up to the last one',
    COMMENT COLUMN sessions 'Sessions that are still stored',
    COMMENT COLUMN messages 'Messages of the customer in them',
    COMMENT COLUMN negatives 'Negative messages of the customer in them',
    COMMENT COLUMN escalations 'Escalations raised in them',
    COMMENT COLUMN lowest 'Lowest customer level ever reached in them',
    COMMENT COLUMN rating 'Last survey answer mapped to [-1, 1]; NULL when there is none';

ALTER TABLE {db}.v_moved_events {on_cluster}
    COMMENT COLUMN event_times 'The event times that its revisions came with',
    COMMENT COLUMN stands 'Event time of the highest revision';
