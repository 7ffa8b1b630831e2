"""What the views say: each thing once, as it stands, through replays, revisions, retractions and erasure."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO, TextIOWrapper
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from msgspec.structs import replace

from infra.clickhouse import __main__ as command
from infra.clickhouse.erase import CUSTOMER_TABLES, erase, listed
from infra.clickhouse.render import Target
from models.scorer import FakeScorer
from operators.identity import Identity
from operators.records import Utterance
from operators.utterance import accept
from tests.operators.wire import NOW_MS, ORIGIN, payload
from tests.samples import (
    ONE_OF_EACH,
    empty_tables,
    escalation,
    feedback,
    migrated,
    progress,
    put,
    rows,
    scored,
    session,
    turn,
)
from tests.scoring import score


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with migrated(tmp_path_factory.mktemp("store")) as opened:
        yield opened


@pytest.fixture
def empty(client: Client) -> Client:
    empty_tables(client)
    return client


def test_a_message_counts_once_however_often_it_was_written(empty: Client) -> None:
    put(empty, "scored_events", scored(1, -0.5), scored(2, 0.5))
    put(empty, "scored_events", scored(1, 0.5, revision=1), scored(2, kind="retracted"), scored(2, 0.5))

    assert rows(empty, "SELECT event_id, revision, round(score, 2) FROM undertone.v_messages") == [("m-1", 1, 0.5)]
    assert rows(empty, "SELECT event_id, revision FROM undertone.journey FINAL") == [("m-1", 1)]


def test_a_revision_with_another_time_is_shown_as_a_breach_of_the_contract(empty: Client) -> None:
    put(empty, "scored_events", scored(1), scored(2), scored(1, revision=1, event_ms=scored(9).utterance.event_ms))

    moved = rows(empty, "SELECT event_id, length(event_times) FROM undertone.v_moved_events")

    assert moved == [("m-1", 2)]


def refresh(client: Client) -> None:
    client.command("SYSTEM REFRESH VIEW undertone.rollup_1m_refresh")
    client.command("SYSTEM WAIT VIEW undertone.rollup_1m_refresh")


QUEUES = (
    "SELECT minute, queue, channel, messages, negatives, neutrals, positives, abstained, round(score_sum, 3),"
    " round(weight_sum, 3), customers FROM undertone.{} ORDER BY ALL"
)


def test_the_rollup_says_what_the_messages_say_through_replays_revisions_and_retractions(empty: Client) -> None:
    steps: Sequence[Sequence[Any]] = (
        [scored(n, (-1) ** n * 0.5, customer_key=n % 7, queue=f"q{n % 3}") for n in range(200)],
        [scored(n, (-1) ** n * 0.5, customer_key=n % 7, queue=f"q{n % 3}") for n in range(100)],
        [scored(n, 0.9, revision=1, queue="elsewhere") for n in range(60)],
        [scored(n, revision=1, kind="retracted", queue=f"q{n % 3}") for n in range(120, 200)],
        [scored(300, speaker="agent"), scored(301, skipped="language"), scored(302, kind="opened")],
    )
    for step in steps:
        put(empty, "scored_events", *step)
        refresh(empty)

        exact = rows(empty, QUEUES.format("v_queues_1m"))
        assert rows(empty, QUEUES.format("v_queues_history")) == exact
    assert sum(row[3] for row in exact) == 120


def test_messages_in_a_language_that_was_not_scored_are_no_neutral_ones(empty: Client) -> None:
    said = [scored(1, language="en").utterance, scored(2, language="de-AT").utterance]
    put(empty, "scored_events", *score(said, FakeScorer(), lambda: said[0].event_ms))
    refresh(empty)

    for view in ("v_queues_1m", "v_queues_history"):
        assert rows(empty, f"SELECT messages, neutrals, abstained FROM undertone.{view}") == [(1, 1, 0)]
    assert rows(empty, "SELECT language, skipped, weight > 0 FROM undertone.v_messages ORDER BY 1 DESC") == [
        ("en", "", True),
        ("de-AT", "language", False),
    ]


def test_late_rows_of_long_ago_reach_the_rollup(empty: Client) -> None:
    put(empty, "scored_events", scored(1))
    refresh(empty)
    put(empty, "scored_events", scored(2, at_ms=scored(1).utterance.event_ms - 86_400_000))
    refresh(empty)

    assert rows(empty, QUEUES.format("v_queues_history")) == rows(empty, QUEUES.format("v_queues_1m"))


def test_an_escalation_keeps_what_raised_it_and_shows_where_it_stands(empty: Client) -> None:
    first = escalation(1)
    later = replace(first.evidence, score=0.5, level=0.1)
    put(empty, "escalations", first, escalation(2), escalation(3, state="suppressed", transition="suppressed"))
    put(
        empty,
        "escalations",
        replace(first, version=2, transition="level_up", level=3, event_ms=first.event_ms + 5000),
        replace(
            first,
            version=3,
            transition="cleared",
            level=3,
            state="resolved",
            evidence=later,
            event_ms=first.event_ms + 90_000,
        ),
    )
    put(empty, "escalations", first)  # replayed

    found = rows(
        empty,
        "SELECT escalation_id, status, level, steps, round(score, 2), round(interaction_level, 2),"
        " dateDiff('second', raised_time, resolved_time), acked_time FROM undertone.v_escalations ORDER BY 1",
    )

    assert found == [
        ("e-1", "resolved", 3, 3, -0.75, -0.5, 90, None),
        ("e-2", "open", 2, 1, -0.75, -0.5, None, None),
        ("e-3", "suppressed", 2, 1, -0.75, -0.5, None, None),
    ]
    assert rows(empty, "SELECT escalation_id, version FROM undertone.escalations FINAL ORDER BY 1") == [
        ("e-1", 3),
        ("e-2", 1),
        ("e-3", 1),
    ]


def test_an_escalation_is_of_the_conversation_that_raised_it(empty: Client) -> None:
    raised = escalation(1, interaction_id="chat-1", channel="chat", family="mood")
    cleared = replace(
        raised, version=2, transition="cleared", state="resolved", interaction_id="call-2", channel="voice", family="x"
    )
    put(empty, "escalations", cleared)
    put(empty, "escalations", raised)

    assert rows(empty, "SELECT interaction_id, channel, family, status FROM undertone.v_escalations") == [
        ("chat-1", "chat", "mood", "resolved")
    ]


def test_no_view_picks_one_of_several_values_by_chance(client: Client) -> None:
    views = rows(client, "SELECT name, as_select FROM system.tables WHERE database = 'undertone' AND engine = 'View'")

    assert [name for name, select in views if re.search(r"\bany(Last)?\(", select)] == []


def test_feedback_acknowledges_resolves_and_judges(empty: Client) -> None:
    put(empty, "escalations", escalation(1), escalation(2), escalation(3))
    put(
        empty,
        "feedback",
        feedback(1),
        feedback(1),
        feedback(2, action="resolved", by="supervisor-4"),
        feedback(3, action="false_alarm"),
        feedback(4, action="good_catch"),
        feedback(5, escalation_id="e-2"),
        feedback(6, escalation_id="e-3", action="false_alarm"),
    )

    found = rows(
        empty,
        "SELECT escalation_id, status, dateDiff('minute', acked_time, closed_time), verdict, acted_by"
        " FROM undertone.v_escalations ORDER BY 1",
    )

    assert found == [
        ("e-1", "resolved", 1, "good_catch", "supervisor-3"),
        ("e-2", "acknowledged", None, "", "supervisor-3"),
        ("e-3", "acknowledged", None, "false_alarm", "supervisor-3"),
    ]


def test_the_view_of_progress_says_how_far_behind(empty: Client) -> None:
    put(empty, "progress", progress(), progress(), progress(partition=1, position=7, end_offset=7))

    found = rows(empty, "SELECT partition, lag, stream_lag_ms FROM undertone.v_progress ORDER BY 1")

    assert found == [(0, 60, 3000), (1, 0, 3000)]


def test_a_customer_is_shown_as_last_known(empty: Client) -> None:
    put(
        empty,
        "sessions",
        session(1),
        session(2, rating=-0.5),
        session(3, state="closed", final_level=-0.5, channels=("email",)),
    )
    put(empty, "sessions", session(4, version=9, deleted=True), session(4))

    found = rows(empty, "SELECT sessions, state, last_channel, customer_level, rating FROM undertone.v_customers")

    assert found == [(3, "closed", "email", -0.5, -0.5)]


# Erasure


def test_an_erased_customer_is_gone_from_every_table_and_others_stay(empty: Client) -> None:
    for key in (7, 8):
        put(empty, "scored_events", scored(key, customer_key=key))
        put(empty, "trajectory", turn(key, customer_key=key))
        put(empty, "sessions", session(key, customer_key=key))
        put(empty, "escalations", escalation(key, customer_key=f"{key:016x}"))
        put(empty, "feedback", feedback(key, escalation_id=f"e-{key}"))

    lost = erase(empty, Target(), [7], "request 1")

    assert lost == dict.fromkeys((*CUSTOMER_TABLES, "feedback"), 1)
    for table in CUSTOMER_TABLES:
        assert rows(empty, f"SELECT customer_key FROM undertone.{table}") == [(8,)]
    assert rows(empty, "SELECT escalation_id FROM undertone.feedback") == [("e-8",)]
    assert listed(empty, Target()) == [7]


SECRET = "the secret of an installation"
PEOPLE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "C-20417": ({"customer": {"id": "C-20417"}}, []),
    " Zoë 7 ": ({"customer": {"id": " Zoë 7 "}}, []),
    "Jo@Mail.example": ({"customer": {"refs": [{"type": "e-mail", "value": "jo@mail.example"}]}}, ["--by", "email"]),
    "030 901820": (
        {"customer": {"refs": [{"type": "tel", "value": "+4930901820"}]}, "region": "US"},
        ["--by", "phone", "--region", "DE"],
    ),
    "chat-9": ({"customer": {}, "interaction_id": "chat-9"}, ["--by", "interaction"]),
}
Ask = Callable[..., int]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, client: Client) -> Ask:
    """Run the command under that secret, on the store of these tests, with something on standard input."""
    monkeypatch.setenv("UNDERTONE_CUSTOMER_SECRET", SECRET)
    monkeypatch.setattr(command, "open_store", lambda *_: client)
    monkeypatch.setattr(client, "close", lambda: None)

    def run(*arguments: str, stdin: str | bytes) -> int:
        given = stdin if isinstance(stdin, bytes) else stdin.encode()
        monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(given), encoding="ascii"))
        return command.main(arguments)

    return run


def seen(**fields: Any) -> Utterance:
    """What the job makes of a message."""
    found = accept(payload(**fields), ORIGIN, NOW_MS, Identity(SECRET))
    assert isinstance(found, Utterance)
    return found


@pytest.mark.parametrize("who", PEOPLE)
def test_a_key_is_the_one_under_which_the_job_knows_the_customer(
    who: str, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    fields, by = PEOPLE[who]

    assert ask("key", "--tenant", "acme", *by, stdin=who) == 0
    assert capsys.readouterr().out == f"{seen(**fields).customer_key:016x}\n"


def test_keys_come_one_a_line_and_agents_have_theirs(ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("key", "--tenant", "acme", "--by", "agent", stdin="\ufeffanna\r\nbob\n\n") == 0
    assert capsys.readouterr().out.split() == [seen(agent_id=name).agent_key for name in ("anna", "bob")]


def test_a_customer_is_erased_by_the_id_that_people_know(
    empty: Client, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, who in enumerate(("C-1", "C-2", "C-3")):
        put(empty, "scored_events", scored(number, customer_key=seen(customer={"id": who}).customer_key))

    assert ask("erase", "--tenant", "acme", "--customer-id", "-", stdin="C-1\nC-3\n") == 0
    assert "scored_events: 2 rows erased" in capsys.readouterr().out
    left = seen(customer={"id": "C-2"}).customer_key
    assert rows(empty, "SELECT customer_key FROM undertone.scored_events") == [(left,)]

    assert ask("erase", "--tenant", "other", "--customer-id", "-", stdin="C-2") == 0
    assert "nothing was found under these ids: check --tenant" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "stdin", "told"),
    [
        (["erase", "--tenant", "acme", "--customer-id", "C-20417"], "", "personal data: give - and write it to"),
        (["erase", "--customer-id", "-"], "C-20417", "--customer-id needs --tenant"),
        (["key"], "C-20417", "--tenant"),
        (["erase", "--tenant", "acme", "--customer-id", "-", "--by", "agent"], "C-20417", "no rows of their own"),
        (["key", "--tenant", "acme"], "\n", "no id on standard input"),
        (["key", "--tenant", "acme"], b"C-20417 caf\xe9", "not UTF-8"),
        (["key", "--tenant", "a b"], "C-20417", "$.tenant"),
        (["key", "--tenant", "acme"], "C-20417" * 40, "$.customer.id"),
    ],
)
def test_what_cannot_be_a_key_is_told_without_the_id(
    arguments: list[str], stdin: str | bytes, told: str, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = ask(*arguments, stdin=stdin)
    except SystemExit as refused:
        status = refused.code if isinstance(refused.code, int) else 0

    written = capsys.readouterr()
    assert status == 2
    assert told in written.err
    assert "C-20417" not in written.err + written.out


def test_the_published_secret_makes_no_keys_outside_a_demo(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("UNDERTONE_CUSTOMER_SECRET")

    assert ask("key", "--tenant", "acme", stdin="C-1") == 2
    assert "UNDERTONE_CUSTOMER_SECRET is not set" in capsys.readouterr().err


def test_every_table_with_a_customer_is_erased(client: Client) -> None:
    holding = rows(
        client,
        "SELECT DISTINCT table FROM system.columns JOIN system.tables AS t ON t.database = database AND t.name = table"
        " WHERE database = 'undertone' AND system.columns.name = 'customer_key' AND t.engine LIKE '%MergeTree'",
    )

    assert {table for (table,) in holding} == {*CUSTOMER_TABLES, "erasures"}


def test_what_a_replay_brings_back_is_erased_again(empty: Client) -> None:
    put(empty, "scored_events", ONE_OF_EACH["scored_events"])
    erase(empty, Target(), [7], "request 1")
    put(empty, "scored_events", ONE_OF_EACH["scored_events"])

    assert erase(empty, Target(), listed(empty, Target()), "again")["scored_events"] == 1
