"""Commands: migrate the schema, show its status, print the data dictionary, print keys, erase customers."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from flows.settings import Settings, SettingsError
from infra.clickhouse.dictionary import dictionary
from infra.clickhouse.erase import erase, listed
from infra.clickhouse.keys import BY_AGENT, BY_ID, BY_INTERACTION, keys, read_ids
from infra.clickhouse.migrate import MigrationError, Step, migrate, status
from infra.clickhouse.render import PROFILES, Profile, Target, load, statements
from infra.launch import LaunchError, check
from infra.store import StoreAddressError, open_store, parse_dsn

EPILOG = """examples:
  python -m infra.clickhouse migrate                          the store that UNDERTONE_STORE names
  python -m infra.clickhouse migrate --store chdb:///tmp/undertone
  python -m infra.clickhouse migrate --profile cluster --cluster main --dry-run --empty
  python -m infra.clickhouse status
  python -m infra.clickhouse dictionary > docs/data-dictionary.md
  python -m infra.clickhouse erase --customer-key 00f3a9c2d4e5b601 --reason "request 4711"
  python -m infra.clickhouse erase --tenant acme --customer-id - < ids.txt
  python -m infra.clickhouse key --tenant acme --by email < addresses.txt

The profile is taken from the store when not given: embedded for chdb://, single for a server. Roles, row policies and
quotas are in infra/clickhouse/roles.sql, for an administrator of a server to adapt and run.

Ids come from standard input, one a line, and are hashed under UNDERTONE_CUSTOMER_SECRET as the job hashes them. --by
says what they are: id (customer.id, the default), a type of customer.refs such as email, phone or handle for customers
without an id, interaction for those who have neither, agent."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    asked = _asked(argv)
    try:
        settings = Settings.from_env(os.environ)
        dsn = asked.store or settings.store
        address = parse_dsn(dsn)
        profile: Profile = asked.profile or ("embedded" if address.kind == "chdb" else "single")
        target = Target(profile, address.database, asked.cluster)
        if asked.dry_run and (asked.empty or (address.kind == "chdb" and not Path(address.path).exists())):
            _show(target, [Step(migration, applied=False) for migration in load()])
            return 0
        named = _named(asked, settings)
        if asked.command == "key":
            print("\n".join(named))
            return 0
        client = open_store(dsn, settings.store_password)
        try:
            return _run(asked, client, target, named)
        finally:
            client.close()
    except (SettingsError, LaunchError, StoreAddressError, MigrationError, ValueError) as error:
        print(f"infra.clickhouse: {error}", file=sys.stderr)
    except ClickHouseError as error:
        hint = "; --dry-run --empty prints all migrations without asking the store" if asked.dry_run else ""
        print(f"infra.clickhouse: the store refused: {str(error)[:500]}{hint}", file=sys.stderr)
    return 2


def _named(asked: argparse.Namespace, settings: Settings) -> list[str]:
    """Return the keys of the customers or agents that the command line or standard input names."""
    if asked.command != "key" and not (asked.command == "erase" and asked.customer_id):
        return list(getattr(asked, "customer_key", ()))
    check(settings)
    return keys(read_ids(sys.stdin.buffer), settings, asked.tenant, asked.by, asked.region)


def _run(asked: argparse.Namespace, client: Client, target: Target, named: Sequence[str]) -> int:
    if asked.dry_run:
        _show(target, status(client, target))
    elif asked.command == "migrate":
        done = migrate(client, target)
        print("\n".join(f"applied {migration.name}" for migration in done) or "up to date")
    elif asked.command == "status":
        for step in status(client, target):
            print(f"{'applied' if step.applied else 'missing'}  {step.migration.name}")
    elif asked.command == "dictionary":
        print(dictionary(client, target.database), end="")
    else:
        customers = [int(key, 16) for key in named] or listed(client, target)
        lost = erase(client, target, customers, asked.reason)
        for table, rows in lost.items():
            print(f"{table}: {rows} rows erased")
        if asked.customer_id and not any(lost.values()):
            why = "check --tenant, --by, the spelling and UNDERTONE_CUSTOMER_SECRET"
            print(f"nothing was found under these ids: {why}", file=sys.stderr)
    return 0


def _show(target: Target, steps: Sequence[Step]) -> None:
    """Print the SQL that `migrate` would run."""
    missing = [step.migration for step in steps if not step.applied]
    applied = f"-- {target.database} has {len(steps) - len(missing)} of {len(steps)} migrations"
    print(applied + ("; these would be applied:" if missing else ": nothing would be applied"))
    for migration in missing:
        print(f"-- {migration.name}")
        for statement in statements(migration.template, target):
            print(f"{statement};\n")


def _asked(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    asked = parser.parse_args(argv)
    if asked.command == "migrate" and asked.empty and not asked.dry_run:
        parser.error("--empty goes with --dry-run")
    if asked.command == "key" and not asked.tenant:
        parser.error("key needs --tenant")
    if asked.command == "erase" and asked.customer_id:
        if not asked.tenant:
            parser.error("--customer-id needs --tenant")
        if asked.by == BY_AGENT:
            parser.error("agents have no rows of their own to erase")
    return asked


def _add_ids(command: argparse.ArgumentParser) -> None:
    kinds = f"{BY_ID} (default), email, phone, handle, {BY_INTERACTION}, {BY_AGENT} ..."
    command.add_argument("--tenant", default="", help="organisation of the ids")
    command.add_argument("--by", type=str.lower, default=BY_ID, metavar="TYPE", help=f"what the ids are: {kinds}")
    command.add_argument("--region", default="", help="region of the events, for phone numbers without a prefix")


def _standard_input(text: str) -> str:
    if text != "-":
        raise argparse.ArgumentTypeError("an id is personal data: give - and write it to standard input")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.clickhouse",
        description="The ClickHouse schema of Undertone. The password of a server is UNDERTONE_STORE_PASSWORD.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--store", default="", help="chdb:///folder or clickhouse://user@host:8123/undertone")
    parser.add_argument("--profile", choices=PROFILES, default=None, help="kind of installation")
    parser.add_argument("--cluster", default="undertone", help="name of the cluster, for the profile cluster")
    parser.set_defaults(dry_run=False)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("migrate", "apply the migrations that are missing"),
        ("status", "list the migrations, applied or missing"),
        ("dictionary", "print the data dictionary"),
        ("key", "print the keys of customers or agents whose ids are on standard input"),
        ("erase", "erase customers from every table"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        for option in ("--store", "--cluster"):
            command.add_argument(option, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        command.add_argument("--profile", choices=PROFILES, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if name == "migrate":
            command.add_argument("--dry-run", action="store_true", help="print the missing SQL, change nothing")
            command.add_argument(
                "--empty", action="store_true", help="with --dry-run: print all SQL, without asking the store"
            )
        if name in {"key", "erase"}:
            _add_ids(command)
        if name == "erase":
            whom = command.add_mutually_exclusive_group(required=True)
            whom.add_argument("--customer-key", action="append", default=[], help="16 hex digits, as in escalations")
            whom.add_argument("--customer-id", type=_standard_input, metavar="-", help="ids from standard input")
            whom.add_argument("--listed", action="store_true", help="erase again all customers that were erased before")
            command.add_argument("--reason", default="request", help="stored with the customer key")
    return parser


if __name__ == "__main__":
    sys.exit(main())
