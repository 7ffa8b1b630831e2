"""Draw the layout of each dashboard from its JSON: the grid with each panel's title and kind, without data."""

from __future__ import annotations

import textwrap
from html import escape

from dashboards.board import COLUMNS
from dashboards.boards import ALL
from dashboards.common import Json

CELL_W, CELL_H, GAP = 40, 26, 4
HEAD = 46
KINDS: dict[str, str] = {
    "stat": "number",
    "timeseries": "graph over time",
    "table": "table",
    "state-timeline": "lanes over time",
    "barchart": "bars",
    "alertlist": "alarms",
}
_STYLE = (
    "text{font-family:system-ui,sans-serif;fill:#1f2933}.t{font-size:13px;font-weight:600}.k{font-size:11px;fill:#52606d}"
    ".h{font-size:20px;font-weight:700}.v{font-size:12px;fill:#52606d}"
)
FILLS: dict[str, str] = {
    "stat": "#d9edf9",
    "timeseries": "#e6f4ef",
    "table": "#f4f4f0",
    "state-timeline": "#fdf0d5",
    "barchart": "#f6e6f0",
    "alertlist": "#fbe5d9",
}


def drawing(board: Json) -> str:
    """SVG of one dashboard."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    width, height = COLUMNS * CELL_W + 2 * GAP, HEAD + rows * CELL_H + 2 * GAP
    variables = ", ".join(
        str(variable["label"])
        for variable in board["templating"]["list"]
        if variable.get("label") and not variable["hide"]
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'aria-labelledby="title desc">',
        f'<title id="title">{escape(board["title"])}</title>',
        f'<desc id="desc">{escape(_description(board))}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text class="h" x="{GAP * 2}" y="22">{escape(board["title"])}</text>',
        f'<text class="v" x="{GAP * 2}" y="39">choose: {escape(variables)}, time range</text>',
    ]
    parts += [_panel(panel) for panel in board["panels"]]
    return "\n".join([*parts, "</svg>"]) + "\n"


def drawings() -> dict[str, str]:
    """File name -> SVG, for all dashboards."""
    boards = [board() for board in ALL]
    return {f"{board['uid']}.svg": drawing(board) for board in boards}


def _panel(panel: Json) -> str:
    place = panel["gridPos"]
    x, y = place["x"] * CELL_W + GAP, HEAD + place["y"] * CELL_H + GAP
    width, height = place["w"] * CELL_W - GAP, place["h"] * CELL_H - GAP
    lines = textwrap.wrap(panel["title"], max(10, int((width - 16) / 8.6)))[:3]
    spans = "".join(
        f'<text class="t" x="{x + 8}" y="{y + 20 + 16 * index}">{escape(line)}</text>'
        for index, line in enumerate(lines)
    )
    kind = str(KINDS.get(panel["type"], panel["type"]))
    if panel["type"] == "stat" and "displayName" in panel["fieldConfig"]["defaults"]:
        kind = f"{kind}, {panel['fieldConfig']['defaults']['displayName']}"
    below = y + 20 + 16 * len(lines)
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4" fill="{FILLS.get(panel["type"], "#eeeeee")}" '
        f'stroke="#9aa5b1"/>{spans}<text class="k" x="{x + 8}" y="{below}">{escape(kind)}</text>'
    )


def _description(board: Json) -> str:
    return "; ".join(f"{panel['title']} ({KINDS.get(panel['type'], panel['type'])})" for panel in board["panels"])
