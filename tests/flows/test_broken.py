"""A hundred thousand broken messages through the whole graph: each is a row of its table, and the job goes on."""

from __future__ import annotations

from pathlib import Path

import msgspec
from bytewax.testing import TestingSource

from operators.records import Origin, Raw
from tests.flows.test_pipeline import SETTINGS, Run, until_all_is_over
from tests.operators.test_fuzz import PAYLOADS, broken
from tests.operators.wire import NOW_MS

MONTH_MS = 31 * 24 * 3600 * 1000


def test_every_broken_message_ends_as_a_row_and_the_job_goes_on(tmp_path: Path) -> None:
    # Own ids and customers, so that what passes reaches the keyed state as many messages of many people.
    payloads = [
        data.replace(b"chat-0001-m03", b"m%d" % number).replace(b"C-20417", b"C-%d" % (number % 300))
        for number, data in enumerate(broken())
    ]
    records = [
        Raw(payload=data, origin=Origin(topic="undertone.events", partition=0, offset=at, broker_ms=NOW_MS))
        for at, data in enumerate(payloads)
    ]
    run = Run(tmp_path / "recovery", msgspec.structs.replace(SETTINGS, reject_run_limit=PAYLOADS), NOW_MS)

    run.go(TestingSource([*records, *until_all_is_over(1000, NOW_MS + MONTH_MS)], batch_size=1000))

    tables = run.tables()
    accepted = len(run.store.rows["scored_events"])
    assert accepted + len(tables["dead_letters"]) == PAYLOADS
    assert accepted > PAYLOADS // 20
    assert len(run.dead_letters.ids) == len(tables["dead_letters"])
    assert len(tables["sessions"]) >= 250
    assert {dict(row)["state"] for row in tables["sessions"].values()} == {"closed"}
