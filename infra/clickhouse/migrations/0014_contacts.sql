-- Whether a session is a repeated contact cannot be told from the contacts up to its end: they hold its own, one a channel.
ALTER TABLE {db}.sessions{local} {on_cluster}
    ADD COLUMN IF NOT EXISTS contacts_before UInt32 COMMENT 'Other interactions begun in the 7 days before the session; a survey is none' AFTER late_events,
    COMMENT COLUMN late_events 'Events that came when their place in time was settled',
    COMMENT COLUMN contacts_24h 'Interactions begun in the 24 hours up to the last one of this session, that one included; a survey is none',
    COMMENT COLUMN contacts_7d 'Interactions begun in the 7 days up to the last one of this session, that one included; a survey is none';

-- only: cluster
ALTER TABLE {db}.sessions {on_cluster}
    ADD COLUMN IF NOT EXISTS contacts_before UInt32 COMMENT 'Other interactions begun in the 7 days before the session; a survey is none' AFTER late_events,
    COMMENT COLUMN late_events 'Events that came when their place in time was settled',
    COMMENT COLUMN contacts_24h 'Interactions begun in the 24 hours up to the last one of this session, that one included; a survey is none',
    COMMENT COLUMN contacts_7d 'Interactions begun in the 7 days up to the last one of this session, that one included; a survey is none';

ALTER TABLE {db}.trajectory{local} {on_cluster}
    COMMENT COLUMN late 'true when the message came when its place in time was settled: later than the allowed lateness';

-- only: cluster
ALTER TABLE {db}.trajectory {on_cluster}
    COMMENT COLUMN late 'true when the message came when its place in time was settled: later than the allowed lateness';

ALTER TABLE {db}.scored_events{local} {on_cluster}
    COMMENT COLUMN version 'The row with the highest version stands: 2 x revision, and a retraction above them all',
    COMMENT COLUMN skipped 'Why the text was not scored (auto_reply, quoted_only, empty, language); empty when it was';

-- only: cluster
ALTER TABLE {db}.scored_events {on_cluster}
    COMMENT COLUMN version 'The row with the highest version stands: 2 x revision, and a retraction above them all',
    COMMENT COLUMN skipped 'Why the text was not scored (auto_reply, quoted_only, empty, language); empty when it was';

ALTER TABLE {db}.journey{local} {on_cluster}
    COMMENT COLUMN version 'The row with the highest version stands: 2 x revision, and a retraction above them all',
    COMMENT COLUMN skipped 'Why the text was not scored (auto_reply, quoted_only, empty, language); empty when it was';

-- only: cluster
ALTER TABLE {db}.journey {on_cluster}
    COMMENT COLUMN version 'The row with the highest version stands: 2 x revision, and a retraction above them all',
    COMMENT COLUMN skipped 'Why the text was not scored (auto_reply, quoted_only, empty, language); empty when it was';

CREATE OR REPLACE VIEW {db}.v_sessions {on_cluster}
AS SELECT
    * EXCEPT (version, deleted),
    arrayStringConcat(channels, ' > ') AS path,
    dateDiff('millisecond', started_time, ended_time) AS length_ms,
    contacts_before > 0 AS repeat_contact
FROM {db}.sessions FINAL
COMMENT 'Sessions of customers across channels, open ones included';

ALTER TABLE {db}.v_sessions {on_cluster}
    COMMENT COLUMN path 'Path through the channels, readable: chat > voice',
    COMMENT COLUMN length_ms 'From the first to the last event, in milliseconds',
    COMMENT COLUMN repeat_contact '1 when the customer had another interaction in the 7 days before';
