"""The panel types in use, each with defaults that suit every dashboard.

A panel is Grafana's JSON without a position, which `dashboards.board` adds. Ids are given by hand and never reused,
because alerts and shared links refer to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from dashboards.common import BAD, DATA_SOURCE, GOOD, MUTED, Json, Steps, empty_map, target, thresholds

_PLAIN: Steps = ((None, GOOD),)
NOTHING = "nothing in this time range"
_BLANK: Json = {"matcher": {"id": "byRegexp", "options": "/.*/"}, "properties": [{"id": "noValue", "value": "-"}]}
"""Shows "-" for a single missing value; `noValue` of the panel is the sentence for a panel without any values."""
_GAP: Json = {"matcher": {"id": "byRegexp", "options": "/.*/"}, "properties": [{"id": "noValue", "value": ""}]}
"""The same for lanes, with an empty text: a gap is visible anyway, and the legend would list any other text."""
LEAST_WIDTH = 90
"""Least pixels of a column without a width of its own: Grafana's default, 150, makes tables wider than their panels."""


def stat(
    id: int,  # noqa: A002 - Grafana's word
    title: str,
    description: str,
    sql: str,
    *,
    unit: str = "short",
    steps: Steps = _PLAIN,
    decimals: int | None = None,
    sparkline: bool = False,
    empty: str = "none",
    links: Sequence[Json] = (),
    colour: Literal["background", "value", "none"] = "background",
    beside: str = "",
) -> Json:
    """One big number. With `sparkline` the query returns a time series, otherwise one row.

    `beside` is text next to the number that is large enough to be read from afar; a panel's title is not. With it, the
    panel must be 5 rows high, and `empty` short.
    """
    defaults: Json = {
        "unit": unit,
        "color": {"mode": "thresholds"},
        "mappings": [empty_map(empty)],
        "thresholds": thresholds(steps),
        "noValue": empty,
        "links": list(links),
    }
    if decimals is not None:
        defaults["decimals"] = decimals
    if beside:
        defaults["displayName"] = beside
    options: Json = {
        # When the present sample is too small, "lastNotNull" would show an old value as if it were the present one.
        "reduceOptions": {"calcs": ["last"], "fields": "", "values": False},
        "colorMode": colour,
        "graphMode": "area" if sparkline else "none",
        "textMode": "value_and_name" if beside else "value",
        "justifyMode": "center",
        "orientation": "auto",
    }
    if beside:
        options["text"] = {"titleSize": 22, "valueSize": 48}
    shape: Literal["timeseries", "table"] = "timeseries" if sparkline else "table"
    return _panel(id, "stat", title, description, [target(sql, shape)], defaults, options, interval="1m")


def lines(
    id: int,  # noqa: A002
    title: str,
    description: str,
    sql: str,
    *,
    unit: str = "short",
    interval: str = "1m",
    steps: Steps | None = None,
    limits: tuple[float | None, float | None] = (None, None),
    style: Literal["line", "points", "bars", "stacked"] = "line",
    overrides: Sequence[Json] = (),
    links: Sequence[Json] = (),
    name: str | None = None,
    last: str | None = None,
    empty: str = NOTHING,
) -> Json:
    """Values over time; thresholds are horizontal lines. One query only, so that series keep their plain names.

    With `last` ("28d") the panel has a range of its own that ends now, unless the page's range has fixed ends.
    """
    custom: Json = {
        "drawStyle": {"line": "line", "points": "points", "bars": "bars", "stacked": "bars"}[style],
        "lineWidth": 2,
        "fillOpacity": 80 if style in {"bars", "stacked"} else 8,
        "pointSize": 7,
        "showPoints": "always" if style == "points" else "auto",
        "spanNulls": False,
        "stacking": {"mode": "normal" if style == "stacked" else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if steps else "off"},
        "axisSoftMin": 0,
    }
    defaults: Json = {
        "unit": unit,
        "color": {"mode": "palette-classic"},
        "custom": custom,
        "mappings": [],
        "thresholds": thresholds(steps or _PLAIN),
        "links": list(links),
        "noValue": empty,
    }
    for end, limit in zip(("min", "max"), limits, strict=True):
        if limit is not None:
            defaults[end] = limit
    if name is not None:
        defaults["displayName"] = name
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    made = _panel(
        id,
        "timeseries",
        title,
        description,
        [target(sql, "timeseries")],
        defaults,
        options,
        (_BLANK, *overrides),
        interval,
    )
    return {**made, "timeFrom": last} if last else made


