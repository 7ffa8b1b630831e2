-- Roles, limits and row policies, for an administrator of a ClickHouse server to read, adapt and run once:
--     clickhouse-client --multiquery < infra/clickhouse/roles.sql
-- An embedded store has no access control. On a cluster add ON CLUSTER <name> to each statement, and grant on the
-- tables that end in _local too. Users are yours to create; give each one role, for example:
--     CREATE USER grafana IDENTIFIED WITH sha256_password BY '...' DEFAULT ROLE undertone_wall;

-- The job writes and does not read.
CREATE ROLE IF NOT EXISTS undertone_job;
GRANT INSERT ON undertone.* TO undertone_job;

-- `infra.clickhouse migrate` and `erase`.
CREATE ROLE IF NOT EXISTS undertone_schema;
GRANT ALL ON undertone.* TO undertone_schema;
GRANT SELECT ON system.* TO undertone_schema;

-- The wall shows the redacted messages of one journey, so it alone reads text.
CREATE ROLE IF NOT EXISTS undertone_wall;
GRANT SELECT ON undertone.* TO undertone_wall;

-- For the panel "Store": it shows parts of those tables alone that the role may read.
GRANT SELECT ON system.parts TO undertone_wall;

-- The Go client of Grafana sets max_execution_time on every query: it must stay changeable.
CREATE SETTINGS PROFILE IF NOT EXISTS undertone_wall SETTINGS
    readonly = 1,
    max_execution_time = 30 CHANGEABLE_IN_READONLY,
    max_memory_usage = 4000000000,
    max_result_rows = 100000
    TO undertone_wall;

-- BI. A view reads its tables with the rights of whoever asks, which is what makes row policies hold through views;
-- so readers need the tables, but no text of theirs.
CREATE ROLE IF NOT EXISTS undertone_bi;
GRANT SELECT ON undertone.* TO undertone_bi;
REVOKE SELECT(text) ON undertone.scored_events FROM undertone_bi;
REVOKE SELECT(text) ON undertone.journey FROM undertone_bi;
REVOKE SELECT(excerpt) ON undertone.escalations FROM undertone_bi;
REVOKE SELECT(excerpt) ON undertone.escalation_steps FROM undertone_bi;

-- Who asked to be forgotten, of all tenants, is nothing to report on.
REVOKE SELECT ON undertone.erasures FROM undertone_bi;

CREATE SETTINGS PROFILE IF NOT EXISTS undertone_bi SETTINGS
    readonly = 1,
    max_execution_time = 300 CHANGEABLE_IN_READONLY,
    max_memory_usage = 8000000000,
    max_result_rows = 10000000
    TO undertone_bi;

CREATE QUOTA IF NOT EXISTS undertone_bi
    FOR INTERVAL 1 hour MAX queries = 2000, read_rows = 20000000000, execution_time = 1800
    TO undertone_bi;

-- Readers of one tenant: a role and a policy for each. A policy does not pass from a table to the tables fed from it,
-- so each table is named. Who has no policy sees all rows unless the server sets users_without_row_policies_can_read_rows
-- to false.
CREATE ROLE IF NOT EXISTS undertone_bi_acme;
GRANT undertone_bi TO undertone_bi_acme;
CREATE ROW POLICY IF NOT EXISTS acme ON
    undertone.scored_events, undertone.journey, undertone.trajectory, undertone.sessions, undertone.escalations,
    undertone.escalation_steps, undertone.feedback, undertone.rollup_1m
    USING tenant = 'acme' TO undertone_bi_acme;
