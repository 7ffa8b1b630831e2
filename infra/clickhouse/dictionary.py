"""Generate the data dictionary: the columns of each view and table, with the comments in the database."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from infra.store import DATABASE

_HEAD = """# Data dictionary

Written from the database by `python -m infra.clickhouse dictionary`; a test fails when it differs. Read the views:
they show each thing once, without text. Times are UTC. Names that end in `_time` are instants, in `_ms` durations in
milliseconds.
"""
_HIDDEN = frozenset({"MaterializedView", "Distributed"})


def dictionary(client: Client, database: str = DATABASE) -> str:
    """Return a Markdown page on all views, then all tables."""
    tables = client.query(
        "SELECT name, engine, comment FROM system.tables WHERE database = {database:String}"
        " AND NOT startsWith(name, '.') ORDER BY engine != 'View', name",
        parameters={"database": database},
    ).result_rows
    columns = _columns(client, database)
    shown = [(name, engine, comment) for name, engine, comment in tables if engine not in _HIDDEN]
    parts = [_HEAD]
    for kind, wanted in (("Views", True), ("Tables", False)):
        parts.append(f"## {kind}\n")
        parts += [
            _section(name, comment, columns[name]) for name, engine, comment in shown if (engine == "View") == wanted
        ]
    return "\n".join(parts)


def _section(name: str, comment: str, columns: list[tuple[str, str, str]]) -> str:
    rows = [f"| `{column}` | {type_} | {text.replace('|', '&#124;')} |" for column, type_, text in columns]
    return "\n".join(
        [f"### {name}\n", f"{comment}.\n", "| column | type | meaning |", "| --- | --- | --- |", *rows, ""]
    )


def _columns(client: Client, database: str) -> dict[str, list[tuple[str, str, str]]]:
    rows = client.query(
        "SELECT table, name, type, comment FROM system.columns WHERE database = {database:String}"
        " ORDER BY table, position",
        parameters={"database": database},
    ).result_rows
    found: dict[str, list[tuple[str, str, str]]] = {}
    for table, name, type_, comment in rows:
        found.setdefault(table, []).append((name, type_, comment))
    return found
