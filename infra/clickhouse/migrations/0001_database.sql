-- The database and the table that remembers which migrations were applied.
CREATE DATABASE IF NOT EXISTS {db} {on_cluster};

CREATE TABLE IF NOT EXISTS {db}.schema_migrations {on_cluster}
(
    number UInt32 COMMENT 'Number of the migration, the first part of its file name',
    name String COMMENT 'File name of the migration',
    checksum String COMMENT 'SHA-256 of the template as applied; a file that was applied must never change',
    profile LowCardinality(String) COMMENT 'embedded, single or cluster',
    applied_time DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When it was applied'
)
ENGINE = {replacing:applied_time}
ORDER BY number
COMMENT 'Migrations that this database has seen';
