"""The schema: applied in order, once, guarded against change, for three profiles, with every meaning written down."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from infra.clickhouse import __main__ as command
from infra.clickhouse.__main__ import main
from infra.clickhouse.dictionary import dictionary
from infra.clickhouse.migrate import MigrationError, migrate, status
from infra.clickhouse.render import MIGRATIONS, PROFILES, Migration, Profile, Target, load, statements
from operators.rows import TABLES
from tests.samples import empty_tables, migrated, rows

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with migrated(tmp_path_factory.mktemp("store")) as opened:
        yield opened


@pytest.fixture
def empty(client: Client) -> Client:
    empty_tables(client)
    return client


def names(client: Client, where: str) -> list[str]:
    return [
        name for (name,) in rows(client, f"SELECT name FROM system.tables WHERE database = 'undertone' AND {where}")
    ]


# Applying


def test_a_second_run_has_nothing_to_do(client: Client) -> None:
    assert migrate(client, Target()) == []
    assert all(step.applied for step in status(client, Target()))


def test_a_run_that_was_cut_off_is_finished_by_the_next(client: Client) -> None:
    client.command("ALTER TABLE undertone.schema_migrations DELETE WHERE number > 1 SETTINGS mutations_sync = 2")

    assert [migration.number for migration in migrate(client, Target())] == [step.number for step in load()[1:]]
    assert migrate(client, Target()) == []


def test_comments_that_a_run_did_not_get_to_are_given_by_the_next(client: Client) -> None:
    missing = (
        "SELECT count() FROM system.columns WHERE database = 'undertone' AND table = 'v_sessions' AND comment = ''"
    )
    client.command("ALTER TABLE undertone.v_sessions COMMENT COLUMN tenant ''")
    assert client.query(missing).result_rows == [(1,)]
    assert migrate(client, Target()) == []
    assert client.query(missing).result_rows == [(0,)]


def test_a_changed_file_stops_the_run(client: Client) -> None:
    first, *rest = load()
    changed = (Migration(first.number, first.name, first.template + "\n-- later thought"), *rest)

    with pytest.raises(MigrationError, match=r"0001_database\.sql was changed"):
        migrate(client, Target(), changed)


def test_older_files_than_the_database_stop_the_run(client: Client) -> None:
    with pytest.raises(MigrationError, match="newer version"):
        migrate(client, Target(), load()[:-1])


def test_another_database_of_the_same_store_is_its_own(client: Client) -> None:
    target = Target(database="second")

    assert len(migrate(client, target)) == len(load())
    assert migrate(client, target) == []
    client.command("DROP DATABASE second")


@pytest.mark.parametrize("name", ["0003_journey.sql", "0012_view_comments.sql"])
def test_a_missing_or_misnamed_file_is_noticed(tmp_path: Path, name: str) -> None:
    shutil.copytree(MIGRATIONS, tmp_path / "migrations")
    (tmp_path / "migrations" / name).rename(tmp_path / "migrations" / "0099_later.sql")

    with pytest.raises(ValueError, match="without gaps"):
        load(tmp_path / "migrations")
    (tmp_path / "migrations" / "0099_later.sql").rename(tmp_path / "migrations" / "later.sql")
    with pytest.raises(ValueError, match="0001_what_it_does"):
        load(tmp_path / "migrations")


@pytest.mark.parametrize("name", ["a;b", "x y", "", "1st"])
def test_only_plain_names_are_rendered(name: str) -> None:
    with pytest.raises(ValueError, match="plain names"):
        Target(database=name)


# Profiles


def rendered(profile: Profile) -> list[str]:
    target = Target(profile, cluster="main")
    return [statement for migration in load() for statement in statements(migration.template, target)]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_engine_can_parse_every_profile(client: Client, profile: Profile) -> None:
    for statement in rendered(profile):
        client.query("SELECT formatQuery({sql:String})", parameters={"sql": statement})


def test_the_engine_can_parse_the_roles(client: Client) -> None:
    roles = statements((MIGRATIONS.parent / "roles.sql").read_text(encoding="utf-8"), Target("single"))

    assert len(roles) > 10
    for statement in roles:
        client.query("SELECT formatQuery({sql:String})", parameters={"sql": statement})


def test_every_column_of_text_is_withheld_from_bi(client: Client) -> None:
    roles = (MIGRATIONS.parent / "roles.sql").read_text(encoding="utf-8")

    for table, column in rows(
        client,
        "SELECT table, name FROM system.columns WHERE database = 'undertone' AND name IN ('text', 'excerpt')"
        " AND NOT endsWith(table, '_feed')",
    ):
        assert f"REVOKE SELECT({column}) ON undertone.{table} FROM undertone_bi;" in roles


def test_every_table_of_tenants_has_the_row_policy_and_the_list_of_the_erased_is_withheld(client: Client) -> None:
    roles = (MIGRATIONS.parent / "roles.sql").read_text(encoding="utf-8")
    policy = roles[roles.index("CREATE ROW POLICY") : roles.index("USING tenant")]

    for name, engine, with_tenant in rows(
        client,
        "SELECT name, engine, name IN (SELECT table FROM system.columns WHERE database = 'undertone' AND"
        " name = 'tenant') FROM system.tables WHERE database = 'undertone' AND engine LIKE '%MergeTree'"
        " AND NOT startsWith(name, '.')",
    ):
        assert (f"undertone.{name}" in re.split(r"[,\s]+", policy)) == bool(with_tenant), (name, engine)
    assert "REVOKE SELECT ON undertone.erasures FROM undertone_bi;" in roles


def test_the_parser_that_these_tests_trust_refuses_nonsense(client: Client) -> None:
    with pytest.raises(ClickHouseError):
        client.query("SELECT formatQuery('CREATE TABLE x (a Int8) ENGINE = ORDER BY')")


def test_one_server_gets_what_is_embedded() -> None:
    assert rendered("single") == rendered("embedded")


def test_a_cluster_gets_replicated_tables_under_distributed_ones() -> None:
    cluster = rendered("cluster")
    tables = [statement for statement in cluster if statement.startswith("CREATE TABLE")]
    replicated = [statement for statement in tables if "ENGINE = Distributed" not in statement]
    distributed = [statement.split()[5].split(".")[1] for statement in tables if statement not in replicated]

    assert all("ON CLUSTER main" in statement for statement in cluster)
    assert all("ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}" in sql for sql in replicated)
    assert {*distributed} == {*TABLES, "journey", "escalation_steps", "rollup_1m"}
    assert all(f"undertone.{table}_local ON CLUSTER" in "\n".join(replicated) for table in distributed)


def test_a_cluster_feeds_local_tables_from_local_tables() -> None:
    feeds = [sql for sql in rendered("cluster") if sql.startswith("CREATE MATERIALIZED VIEW")]

    assert len(feeds) == 3
    for sql in feeds:
        read = sql.split("FROM undertone.")[1:]
        assert all(part.split()[0].rstrip(";)").endswith("_local") for part in read)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("table", ["journey", "trajectory"])
def test_tables_in_customer_order_have_small_granules(profile: Profile, table: str) -> None:
    local = f"undertone.{table}_local" if profile == "cluster" else f"undertone.{table}"
    (made,) = [sql for sql in rendered(profile) if sql.startswith("CREATE TABLE") and sql.split()[5] == local]

    assert "SETTINGS index_granularity = 1024" in made


# What is there


def test_every_table_view_and_column_says_what_it_means(client: Client) -> None:
    feeds = names(client, "engine = 'MaterializedView'")
    mute = rows(
        client,
        "SELECT table, name FROM system.columns WHERE database = 'undertone' AND comment = ''"
        " AND NOT startsWith(table, '.')",
    )

    assert [found for found in mute if found[0] not in feeds] == []
    assert sorted(names(client, "comment = '' AND NOT startsWith(name, '.')")) == sorted(feeds)


def test_the_data_dictionary_is_that_of_the_database(client: Client) -> None:
    page = (ROOT / "docs" / "data-dictionary.md").read_text(encoding="utf-8")

    assert page == dictionary(client), "run: python -m infra.clickhouse dictionary > docs/data-dictionary.md"


def test_no_view_shows_text(client: Client) -> None:
    shown = rows(client, "SELECT name FROM system.columns WHERE database = 'undertone' AND startsWith(table, 'v_')")

    assert not {"text", "excerpt"} & {name for (name,) in shown}


def test_text_has_a_shorter_life_than_its_row(client: Client) -> None:
    for table, column in (("scored_events", "text"), ("journey", "text"), ("escalations", "excerpt")):
        statement = str(client.command(f"SHOW CREATE TABLE undertone.{table}"))
        assert f"`{column}` String" in statement
        assert "toIntervalDay(30)" in statement
        assert "toIntervalDay(400)" in statement


def test_views_of_an_empty_database_are_empty(empty: Client) -> None:
    for view in names(empty, "startsWith(name, 'v_')"):
        assert rows(empty, f"SELECT * FROM undertone.{view}") == []


@pytest.mark.parametrize("table", ["scored_events", "trajectory", "sessions", "escalations", "feedback"])
def test_finding_the_standing_row_needs_no_second_partition(empty: Client, table: str) -> None:
    """A row replaces another only within one partition, so the partition must follow from the sort key."""
    partition, key = rows(
        empty,
        f"SELECT partition_key, sorting_key FROM system.tables WHERE database = 'undertone' AND name = '{table}'",
    )[0]

    assert not partition or partition.split("(")[1].rstrip(")") in key.split(", ")


# Command


NOWHERE = ["migrate", "--dry-run", "--profile", "cluster", "--store", "clickhouse://etl@nowhere.invalid/other"]


def told_of(printed: str) -> list[int]:
    """Numbers of the migrations that a dry run has printed."""
    return [int(number) for number in re.findall(r"^-- (\d{4})_\w+\.sql$", printed, re.MULTILINE)]


@pytest.fixture
def opened(client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """The store of these tests, whichever the command asks for."""
    monkeypatch.setattr(command, "open_store", lambda *_: client)
    monkeypatch.setattr(client, "close", lambda: None)
    return client


def test_a_dry_run_prints_what_the_database_lacks_and_changes_nothing(
    opened: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = load()[-1].number
    opened.command(
        f"ALTER TABLE undertone.schema_migrations DELETE WHERE number = {newest} SETTINGS mutations_sync = 2"
    )

    assert main(["migrate", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert f"-- undertone has {newest - 1} of {newest} migrations; these would be applied:\n" in printed
    assert told_of(printed) == [newest]

    assert [migration.number for migration in migrate(opened, Target())] == [newest]
    assert main(["migrate", "--dry-run"]) == 0
    assert capsys.readouterr().out == f"-- undertone has {newest} of {newest} migrations: nothing would be applied\n"


def test_a_dry_run_refuses_what_the_run_would_refuse(opened: Client, capsys: pytest.CaptureFixture[str]) -> None:
    opened.command(
        "INSERT INTO undertone.schema_migrations (number, name, checksum, profile) VALUES (9000, '', '', '')"
    )

    assert main(["migrate", "--dry-run"]) == 2
    assert "use a newer version of the project" in capsys.readouterr().err
    opened.command("ALTER TABLE undertone.schema_migrations DELETE WHERE number = 9000 SETTINGS mutations_sync = 2")


def test_a_dry_run_for_an_empty_database_asks_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*NOWHERE, "--empty"]) == 0
    printed = capsys.readouterr().out
    assert "CREATE DATABASE IF NOT EXISTS other ON CLUSTER undertone;" in printed
    assert told_of(printed) == [migration.number for migration in load()]


def test_a_dry_run_that_finds_no_database_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(NOWHERE) == 2
    refused = capsys.readouterr()
    assert refused.out == ""
    assert "--dry-run --empty prints all migrations without asking the store" in refused.err


def test_a_dry_run_makes_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--dry-run", "--store", f"chdb://{tmp_path}/store"]) == 0
    assert told_of(capsys.readouterr().out) == [migration.number for migration in load()]
    assert list(tmp_path.iterdir()) == []


def test_only_a_dry_run_is_told_that_the_database_is_empty() -> None:
    with pytest.raises(SystemExit):
        main(["migrate", "--empty"])


def test_a_wrong_store_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--store", "mysql://x"]) == 2
    assert "a store is chdb:///folder" in capsys.readouterr().err
