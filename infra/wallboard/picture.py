"""Save the wall as an SVG picture, for pages and reports."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console

from infra.wallboard.render import render
from infra.wallboard.snapshot import Snapshot

_WEB_FONT = re.compile(r"@font-face\s*\{[^}]*\}\s*")
"""Removed, because the picture must not load anything from the web; every machine has a monospace font."""


def save_picture(shot: Snapshot, path: Path, width: int = 132, height: int = 40) -> None:
    """Draw the wall as a terminal of `width` columns and about `height` lines would show it."""
    console = Console(
        record=True, file=io.StringIO(), width=width, height=height, force_terminal=True, color_system="truecolor"
    )
    console.print(render(shot, width, height))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_WEB_FONT.sub("", console.export_svg(title="Undertone", unique_id="wall")), encoding="utf-8")
