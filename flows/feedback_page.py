"""A web page for the feedback links on the dashboards: it asks for confirmation, then sends the feedback.

Opening a link changes nothing, because browsers and chat programs open links by themselves; only the button sends.
The page does not authenticate its users: serve it inside a network, behind a proxy that signs people in.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from datetime import datetime, timezone
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import msgspec

from flows.feedback import ACTIONS, Send, feedback
from flows.sender import NotSentError

MAX_BODY = 4096
ESCALATION_ID = re.compile(r"[0-9a-f]{16}(-[0-9a-f]{12})?")
"""Customer key, a dash and alert id; alerts of the job's first version have 16 hex digits and no dash."""
_NO_ALERT = "This link names no alert. A row on the dashboard links to this page even before it has an alert."
_STYLE = "body{font:18px system-ui;margin:3rem auto;max-width:34rem}button,input{font:inherit;padding:.4rem .8rem}"


def page_server(
    address: tuple[str, int], send: Send, clock: Callable[[], datetime] | None = None
) -> ThreadingHTTPServer:
    """Make the server; the caller runs it. `clock` returns the time to store with the feedback."""
    now = clock or (lambda: datetime.now(timezone.utc))
    ticket = secrets.token_hex(16)  # a form on another site cannot know it (CSRF)

    class Page(BaseHTTPRequestHandler):
        """Answers GET with the form, POST with the result."""

        def do_GET(self) -> None:
            """Show the form that asks for confirmation."""
            asked = _fields(urlsplit(self.path).query)
            if asked.get("action") not in ACTIONS:
                self._reply(400, "This link is not complete: it needs an escalation and an action.")
            elif not ESCALATION_ID.fullmatch(asked.get("escalation", "")):
                self._reply(400, _NO_ALERT)
            else:
                self._reply(200, _form(asked, ticket))

        def do_POST(self) -> None:
            """Send the feedback in the form."""
            length = int(self.headers.get("Content-Length") or 0)
            if length > MAX_BODY:
                self._reply(413, "Too long.")
                return
            said = _fields(self.rfile.read(length).decode("utf-8", "replace"))
            if not hmac.compare_digest(said.get("ticket", "").encode(), ticket.encode()):
                self._reply(403, "Open the link again and press the button there.")
                return
            self._reply(*_deliver(said, send, now()))

        def _reply(self, status: int, body: str) -> None:
            content = (
                f'<!doctype html><meta charset="utf-8"><title>Feedback</title><style>{_STYLE}</style>{body}'.encode()
            )
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Frame-Options", "DENY")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Log nothing, because request addresses hold pseudonyms."""

    return ThreadingHTTPServer(address, Page)


def serve_forever(address: str, send: Send) -> None:
    """Serve at `host:port` until interrupted."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("--serve: write it like 127.0.0.1:8088")
    with page_server((host, int(port)), send) as server:
        print(f"Feedback page at http://{address}/ (stop with Ctrl-C)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def _fields(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}


def _form(asked: dict[str, str], ticket: str) -> str:
    kept = {name: asked.get(name, "") for name in ("escalation", "tenant", "action")}
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">'
        for name, value in {**kept, "ticket": ticket}.items()
    )
    what = kept["action"].replace("_", " ")
    return (
        f"<h1>Mark alert as {what}?</h1><p>Alert <code>{escape(kept['escalation'])}</code></p>"
        f'<form method="post">{hidden}<p><label>Your desk or pseudonym <input name="by" maxlength="60"></label></p>'
        f"<p><button>Yes, {what}</button></p></form>"
    )


def _deliver(said: dict[str, str], send: Send, at: datetime) -> tuple[int, str]:
    named = said.get("escalation", "")
    if not ESCALATION_ID.fullmatch(named):
        return 400, f"<p>Not sent: {_NO_ALERT}</p>"
    try:
        record = feedback(named, said.get("action", ""), said.get("by", ""), said.get("tenant", ""), at)
        send(record)
    except msgspec.ValidationError as error:
        return 400, f"<p>Not sent: {escape(str(error))}</p>"
    except NotSentError as error:
        return 503, f"<p>Not sent, please try again: {escape(str(error))}</p>"
    return 200, f"<p>Marked as {record.action.replace('_', ' ')}. You can close this page.</p>"
