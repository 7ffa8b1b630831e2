"""The front answers as ClickHouse does to the clients that matter here, and to nobody from elsewhere."""

import http.client
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import lz4.frame  # type: ignore[import-untyped]  # has no types
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from infra.clickhouse.migrate import migrate, status
from infra.clickhouse.render import Target
from infra.clickhouse_front import Front
from infra.clickhouse_front.__main__ import main
from infra.clickhouse_front.native import GREETING
from infra.clickhouse_front.server import RefusedError, decompress
from infra.store import connector, open_store
from operators.rows import TABLES
from tests.samples import ONE_OF_EACH, scored

PASSWORD = "a-password"


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with Front(str(tmp_path_factory.mktemp("front")), port=0, password=PASSWORD) as served:
        yield served


@pytest.fixture(scope="module")
def client(front: Front) -> Iterator[Client]:
    opened = open_store(f"clickhouse://undertone@127.0.0.1:{front.port}/undertone", PASSWORD)
    migrate(opened, Target("single"))
    yield opened
    opened.close()


def ask(front: Front, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    """One plain HTTP request as the user of the job."""
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=60)
    known = {"X-ClickHouse-User": "undertone", "X-ClickHouse-Key": PASSWORD}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST" if body else "GET", path, body or None, {**known, **named})
    answer = connection.getresponse()
    result = answer.status, answer.read()
    connection.close()
    return result


# The client of the job


def test_the_schema_is_migrated_through_it(client: Client) -> None:
    assert all(step.applied for step in status(client, Target("single")))


def test_rows_go_in_and_come_out(front: Front, client: Client) -> None:
    store = connector(f"clickhouse://undertone@127.0.0.1:{front.port}/undertone", PASSWORD)()
    for table, record in ONE_OF_EACH.items():
        store.insert(table, [TABLES[table].to_row(record)])
    store.close()

    for table in TABLES:
        assert client.query(f"SELECT count() FROM undertone.{table} FINAL").result_rows == [(1,)]
    assert client.query("SELECT text, tags FROM undertone.journey FINAL").result_rows == [
        ("my card is [CARD]", ["frustration", "anger"])
    ]


def test_a_large_insert_arrives_whole(front: Front, client: Client) -> None:
    many = [TABLES["scored_events"].to_row(scored(number)) for number in range(30_000)]
    store = connector(f"clickhouse://undertone@127.0.0.1:{front.port}/undertone", PASSWORD)()
    store.insert("scored_events", many)
    store.close()

    assert client.query("SELECT count() FROM undertone.v_messages").result_rows == [(30_000,)]


def test_an_empty_result_has_its_columns(client: Client) -> None:
    empty = client.query("SELECT tenant, messages, minute FROM undertone.v_queues_1m WHERE tenant = 'nobody'")

    assert empty.column_names == ("tenant", "messages", "minute")


def test_parameters_and_settings_are_applied_and_put_back(client: Client) -> None:
    before = client.query("SELECT getSetting('max_threads')").result_rows
    asked: dict[str, Any] = {"names": ["it's", "b"], "number": 3}
    found = client.query(
        "SELECT {names:Array(String)}, {number:UInt8}, getSetting('max_threads')",
        parameters=asked,
        settings={"max_threads": 17},
    ).result_rows

    assert found == [(["it's", "b"], 3, 17)]
    assert client.query("SELECT getSetting('max_threads')").result_rows == before


def test_errors_keep_their_code(client: Client) -> None:
    with pytest.raises(DatabaseError) as refusal:
        client.query("SELECT * FROM undertone.nothing_here")

    assert refusal.value.code == 60


def test_a_session_keeps_its_temporary_table(front: Front) -> None:
    session = clickhouse_connect.get_client(
        host="127.0.0.1", port=front.port, username="undertone", password=PASSWORD, session_id="mine"
    )
    session.command("CREATE TEMPORARY TABLE kept (a Int32)")
    session.command("INSERT INTO kept VALUES (1)(2)")

    assert session.query("SELECT sum(a) FROM kept").result_rows == [(3,)]
    session.close()


def test_many_clients_at_once_get_their_own_answers(front: Front) -> None:
    answers: dict[int, set[tuple[int, bytes]]] = {}

    def work(number: int) -> None:
        address = f"/?query=SELECT+{number}%2Bsum(number)+FROM+numbers(1000)"
        answers[number] = {ask(front, address) for _ in range(10)}

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == {number: {(200, f"{number + 499500}\n".encode())} for number in range(8)}


# Grafana's client


