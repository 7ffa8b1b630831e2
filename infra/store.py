"""Open the store by its DSN: `chdb:///path` runs the engine in this process, `clickhouse://` talks to a server.

Both answer through the same client. An embedded path has one owner process at a time, and a process can own one path
at a time; where several processes need the store, run `python -m infra.clickhouse_front` and use a server DSN.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
import msgspec
from clickhouse_connect.driver.client import Client

DATABASE = "undertone"


class StoreAddress(msgspec.Struct, frozen=True):
    """A DSN taken apart."""

    kind: str
    """`chdb` or `clickhouse`."""
    path: str = ""
    host: str = ""
    port: int = 0
    user: str = ""
    database: str = DATABASE
    secure: bool = False


class StoreAddressError(ValueError):
    """The DSN cannot be understood. The message shows the accepted forms, never the DSN: it may hold a password."""


def parse_dsn(dsn: str) -> StoreAddress:
    """Take a DSN apart; `clickhouses://` means TLS. A password in it is refused, because DSNs end up in logs.

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


def open_store(dsn: str, password: str = "", settings: dict[str, Any] | None = None) -> Client:
    """Open a client. Nothing is created but the folder of an embedded store; tables need `infra.clickhouse migrate`.

    Statements name their database, so that the client also works before the database exists.
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
        send_receive_timeout=120,
        autogenerate_session_id=False,
    )
