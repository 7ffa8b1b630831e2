"""The pictures of the layout show every panel once, inside the picture, and nothing else."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dashboards.boards import ALL
from dashboards.common import Json
from dashboards.layout import drawing

SVG = "{http://www.w3.org/2000/svg}"
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("make", ALL, ids=[make.__module__ for make in ALL])
def test_every_panel_is_drawn_inside_the_picture(make: Callable[[], Json]) -> None:
    board = make()
    picture = ET.fromstring(drawing(board))
    width, height = (float(number) for number in picture.attrib["viewBox"].split()[2:])
    rectangles = [rect for rect in picture.iter(f"{SVG}rect") if "x" in rect.attrib]
    assert len(rectangles) == len(board["panels"])
    for rect in rectangles:
        assert float(rect.attrib["x"]) + float(rect.attrib["width"]) <= width
        assert float(rect.attrib["y"]) + float(rect.attrib["height"]) <= height
    words = " ".join("".join(text.itertext()) for text in picture.iter(f"{SVG}text"))
    for panel in board["panels"]:
        first = panel["title"].split()[0]
        assert first in words, panel["title"]
    description = picture.find(f"{SVG}desc")
    assert description is not None
    assert description.text


@pytest.mark.parametrize("make", ALL, ids=[make.__module__ for make in ALL])
def test_titles_fit_their_boxes(make: Callable[[], Json]) -> None:
    picture = ET.fromstring(drawing(make()))
    bottom = 0.0
    for element in picture.iter():
        if element.tag == f"{SVG}rect" and "x" in element.attrib:
            bottom = float(element.attrib["y"]) + float(element.attrib["height"])
        elif element.tag == f"{SVG}text" and element.attrib["class"] in {"t", "k"}:
            assert float(element.attrib["y"]) < bottom, "".join(element.itertext())


def test_the_page_for_supervisors_shows_every_picture() -> None:
    page = (ROOT / "docs" / "supervisors.md").read_text(encoding="utf-8")
    for make in ALL:
        assert f"(images/{make()['uid']}.svg)" in page


def test_compose_gives_grafana_what_its_files_ask_for() -> None:
    services = yaml.safe_load((ROOT / "infra" / "compose.yaml").read_text(encoding="utf-8"))["services"]
    given = set(services["grafana"]["environment"])
    assert {"CLICKHOUSE_GRAFANA_PASSWORD", "UNDERTONE_ALERT_WEBHOOK"} <= given
    user = ET.parse(ROOT / "infra" / "grafana" / "clickhouse-user.xml").getroot()
    assert user.find("users/grafana/grants") is not None
    source = yaml.safe_load(
        (ROOT / "infra/grafana/provisioning/datasources/undertone.yaml").read_text(encoding="utf-8")
    )
    assert user.find(f"users/{source['datasources'][0]['jsonData']['username']}") is not None
