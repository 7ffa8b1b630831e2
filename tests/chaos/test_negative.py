"""The comparison of the chaos tests and the search for personal data can fail: what is done to a run, they name."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from infra import traffic
from infra.embedded_kafka import MockCluster
from operators.rows import TABLES
from tests.chaos.stores import EmbeddedStore
from tests.chaos.supervised import SupervisedJob, Topics
from tests.chaos.tampered import after_each
from tests.chaos.verdict import judge, wanted
from tests.kafka_traffic import PATIENCE_SECONDS, read_all
from tests.oracle import Expected
from tests.outputs import leaks, table_texts, topic_text
from tests.recount import recount
from tests.recount_escalations import recount_escalations
from tests.recount_rules import default_rules
from tests.store_reader import Rows

pytestmark = pytest.mark.chaos

SEED, CUSTOMERS = 4, 120


class Finished:
    """A run that went well, on a broker of its own; the tests change it one after the other."""

    def __init__(self, cluster: MockCluster, folder: Path) -> None:
        self.cluster = cluster
        self.topics = Topics(cluster, "negative")
        start = datetime.now(timezone.utc) - timedelta(days=3)
        self.topics.fill(
            list(traffic.generate(seed=SEED, customers=CUSTOMERS, start=start, minutes=60, malformed=0.04))
        )
        with EmbeddedStore(folder) as store:
            self.dsn = store.dsn
            with SupervisedJob(folder, 1, {**self.topics.settings(), "UNDERTONE_STORE": self.dsn}) as job:
                job.wait_until_quiet()
                assert job.drain() == 0
                self.log = job.log
            self.rows = store.read()
        self.want: Expected = wanted(self.topics)

    def verdict(self, rows: Rows) -> dict[str, Any]:
        return judge(self.want, self.topics, rows)

    def value(self, table: str, column: str, row: int = 0) -> Any:
        """One value of a table."""
        return self.rows[table][row][TABLES[table].columns.index(column)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    with MockCluster() as cluster:
        yield Finished(cluster, tmp_path_factory.mktemp("finished"))


def counts(finished: Finished, table: str, **changed: int) -> dict[str, int]:
    return {"wanted": len(finished.want.tables[table]), "lost": 0, "extra": 0, "differing": 0, **changed}


def test_the_run_itself_is_as_wanted_and_holds_no_personal_data(finished: Finished) -> None:
    assert finished.verdict(finished.rows) == {}
    assert leaks(outputs(finished, finished.rows), secrets(finished)) == {}


def test_a_row_dropped_changed_or_doubled_in_the_store_is_named(finished: Finished) -> None:
    dropped, changed = finished.value("scored_events", "event_id"), finished.value("trajectory", "event_id")
    escalation = finished.value("escalations", "escalation_id")
    dumps = after_each(
        finished.dsn,
        [
            "INSERT INTO undertone.sessions SELECT * FROM undertone.sessions",
            f"ALTER TABLE undertone.scored_events DELETE WHERE event_id = '{dropped}' SETTINGS mutations_sync = 2",
            "ALTER TABLE undertone.trajectory UPDATE score = score - 0.25"
            f" WHERE event_id = '{changed}' SETTINGS mutations_sync = 2",
            "INSERT INTO undertone.escalations SELECT * REPLACE ('again' AS escalation_id)"
            f" FROM (SELECT * FROM undertone.escalations FINAL WHERE escalation_id = '{escalation}')",
        ],
    )
    replayed, lost, differing, extra = map(finished.verdict, dumps)
    assert replayed == {}, "a replay's rows are the same rows"
    assert lost.keys() == {"scored_events"}
    assert lost["scored_events"]["rows"] == counts(finished, "scored_events", lost=1)
    assert [key[2] for key in lost["scored_events"]["lost"]] == [dropped]
    assert differing.keys() == {"scored_events", "trajectory"}
    assert differing["trajectory"]["rows"] == counts(finished, "trajectory", differing=1)
    assert {name for name, _ in differing["trajectory"]["differing"][0]} == {"score"}
    assert extra.keys() == {"scored_events", "trajectory", "escalations"}
    assert extra["escalations"]["rows"] == counts(finished, "escalations", extra=1)
    assert [key[2] for key in extra["escalations"]["extra"]] == ["again"]


def test_the_recount_by_the_definitions_agrees_and_names_what_does_not(finished: Finished) -> None:
    agreed, compared = recount(finished.rows)
    assert agreed == []
    assert compared > 0.8 * CUSTOMERS
    for table, column, by in (
        ("trajectory", "level", 0.001),
        ("trajectory", "customer_level", -0.001),
        ("trajectory", "level_evidence", 0.01),
        ("trajectory", "customer_evidence", 0.01),
        ("sessions", "started_time", 1),
        ("sessions", "ended_time", 1),
        ("sessions", "hops", 1),
        ("sessions", "messages", 1),
        ("sessions", "channels", ("fax",)),
        ("trajectory", "streak", 1),
        ("trajectory", "contacts_24h", 1),
        ("sessions", "mean_score", 0.001),
        ("sessions", "begin", 0.001),
        ("sessions", "volatility", 0.001),
        ("sessions", "reversals", 1),
        ("sessions", "change_points", 1),
        ("sessions", "carried", 0.001),
        ("sessions", "final_level", 0.001),
        ("sessions", "low", -0.001),
        ("sessions", "under_ms", 60_000),
        ("sessions", "response_ms", 1),
        ("sessions", "contacts_before", 1),
        ("sessions", "n_anger", 1),
        ("scored_events", "event_time", 3 * 24 * 3600 * 1000),
    ):
        at, row = TABLES[table].columns.index(column), finished.rows[table][0]
        changed = (*row[:at], row[at] + by, *row[at + 1 :])
        wrong, _ = recount({**finished.rows, table: [changed, *finished.rows[table][1:]]})
        assert wrong, f"{table}.{column}"


def test_escalations_counted_again_agree_and_what_does_not_is_named(finished: Finished) -> None:
    agreed = recount_escalations(finished.rows, default_rules())
    assert agreed.wrong == []
    assert agreed.customers > 0.8 * CUSTOMERS
    assert agreed.to_the_letter > 5
    columns = TABLES["escalations"].columns
    rows = sorted(finished.rows["escalations"], key=lambda row: row[columns.index("transition")] == "retracted")
    first, others = rows[0], rows[1:]
    for column, other in (
        ("state", "active"),
        ("transition", "retracted"),
        ("level", 9),
        ("route", "nobody"),
        ("rule", "calm"),
        ("session_id", "none"),
        ("escalation_id", "e-1"),
    ):
        at = columns.index(column)
        changed = (*first[:at], other, *first[at + 1 :])
        assert recount_escalations({**finished.rows, "escalations": [changed, *others]}, default_rules()).wrong, column
    assert recount_escalations({**finished.rows, "escalations": others}, default_rules()).wrong, "one is lost"


def test_a_record_twice_or_missing_in_a_topic_is_named(finished: Finished) -> None:
    topic = finished.topics.names["escalations"]
    message = next(message for message in read_all(finished.topics.brokers, topic) if message.partition() == 0)
    send(finished, topic, message.value(), message.headers())
    assert finished.verdict(finished.rows) == {"topic escalations": "0 missing, 0 too many, 1 more than once"}
    send(finished, topic, b"{}", [("id", b"never raised")])
    assert finished.verdict(finished.rows) == {"topic escalations": "0 missing, 1 too many, 1 more than once"}
    finished.cluster.delete_records(topic, 1, 1)
    assert finished.verdict(finished.rows) == {"topic escalations": "1 missing, 1 too many, 1 more than once"}


def test_a_planted_value_is_found_where_it_was_planted(finished: Finished) -> None:
    stored, sent, logged = secrets(finished)[:3]
    event = finished.value("scored_events", "event_id", row=-1)
    (rows,) = after_each(
        finished.dsn,
        [
            f"ALTER TABLE undertone.scored_events UPDATE text = concat(text, ' {stored}')"
            f" WHERE event_id = '{event}' SETTINGS mutations_sync = 2"
        ],
    )
    send(finished, finished.topics.names["dead_letters"], b"{}", [("id", b"x"), ("from", sent.encode())])
    found = leaks({**outputs(finished, rows), "log": f"{finished.log} {logged}"}, secrets(finished))
    assert found == {"scored_events": [stored], "dead_letters topic": [sent], "log": [logged]}


def secrets(finished: Finished) -> list[str]:
    """Planted values that the run has read, none of them part of another."""
    source = topic_text(finished.topics.brokers, finished.topics.names["events"])
    used = [value for value in traffic.planted(SEED, CUSTOMERS) if value in source]
    assert len(used) > 20
    return used


def outputs(finished: Finished, rows: Rows) -> dict[str, str]:
    names = ("escalations", "dead_letters")
    texts = {f"{name} topic": topic_text(finished.topics.brokers, finished.topics.names[name]) for name in names}
    return {"log": finished.log, **texts, **table_texts(rows)}


def send(finished: Finished, topic: str, payload: bytes | None, headers: Any) -> None:
    producer = Producer({"bootstrap.servers": finished.topics.brokers})
    producer.produce(topic, payload, partition=0, headers=headers)
    assert producer.flush(PATIENCE_SECONDS) == 0
