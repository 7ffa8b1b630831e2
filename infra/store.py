"""Open the store by its DSN: `chdb:///path` runs ClickHouse in this process, `clickhouse://` connects to a server.

Both are used through the same client. Only one process at a time can open an embedded path, and a process can open one
path at a time; where several processes need the store, run `python -m infra.clickhouse_front` and use a server DSN.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import clickhouse_connect
import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DataError, ProgrammingError

from operators.row_store import Connector, RowStore, StoreError
from operators.rows import TABLES, Row

DATABASE = "undertone"


class StoreAddress(msgspec.Struct, frozen=True):
    """The parts of a DSN."""

    kind: str
    """`chdb` or `clickhouse`."""
    path: str = ""
    host: str = ""
    port: int = 0
    user: str = ""
    database: str = DATABASE
    secure: bool = False


class StoreAddressError(ValueError):
    """The DSN is invalid. The message shows the accepted forms but never the DSN, which may contain a password."""


def parse_dsn(dsn: str) -> StoreAddress:
    """Parse a DSN; `clickhouses://` means TLS. A DSN with a password is refused, because DSNs end up in logs.

    >>> parse_dsn("clickhouse://etl@db.example:8123/undertone").host
    'db.example'
    >>> parse_dsn("chdb:///var/lib/undertone").path
    '/var/lib/undertone'
    >>> parse_dsn("http://db")
    Traceback (most recent call last):
    infra.store.StoreAddressError: a store is chdb:///folder, clickhouse://user@host:8123/undertone or clickhouses://...
    """
    parts = urlsplit(dsn)
    if parts.password is not None:
        raise StoreAddressError("give the password in UNDERTONE_STORE_PASSWORD, not in the DSN")
    if parts.scheme == "chdb" and parts.path.strip("/"):
        return StoreAddress(kind="chdb", path=unquote(parts.netloc + parts.path))
    if parts.scheme in {"clickhouse", "clickhouses"} and parts.hostname:
        secure = parts.scheme == "clickhouses"
        return StoreAddress(
            kind="clickhouse",
            host=parts.hostname,
            port=parts.port or (8443 if secure else 8123),
            user=unquote(parts.username or "default"),
            database=parts.path.strip("/") or DATABASE,
            secure=secure,
        )
    raise StoreAddressError("a store is chdb:///folder, clickhouse://user@host:8123/undertone or clickhouses://...")


def open_store(
    dsn: str, password: str = "", settings: dict[str, Any] | None = None, *, timeout: float = 120.0
) -> Client:
    """Open a client, which waits `timeout` seconds for an answer of a server.

    It creates only the folder of an embedded store; `infra.clickhouse migrate` creates the tables. The client has no
    default database, so that it also works before the database exists: statements must name theirs.
    """
    address = parse_dsn(dsn)
    if address.kind == "chdb":
        Path(address.path).mkdir(parents=True, exist_ok=True)
        return clickhouse_connect.get_client(interface="chdb", path=address.path, settings=settings)
    return clickhouse_connect.get_client(
        host=address.host,
        port=address.port,
        username=address.user,
        password=password,
        secure=address.secure,
        settings=settings,
        connect_timeout=max(1, int(min(10, timeout / 2))),  # the client tries twice to connect
        send_receive_timeout=max(1, int(timeout)),
        autogenerate_session_id=False,
    )


INSERT_SETTINGS: Final = {
    "async_insert": 0,  # an acknowledged row must be stored
    "distributed_foreground_insert": 1,  # the same for inserts through a Distributed table
    "max_partitions_per_insert_block": 0,  # events of many different days in a block must not fail the insert
}
_PERMANENT: Final = frozenset({16, 47, 53, 60, 81, 192, 193, 194, 497, 516})
"""ClickHouse error codes that a retry cannot mend: unknown table, column or database, wrong type, no access."""

_UNFIT: Final = (ValueError, TypeError, OverflowError, struct.error)
"""Errors that the client raises for values that do not fit their column."""

_WIRE_TYPES: Final = {
    name: tuple(type_.replace("LowCardinality(String)", "String") for type_ in table.types)
    for name, table in TABLES.items()
}
"""LowCardinality columns are sent as plain strings: the engine builds dictionaries much faster than the client."""


class ClickHouseRows:
    """A `RowStore` on ClickHouse or chDB. Inserts are by column and give the types, to save a DESCRIBE each time."""

    def __init__(self, client: Client, database: str = DATABASE) -> None:
        self._client = client
        self._database = database

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """Insert and wait for the acknowledgement.

        Raises:
            StoreError: names the table, the number of rows and the engine's error code, but no value.
        """
        shape = TABLES[table]
        try:
            self._client.insert(
                table,
                list(zip(*rows, strict=True)),
                database=self._database,
                column_names=shape.columns,
                column_type_names=_WIRE_TYPES[table],
                column_oriented=True,
                settings=INSERT_SETTINGS,
            )
        except (ClickHouseError, OSError, *_UNFIT) as error:
            raise _without_values(f"{table}: {len(rows)} rows", error) from None

    def close(self) -> None:
        """Close the client."""
        self._client.close()


def connector(dsn: str, password: str = "", *, timeout: float = 120.0) -> Connector:
    """Return a function that opens the row store of `dsn`; the sink calls it from its own thread.

    Raises:
        StoreAddressError: at once, if the DSN is invalid.
    """
    address = parse_dsn(dsn)

    def connect() -> RowStore:
        try:
            return ClickHouseRows(open_store(dsn, password, timeout=timeout), address.database)
        except (ClickHouseError, OSError) as error:
            owner = "; one process at a time owns an embedded store" if address.kind == "chdb" else ""
            raise _without_values(f"cannot open the store{owner}", error) from None

    return connect


def _without_values(what: str, error: Exception) -> StoreError:
    code = getattr(error, "code", None)
    name = getattr(error, "name", None)
    cause = f"code {code} {name or ''}".strip() if code else type(error).__name__
    hint = "; run `make migrate`" if code in {16, 60, 81} else ""
    permanent = code in _PERMANENT or (code is None and isinstance(error, (DataError, ProgrammingError, *_UNFIT)))
    return StoreError(f"{what}: {cause}{hint}", permanent=permanent)
