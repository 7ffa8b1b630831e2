"""A server that answers like Grafana's HTTP API: it enforces the published shape of each request that we send.

It keeps what it is sent in memory, and can be told to misbehave once on a path (`fault`). What it accepts and how it
refuses follows Grafana's API reference; where 9.3 differs from later versions, `version` decides.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
UID = re.compile(r"^[A-Za-z0-9_\-]{1,40}$")
DURATION = re.compile(r"^\d+(ms|s|m|h|d)$")


class Refused(Exception):
    """A request that Grafana would not take."""

    def __init__(self, code: int, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = code
        self.body = {"message": message, **more}


@dataclass(frozen=True)
class Fault:
    """What to answer once instead: a status with a body and headers, after a delay in seconds."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0


@dataclass
class Grafana:
    """State of the server."""

    token: str = "secret-token"
    version: str = "12.2"
    organisation: int = 1
    """Of the token; rules belong to it, whatever organisation a request names."""
    store_healthy: bool = True
    folders: dict[str, Json] = field(default_factory=dict)
    sources: dict[str, Json] = field(default_factory=dict)
    dashboards: dict[str, Json] = field(default_factory=dict)
    groups: dict[tuple[str, str], Json] = field(default_factory=dict)
    contact_points: dict[str, Json] = field(default_factory=dict)
    mute_timings: dict[str, Json] = field(default_factory=dict)
    passwords: list[str] = field(default_factory=list)
    """Passwords of the data source that were sent; Grafana gives none back."""
    policy: Json = field(default_factory=lambda: {"receiver": "grafana-default-email"})
    writes: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    faults: dict[str, Fault] = field(default_factory=dict)
    url: str = ""

    def fault(self, request: str, fault: Fault) -> None:
        """Answer the next `"METHOD /path"` with the fault."""
        self.faults[request] = fault


def require(condition: object, message: str, status: int = 400) -> None:
    """Refuse the request unless the condition holds."""
    if not condition:
        raise Refused(status, message)


Route = Callable[[Grafana, "re.Match[str]", Any], tuple[int, Any]]
ROUTES: list[tuple[str, re.Pattern[str], Route]] = []


def route(method: str, pattern: str) -> Callable[[Route], Route]:
    """Register the function that answers a path."""

    def register(function: Route) -> Route:
        ROUTES.append((method, re.compile(f"^/api{pattern}$"), function))
        return function

    return register


