"""All queries of all dashboards and alerts, each with what its consumer expects of the result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dashboards.alerts import rules
from dashboards.boards import ALL
from dashboards.common import DATA_SOURCE_UID
from dashboards.site import Site
from tests.dashboards.macros import Range, Variables, expand

Json = dict[str, Any]
HOURS = {"h": 3600, "d": 86400}


@dataclass(frozen=True)
class Query:
    """One query and who reads its result."""

    name: str
    """Dashboard and panel, variable or annotation; or the alert rule."""
    kind: str
    """Panel type, `variable`, `annotation` or `alert`."""
    sql: str
    board: str = ""
    seconds: int = 3600
    """Length of the time range that its page opens with, or of the panel's own."""
    interval: int = 60
    """Seconds of `$__interval` on that range."""
    shape: int = 1
    """0 time series, 1 table."""
    panel: Json | None = None

    def expanded(self, end: int, variables: Variables, plugin: str = "4") -> str:
        """The SQL as it reaches the engine."""
        try:
            return expand(self.sql, Range(end - self.seconds, end, self.interval), variables, plugin)
        except (KeyError, ValueError) as error:
            raise AssertionError(f"{self.name}: cannot be expanded: {error}") from error


def all_queries() -> list[Query]:
    """Every query in the project, dashboards first."""
    found = [query for board in ALL for query in board_queries(board())]
    return found + [query for rule in rules(Site()) for query in _rule(rule)]


def board_queries(board: Json) -> Iterator[Query]:
    """Queries of one dashboard."""
    seconds = _seconds(board["time"]["from"].removeprefix("now-"))
    title = board["title"].removeprefix("Undertone: ")
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            shown = _seconds(panel["timeFrom"]) if "timeFrom" in panel else seconds
            least = _seconds(panel.get("interval", "1s"))
            yield Query(
                f"{title} / {panel['title']} (panel {panel['id']})",
                panel["type"],
                target["rawSql"],
                board["uid"],
                shown,
                max(least, shown // 1000),
                target["format"],
                panel,
            )
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            name = f"{title} / variable {variable['name']}"
            yield Query(name, "variable", variable["query"]["rawSql"], board["uid"], seconds)
    for annotation in board["annotations"]["list"]:
        if "target" in annotation:
            name = f"{title} / annotation {annotation['name']}"
            yield Query(name, "annotation", annotation["target"]["rawSql"], board["uid"], seconds)


def _rule(rule: Json) -> Iterator[Query]:
    for part in rule["data"]:
        if part["datasourceUid"] == DATA_SOURCE_UID:
            seconds = part["relativeTimeRange"]["from"]
            yield Query(f"alert {rule['title']}", "alert", part["model"]["rawSql"], seconds=seconds)


def _seconds(text: str) -> int:
    units = {"s": 1, "m": 60, **HOURS}
    return int(text[:-1]) * units[text[-1]]
