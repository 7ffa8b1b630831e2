"""Erase customers from every table that knows them, and remember that they were erased.

Rows go for good, not only out of sight: the mutations rewrite the parts before the call returns, some seconds for
each call whatever the number of customers, so gather requests. `rollup_1m` holds counts only and keeps them. A replay
of Kafka brings erased rows back as long as the topic holds them: run `erase --listed` after one.
"""

from __future__ import annotations

from collections.abc import Sequence

from clickhouse_connect.driver.client import Client

from infra.clickhouse.render import Target, render

CUSTOMER_TABLES = ("scored_events", "journey", "trajectory", "sessions", "escalations", "escalation_steps")
"""Physical tables with a customer_key. Views of any kind do not hold rows; feedback goes by its escalations."""


def erase(client: Client, target: Target, customers: Sequence[int], reason: str) -> dict[str, int]:
    """Delete all rows of the customers; returns how many rows each table lost.

    The list is written first: an erasure that was cut off is finished by `erase --listed`.
    """
    if not customers:
        return {}
    keys: dict[str, object] = {"keys": list(customers), "reason": reason}
    client.command(
        f"INSERT INTO {target.database}.erasures (customer_key, reason)"
        " SELECT arrayJoin({keys:Array(UInt64)}), {reason:String}",
        parameters=keys,
    )
    alerts = _column(client, target, "SELECT DISTINCT escalation_id FROM {db}.escalation_steps", keys)
    lost = {"feedback": _delete(client, target, "feedback", "escalation_id IN {ids:Array(String)}", {"ids": alerts})}
    for table in CUSTOMER_TABLES:
        lost[table] = _delete(client, target, table, "customer_key IN {keys:Array(UInt64)}", keys)
    return lost


def listed(client: Client, target: Target) -> list[int]:
    """Customers that were erased before."""
    rows = client.query(f"SELECT customer_key FROM {target.database}.erasures FINAL ORDER BY 1")  # noqa: S608
    return [int(key) for (key,) in rows.result_rows]


def _column(client: Client, target: Target, sql: str, keys: dict[str, object]) -> list[str]:
    where = " WHERE customer_key IN {keys:Array(UInt64)}"
    return [str(value) for (value,) in client.query(render(sql, target) + where, parameters=keys).result_rows]


def _delete(client: Client, target: Target, table: str, where: str, parameters: dict[str, object]) -> int:
    counted = client.query(
        f"SELECT count() FROM {target.database}.{table} WHERE {where}",  # noqa: S608 - checked names
        parameters=parameters,
    )
    rows = int(counted.result_rows[0][0])
    if rows:
        statement = render(f"ALTER TABLE {{db}}.{table}{{local}} {{on_cluster}} DELETE WHERE ", target)
        client.command(statement + where, parameters=parameters, settings={"mutations_sync": 2})
    return rows
