"""Render a migration for one of three profiles: embedded, single server, cluster.

A migration is plain SQL with a few tokens. Statements end with `;` at the end of a line. Tokens:

    {db}                    the database
    {on_cluster}            ON CLUSTER <name>, or nothing
    {local}                 _local, or nothing: the physical table under a Distributed one
    {replacing:args}        ReplacingMergeTree(args), or its replicated form
    {distributed:t:key}     Distributed over `t_local`, sharded by `key` (only under `-- only: cluster`)

A statement with a line `-- only: cluster` is omitted in the other profiles.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal, get_args

import msgspec

from infra.store import DATABASE

Profile = Literal["embedded", "single", "cluster"]
PROFILES: tuple[Profile, ...] = get_args(Profile)
MIGRATIONS = Path(__file__).parent / "migrations"

_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_WORD = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_REPLACING = re.compile(r"\{replacing:([^}]*)\}")
_DISTRIBUTED = re.compile(r"\{distributed:([a-z0-9_]+):([^}]*)\}")
_TOKEN = re.compile(r"\{(db|on_cluster|local|replacing|distributed)\b")
_ONLY_CLUSTER = "-- only: cluster"


class Target(msgspec.Struct, frozen=True):
    """The installation for which a migration is rendered."""

    profile: Profile = "embedded"
    database: str = DATABASE
    cluster: str = "undertone"
    """Name of the cluster in the server's configuration; only used by the profile `cluster`."""

    def __post_init__(self) -> None:
        for name in (self.database, self.cluster):
            if not _WORD.match(name):
                raise ValueError("database and cluster are plain names: letters, digits and underscores")


class Migration(msgspec.Struct, frozen=True):
    """One numbered migration file."""

    number: int
    name: str
    template: str

    @property
    def checksum(self) -> str:
        """Return the SHA-256 of the template, which is the same for every profile."""
        return sha256(self.template.encode()).hexdigest()


def load(folder: Path = MIGRATIONS) -> tuple[Migration, ...]:
    """Read the migrations in order. Their numbers must start at 1 without gaps, so that a missing file is noticed."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.match(path.name)
        if match is None:
            raise ValueError(f"{path.name}: a migration is named 0001_what_it_does.sql")
        found.append(Migration(int(match[1]), path.name, path.read_text(encoding="utf-8")))
    numbers = [migration.number for migration in found]
    if numbers != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations must be numbered 1, 2, 3 ... without gaps, found {numbers}")
    return tuple(found)


def statements(template: str, target: Target) -> tuple[str, ...]:
    """Return the rendered statements of a template, in order, without their closing `;`.

    >>> statements("CREATE TABLE {db}.t{local} (a Int8) ENGINE = {replacing:v} ORDER BY a;", Target())
    ('CREATE TABLE undertone.t (a Int8) ENGINE = ReplacingMergeTree(v) ORDER BY a',)
    """
    rendered = []
    for part in re.split(r";[ \t]*(?:\n|$)", template):
        lines = part.strip().splitlines()
        if not lines or (_ONLY_CLUSTER in lines and target.profile != "cluster"):
            continue
        body = "\n".join(line for line in lines if not line.startswith("--"))
        if body.strip():
            rendered.append(render(body, target))
    return tuple(rendered)


def render(sql: str, target: Target) -> str:
    """Replace the tokens of one statement.

    >>> render("ENGINE = {replacing:version}", Target("cluster"))
    "ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}', version)"
    """
    cluster = target.profile == "cluster"
    sql = sql.replace("{db}", target.database).replace("{local}", "_local" if cluster else "")
    sql = sql.replace("{on_cluster}", f"ON CLUSTER {target.cluster}") if cluster else sql.replace(" {on_cluster}", "")
    sql = _REPLACING.sub(lambda match: _replacing(match[1], cluster), sql)
    sql = _DISTRIBUTED.sub(
        lambda match: f"Distributed({target.cluster}, {target.database}, {match[1]}_local, {match[2]})", sql
    )
    if left := _TOKEN.search(sql):
        raise ValueError(f"token {left[0]}...}} was not rendered")
    return sql


def _replacing(arguments: str, cluster: bool) -> str:
    if not cluster:
        return f"ReplacingMergeTree({arguments})"
    parts: Sequence[str] = ["'/clickhouse/tables/{uuid}/{shard}'", "'{replica}'", *([arguments] if arguments else [])]
    return f"ReplicatedReplacingMergeTree({', '.join(parts)})"
