"""The HTTP server: it takes requests of ClickHouse's HTTP interface and returns the engine's answers."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import threading
import zlib
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import lz4.frame  # type: ignore[import-untyped]  # has no types
import msgspec

from infra.clickhouse_front.engine import Engine, EngineError, Request
from infra.clickhouse_front.native import GREETING, greeting

MAX_BODY: Final = 256 * 1024 * 1024
_TRANSPORT: Final = frozenset(
    {
        "query",
        "database",
        "default_format",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "user",
        "password",
        "quota_key",
        "compress",
        "decompress",
        "wait_end_of_query",
        "buffer_size",
        "client_protocol_version",
        "role",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "enable_http_compression",
    }
)
"""Options of the HTTP interface itself; all other options, except `param_*`, are settings."""
_STATUS: Final = {
    **dict.fromkeys((60, 81, 36), 404),
    **dict.fromkeys((164, 497), 403),
    516: 401,
    62: 400,
    47: 400,
    386: 400,
}


class Access(msgspec.Struct, frozen=True):
    """Who may do what. With an empty password, the server asks for none."""

    password: str = ""
    readers: tuple[str, ...] = ("grafana",)
    """Users who may only read."""
    loopback_only: bool = True


class RefusedError(Exception):
    """The request is refused; the answer has this status and this text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Front:
    """The server, which runs in threads of this process; in a `with` block it serves until the end of the block.

    Args:
        path: Folder of the embedded store. This process owns it until `close`.
        port: Port to listen on; 0 means a free one.
        host: Address to listen on; only a loopback address, unless `allow_remote`.
    """

    def __init__(
        self,
        path: str,
        *,
        port: int = 8123,
        host: str = "127.0.0.1",
        password: str = "",
        allow_remote: bool = False,
        handles: int = 4,
    ) -> None:
        if not (allow_remote or _is_loopback(host)):
            raise ValueError(f"{host} is not loopback: anyone who reaches it could read and write; see --allow-remote")
        self.engine = Engine(path, handles)
        access = Access(password=password, loopback_only=not allow_remote)
        handler = type("Handler", (_Handler,), {"engine": self.engine, "access": access})
        self._server = ThreadingHTTPServer((host, port), handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Front:
        threading.Thread(target=self.serve, name="clickhouse-front", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def serve(self) -> None:
        """Answer requests until `close`."""
        self._server.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """Stop the server and close the store."""
        self._server.shutdown()
        self._server.server_close()
        self.engine.close()


class _Handler(BaseHTTPRequestHandler):
    """Handles the requests of one connection."""

    engine: Engine
    access: Access
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 300

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Log nothing, because statements may hold personal data."""

    def _answer(self) -> None:
        try:
            body = self._body()
            self._check_origin()
            address = urlsplit(self.path)
            if address.path in {"/ping", "/replicas_status"} or (not address.query and not body):
                self._send(200, b"Ok.\n", "TabSeparated")
                return
            read_only = self._check_user(dict(parse_qsl(address.query, keep_blank_values=True)))
            self._run(dict(parse_qsl(address.query, keep_blank_values=True)), body, read_only)
        except RefusedError as refusal:
            self._send(refusal.status, f"{refusal}\n".encode(), "TabSeparated", code=516)
        except EngineError as error:
            self._send(_STATUS.get(error.code, 500), f"{error}\n".encode(), "TabSeparated", code=error.code)
        except (ValueError, RuntimeError, zlib.error) as error:  # from sizes, base64, UTF-8 and compressed bodies
            self.close_connection = True
            message = f"Code: 62. DB::Exception: Not a request that is understood: {error}\n"
            self._send(400, message.encode(), "TabSeparated", code=62)

    def _run(self, options: Mapping[str, str], body: bytes, read_only: bool) -> None:
        format_ = self.headers.get("X-ClickHouse-Format") or options.get("default_format") or "TabSeparated"
        statement = options.get("query", "").encode()
        revision = int(options.get("client_protocol_version") or 0)
        if (statement or body).decode(errors="replace").strip() == GREETING and revision:
            block = greeting("undertone front", self.engine.version, self.engine.timezone, revision)
            self._send(200, block, "Native", query_id=options.get("query_id", ""))
            return
        request = Request(
            sql=statement or body,
            data=body if statement else b"",
            database=self.headers.get("X-ClickHouse-Database") or options.get("database", ""),
            format=format_,
            settings={
                name: value
                for name, value in options.items()
                if name not in _TRANSPORT and not name.startswith("param_")
            },
            parameters={name[len("param_") :]: value for name, value in options.items() if name.startswith("param_")},
            session=options.get("session_id", ""),
            read_only=read_only,
        )
        answer = self.engine.run(request)
        self._send(200, answer.body, answer.format, query_id=options.get("query_id", ""))

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            raw = self._chunks()
        else:
            length = int(self.headers.get("Content-Length") or 0)
            self._check_size(length)
            raw = self.rfile.read(length)
        return decompress(raw, self.headers.get("Content-Encoding", ""))

    def _chunks(self) -> bytes:
        parts = bytearray()
        while size := int(self.rfile.readline(64).split(b";")[0], 16):
            self._check_size(len(parts) + size)
            parts += self.rfile.read(size)
            self.rfile.readline(4)
        while self.rfile.readline(1024) not in {b"\r\n", b"\n", b""}:
            pass
        return bytes(parts)

    def _check_size(self, size: int) -> None:
        if size > MAX_BODY:
            self.close_connection = True
            raise RefusedError(413, "the body is larger than this front takes: insert in smaller blocks")

    def _check_origin(self) -> None:
        """Refuse requests from web pages, which could otherwise reach the store through their visitor's browser."""
        if not self.access.loopback_only:
            return
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        if "Origin" in self.headers or not _is_loopback(host):
            raise RefusedError(403, "this front answers programs on its own machine only")

    def _check_user(self, options: Mapping[str, str]) -> bool:
        """Check the password, and return whether the user may only read.

        Raises:
            RefusedError: The password is wrong.
        """
        user = self.headers.get("X-ClickHouse-User") or options.get("user", "")
        password = self.headers.get("X-ClickHouse-Key") or options.get("password", "")
        kind, _, credentials = self.headers.get("Authorization", "").partition(" ")
        if kind == "Basic":
            user, _, password = base64.b64decode(credentials).decode().partition(":")
        if self.access.password and not hmac.compare_digest(password.encode(), self.access.password.encode()):
            raise RefusedError(401, "Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)")
        return user in self.access.readers

    def _send(self, status: int, body: bytes, format_: str, *, code: int = 0, query_id: str = "") -> None:
        """Send header and body in one write, because two writes would cost a delayed acknowledgement of 40 ms."""
        head = {
            "Content-Type": "application/octet-stream" if format_ == "Native" else "text/plain; charset=UTF-8",
            "Content-Length": str(len(body)),
            "X-ClickHouse-Server-Display-Name": "undertone front",
            "X-ClickHouse-Query-Id": query_id if query_id.isascii() and query_id.isprintable() else str(uuid4()),
            "X-ClickHouse-Format": format_,
            "X-ClickHouse-Timezone": self.engine.timezone,
            "X-ClickHouse-Summary": "{}",
        }
        if status >= 400:
            head["X-ClickHouse-Exception-Code"] = str(code)
        self.send_response_only(status)
        for name, value in head.items():
            self.send_header(name, value)
        self._headers_buffer.append(b"\r\n" + body)  # type: ignore[attr-defined]  # one write for both
        self.flush_headers()


def decompress(raw: bytes, encoding: str) -> bytes:
    """Undo a Content-Encoding. Clients may send several LZ4 frames or gzip members in a row; all are decoded."""
    if encoding in {"", "identity"}:
        return raw
    out = bytearray()
    while raw:
        if encoding == "lz4":
            unit = lz4.frame.LZ4FrameDecompressor()
        elif encoding in {"gzip", "deflate"}:
            unit = zlib.decompressobj(47)
        else:
            raise RefusedError(415, f"send lz4, gzip or nothing, not {encoding[:20]!r}")
        out += unit.decompress(raw)
        if not unit.eof:
            raise RefusedError(400, "the compressed body is cut off")
        raw = unit.unused_data or b""
    return bytes(out)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
