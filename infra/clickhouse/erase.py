"""Erase customers from every table that holds rows of them, and record that they were erased.

Rows are deleted physically: the mutations rewrite the table parts before the call returns. A call takes some seconds
for any number of customers, so erase many in one call. `rollup_1m` holds only counts, which stay. A replay of Kafka
writes erased rows again as long as the topic holds their records: run `erase --listed` after it.
"""

from __future__ import annotations

from collections.abc import Sequence

from clickhouse_connect.driver.client import Client

from infra.clickhouse.render import Target, render

CUSTOMER_TABLES = ("scored_events", "journey", "trajectory", "sessions", "escalations", "escalation_steps")
"""Tables with a customer_key. Views hold no rows; feedback is erased by the ids of the customers' escalations."""


def erase(client: Client, target: Target, customers: Sequence[int], reason: str) -> dict[str, int]:
    """Delete all rows of the customers; return the number of rows deleted from each table.

    The customers are recorded first, so that `erase --listed` can finish an erasure that was interrupted.
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
    """Return the keys of the customers that were erased before."""
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
