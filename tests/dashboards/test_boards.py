"""The pages themselves: generated files are current, every panel is complete, the wall fits, links lead somewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from dashboards.alerts import rules
from dashboards.board import COLUMNS, WALL_ROWS
from dashboards.boards import ALL
from dashboards.build import generated, outdated
from dashboards.common import DATA_SOURCE_UID, FEEDBACK_URL, GOOD, WATCH
from dashboards.provisioning import files
from dashboards.site import Site, data_source, for_site, published_hash
from dashboards.wallboard import CONVERSATIONS_SHOWN, QUEUES_SHOWN

Json = dict[str, Any]
BOARDS = [board() for board in ALL]
PANELS = [(board, panel) for board in BOARDS for panel in board["panels"]]
each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
each_panel = pytest.mark.parametrize(
    ("board", "panel"), PANELS, ids=[f"{board['uid']}-{panel['id']}" for board, panel in PANELS]
)
PALETTE = {"#56B4E9", "#009E73", "#E69F00", "#D55E00", "#999999", "#0072B2", "#CC79A7", "#F0E442", "#DDDDDD"}
SAFE = {"stat", "timeseries", "table", "barchart", "state-timeline", "alertlist"}


def strings(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


def test_generated_files_are_current() -> None:
    assert outdated() == [], "run: python -m dashboards.build"


def test_generating_is_deterministic() -> None:
    assert generated() == generated()


@each_board
def test_a_page_is_whole(board: Json) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", board["uid"])
    assert board["id"] is None
    assert board["schemaVersion"] == 39
    assert isinstance(board["refresh"], str)
    assert board["description"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)


@each_board
def test_panels_stand_side_by_side(board: Json) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] >= 0, panel["title"]
        assert place["x"] + place["w"] <= COLUMNS, panel["title"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} covers another panel"
        taken |= cells


def test_the_wall_fits_a_1080p_screen() -> None:
    wall = BOARDS[0]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in wall["panels"])
    pixels = rows * 30 + (rows - 1) * 8  # Grafana's row height and gap
    assert rows <= WALL_ROWS
    assert pixels + 136 <= 1080, "Grafana's own bars take 136 pixels"


@each_panel
def test_a_panel_says_what_it_shows(board: Json, panel: Json) -> None:
    assert panel["type"] in SAFE
    assert panel["title"]
    assert len(panel["description"]) > 20
    assert panel["description"].endswith(".")
    for target in panel.get("targets", []):
        assert target["datasource"] == {"type": "grafana-clickhouse-datasource", "uid": DATA_SOURCE_UID}
        assert isinstance(target["format"], int)


@each_panel
def test_a_title_is_not_cut_off_on_a_1080p_screen(board: Json, panel: Json) -> None:
    width = panel["gridPos"]["w"] * 79 - 8 - 44  # less padding and the sign that opens the description
    assert len(panel["title"]) * 7.3 <= width, f"{panel['title']}: letters of 14 pixels are about half as wide"


@each_panel
def test_colours_are_safe_and_never_alone(board: Json, panel: Json) -> None:
    for text in strings(panel):
        for colour in re.findall(r"#[0-9A-Fa-f]{6}\b", text):
            assert colour in PALETTE, f"{panel['title']}: {colour}"
        assert text not in {"red", "green", "dark-red", "semi-dark-green"}, panel["title"]
    for mapping in panel.get("fieldConfig", {}).get("defaults", {}).get("mappings", []):
        for option in mapping["options"].values() if mapping["type"] == "value" else []:
            assert option["text"], f"{panel['title']}: a colour without a word"


@each_panel
def test_thresholds_begin_anywhere_and_ascend(board: Json, panel: Json) -> None:
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    found = [defaults["thresholds"]] if "thresholds" in defaults else []
    for override in panel.get("fieldConfig", {}).get("overrides", []):
        found += [item["value"] for item in override["properties"] if item["id"] == "thresholds"]
    for thresholds in found:
        values = [step["value"] for step in thresholds["steps"]]
        assert values[0] is None
        assert values[1:] == sorted(values[1:])


@each_panel
def test_a_missing_value_has_a_text_and_no_colour_of_a_threshold(board: Json, panel: Json) -> None:
    if "fieldConfig" not in panel:
        return
    assert panel["fieldConfig"]["defaults"]["noValue"] not in {"", "-"}, "a panel without data says why"
    for override in panel["fieldConfig"]["overrides"]:
        properties = {item["id"]: item["value"] for item in override["properties"]}
        if "thresholds" in properties:
            blank = properties["mappings"][-1]["options"]
            assert (blank["match"], blank["result"]["color"]) == ("null+nan", "transparent"), panel["title"]


@each_panel
def test_a_number_of_now_is_never_an_older_one(board: Json, panel: Json) -> None:
    if panel["type"] == "stat":
        assert panel["options"]["reduceOptions"]["calcs"] == ["last"]


@each_panel
def test_bars_coloured_by_thresholds_have_a_colour_each(board: Json, panel: Json) -> None:
    """Without the gradient "scheme" Grafana 9.3 and 10.4 give all bars of a chart one colour."""
    if panel["type"] == "barchart":
        defaults = panel["fieldConfig"]["defaults"]
        coloured = len(defaults["thresholds"]["steps"]) > 1
        assert coloured == (defaults["custom"].get("gradientMode") == "scheme"), panel["title"]


def test_a_day_is_drawn_where_the_page_opens_with_less() -> None:
    for board, panel in PANELS:
        if panel["type"] == "timeseries" and panel["interval"] == "1d":
            opens = board["time"]["from"].removeprefix("now-")
            assert "timeFrom" in panel or opens.endswith("d"), f"{panel['title']}: one point on {opens}"


def test_what_an_agent_adds_is_coloured_only_where_its_interval_leaves_out_0() -> None:
    (panel,) = [panel for _, panel in PANELS if panel["title"].startswith("Value added")]
    looks = {
        override["matcher"]["options"]: {item["id"]: item["value"] for item in override["properties"]}
        for override in panel["fieldConfig"]["overrides"]
    }
    colours = {
        name: [(step["value"], step["color"]) for step in look["thresholds"]["steps"]]
        for name, look in looks.items()
        if "thresholds" in look
    }
    assert colours == {"from": [(None, "transparent"), (0, GOOD)], "to": [(None, WATCH), (0, "transparent")]}
    assert looks["from"]["decimals"] == looks["to"]["decimals"] == 3, "-0.004 is not shown as -0.00"


def test_a_pipeline_that_is_slow_or_too_sure_is_told_from_a_good_one() -> None:
    by_title = {panel["title"]: panel["fieldConfig"]["defaults"] for _, panel in PANELS if panel["type"] == "stat"}
    assert by_title["Messages a second"]["decimals"] == 2, "a message a minute is not 0.0"
    steps = by_title["Abstained (expected 5 to 15%)"]["thresholds"]["steps"]
    assert [step["value"] for step in steps if step["color"] == GOOD] == [0.05]
    assert [step["value"] for step in steps][:3] == [None, 0.05, 0.15]


@each_panel
def test_lanes_take_their_colours_from_the_words(board: Json, panel: Json) -> None:
    """With merged values and colours by threshold Grafana replaces each value by its threshold, and maps nothing."""
    if panel["type"] == "state-timeline":
        colour = panel["fieldConfig"]["defaults"]["color"]
        assert not (panel["options"]["mergeValues"] and colour["mode"] == "thresholds"), panel["title"]
        assert colour["fixedColor"] in PALETTE
        assert panel["fieldConfig"]["defaults"]["mappings"]


@each_panel
def test_a_gap_in_a_lane_has_no_place_in_the_legend(board: Json, panel: Json) -> None:
    if panel["type"] == "state-timeline":
        (blank,) = panel["fieldConfig"]["overrides"]
        assert blank["properties"] == [{"id": "noValue", "value": ""}], "the legend lists every text that is not empty"


def test_stats_of_the_wall_show_their_target_in_letters_to_be_read_from_afar() -> None:
    for panel in BOARDS[0]["panels"]:
        if panel["type"] == "stat":
            defaults = panel["fieldConfig"]["defaults"]
            assert panel["options"]["textMode"] == "value_and_name", panel["title"]
            assert panel["options"]["text"]["titleSize"] >= 20, panel["title"]
            assert "target" in defaults["displayName"] or not defaults["thresholds"]["steps"][1:], panel["title"]
            words = re.findall(r"\w+", panel["title"].lower())
            assert any(word.strip(",") in words for word in defaults["displayName"].split()), (
                f"{panel['title']}: from afar one reads {defaults['displayName']}, which does not say of what"
            )
            assert len(defaults["displayName"]) <= 25, f"{panel['title']}: cut off at this size"
            assert len(defaults["noValue"]) <= 8, f"{panel['title']}: {defaults['noValue']} is cut off at this size"


def test_tables_of_the_wall_have_no_row_that_one_must_scroll_to() -> None:
    shown = {8: QUEUES_SHOWN, 9: CONVERSATIONS_SHOWN, 10: 3}
    tables = {panel["id"]: panel for panel in BOARDS[0]["panels"] if panel["type"] == "table"}
    assert set(tables) == set(shown)
    for number, rows in shown.items():
        panel = tables[number]
        room = panel["gridPos"]["h"] * 38 - 8 - 50  # the gap between panels; title, padding and border
        assert (rows + 1) * 36 <= room, f"{panel['title']}: a row, and the line with the names, is 36 pixels high"
        assert f"LIMIT {rows}" in panel["targets"][0]["rawSql"] or f"numbers({rows})" in panel["targets"][0]["rawSql"]


def test_alarms_of_the_wall_fit_however_many_fire() -> None:
    (panel,) = [panel for panel in BOARDS[0]["panels"] if panel["type"] == "alertlist"]
    room = panel["gridPos"]["h"] * 38 - 8 - 50
    assert len(rules(Site())) * 70 > room, "a rule of the list is 70 pixels high: all of them would have to be scrolled"
    assert panel["options"]["viewMode"] == "stat"
    assert panel["links"], "which ones fire is one click away"


@each_panel
def test_links_keep_the_time_range_and_lead_to_a_page(board: Json, panel: Json) -> None:
    uids = {other["uid"] for other in BOARDS}
    variables = {variable["name"] for variable in board["templating"]["list"]}
    for text in strings(panel):
        if not text.startswith("/d/"):
            continue
        own_range = "from=${__data.fields.Since}&to=${__to}"
        assert "${__url_time_range}" in text or own_range in text, f"{panel['title']}: {text}"
        uid = text.removeprefix("/d/").split("?")[0]
        assert uid in uids, f"{panel['title']}: no page {uid}"
        for carried in re.findall(r"\$\{(\w+):queryparam\}", text):
            assert carried in variables, f"{panel['title']}: this page has no variable {carried}"
        other = next(page for page in BOARDS if page["uid"] == uid)
        known = {variable["name"] for variable in other["templating"]["list"]}
        for given in re.findall(r"[?&]var-(\w+)=", text) + re.findall(r"\$\{(\w+):queryparam\}", text):
            assert given in known, f"{panel['title']}: {uid} has no variable {given}"


@each_board
def test_variables_in_queries_exist(board: Json) -> None:
    names = {variable["name"] for variable in board["templating"]["list"]}
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            used = set(re.findall(r"\$\{(\w+)", target["rawSql"]))
            assert used <= names, f"{panel['title']}: {used - names}"


def test_rules_point_at_panels_that_exist() -> None:
    places = {(board["uid"], str(panel["id"])) for board, panel in PANELS}
    for rule in rules(Site()):
        notes = rule["annotations"]
        assert (notes["__dashboardUid__"], notes["__panelId__"]) in places, rule["title"]


def test_summaries_can_be_read_where_a_rule_has_no_value() -> None:
    """Grafana leaves a template that formats a missing value as it is written."""
    for rule in rules(Site()):
        summary = rule["annotations"]["summary"]
        begin, middle, end = "{{ with $values.A }}", "{{ else }}", "{{ end }}"
        assert summary.startswith(begin), rule["title"]
        assert summary.endswith(end), rule["title"]
        with_value, _, otherwise = summary.removeprefix(begin).removesuffix(end).partition(middle)
        assert ".Value" in with_value, rule["title"]
        assert "$values" not in with_value, rule["title"]
        assert otherwise, rule["title"]
        assert "{{" not in otherwise, rule["title"]


def test_a_store_that_does_not_answer_raises_an_alarm() -> None:
    """Rules that merely fail are not counted on the wall."""
    assert [rule["title"] for rule in rules(Site()) if rule["execErrState"] == "Alerting"] == ["Job stands still"]


def test_rules_know_no_variables() -> None:
    for rule in rules(Site()):
        sql = rule["data"][0]["model"]["rawSql"]
        assert "conditionalAll" not in sql
        assert "${" not in sql


def test_feedback_links_appear_only_with_an_address() -> None:
    escalations = ALL[2]()
    without = list(strings(for_site(escalations, Site())))
    assert not any(FEEDBACK_URL in text or "action=" in text for text in without)
    linked = [
        text
        for text in strings(for_site(escalations, Site(feedback_url="https://desk.example/fb")))
        if "action=" in text
    ]
    assert len(linked) == 4
    assert all(text.startswith("https://desk.example/fb?action=") for text in linked)


def test_lists_of_alerts_show_the_id_that_an_answer_needs() -> None:
    for name, number in (("undertone-escalations", 13), ("undertone-journey", 11)):
        panel = next(panel for board, panel in PANELS if (board["uid"], panel["id"]) == (name, number))
        looks = {
            override["matcher"]["options"]: {item["id"]: item["value"] for item in override["properties"]}
            for override in panel["fieldConfig"]["overrides"]
        }
        assert " AS Alert" in panel["targets"][0]["rawSql"]
        assert "custom.hidden" not in looks["Alert"], panel["title"]
        assert looks["Alert"]["custom.width"] >= 29 * 8, "16 digits, a dash and 12 digits"


def test_built_files_link_to_the_feedback_page_when_its_address_is_given() -> None:
    address = "https://desk.example/fb"
    made = generated(address)
    linked = {path.name for path, text in made.items() if f"{address}?action=resolved" in text}
    assert linked == {"undertone-wallboard.json", "undertone-escalations.json", "undertone-journey.json"}
    assert made.keys() == generated().keys()
    assert len(outdated(address)) == 2 * len(linked), "for both versions, and nothing else"


def test_the_hash_follows_the_content() -> None:
    first, again = for_site(ALL[0](), Site()), for_site(ALL[0](), Site())
    assert published_hash(first) == published_hash(again) != ""
    board = ALL[0]()
    board["panels"][0]["title"] = "another"
    assert published_hash(for_site(board, Site())) != published_hash(first)


@pytest.mark.parametrize(
    ("version", "plugin", "host"), [("9.3", "3.3.0", "server"), ("10.4", "4.14.1", "host"), ("13.0", "4.20.0", "host")]
)
def test_shape_of_the_plugin(version: str, plugin: str, host: str) -> None:
    site = Site(grafana=version)
    source = data_source(site)
    assert source["jsonData"]["version"] == plugin
    assert source["jsonData"][host] == "clickhouse"
    target = for_site(ALL[0](), site)["panels"][0]["targets"][0]
    if plugin == "3.3.0":
        assert target["queryType"] == "sql"
        assert target["selectedFormat"] == target["format"]
    else:
        assert target["pluginVersion"] == plugin
        assert target["queryType"] not in {"sql", "builder"}


@pytest.mark.parametrize("version", ["9.2", "14.0", "8", "latest", ""])
def test_other_versions_are_refused(version: str) -> None:
    with pytest.raises(ValueError, match=r"supported|version"):
        Site(grafana=version)


@pytest.mark.parametrize("version", ["9.3", "12.2"])
def test_provisioning_files(version: str) -> None:
    made = {name: yaml.safe_load(text) for name, text in files(Site(grafana=version)).items()}
    assert all(document["apiVersion"] == 1 for document in made.values())
    source = made["datasources/undertone.yaml"]["datasources"][0]
    assert source["uid"] == DATA_SOURCE_UID
    assert source["secureJsonData"] == {"password": "$CLICKHOUSE_GRAFANA_PASSWORD"}
    group = made["alerting/rules.yaml"]["groups"][0]
    assert [rule["uid"] for rule in group["rules"]] == [rule["uid"] for rule in rules(Site())]
    assert json.dumps(group["rules"][0]["labels"]).count("$") == 0, "labels are read with the environment put in"
    receivers = {point["name"] for point in made["alerting/contact_points.yaml"]["contactPoints"]}
    muted = {timing["name"] for timing in made["alerting/mute_timings.yaml"]["muteTimes"]}
    tree = made["alerting/policies.yaml"]["policies"][0]
    assert {tree["receiver"], *(route["receiver"] for route in tree["routes"])} <= receivers
    assert {name for route in tree["routes"] for name in route.get("mute_time_intervals", [])} <= muted
    critical = next(route for route in tree["routes"] if "critical" in str(route["object_matchers"]))
    assert "mute_time_intervals" not in critical