def table(
    id: int,  # noqa: A002
    title: str,
    description: str,
    sql: str,
    *,
    columns: Sequence[Json] = (),
    links: Sequence[Json] = (),
    totals: Sequence[str] = (),
    empty: str = NOTHING,
) -> Json:
    """Rows as they come from the query; `columns` are made by `column`; `totals` are the columns to sum up below."""
    defaults: Json = {
        "color": {"mode": "thresholds"},
        "custom": {
            "align": "auto",
            "filterable": False,
            "minWidth": LEAST_WIDTH,
            "cellOptions": {"type": "auto"},
            "displayMode": "auto",
        },
        "mappings": [],
        "thresholds": thresholds(((None, "text"),)),
        "links": list(links),
        "noValue": empty,
    }
    options = {
        "showHeader": True,
        "cellHeight": "sm",
        "footer": {"show": bool(totals), "reducer": ["sum"], "countRows": False, "fields": list(totals)},
    }
    return _panel(id, "table", title, description, [target(sql, "table")], defaults, options, (_BLANK, *columns))


def column(
    name: str,
    *,
    unit: str | None = None,
    width: int | None = None,
    steps: Steps | None = None,
    mappings: Sequence[Json] = (),
    links: Sequence[Json] | None = None,
    hidden: bool = False,
    decimals: int | None = None,
    wrap: bool = False,
) -> Json:
    """How one column of a table looks; with thresholds or mappings its cells take their colours."""
    properties: list[Json] = []
    for key, value in (("unit", unit), ("decimals", decimals), ("custom.width", width)):
        if value is not None:
            properties.append({"id": key, "value": value})
    if hidden:
        properties.append({"id": "custom.hidden", "value": True})
    if steps:  # a missing value would take the colour of the first step, which may be the worst
        mappings = [*mappings, empty_map("-", "transparent")]
    if mappings:
        properties.append({"id": "mappings", "value": list(mappings)})
    if steps:
        properties += [
            {"id": "thresholds", "value": thresholds(steps)},
            {"id": "color", "value": {"mode": "thresholds"}},
        ]
    if steps or mappings:  # cellOptions for Grafana 10 and later, displayMode for 9.3: each ignores the other
        properties.append({"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}})
        properties.append({"id": "custom.displayMode", "value": "color-background-solid"})
    elif wrap:
        properties.append({"id": "custom.cellOptions", "value": {"type": "auto", "wrapText": True}})
    if links is not None:
        properties.append({"id": "links", "value": list(links)})
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def series(name: str, **properties: object) -> Json:
    """Look of one series of a graph, by its name: `series("p99", colour="#D55E00", custom_lineWidth=3)`.

    >>> series("p99", colour="#D55E00")["properties"]
    [{'id': 'color', 'value': {'fixedColor': '#D55E00', 'mode': 'fixed'}}]
    """
    written: list[Json] = []
    for key, value in properties.items():
        if key == "colour":
            written.append({"id": "color", "value": {"fixedColor": value, "mode": "fixed"}})
        else:
            written.append({"id": key.replace("_", ".", 1), "value": value})
    return {"matcher": {"id": "byName", "options": name}, "properties": written}


def states(
    id: int,  # noqa: A002
    title: str,
    description: str,
    sql: str,
    mapping: Json,
    *,
    interval: str = "1m",
    links: Sequence[Json] = (),
    name: str | None = None,
    show: Literal["auto", "always", "never"] = "auto",
    empty: str = NOTHING,
) -> Json:
    """Lanes of states over time. The query returns numbers; `mapping` gives each its text and colour.

    The panel's colour is fixed and shows only where the mapping has none. With thresholds instead, Grafana would
    replace each value by its threshold before it merges equal values, and would not use the mapping.
    """
    defaults: Json = {
        "color": {"mode": "fixed", "fixedColor": MUTED},
        "custom": {"fillOpacity": 90, "lineWidth": 0, "spanNulls": False},
        "mappings": [mapping],
        "links": list(links),
        "noValue": empty,
    }
    if name is not None:
        defaults["displayName"] = name
    options = {
        "mergeValues": True,
        "showValue": show,
        "alignValue": "center",
        "rowHeight": 0.85,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return _panel(
        id, "state-timeline", title, description, [target(sql, "timeseries")], defaults, options, (_GAP,), interval
    )


def bars(
    id: int,  # noqa: A002
    title: str,
    description: str,
    sql: str,
    *,
    unit: str = "short",
    steps: Steps = _PLAIN,
    stacked: bool = False,
    horizontal: bool = True,
    overrides: Sequence[Json] = (),
    limits: tuple[float | None, float | None] = (None, None),
    empty: str = NOTHING,
) -> Json:
    """One bar for each row: the first column is text, every other column a number.

    If there are several numbers, `overrides` give each a colour, and a legend is shown.
    """
    custom: Json = {"fillOpacity": 85, "lineWidth": 0}
    if not stacked and not overrides:  # without it Grafana 10 and older give all bars one colour
        custom["gradientMode"] = "scheme"
    defaults: Json = {
        "unit": unit,
        "color": {"mode": "palette-classic" if stacked else "thresholds"},
        "custom": custom,
        "mappings": [],
        "thresholds": thresholds(steps),
        "noValue": empty,
    }
    for end, limit in zip(("min", "max"), limits, strict=True):
        if limit is not None:
            defaults[end] = limit
    options = {
        "orientation": "horizontal" if horizontal else "vertical",
        "stacking": "normal" if stacked else "none",
        "showValue": "auto",
        "barWidth": 0.8,
        "groupWidth": 0.8,
        "xTickLabelRotation": 0,
        "xTickLabelSpacing": 0,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": bool(overrides), "calcs": []},
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    return _panel(id, "barchart", title, description, [target(sql, "table")], defaults, options, (_BLANK, *overrides))


def alerts(id: int, title: str, description: str, labels: Mapping[str, str]) -> Json:  # noqa: A002
    """Number of alert rules with these labels that fire or are pending, with a link to the rules.

    Grafana counts rules by their own state, in which a rule without data, or one that fails, is normal unless the rule
    says that it then fires (`no_data` and `error` in `dashboards.alerts`). In a list, each would be 70 pixels high, and
    nobody scrolls a wall. Only Grafana 13 and later show the colours.
    """
    matchers = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    options = {
        "viewMode": "stat",
        "statColorMode": "background",
        "statThresholds": thresholds(((None, GOOD), (1, BAD))),
        "groupMode": "default",
        "groupBy": [],
        "maxItems": 8,
        "sortOrder": 3,  # firing before pending
        "dashboardAlerts": False,
        "alertName": "",
        "alertInstanceLabelFilter": f"{{{matchers}}}",
        "stateFilter": {"firing": True, "pending": True, "noData": True, "error": True, "normal": False},
    }
    return {
        "id": id,
        "type": "alertlist",
        "title": title,
        "description": description,
        "links": [{"title": "Which ones", "url": "/alerting/list", "targetBlank": False}],
        "options": options,
    }


def _panel(
    id: int,  # noqa: A002
    kind: str,
    title: str,
    description: str,
    targets: Sequence[Json],
    defaults: Json,
    options: Json,
    overrides: Sequence[Json] = (),
    interval: str | None = None,
) -> Json:
    made: Json = {
        "id": id,
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATA_SOURCE,
        "targets": list(targets),
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options,
    }
    if interval:
        made["interval"] = interval
    return made
