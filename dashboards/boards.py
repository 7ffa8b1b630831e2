"""All dashboards, in the order in which they are listed."""

from __future__ import annotations

from collections.abc import Callable

from dashboards import after, escalations, journey, pipeline, wallboard
from dashboards.common import Json

ALL: tuple[Callable[[], Json], ...] = (
    wallboard.board,
    journey.board,
    escalations.board,
    after.board,
    pipeline.board,
)
