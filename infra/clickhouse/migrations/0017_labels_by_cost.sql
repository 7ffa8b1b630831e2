-- A bundle says what each kind of wrong label costs; the label is then not always the most probable one.
ALTER TABLE {db}.scored_events{local} {on_cluster}
    COMMENT COLUMN label 'label of least expected cost by the calibration: negative, neutral or positive, as a rule the most probable';

ALTER TABLE {db}.journey{local} {on_cluster}
    COMMENT COLUMN label 'label of least expected cost by the calibration: negative, neutral or positive, as a rule the most probable';

-- only: cluster
ALTER TABLE {db}.scored_events {on_cluster}
    COMMENT COLUMN label 'label of least expected cost by the calibration: negative, neutral or positive, as a rule the most probable';

-- only: cluster
ALTER TABLE {db}.journey {on_cluster}
    COMMENT COLUMN label 'label of least expected cost by the calibration: negative, neutral or positive, as a rule the most probable';

ALTER TABLE {db}.v_messages {on_cluster}
    COMMENT COLUMN label 'label of least expected cost by the calibration: negative, neutral or positive, as a rule the most probable';
