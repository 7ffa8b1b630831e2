"""Run requests on handles of the embedded engine.

Handles are independent sessions on the same data: a request borrows one, applies its database and settings, and
resets the settings to their defaults. A client with a session id keeps its own handle, until 32 other sessions have
been used since.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Lock
from typing import Any

import chdb
import msgspec

from infra.clickhouse_front.native import header

_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_INSERT = re.compile(rb"^\s*INSERT\s+INTO\b[^;]*?\bFORMAT\s+(\w+)[ \t]*\r?(?:\n|$)", re.IGNORECASE | re.DOTALL)
_READS = re.compile(r"^\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*)*\(*\s*(SELECT|WITH|SHOW|DESC|EXPLAIN|EXISTS)\b", re.I | re.S)
_SETTING = re.compile(r"^[A-Za-z_][A-Za-z0-9_.]*$")
MAX_SESSIONS = 32


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One statement of an HTTP request."""

    sql: bytes
    """The statement; for an insert, inline data may follow `FORMAT X`."""
    data: bytes = b""
    """The request body, as data of an insert whose statement is in the address."""
    database: str = ""
    format: str = "TabSeparated"
    settings: Mapping[str, str] = {}
    parameters: Mapping[str, str] = {}
    session: str = ""
    read_only: bool = False


class Answer(msgspec.Struct, frozen=True):
    """Result bytes and their format."""

    body: bytes
    format: str


class EngineError(Exception):
    """The engine refused a request; holds the engine's own message, `Code: N. DB::Exception: ...`."""

    @property
    def code(self) -> int:
        """ClickHouse error code; 1002 when the message has none."""
        match = re.search(r"Code: (\d+)", str(self))
        return int(match[1]) if match else 1002


class _Handle:
    """One connection to the engine; it runs one request at a time."""

    def __init__(self, address: str) -> None:
        self._connection = chdb.connect(address)
        self._database = "default"
        self.lock = Lock()

    def run(self, request: Request) -> Answer:
        try:
            self._use(request.database or "default")
            with self._applied(request.settings):
                return self._execute(request)
        except Exception as error:  # the engine raises several types; the message has ClickHouse's code
            message = str(error)
            raise EngineError(message[max(0, message.find("Code: ")) :].strip()) from None

    def close(self) -> None:
        self._connection.close()

    def _use(self, database: str) -> None:
        if database != self._database:
            self._connection.query("USE `{}`".format(database.replace("\\", "\\\\").replace("`", "\\`")))
            self._database = database

    @contextmanager
    def _applied(self, settings: Mapping[str, str]) -> Iterator[None]:
        done: list[str] = []
        try:
            for name, value in settings.items():
                if not _SETTING.match(name):
                    raise ValueError("Code: 115. DB::Exception: Setting names are plain words. (UNKNOWN_SETTING)")
                quoted = value.replace("\\", "\\\\").replace("'", "\\'")
                self._connection.query(f"SET {name} = '{quoted}'")
                done.append(name)
            yield
        finally:
            for name in done:
                self._connection.query(f"SET {name} = DEFAULT")

    def _execute(self, request: Request) -> Answer:
        insert = _INSERT.match(request.sql)
        if insert:
            return self._insert(request, insert)
        sql = request.sql.decode()
        match = _FORMAT.search(sql)
        format_ = match[1] if match else request.format
        if match:
            sql = sql[: match.start()]
        parameters = dict(request.parameters)
        body: bytes = self._connection.query(sql, format_, params=parameters).bytes()
        if not body and format_ == "Native" and _READS.match(sql):
            meta = json.loads(self._connection.query(sql, "JSON", params=parameters).bytes())["meta"]
            body = header([(column["name"], column["type"]) for column in meta])
        return Answer(body, format_)

    def _insert(self, request: Request, insert: re.Match[bytes]) -> Answer:
        statement = request.sql[: insert.start(1)].decode().rstrip()[: -len("FORMAT")]
        inserter = self._connection.send_insert(statement, insert[1].decode())
        try:
            for part in (request.sql[insert.end() :], request.data):
                if part:
                    inserter.append(part)
            inserter.finish()
        except Exception:
            inserter.cancel()
            raise
        return Answer(b"", request.format)


class Engine:
    """The data at one path; at most `handles` reading and `handles` other requests without a session run at once."""

    def __init__(self, path: str, handles: int = 4) -> None:
        Path(path).mkdir(parents=True, exist_ok=True)
        self._path = str(Path(path).resolve())
        self._free: dict[bool, list[_Handle]] = {False: [_Handle(self._path)], True: []}
        self._room = {False: handles - 1, True: handles}
        self._sessions: OrderedDict[tuple[str, bool], _Handle] = OrderedDict()
        self._changed = Condition()
        version, zone = self.run(Request(sql=b"SELECT version(), timezone() FORMAT TabSeparated")).body.decode().split()
        self.version: str = version
        self.timezone: str = zone

    def run(self, request: Request) -> Answer:
        """Run one statement.

        Raises:
            EngineError: the engine refused.
        """
        if request.session:
            handle = self._session(request.session, request.read_only)
            with handle.lock:
                return handle.run(request)
        handle = self._borrow(request.read_only)
        try:
            return handle.run(request)
        finally:
            self._give_back(handle, request.read_only)

    def close(self) -> None:
        """Close every handle, so that another process can open the path."""
        with self._changed:
            handles = [*self._free[False], *self._free[True], *self._sessions.values()]
            self._free = {False: [], True: []}
            self._sessions.clear()
        for handle in handles:
            with handle.lock:
                handle.close()

    def _open(self, read_only: bool) -> _Handle:
        return _Handle(self._path + ("?mode=ro" if read_only else ""))

    def _borrow(self, read_only: bool) -> _Handle:
        with self._changed:
            self._changed.wait_for(lambda: self._free[read_only] or self._room[read_only])
            if self._free[read_only]:
                return self._free[read_only].pop()
            self._room[read_only] -= 1
        try:
            return self._open(read_only)
        except BaseException:
            with self._changed:
                self._room[read_only] += 1
                self._changed.notify()
            raise

    def _give_back(self, handle: _Handle, read_only: bool) -> None:
        with self._changed:
            self._free[read_only].append(handle)
            self._changed.notify()

    def _session(self, name: str, read_only: bool) -> _Handle:
        with self._changed:
            key = (name, read_only)
            if key not in self._sessions:
                self._sessions[key] = self._open(read_only)
            self._sessions.move_to_end(key)
            old = [self._sessions.popitem(last=False)[1]] if len(self._sessions) > MAX_SESSIONS else []
            handle = self._sessions[key]
        for forgotten in old:
            with forgotten.lock:
                forgotten.close()
        return handle


def query(engine: Engine, sql: str) -> Any:
    """Return the rows of a query as JSON objects, for tests and checks."""
    return json.loads(engine.run(Request(sql=sql.encode(), format="JSON")).body)["data"]