def test_the_greeting_of_the_go_client_is_answered_at_its_revision_with_revision_zero(front: Front) -> None:
    code, body = ask(
        front, "/?default_format=Native&client_protocol_version=54460&max_execution_time=30", GREETING.encode()
    )

    assert code == 200
    assert body.startswith(b"\x01\x00\x02\xff\xff\xff\xff\x00\x04\x01")
    assert b"\nrevision()\x06UInt32\x00" + struct.pack("<I", 0) in body


def test_its_ping_and_its_queries_are_native_at_revision_zero(front: Front) -> None:
    options = "/?database=default&default_format=Native&client_protocol_version=54460&max_execution_time=30"

    assert ask(front, options, b"SELECT 1") == (200, b"\x01\x01\x011\x05UInt8\x01")
    assert ask(front, options, b"SELECT 1 AS a WHERE 0") == (200, b"\x01\x00\x01a\x05UInt8")


def test_the_user_grafana_can_only_read(front: Front, client: Client) -> None:
    reads = {"X_ClickHouse_User": "grafana"}

    assert ask(front, "/", b"SELECT 1", **reads) == (200, b"1\n")
    code, body = ask(front, "/", b"INSERT INTO undertone.erasures (customer_key) VALUES (1)", **reads)
    assert code == 403
    assert body.startswith(b"Code: 164.")


# HTTP


@pytest.mark.parametrize("path", ["/ping", "/"])
def test_it_says_that_it_is_there(front: Front, path: str) -> None:
    assert ask(front, path) == (200, b"Ok.\n")


def test_a_wrong_password_is_refused(front: Front) -> None:
    code, body = ask(front, "/?query=SELECT+1", X_ClickHouse_Key="wrong")

    assert code == 401
    assert b"Code: 516." in body


def test_a_web_page_cannot_use_its_visitors_access(front: Front) -> None:
    assert ask(front, "/?query=SELECT+1", Origin="http://evil.example")[0] == 403
    assert ask(front, "/?query=SELECT+1", Host="rebound.example")[0] == 403


def test_an_insert_may_bring_its_data_in_any_way(front: Front, client: Client) -> None:
    client.command("CREATE TABLE undertone.brought (a Int32) ENGINE = MergeTree ORDER BY a")
    statement = "INSERT INTO undertone.brought FORMAT TSV"
    address = "/?query=" + statement.replace(" ", "+")

    assert ask(front, address, b"1\n2\n")[0] == 200
    assert ask(front, "/", f"{statement}\n3\n".encode())[0] == 200
    frames = lz4.frame.compress(b"4\n") + lz4.frame.compress(b"5\n")
    assert ask(front, address, frames, Content_Encoding="lz4")[0] == 200
    assert ask(front, address, zlib.compress(b"6\n"), Content_Encoding="deflate")[0] == 200

    assert client.query("SELECT groupArray(a) FROM (SELECT a FROM undertone.brought ORDER BY a)").result_rows == [
        ([1, 2, 3, 4, 5, 6],)
    ]
    client.command("DROP TABLE undertone.brought")


def test_a_body_in_chunks_is_put_together(front: Front) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=60)
    headers = {"X-ClickHouse-Key": PASSWORD}
    connection.request("POST", "/", iter([b"SELECT ", b"1 + ", b"1"]), headers, encode_chunked=True)

    assert connection.getresponse().read() == b"2\n"
    connection.close()


def test_a_body_that_was_cut_off_is_refused() -> None:
    with pytest.raises(RefusedError, match="cut off"):
        decompress(lz4.frame.compress(b"some text")[:-6], "lz4")


def test_an_unknown_encoding_is_refused(front: Front) -> None:
    assert ask(front, "/", b"SELECT 1", Content_Encoding="rot13")[0] == 415


def test_other_addresses_need_to_be_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--path", str(tmp_path), "--host", "0.0.0.0", "--port", "0"]) == 2
    assert "--allow-remote" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/?query=SELECT+1&client_protocol_version=new", {}),
        ("/?query=SELECT+1", {"Authorization": "Basic not-base64"}),
        ("/?query=INSERT", {"Content_Encoding": "lz4"}),
        ("/?query=INSERT", {"Content_Encoding": "gzip"}),
        ("/?query=INSERT", {"Transfer_Encoding": "chunked"}),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_and_nobody_else_notices(
    front: Front, path: str, headers: dict[str, str]
) -> None:
    status, said = ask(front, path, b"nonsense\r\n", **headers)

    assert status == 400
    assert b"Not a request that is understood" in said
    assert ask(front, "/?query=SELECT+1") == (200, b"1\n")
