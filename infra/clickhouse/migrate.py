"""Migrate a database: apply, in order, the migrations that it does not have.

Every statement can be applied twice, so the next run completes a run that was interrupted. A file that was applied
must never change: its checksum is stored, and a difference stops the run before it changes anything.
"""

from __future__ import annotations

import msgspec
from clickhouse_connect.driver.client import Client

from infra.clickhouse.render import Migration, Target, load, statements


class MigrationError(RuntimeError):
    """The database and the migration files differ. The message names the file and says what to do."""


class Step(msgspec.Struct, frozen=True):
    """One migration and whether the database has it."""

    migration: Migration
    applied: bool


def status(client: Client, target: Target, migrations: tuple[Migration, ...] | None = None) -> list[Step]:
    """Return each migration and whether the database has it.

    Raises:
        MigrationError: an applied file was changed, or the database has migrations that are newer than these files.
    """
    migrations = load() if migrations is None else migrations
    applied = _applied(client, target)
    newest = migrations[-1].number if migrations else 0
    if ahead := [number for number in applied if number > newest]:
        raise MigrationError(
            f"the database has migration {max(ahead)}, these files end at {newest}: use a newer version of the project"
        )
    for migration in migrations:
        if applied.get(migration.number, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"{migration.name} was changed after it was applied: restore the file and put the change in a new one"
            )
    return [Step(migration, migration.number in applied) for migration in migrations]


def migrate(client: Client, target: Target, migrations: tuple[Migration, ...] | None = None) -> list[Migration]:
    """Apply the missing migrations and return them; the list is empty if the database had all."""
    done = []
    for step in status(client, target, migrations):
        if step.applied:
            continue
        for statement in statements(step.migration.template, target):
            client.command(statement)
        client.command(
            "INSERT INTO {database:Identifier}.schema_migrations (number, name, checksum, profile)"
            " VALUES ({number:UInt32}, {name:String}, {checksum:String}, {profile:String})",
            parameters={
                "database": target.database,
                "number": step.migration.number,
                "name": step.migration.name,
                "checksum": step.migration.checksum,
                "profile": target.profile,
            },
        )
        done.append(step.migration)
    inherit_comments(client, target)
    return done


def inherit_comments(client: Client, target: Target) -> None:
    """Copy comments of table columns to columns of the same name in views, where these have no comment.

    So each meaning is written once. The first source is the table that the view is named after, then `scored_events`,
    then the other tables.
    """
    rows = client.query(
        "SELECT table, name, comment, table LIKE 'v\\_%' AS is_view FROM system.columns"
        " WHERE database = {database:String} ORDER BY is_view, table != 'scored_events', table, position",
        parameters={"database": target.database},
    ).result_rows
    known: dict[tuple[str, str], str] = {}
    anywhere: dict[str, str] = {}
    changes: dict[str, list[str]] = {}
    for table, name, comment, is_view in rows:
        if comment and not is_view:
            known[table, name] = comment
            anywhere.setdefault(name, comment)
        elif is_view and not comment and name in anywhere:
            text = known.get((table.removeprefix("v_"), name), anywhere[name]).replace("\\", "\\\\").replace("'", "\\'")
            changes.setdefault(table, []).append(f"COMMENT COLUMN {name} '{text}'")
    where = f" ON CLUSTER {target.cluster}" if target.profile == "cluster" else ""
    for table, actions in changes.items():
        client.command(f"ALTER TABLE {target.database}.{table}{where} {', '.join(actions)}")


def _applied(client: Client, target: Target) -> dict[int, str]:
    exists = client.command(f"EXISTS TABLE {target.database}.schema_migrations") if _has_database(client, target) else 0
    if not int(str(exists)):
        return {}
    known = f"SELECT number, checksum FROM {target.database}.schema_migrations FINAL"  # noqa: S608 - a checked name
    rows = client.query(known).result_rows
    return {int(number): str(checksum) for number, checksum in rows}


def _has_database(client: Client, target: Target) -> bool:
    found = client.query(
        "SELECT count() FROM system.databases WHERE name = {database:String}",
        parameters={"database": target.database},
    )
    return bool(found.result_rows[0][0])
