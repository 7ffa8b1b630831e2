-- The keyed step may refuse a message too.
ALTER TABLE {db}.dead_letters{local} {on_cluster}
    COMMENT COLUMN stage 'Stage that refused it: decode, channel, redact, score or customer';

-- only: cluster
ALTER TABLE {db}.dead_letters {on_cluster}
    COMMENT COLUMN stage 'Stage that refused it: decode, channel, redact, score or customer';

ALTER TABLE {db}.v_dead_letters {on_cluster}
    COMMENT COLUMN stage 'Stage that refused it: decode, channel, redact, score or customer';