@route("GET", r"/folders/([^/]+)")
def get_folder(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    require(path[1] in grafana.folders, "folder not found", 404)
    return 200, grafana.folders[path[1]]


@route("POST", r"/folders")
def create_folder(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    require(isinstance(body.get("title"), str) and body["title"], "folder title cannot be empty")
    require(UID.match(body.get("uid", "x")), "uid contains illegal characters")
    require(body["uid"] not in grafana.folders, "a folder with the same uid already exists", 409)
    grafana.folders[body["uid"]] = {"id": len(grafana.folders) + 1, **body, "version": 1}
    return 200, grafana.folders[body["uid"]]


@route("PUT", r"/folders/([^/]+)")
def update_folder(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    folder = get_folder(grafana, path, None)[1]
    if not body.get("overwrite") and body.get("version") != folder["version"]:
        raise Refused(412, "the folder has been changed by someone else", status="version-mismatch")
    folder.update(title=body["title"], version=folder["version"] + 1)
    return 200, folder


def check_source(body: Json) -> None:
    for name in ("name", "type", "access"):
        require(isinstance(body.get(name), str) and body[name], f"{name} is required")
    require(isinstance(body.get("jsonData", {}), dict), "jsonData must be an object")
    require(isinstance(body.get("secureJsonData", {}), dict), "secureJsonData must be an object")


def stored_source(body: Json, before: Json) -> Json:
    kept = {key: value for key, value in body.items() if key != "secureJsonData"}
    fields = {**before.get("secureJsonFields", {}), **dict.fromkeys(body.get("secureJsonData", {}), True)}
    return {**kept, "id": 1, "orgId": 1, "readOnly": False, "secureJsonFields": fields}


@route("GET", r"/datasources/uid/([^/]+)")
def get_source(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    require(path[1] in grafana.sources, "Data source not found", 404)
    return 200, grafana.sources[path[1]]


@route("POST", r"/datasources")
def create_source(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    check_source(body)
    taken = [source["name"] for source in grafana.sources.values()]
    require(body["name"] not in taken, "data source with the same name already exists", 409)
    grafana.sources[body["uid"]] = stored_source(body, {})
    grafana.passwords += list(body.get("secureJsonData", {}).values())
    return 200, {
        "datasource": grafana.sources[body["uid"]],
        "id": 1,
        "message": "Datasource added",
        "name": body["name"],
    }


@route("PUT", r"/datasources/uid/([^/]+)")
def update_source(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    before = get_source(grafana, path, None)[1]
    require(not before["readOnly"], "cannot update read-only data source", 403)
    check_source(body)
    grafana.sources[path[1]] = stored_source(body, before)
    grafana.passwords += list(body.get("secureJsonData", {}).values())
    return 200, {"datasource": grafana.sources[path[1]], "message": "Datasource updated"}


@route("GET", r"/datasources/uid/([^/]+)/health")
def health(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    get_source(grafana, path, None)
    require(grafana.store_healthy, "connection refused")
    return 200, {"status": "OK", "message": "Data source is working"}


@route("GET", r"/dashboards/uid/([^/]+)")
def get_dashboard(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    require(path[1] in grafana.dashboards, "Dashboard not found", 404)
    return 200, grafana.dashboards[path[1]]


def check_dashboard(board: Json) -> None:
    require(isinstance(board.get("title"), str) and board["title"], "Dashboard title cannot be empty")
    require(UID.match(board.get("uid") or "x"), "uid contains illegal characters")
    require(isinstance(board.get("panels"), list), "panels must be a list")
    ids = [panel["id"] for panel in board["panels"]]
    require(len(ids) == len(set(ids)), "two panels have one id")
    require(isinstance(board.get("refresh", ""), str), "refresh must be a string")
    seconds = re.match(r"^(\d+)s$", board.get("refresh", ""))
    require(seconds is None or int(seconds[1]) >= 5, "Dashboard refresh interval is too low")


@route("POST", r"/dashboards/db")
def save_dashboard(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    board = body.get("dashboard")
    require(isinstance(board, dict), "dashboard is required")
    check_dashboard(board)
    folder = body.get("folderUid", "")
    require(not folder or folder in grafana.folders, "folder not found", 400)
    before = grafana.dashboards.get(board["uid"], {"dashboard": {"version": 0}, "meta": {}})
    require(not before["meta"].get("provisioned"), "Cannot save provisioned dashboard")
    if not body.get("overwrite") and board.get("version", 0) != before["dashboard"]["version"]:
        raise Refused(412, "The dashboard has been changed by someone else", status="version-mismatch")
    version = before["dashboard"]["version"] + 1
    stored = {**board, "id": 7, "version": version}
    grafana.dashboards[board["uid"]] = {"dashboard": stored, "meta": {"folderUid": folder, "provisioned": False}}
    return 200, {"id": 7, "uid": board["uid"], "url": f"/d/{board['uid']}", "status": "success", "version": version}


GROUP = r"/v1/provisioning/folder/([^/]+)/rule-groups/([^/]+)"


@route("GET", GROUP)
def get_group(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    found = grafana.groups.get((path[1], path[2]))
    require(found is not None, "rule group does not exist", 500 if grafana.version.startswith("9") else 404)
    return 200, found


@route("PUT", GROUP)
def put_group(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    require(path[1] in grafana.folders, "folder does not exist", 400)
    require(isinstance(body.get("interval"), int) and body["interval"] % 10 == 0, "interval: a multiple of 10 seconds")
    for rule in body.get("rules", []):
        check_rule(grafana, rule)
    ours: Json = {"orgID": grafana.organisation, "provenance": "api"}
    rules = [{"id": index, **rule, **ours} for index, rule in enumerate(body.get("rules", []))]
    grafana.groups[path[1], path[2]] = {**body, "rules": rules}
    return 200, grafana.groups[path[1], path[2]]


def check_rule(grafana: Grafana, rule: Json) -> None:
    for name in ("uid", "title", "condition", "folderUID", "ruleGroup", "for", "noDataState", "execErrState"):
        require(isinstance(rule.get(name), str) and rule[name], f"invalid alert rule: {name}")
    require(UID.match(rule["uid"]), "invalid alert rule: uid")
    require(isinstance(rule.get("orgID"), int), "invalid alert rule: orgID")
    require(DURATION.match(rule["for"]), "invalid alert rule: for")
    require(rule["noDataState"] in {"OK", "NoData", "Alerting", "KeepLast"}, "unknown NoData state option")
    require(rule["execErrState"] in {"OK", "Error", "Alerting", "KeepLast"}, "unknown Error state option")
    for name in ("labels", "annotations"):
        require(all(isinstance(text, str) for text in rule.get(name, {}).values()), f"invalid alert rule: {name}")
    notes = rule.get("annotations", {})
    require(
        ("__panelId__" in notes) == ("__dashboardUid__" in notes), "both __dashboardUid__ and __panelId__, or neither"
    )
    require(rule["condition"] in [query["refId"] for query in rule["data"]], "condition does not exist")
    for query in rule["data"]:
        check_query(grafana, query)


def check_query(grafana: Grafana, query: Json) -> None:
    span = query["relativeTimeRange"]
    require(isinstance(span["from"], int) and isinstance(span["to"], int), "relativeTimeRange: seconds as numbers")
    require(isinstance(query["model"], dict), "model must be an object")
    source = query["datasourceUid"]
    require(source == "__expr__" or source in grafana.sources, f"data source {source} not found")
    if source != "__expr__":
        require(span["from"] > span["to"], "invalid relative time range")
        require(isinstance(query["model"].get("format"), int), "format must be a number")


@route("GET", r"/v1/provisioning/contact-points")
def list_contact_points(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    return 200, list(grafana.contact_points.values())


@route("POST", r"/v1/provisioning/contact-points")
def create_contact_point(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    check_contact_point(body)
    require(body["uid"] not in grafana.contact_points, "receiver configuration with UID exists", 409)
    grafana.contact_points[body["uid"]] = {**body, "provenance": "api"}
    return 202, grafana.contact_points[body["uid"]]


@route("PUT", r"/v1/provisioning/contact-points/([^/]+)")
def update_contact_point(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    check_contact_point(body)
    check_provenance(grafana.contact_points.get(path[1], {}))
    grafana.contact_points[path[1]] = {**body, "provenance": "api"}
    return 202, {"message": "contactpoint updated"}


def check_provenance(stored: Json) -> None:
    require(stored.get("provenance") != "file", "cannot change provenance from 'file' to 'api'", 403)


def check_contact_point(body: Json) -> None:
    require(isinstance(body.get("name"), str) and isinstance(body.get("type"), str), "name and type are required")
    require(body["type"] != "webhook" or body.get("settings", {}).get("url"), "required field 'url' is not specified")


@route("GET", r"/v1/provisioning/mute-timings/([^/]+)")
def get_mute_timing(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    require(path[1] in grafana.mute_timings, "mute timing not found", 404)
    return 200, grafana.mute_timings[path[1]]


@route("POST", r"/v1/provisioning/mute-timings")
def create_mute_timing(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    require(isinstance(body.get("time_intervals"), list), "time_intervals is required")
    grafana.mute_timings[body["name"]] = body
    return 201, body


@route("PUT", r"/v1/provisioning/mute-timings/([^/]+)")
def update_mute_timing(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    check_provenance(get_mute_timing(grafana, path, None)[1])
    require(isinstance(body.get("time_intervals"), list), "time_intervals is required")
    grafana.mute_timings[path[1]] = body
    return 202, body


@route("GET", r"/v1/provisioning/policies")
def get_policy(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    return 200, grafana.policy


@route("PUT", r"/v1/provisioning/policies")
def put_policy(grafana: Grafana, path: re.Match[str], body: Any) -> tuple[int, Any]:
    names = {point["name"] for point in grafana.contact_points.values()}
    for node in [body, *body.get("routes", [])]:
        require(node.get("receiver") in names, f"receiver {node.get('receiver')} does not exist")
        for name in node.get("mute_time_intervals", []):
            require(name in grafana.mute_timings, f"mute time interval {name} does not exist")
    check_provenance(grafana.policy)
    grafana.policy = body
    return 202, {"message": "policies updated"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    grafana: Grafana

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        path = self.path.split("?")[0]
        self.grafana.headers.append(dict(self.headers.items()))
        fault = self.grafana.faults.pop(f"{self.command} {path}", None)
        if fault is not None:
            time.sleep(fault.delay)
            self._send(fault.status, fault.body, fault.headers)
            return
        try:
            status, body = self._route(path, json.loads(raw) if raw else {})
        except Refused as refused:
            status, body = refused.status, refused.body
        self._send(status, json.dumps(body).encode())

    def _route(self, path: str, body: Any) -> tuple[int, Any]:
        if self.headers.get("Authorization") != f"Bearer {self.grafana.token}":
            raise Refused(401, "Invalid API key")
        for method, pattern, function in ROUTES:
            matched = pattern.match(path)
            if method == self.command and matched:
                answer = function(self.grafana, matched, body)
                if method != "GET":
                    self.grafana.writes.append(f"{method} {path}")
                return answer
        raise Refused(404, "Not found")

    def _send(self, status: int, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _answer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Stay quiet."""


@contextmanager
def serve(grafana: Grafana) -> Iterator[Grafana]:
    """Serve on a free loopback port until the block ends."""
    handler = type("Handler", (_Handler,), {"grafana": grafana})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    grafana.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield grafana
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
