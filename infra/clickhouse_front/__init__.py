"""ClickHouse's HTTP interface for an embedded store: for a laptop, for tests, and for access from several processes.

It answers the requests of clickhouse-connect and of Grafana's ClickHouse plugin. It is not a server for production:
one process owns the data, there are no roles or quotas, a result is held in memory, and a client that disconnects does
not cancel its query.
"""

from infra.clickhouse_front.server import Front

__all__ = ["Front"]
