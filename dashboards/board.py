"""Make a dashboard from panels: variables, annotations, links, time range, and the position of each panel."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.common import BAD, DATA_SOURCE, Json, target, tidy

COLUMNS = 24
"""Width of Grafana's grid."""
WALL_ROWS = 23
"""Grid rows that a 1080-pixel screen shows with Grafana's bars: (1080 - 136) / 38 pixels, less a margin."""
TAG = "undertone"

Placed = tuple[Json, int]
"""A panel and its width in grid columns."""


def place(panel: Json, x: int, y: int, width: int, height: int) -> Json:
    """Set the position and size of a panel in the grid."""
    return {**panel, "gridPos": {"x": x, "y": y, "w": width, "h": height}}


def bands(*rows: tuple[int, Sequence[Placed]]) -> list[Json]:
    """Lay panels out in bands from top to bottom; the panels of a band have one height, from left to right.

    >>> [panel["gridPos"]["y"] for panel in bands((4, [({}, 12), ({}, 12)]), (6, [({}, 24)]))]
    [0, 0, 4]
    """
    placed: list[Json] = []
    top = 0
    for height, row in rows:
        x = 0
        for panel, width in row:
            placed.append(place(panel, x, top, width, height))
            x += width
        top += height
    return placed


def dashboard(
    uid: str,
    title: str,
    description: str,
    panels: Sequence[Json],
    *,
    since: str,
    refresh: str,
    variables: Sequence[Json] = (),
    annotations: Sequence[Json] = (),
    tags: Sequence[str] = (),
) -> Json:
    """The whole page in Grafana's classic model (schema 39), which Grafana 9.3 to 13 load."""
    return {
        "id": None,
        "uid": uid,
        "title": title,
        "description": description,
        "tags": [TAG, *tags],
        "timezone": "browser",
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "fiscalYearStartMonth": 0,
        "time": {"from": since, "to": "now"},
        "timepicker": {"refresh_intervals": ["10s", "30s", "1m", "5m", "15m"]},
        "refresh": refresh,
        "weekStart": "",
        "liveNow": False,
        "links": [_dashboards_link()],
        "templating": {"list": list(variables)},
        "annotations": {"list": [_own_annotations(), *annotations]},
        "panels": list(panels),
    }


def pick(name: str, label: str, sql: str, *, several: bool = True) -> Json:
    """A variable whose choices come from the database; "All" is chosen at first."""
    query = {"refId": name, "queryType": "sql", "editorType": "sql", "rawSql": tidy(sql)}
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATA_SOURCE,
        "query": query,
        "definition": query["rawSql"],
        "refresh": 1,
        "sort": 1,
        "hide": 0,
        "multi": several,
        "includeAll": True,
        "allValue": None,
        "regex": "",
        "skipUrlSync": False,
        "options": [],
        "current": {
            "selected": True,
            "text": ["All"] if several else "All",
            "value": ["$__all"] if several else "$__all",
        },
    }


def typed(name: str, label: str, default: str, description: str) -> Json:
    """A variable with a text box to type in."""
    chosen = {"selected": True, "text": default, "value": default}
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "textbox",
        "query": default,
        "hide": 0,
        "skipUrlSync": False,
        "options": [chosen],
        "current": chosen,
    }


def tenant() -> Json:
    """Variable to choose organisations; its query reads only the last 7 days, so that it costs little."""
    return pick(
        "tenant",
        "Organisation",
        "SELECT DISTINCT tenant FROM undertone.rollup_1m WHERE minute > now() - INTERVAL 7 DAY ORDER BY tenant",
    )


def queue() -> Json:
    """Variable to choose queues."""
    return pick(
        "queue",
        "Queue",
        "SELECT DISTINCT queue FROM undertone.rollup_1m WHERE minute > now() - INTERVAL 7 DAY ORDER BY queue",
    )


def channel() -> Json:
    """Variable to choose channels."""
    return pick(
        "channel",
        "Channel",
        "SELECT DISTINCT channel FROM undertone.rollup_1m WHERE minute > now() - INTERVAL 7 DAY ORDER BY channel",
    )


def annotation(name: str, sql: str, colour: str = BAD) -> Json:
    """Events drawn across the page's graphs: columns time, timeEnd, title, text, tags, id."""
    return {
        "name": name,
        "datasource": DATA_SOURCE,
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "target": target(sql, "table", "annotation"),
    }


def _own_annotations() -> Json:
    return {
        "name": "Annotations & Alerts",
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "type": "dashboard",
    }


def _dashboards_link() -> Json:
    return {
        "title": "Undertone",
        "type": "dashboards",
        "tags": [TAG],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }
