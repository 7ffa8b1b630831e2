"""Each dashboard survives Grafana's own types: grafana-foundation-sdk reads it and writes the same (Python 3.11)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins

from dashboards.boards import ALL
from dashboards.difference import changes
from dashboards.site import Site, for_site

with warnings.catch_warnings():  # it recommends the model that Grafana before 12 does not know
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.models.dashboard import Dashboard

Json = dict[str, Any]


def round_trip(board: Json) -> Json:
    """Read the JSON into the SDK's types and write it again."""
    register_default_plugins()
    back: Json = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(json.loads(json.dumps(board)))))
    return back


@pytest.mark.parametrize("make", ALL, ids=[make.__module__ for make in ALL])
def test_nothing_is_lost(make: Callable[[], Json]) -> None:
    page = for_site(make(), Site())
    assert changes(page, round_trip(page)) == []


def test_a_loss_would_be_seen() -> None:
    page = for_site(ALL[0](), Site())
    back = round_trip(page)
    back["panels"][0]["targets"][0]["rawSql"] = "SELECT 1"
    back["panels"][1]["options"].pop("graphMode")
    assert len([line for line in changes(page, back) if line.startswith("panels[")]) == 2
