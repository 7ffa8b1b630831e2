"""Publishing against a server that enforces Grafana's request shapes and answers like it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dashboards import publish as command
from dashboards.boards import ALL
from dashboards.client import Client, GrafanaError
from dashboards.publish import main, plan, publish
from dashboards.site import Site
from infra.clickhouse_front.__main__ import EPILOG
from tests.dashboards.grafana_server import Fault, Grafana, serve

OBJECTS = 3 + len(ALL)
"""Folder, data source, rule group, and the dashboards."""
WEBHOOK = {"UNDERTONE_ALERT_WEBHOOK": "https://hooks.example/x"}


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    with serve(Grafana()) as server:
        yield server


def client_of(grafana: Grafana, **options: float) -> Client:
    return Client(grafana.url, grafana.token, timeout=(1, options.get("timeout", 5.0)))


def run(grafana: Grafana, *arguments: str, **environ: str) -> int:
    defaults = {"UNDERTONE_GRAFANA_TOKEN": grafana.token, "UNDERTONE_GRAFANA_STORE_PASSWORD": "swordfish"}
    return main(["--url", grafana.url, *arguments], {**defaults, **environ})


@pytest.mark.parametrize("version", ["9.3", "10.4", "12.2", "13.0"])
def test_twice_in_a_row_changes_nothing_the_second_time(version: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(Grafana(version=version)) as grafana:
        assert run(grafana, "--grafana-version", version) == 0
        assert len(grafana.writes) == OBJECTS
        capsys.readouterr()
        assert run(grafana, "--grafana-version", version) == 0
        assert len(grafana.writes) == OBJECTS, grafana.writes[OBJECTS:]
        assert f"0 of {OBJECTS} changed" in capsys.readouterr().out


def test_things_come_in_the_order_in_which_they_need_each_other(grafana: Grafana) -> None:
    assert run(grafana, "--notifications", UNDERTONE_ALERT_WEBHOOK="https://hooks.example/x") == 0
    kinds = [write.split("/api/")[1].split("/")[0] for write in grafana.writes]
    assert kinds[:2] == ["folders", "datasources"]
    assert kinds[2 : 2 + len(ALL)] == ["dashboards"] * len(ALL)
    assert grafana.writes[-1].endswith("rule-groups/undertone")
    assert grafana.writes.index("PUT /api/v1/provisioning/policies") > grafana.writes.index(
        "POST /api/v1/provisioning/contact-points"
    )
    before = len(grafana.writes)
    assert run(grafana, "--notifications", UNDERTONE_ALERT_WEBHOOK="https://hooks.example/x") == 0
    assert len(grafana.writes) == before


def test_a_changed_panel_updates_only_its_dashboard(
    grafana: Grafana, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(grafana) == 0
    changed = ALL[0]()
    changed["panels"][0]["title"] = "A better title"
    monkeypatch.setattr(command, "ALL", (lambda: changed, *ALL[1:]))
    grafana.writes.clear()
    assert run(grafana) == 0
    assert grafana.writes == ["POST /api/dashboards/db"]
    assert "A better title" in capsys.readouterr().out
    assert grafana.dashboards[changed["uid"]]["dashboard"]["version"] == 2


def test_a_page_changed_by_hand_is_not_seen_as_ours_unless_its_content_is(grafana: Grafana) -> None:
    assert run(grafana) == 0
    stored = grafana.dashboards["undertone-wallboard"]["dashboard"]
    stored["templating"]["list"] = []
    grafana.writes.clear()
    assert run(grafana) == 0
    assert grafana.writes == ["POST /api/dashboards/db"]


def test_a_dry_run_says_what_would_change_and_changes_nothing(
    grafana: Grafana, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(grafana, "--dry-run") == 0
    assert grafana.writes == []
    assert f"{OBJECTS} of {OBJECTS} would change" in capsys.readouterr().out
    assert run(grafana) == 0
    panel = grafana.dashboards["undertone-pipeline"]["dashboard"]["panels"][0]
    panel["targets"][0]["rawSql"] = "SELECT 1\nAS rate"
    grafana.dashboards["undertone-pipeline"]["dashboard"]["templating"]["list"][-1]["query"] = "old"
    grafana.writes.clear()
    capsys.readouterr()
    assert run(grafana, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "panel 1 'Messages a second'" in said
    assert "-SELECT 1" in said
    assert "+SELECT count() / 300 AS rate" in said
    assert grafana.writes == []


def test_a_rule_that_drifted_is_put_back(grafana: Grafana, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(grafana) == 0
    group = grafana.groups["undertone", "undertone"]
    group["rules"][0]["for"] = "9m"
    group["rules"].append({**group["rules"][1], "uid": "stray", "title": "stray"})
    grafana.writes.clear()
    capsys.readouterr()
    assert run(grafana) == 0
    said = capsys.readouterr().out
    assert '"9m" -> "1m"' in said
    assert "[stray]: removed" in said
    assert grafana.writes == ["PUT /api/v1/provisioning/folder/undertone/rule-groups/undertone"]
    assert len(grafana.groups["undertone", "undertone"]["rules"]) == 6


def test_a_moved_dashboard_comes_back_to_its_folder(grafana: Grafana) -> None:
    assert run(grafana) == 0
    grafana.dashboards["undertone-after"]["meta"]["folderUid"] = ""
    grafana.writes.clear()
    assert run(grafana) == 0
    assert grafana.dashboards["undertone-after"]["meta"]["folderUid"] == "undertone"
    assert len(grafana.writes) == 1


@pytest.mark.parametrize(
    ("drift", "write"),
    [
        (lambda there: there.folders["undertone"].update(title="Overtone"), "folders/undertone"),
        (
            lambda there: there.contact_points["undertone-webhook"]["settings"].update(url="https://elsewhere.example"),
            "v1/provisioning/contact-points/undertone-webhook",
        ),
        (
            lambda there: there.mute_timings["undertone-closed-hours"].update(time_intervals=[]),
            "v1/provisioning/mute-timings/undertone-closed-hours",
        ),
        (lambda there: there.policy.update(group_wait="9m"), "v1/provisioning/policies"),
    ],
    ids=["folder", "contact point", "mute timing", "policy"],
)
def test_what_drifted_is_put_back_and_nothing_else_written(
    grafana: Grafana, drift: Callable[[Grafana], object], write: str
) -> None:
    assert run(grafana, "--notifications", **WEBHOOK) == 0
    drift(grafana)
    grafana.writes.clear()
    assert run(grafana, "--notifications", **WEBHOOK) == 0
    assert grafana.writes == [f"PUT /api/{write}"]
    assert run(grafana, "--notifications", **WEBHOOK) == 0
    assert len(grafana.writes) == 1


def test_rules_are_published_once_in_any_organisation(grafana: Grafana) -> None:
    grafana.organisation = 2
    assert run(grafana) == 0
    grafana.writes.clear()
    assert run(grafana) == 0
    assert grafana.writes == []


def test_what_files_provision_is_left_alone(grafana: Grafana, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(grafana, "--notifications", **WEBHOOK) == 0
    grafana.contact_points["undertone-webhook"].update(provenance="file", type="email")
    grafana.mute_timings["undertone-closed-hours"].update(provenance="file", time_intervals=[])
    grafana.policy.update(provenance="file", group_wait="9m")
    grafana.sources["undertone-clickhouse"].update(readOnly=True, name="by file")
    for stored in grafana.dashboards.values():
        stored["meta"]["provisioned"] = True
        stored["dashboard"]["templating"]["list"] = []
    grafana.groups["undertone", "undertone"]["rules"][0].update(provenance="file", title="by file")
    grafana.writes.clear()
    capsys.readouterr()
    assert run(grafana, "--notifications", **WEBHOOK) == 0
    assert grafana.writes == []
    assert capsys.readouterr().out.count("left alone") == OBJECTS - 1 + 3


def test_a_store_out_of_reach_is_told(grafana: Grafana, capsys: pytest.CaptureFixture[str]) -> None:
    grafana.store_healthy = False
    assert run(grafana) == 1
    assert "Grafana does not reach ClickHouse" in capsys.readouterr().err


def test_the_password_is_sent_but_never_shown(grafana: Grafana, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(grafana) == 0
    assert grafana.sources["undertone-clickhouse"]["secureJsonFields"] == {"password": True}
    assert "swordfish" not in "".join(capsys.readouterr())


def test_a_password_that_changed_is_sent_again_when_asked_for(
    grafana: Grafana, capsys: pytest.CaptureFixture[str]
) -> None:
    new = {"UNDERTONE_GRAFANA_STORE_PASSWORD": "marlin"}
    assert run(grafana) == 0
    grafana.writes.clear()
    assert run(grafana, **new) == 0
    assert grafana.writes == [], "Grafana tells nobody which password it has"
    capsys.readouterr()

    assert run(grafana, "--new-password", "--dry-run", **new) == 0
    assert grafana.writes == []
    assert run(grafana, "--new-password", **new) == 0

    assert grafana.writes == ["PUT /api/datasources/uid/undertone-clickhouse"]
    assert grafana.passwords == ["swordfish", "marlin"]
    said = capsys.readouterr().out
    assert "password: updated" in said
    assert "marlin" not in said
    assert run(grafana, **new) == 0
    assert len(grafana.writes) == 1


def test_a_store_out_of_reach_names_the_way_to_a_new_password(
    grafana: Grafana, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(grafana) == 0
    grafana.store_healthy = False
    assert run(grafana) == 1
    assert "--new-password" in capsys.readouterr().err


FAULTS = {
    "wrong token": (Fault(401, b'{"message":"Invalid API key"}'), "UNDERTONE_GRAFANA_TOKEN"),
    "no rights": (Fault(403, b'{"message":"Access denied"}'), "needs the role"),
    "nothing there": (Fault(404, b'{"message":"not found"}'), "check the path in --url"),
    "conflict": (Fault(409, b'{"message":"name exists"}'), "name or uid is taken"),
    "precondition": (Fault(412, b'{"status":"version-mismatch","message":"changed"}'), "at the same time"),
    "precondition, empty": (Fault(412), "412 no message"),
    "bad input": (Fault(400, b'{"message":"bad"}'), "refused the content"),
    "broken": (Fault(500, b"<html>oops</html>"), "Grafana itself failed"),
    "not ready": (Fault(503), "503"),
    "redirect": (Fault(302, headers=(("Location", "https://grafana.example/login"),)), "https://grafana.example/login"),
    "not Grafana": (Fault(200, b"<html>welcome</html>"), "is this a Grafana server?"),
}


@pytest.mark.parametrize(("fault", "said"), FAULTS.values(), ids=FAULTS)
def test_a_write_that_fails_is_explained(
    fault: Fault, said: str, grafana: Grafana, capsys: pytest.CaptureFixture[str]
) -> None:
    grafana.fault("POST /api/dashboards/db", fault)
    assert run(grafana) == 1
    error = capsys.readouterr().err
    assert "POST http" in error
    assert said in error
    assert "Traceback" not in error


def test_a_failed_run_can_be_repeated(grafana: Grafana) -> None:
    grafana.fault("POST /api/dashboards/db", Fault(500))
    assert run(grafana) == 1
    assert run(grafana) == 0
    assert len(grafana.dashboards) == len(ALL)


def test_an_empty_reply_is_success(grafana: Grafana) -> None:
    grafana.fault("POST /api/folders", Fault(204))
    client = client_of(grafana)
    assert client.folders.create(uid="undertone", title="Undertone") is None


def test_a_slow_server_is_given_up(grafana: Grafana) -> None:
    grafana.fault("GET /api/folders/undertone", Fault(200, b"{}", delay=0.4))
    with pytest.raises(GrafanaError, match=r"no answer in 0\.1 s"):
        client_of(grafana, timeout=0.1).folders["undertone"]()


def test_nobody_listens() -> None:
    with pytest.raises(GrafanaError, match="cannot connect"):
        Client("http://127.0.0.1:9", "token").folders["undertone"]()


def test_tls_against_a_server_without(grafana: Grafana) -> None:
    with pytest.raises(GrafanaError, match="TLS failed"):
        Client(grafana.url.replace("http://", "https://"), grafana.token).folders["undertone"]()


@pytest.mark.parametrize("url", ["grafana.example.org", "ftp://grafana", "https://"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(GrafanaError, match="is not an address"):
        Client(url, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--grafana-version", "8.5"], "not supported"),
        (["--store", "http://clickhouse"], "clickhouse://user@host:8123"),
        (["--notifications"], "UNDERTONE_ALERT_WEBHOOK"),
        (["--new-password"], "UNDERTONE_GRAFANA_STORE_PASSWORD"),
    ],
)
def test_wrong_arguments_are_explained(
    arguments: list[str], said: str, grafana: Grafana, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(grafana, *arguments, UNDERTONE_GRAFANA_STORE_PASSWORD="") == 1
    assert said in capsys.readouterr().err
    assert grafana.writes == []


def test_rules_can_stay_editable(grafana: Grafana) -> None:
    assert run(grafana, "--keep-editable") == 0
    assert all("X-Disable-Provenance" in headers for headers in grafana.headers)


def test_a_path_prefix_and_a_tls_store(grafana: Grafana) -> None:
    client = Client("https://example.org/grafana/", "t")
    assert client.construct_api_url("folders") == "https://example.org/grafana/api/folders"
    assert run(grafana, "--store", "clickhouses://wall@db.example") == 0
    settings = grafana.sources["undertone-clickhouse"]["jsonData"]
    assert (settings["host"], settings["port"], settings["secure"], settings["username"]) == (
        "db.example",
        8443,
        True,
        "wall",
    )


def test_a_laptop_is_set_up_by_the_command_that_the_front_and_the_page_for_supervisors_name(grafana: Grafana) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "supervisors.md"
    (named,) = [line.strip() for line in EPILOG.splitlines() if "dashboards.publish" in line]
    assert named in page.read_text(encoding="utf-8")
    _, _, _, option, url, *rest = shlex.split(named)
    assert (option, url) == ("--url", "http://localhost:3000")

    assert run(grafana, *rest, UNDERTONE_GRAFANA_STORE_PASSWORD="") == 0

    (source,) = grafana.sources.values()
    settings = source["jsonData"]
    assert source["uid"] == "undertone-clickhouse", "panels name it"
    assert (settings["host"], settings["port"], settings["username"], settings["secure"]) == (
        "127.0.0.1",
        8123,
        "grafana",
        False,
    )
    assert source["secureJsonFields"] == {}, "without a password the front lets everybody on this machine in"


def test_a_plan_lists_every_object_once(grafana: Grafana) -> None:
    steps = plan(client_of(grafana), Site(), notifications=True, webhook="https://hooks.example/x")
    names = [step.name for step in steps]
    assert len(set(names)) == len(names) == OBJECTS + 3
    lines: list[str] = []
    assert publish(steps, dry_run=True, say=lines.append) == len(steps)
    assert json.dumps(lines).count("new") >= OBJECTS
