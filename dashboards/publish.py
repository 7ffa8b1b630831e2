"""Bring folder, data source, dashboards and alert rules of a Grafana server up to date.

    python -m dashboards.publish --url https://grafana.example.org --dry-run

The token comes from UNDERTONE_GRAFANA_TOKEN (a service account with the role Admin), the password of the data source
from UNDERTONE_GRAFANA_STORE_PASSWORD. Publishing a second time changes nothing. Grafana never returns the password of
the data source, so a change of it is not noticed: publish once with --new-password. Objects that Grafana reads from
provisioning files are left alone, because Grafana refuses to change them through its API.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from dashboards.alerts import GROUP, INTERVAL_S, contact_points, mute_timings, policy, rules
from dashboards.boards import ALL
from dashboards.client import Client, GrafanaError
from dashboards.common import DATA_SOURCE_UID, Json
from dashboards.difference import changes
from dashboards.site import Site, data_source, for_site, published_hash

FOLDER_UID, FOLDER_TITLE = "undertone", "Undertone"
FROM_FILE = "provisioned from a file, left alone"


@dataclass(frozen=True)
class Step:
    """One object to bring up to date."""

    name: str
    changes: Sequence[str]
    """What would change, one line each; empty when the object is up to date."""
    apply: Callable[[], object]
    note: str = ""
    """Reason for leaving the object alone; empty when it may be changed."""


def plan(
    client: Client,
    site: Site,
    password: str = "",
    webhook: str = "",
    notifications: bool = False,
    new_password: bool = False,
) -> list[Step]:
    """Compare the server with what we want; the steps are in the order of their dependencies."""
    steps = [_folder(client), _data_source(client, site, password, new_password)]
    steps += [_dashboard(client, for_site(board(), site)) for board in ALL]
    if notifications:
        steps += [_contact_point(client, point) for point in contact_points(webhook)]
        steps += [_mute_timing(client, timing) for timing in mute_timings()]
        steps.append(_policy(client))
    steps.append(_rules(client, site))
    return steps


def publish(steps: Sequence[Step], dry_run: bool, say: Callable[[str], object] = print) -> int:
    """Apply the steps that have changes and return their number; with `dry_run` only print the changes."""
    changed = 0
    for step in steps:
        if step.note or not step.changes:
            say(f"= {step.name}: {step.note or 'up to date'}")
            continue
        changed += 1
        say(f"{'?' if dry_run else '*'} {step.name}:")
        for line in step.changes:
            say(f"    {line}")
        if not dry_run:
            step.apply()
    say(f"{changed} of {len(steps)} {'would change' if dry_run else 'changed'}")
    return changed


def check_store(client: Client, say: Callable[[str], object] = print) -> None:
    """Ask Grafana whether it reaches ClickHouse.

    Raises:
        GrafanaError: it does not; the message has the error of ClickHouse or of the network.
    """
    try:
        client.datasources.uid[DATA_SOURCE_UID].health()
    except GrafanaError as error:
        raise GrafanaError(
            f"all is published, but Grafana does not reach ClickHouse:\n  {error}\n"
            "  (if the password changed, publish once with --new-password)",
            error.status,
        ) from error
    say("Grafana reaches ClickHouse")


def _found(fetch: Callable[[], Json | None], absent: Sequence[int] = (404,)) -> Json | None:
    """Fetch an object; None when the server replies with a status in `absent`."""
    try:
        return fetch()
    except GrafanaError as error:
        if error.status in absent:
            return None
        raise


def _folder(client: Client) -> Step:
    there = _found(client.folders[FOLDER_UID])
    name = f"folder {FOLDER_TITLE!r}"
    if there is None:
        return Step(name, ["new"], lambda: client.folders.create(uid=FOLDER_UID, title=FOLDER_TITLE))
    differences = changes({"title": FOLDER_TITLE}, there)
    return Step(name, differences, lambda: client.folders[FOLDER_UID].replace(title=FOLDER_TITLE, overwrite=True))


def _data_source(client: Client, site: Site, password: str, new_password: bool) -> Step:
    wanted = data_source(site)
    there = _found(client.datasources.uid[DATA_SOURCE_UID])
    name = f"data source {wanted['name']!r}"
    if password:
        wanted["secureJsonData"] = {"password": password}
    if there is None:
        return Step(name, ["new"], lambda: client.datasources.create(**wanted))
    if there.get("readOnly"):
        return Step(name, [], _nothing, FROM_FILE)
    differences = changes({key: value for key, value in wanted.items() if key != "secureJsonData"}, there)
    if password and not there.get("secureJsonFields", {}).get("password"):
        differences.append("password: not set -> set")
    elif new_password:
        differences.append("password: updated")
    return Step(name, differences, lambda: client.datasources.uid[DATA_SOURCE_UID].replace(**wanted))


def _dashboard(client: Client, wanted: Json) -> Step:
    name = f"dashboard {wanted['title']!r}"
    there = _found(client.dashboards.uid[wanted["uid"]])

    def save() -> object:
        message = f"content {published_hash(wanted)}"
        return client.dashboards.db.create(dashboard=wanted, folderUid=FOLDER_UID, overwrite=True, message=message)

    if there is None:
        return Step(name, ["new"], save)
    if there["meta"].get("provisioned"):
        return Step(name, [], _nothing, FROM_FILE)
    differences: list[str] = []
    if published_hash(there["dashboard"]) != published_hash(wanted):
        differences = changes(wanted, there["dashboard"]) or ["content: not published by us -> ours"]
    if there["meta"].get("folderUid") != FOLDER_UID:
        differences.append(f"folder: {there['meta'].get('folderUid') or 'none'} -> {FOLDER_UID}")
    return Step(name, differences, save)


def _rules(client: Client, site: Site) -> Step:
    wanted: Json = {"title": GROUP, "folderUid": FOLDER_UID, "interval": INTERVAL_S}
    wanted["rules"] = [{**rule, "folderUID": FOLDER_UID, "ruleGroup": GROUP} for rule in rules(site)]
    path = ("provisioning", "folder", FOLDER_UID, "rule-groups", GROUP)
    # Grafana 9.3 answers 500 for a group that does not exist; a server that is really broken fails at the write.
    there = _found(client["/".join(("v1", *path))], absent=(404, 500) if site.version < (10, 0) else (404,))
    name = f"alert rules {GROUP!r}"

    def save() -> object:
        # Grafana requires the field and puts in the organisation of the token.
        sent = [{**rule, "orgID": 1} for rule in wanted["rules"]]
        return client["/".join(("v1", *path))].replace(**{**wanted, "rules": sent})

    if there is None:
        return Step(name, [f"new: {rule['title']}" for rule in wanted["rules"]], save)
    if any(_is_from_file(rule) for rule in there.get("rules", [])):
        return Step(name, [], _nothing, FROM_FILE)
    return Step(name, changes(wanted, there), save)


def _contact_point(client: Client, wanted: Json) -> Step:
    listed = client["v1/provisioning/contact-points"]() or []
    there = next((point for point in listed if point.get("uid") == wanted["uid"]), None)
    name = f"contact point {wanted['name']!r}"
    if there is None:
        return Step(name, ["new"], lambda: client["v1/provisioning/contact-points"].create(**wanted))
    if _is_from_file(there):
        return Step(name, [], _nothing, FROM_FILE)
    differences = changes({key: value for key, value in wanted.items() if key != "settings"}, there)
    differences += ["settings.url: changed"] if changes(wanted["settings"], there.get("settings", {})) else []
    return Step(name, differences, lambda: client["v1/provisioning/contact-points"][wanted["uid"]].replace(**wanted))


def _mute_timing(client: Client, wanted: Json) -> Step:
    name = f"mute timing {wanted['name']!r}"
    there = _found(client["v1/provisioning/mute-timings"][wanted["name"]])
    if there is None:
        return Step(name, ["new"], lambda: client["v1/provisioning/mute-timings"].create(**wanted))
    if _is_from_file(there):
        return Step(name, [], _nothing, FROM_FILE)
    return Step(
        name, changes(wanted, there), lambda: client["v1/provisioning/mute-timings"][wanted["name"]].replace(**wanted)
    )


def _policy(client: Client) -> Step:
    wanted = policy()
    there = client["v1/provisioning/policies"]() or {}
    name = "notification policy"
    if _is_from_file(there):
        return Step(name, [], _nothing, FROM_FILE)
    return Step(name, changes(wanted, there), lambda: client["v1/provisioning/policies"].replace(**wanted))


def _is_from_file(there: Json) -> bool:
    return bool(there.get("provenance") == "file")


def _nothing() -> None:
    """Do nothing: `apply` of an object that is left alone."""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m dashboards.publish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="address of Grafana, with its path if it has one")
    parser.add_argument(
        "--grafana-version", default="12.2", help="9.3 to 13 (default: 12.2); 9.3 gets the older plugin's shape"
    )
    parser.add_argument(
        "--store", default="clickhouse://grafana@clickhouse:8123", help="ClickHouse as Grafana reaches it"
    )
    parser.add_argument(
        "--feedback-url", default="", help="page that takes feedback on an alert (see flows.feedback --serve)"
    )
    parser.add_argument(
        "--new-password", action="store_true", help="send the data source's password although Grafana has one"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would change, change nothing")
    parser.add_argument(
        "--notifications",
        action="store_true",
        help="also contact point, mute timing and policy; the policy REPLACES the organisation's whole tree. "
        "The webhook address comes from UNDERTONE_ALERT_WEBHOOK",
    )
    parser.add_argument(
        "--keep-editable", action="store_true", help="let people edit the alert rules in Grafana (10.4 and later)"
    )
    parser.add_argument("--ca-file", help="certificate authority of Grafana, when it is your own")
    parser.add_argument("--timeout", type=float, default=15.0, help="seconds to wait for an answer (default: 15)")
    return parser.parse_args(argv)


def _site(chosen: argparse.Namespace) -> Site:
    store = urlsplit(chosen.store)
    if store.scheme not in {"clickhouse", "clickhouses"} or not store.hostname:
        raise ValueError("--store: write it like clickhouse://user@host:8123, or clickhouses:// for TLS")
    secure = store.scheme == "clickhouses"
    return Site(
        grafana=chosen.grafana_version,
        host=store.hostname,
        port=store.port or (8443 if secure else 8123),
        user=store.username or "grafana",
        secure=secure,
        feedback_url=chosen.feedback_url,
    )


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run the command; return 0 on success, 1 after an error, which is printed on standard error."""
    chosen = _arguments(argv)
    token = environ.get("UNDERTONE_GRAFANA_TOKEN")
    webhook = environ.get("UNDERTONE_ALERT_WEBHOOK", "")
    try:
        site = _site(chosen)
        if chosen.notifications and not webhook:
            raise ValueError("UNDERTONE_ALERT_WEBHOOK: --notifications needs the address that alerts are sent to")
        password = environ.get("UNDERTONE_GRAFANA_STORE_PASSWORD", "")
        if chosen.new_password and not password:
            raise ValueError("UNDERTONE_GRAFANA_STORE_PASSWORD: --new-password sends what it holds, and it is empty")
        client = Client(
            chosen.url,
            token,
            timeout=(3.05, chosen.timeout),
            verify=chosen.ca_file or True,
            keep_editable=chosen.keep_editable,
        )
        steps = plan(client, site, password, webhook, chosen.notifications, chosen.new_password)
        publish(steps, chosen.dry_run)
        if not chosen.dry_run:
            check_store(client)
    except (GrafanaError, ValueError) as error:
        print(f"dashboards.publish: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
