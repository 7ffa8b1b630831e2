"""What differs between sites: the Grafana version, the store's address, and where feedback is taken."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from dashboards.common import DATA_SOURCE_UID, FEEDBACK_URL, PLUGIN, Json

CONTENT_VARIABLE = "undertone_content"
"""Hidden variable of each dashboard that holds the hash of its content: every Grafana version stores it unchanged."""


@dataclass(frozen=True)
class Site:
    """One Grafana and the ClickHouse behind it."""

    grafana: str = "12.2"
    """Version of Grafana: 9.3 to 13."""
    host: str = "clickhouse"
    port: int = 8123
    user: str = "grafana"
    secure: bool = False
    """True: ClickHouse speaks TLS."""
    feedback_url: str = ""
    """Address of the page that takes a supervisor's answer to an alert; if empty, dashboards have no links to it."""

    def __post_init__(self) -> None:
        """Raise `ValueError` if the version is not supported."""
        _ = self.version

    @property
    def plugin(self) -> str:
        """Newest version of the ClickHouse plugin that this Grafana supports.

        >>> [Site(grafana=version).plugin for version in ("9.3", "10.4", "11.5", "11.6", "13")]
        ['3.3.0', '4.14.1', '4.14.1', '4.20.0', '4.20.0']
        """
        version = self.version
        if version < (9, 5):
            return "3.3.0"
        return "4.14.1" if version < (11, 6) else "4.20.0"

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor number.

        Raises:
            ValueError: for a version that is not supported.
        """
        major, _, rest = self.grafana.partition(".")
        minor = rest.split(".")[0] or "0"
        if not (major.isdigit() and minor.isdigit()):
            raise ValueError(f"{self.grafana!r} is not a version of Grafana; write it like 12.2")
        found = (int(major), int(minor))
        if not (9, 3) <= found < (14, 0):
            raise ValueError(f"Grafana {self.grafana} is not supported: 9.3 to 13 are")
        return found


def for_site(board: Json, site: Site) -> Json:
    """Fit a dashboard to a site: set the query format of its plugin, the feedback links, and the hash of the result."""
    fitted: Json = _fit(board, site)
    if site.version < (10, 0):
        fitted["schemaVersion"] = 37
    fitted["templating"]["list"].append(_content_variable(content_hash(fitted)))
    return fitted


def content_hash(board: Json) -> str:
    """First 16 hex digits of the SHA-256 of the canonical JSON.

    >>> content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})
    True
    """
    return hashlib.sha256(json.dumps(board, sort_keys=True).encode()).hexdigest()[:16]


def published_hash(board: Json) -> str:
    """Content hash that a dashboard carries; empty when it was not made by us."""
    for variable in board.get("templating", {}).get("list", []):
        if variable.get("name") == CONTENT_VARIABLE:
            return str(variable.get("query", ""))
    return ""


def data_source(site: Site) -> Json:
    """The data source as JSON of the API, without its password; provisioning files add that and `editable`."""
    old = site.plugin == "3.3.0"
    settings: Json = {
        "version": site.plugin,
        "server" if old else "host": site.host,
        "port": site.port,
        "protocol": "http",
        "secure": site.secure,
        "username": site.user,
        "defaultDatabase": "undertone",
        "timeout" if old else "dialTimeout": "10",
        "queryTimeout": "30",
    }
    return {
        "uid": DATA_SOURCE_UID,
        "name": "Undertone",
        "type": PLUGIN,
        "access": "proxy",
        "isDefault": False,
        "jsonData": settings,
    }


def _fit(value: Any, site: Site) -> Any:
    if isinstance(value, dict):
        if "rawSql" in value and "format" in value:
            return fit_target(value, site)
        fitted = {key: _fit(item, site) for key, item in value.items()}
        if "links" in fitted and isinstance(fitted["links"], list):
            fitted["links"] = _links(fitted["links"], site)
        if fitted.get("id") == "links" and isinstance(fitted.get("value"), list):
            fitted["value"] = _links(fitted["value"], site)
        return fitted
    if isinstance(value, list):
        return [_fit(item, site) for item in value]
    return value


def fit_target(query: Json, site: Site) -> Json:
    """Fit one query to the plugin: version 3 has other fields than version 4."""
    if site.plugin == "3.3.0":
        known = "refId", "rawSql", "format", "meta", "datasource"
        kept: Json = {key: query[key] for key in known if key in query}
        return {**kept, "queryType": "sql", "selectedFormat": query["format"]}
    return {**query, "pluginVersion": site.plugin}


def _links(links: list[Json], site: Site) -> list[Json]:
    """Put the site's feedback address into feedback links; leave these links out when the site has none."""
    kept: list[Json] = []
    for link in links:
        url = str(link.get("url", ""))
        if not url.startswith(FEEDBACK_URL):
            kept.append(link)
        elif site.feedback_url:
            kept.append({**link, "url": site.feedback_url + url[len(FEEDBACK_URL) :]})
    return kept


def _content_variable(value: str) -> Json:
    chosen = {"selected": True, "text": value, "value": value}
    return {
        "name": CONTENT_VARIABLE,
        "label": "",
        "type": "constant",
        "query": value,
        "hide": 2,
        "skipUrlSync": True,
        "options": [chosen],
        "current": chosen,
    }
