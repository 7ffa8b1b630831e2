"""ClickHouse's HTTP interface in front of an embedded store, for a laptop, for tests, for several processes.

It answers what clickhouse-connect and Grafana's ClickHouse plugin ask. Not a server for production: one process owns
the data, there are no roles or quotas, a result is held in memory, a disconnect does not cancel its query.
"""

from infra.clickhouse_front.server import Front

__all__ = ["Front"]
