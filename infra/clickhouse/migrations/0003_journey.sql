-- The same rows in customer order, so that one customer's history is one range of the table.
-- Small granules: one customer has some hundred rows, and eight times the granule would be read around them.
-- The materialized view copies row by row: a replayed insert replays here too and collapses the same way.
CREATE TABLE IF NOT EXISTS {db}.journey{local} {on_cluster} AS {db}.scored_events{local}
ENGINE = {replacing:version, deleted}
PARTITION BY toYYYYMM(event_time)
ORDER BY (tenant, customer_key, event_time, event_id)
TTL toDateTime(event_time) + INTERVAL 400 DAY
SETTINGS index_granularity = 1024
COMMENT 'The messages of scored_events in the order of each customer; read FINAL';

CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.journey_feed {on_cluster} TO {db}.journey{local}
AS SELECT * FROM {db}.scored_events{local};

-- only: cluster
CREATE TABLE IF NOT EXISTS {db}.journey {on_cluster} AS {db}.journey{local}
ENGINE = {distributed:journey:cityHash64(tenant, customer_key)};
