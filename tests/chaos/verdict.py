"""What was lost, extra, different or twice, after a run that was hurt."""

from __future__ import annotations

from collections import Counter
from pprint import pformat
from typing import Any

from flows.settings import Settings
from operators.clock import now_ms
from operators.rows import TABLES
from tests.chaos.stores import EmbeddedStore, SharedStore
from tests.chaos.supervised import Topics
from tests.kafka_traffic import identities
from tests.oracle import IDENTITY, Expected, Tables, expected, stub_parts
from tests.recount import recount
from tests.recount_escalations import recount_escalations
from tests.recount_rules import default_rules
from tests.store_reader import Rows, comparable, dump, tables


def verdict(topics: Topics, found: Rows) -> dict[str, Any]:
    """Differences between what a run left in tables and topics and what the oracle computes; empty when all is well."""
    return judge(wanted(topics), topics, found)


def check(topics: Topics, store: EmbeddedStore | SharedStore) -> None:
    """Fail unless tables and topics hold what they should; say then what is known of each row that is missing.

    What they should hold is computed twice: by the job's own reducers in one go, and by the definitions alone.
    """
    found = store.read()
    differences = verdict(topics, found)
    if differences:
        every = dump(store.dsn, final=False)
        versions = {table: _versions(table, every[table], wrong["lost"]) for table, wrong in tables_of(differences)}
        again = verdict(topics, store.read())
        raise AssertionError(
            pformat({"differences": differences, "all rows of what is lost": versions, "again": again})
        )
    errors, compared = recount(found)
    assert errors[:5] == []
    assert compared > 50, "too few customers to show anything"
    escalations = recount_escalations(found, default_rules())
    assert escalations.wrong[:5] == []
    assert escalations.customers > 50, "too few customers to show anything"
    assert escalations.to_the_letter > 5, "too few alerts to show anything"


def tables_of(differences: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Those of the differences that are of tables."""
    return [(name, found) for name, found in differences.items() if isinstance(found, dict)]


def _versions(table: str, rows: list[tuple[Any, ...]], lost: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Identity, version and deletion mark of every stored row of the lost ones.

    >>> blank = dict.fromkeys(TABLES["dead_letters"].columns, 0)
    >>> rows = [tuple({**blank, "offset": offset}.values()) for offset in (7, 8, 7)]
    >>> _versions("dead_letters", rows, [(0, 0, 7, 0)])
    [((0, 0, 7, 0), ()), ((0, 0, 7, 0), ())]
    """
    columns = [TABLES[table].columns.index(name) for name in IDENTITY[table]]
    marks = [TABLES[table].columns.index(name) for name in ("version", "deleted") if name in TABLES[table].columns]
    known = [(tuple(row[at] for at in columns), tuple(row[at] for at in marks)) for row in rows]
    return sorted(row for row in known if row[0] in lost)


def wanted(topics: Topics) -> Expected:
    """What the oracle computes of the source topic."""
    raws = topics.raws()
    return expected(raws, *stub_parts(Settings(reject_run_limit=len(raws)), now_ms()))


def judge(want: Expected, topics: Topics, found: Rows) -> dict[str, Any]:
    """Differences of tables and topics from what is wanted."""
    differences = compare(comparable(want.tables), comparable(tables(found)))
    for name, ids in (("escalations", want.escalation_ids), ("dead_letters", want.dead_letter_ids)):
        assert len(want.tables[name]) > 20, "too little happened to show anything"
        differences |= {f"topic {name}": wrong for wrong in once_each(topics, name, ids)}
    return differences


def compare(want: Tables, got: Tables) -> dict[str, Any]:
    """Rows lost, extra and differing by table, a few of each.

    >>> row = (("score", 1.0),)
    >>> compare({"t": {("a",): row, ("b",): row}}, {"t": {("b",): (("score", 2.0),), ("c",): row}})["t"]["rows"]
    {'wanted': 2, 'lost': 1, 'extra': 1, 'differing': 1}
    >>> compare({"t": {("a",): row}}, {"t": {("a",): row}})
    {}
    """
    differences: dict[str, Any] = {}
    for table in sorted(want.keys() | got.keys()):
        wanted, found = want.get(table, {}), got.get(table, {})
        lost, extra = list(wanted.keys() - found.keys()), list(found.keys() - wanted.keys())
        differing = [key for key in wanted.keys() & found.keys() if wanted[key] != found[key]]
        if lost or extra or differing:
            counts = {"wanted": len(wanted), "lost": len(lost), "extra": len(extra), "differing": len(differing)}
            pairs = [sorted(set(wanted[key]) ^ set(found[key])) for key in differing[:2]]
            differences[table] = {"rows": counts, "lost": lost[:3], "extra": extra[:3], "differing": pairs}
    return differences


def once_each(topics: Topics, name: str, wanted: frozenset[str]) -> list[str]:
    """Say what is missing, too many or there more than once in a topic."""
    counts = Counter(identities(topics.brokers, topics.names[name]))
    twice = sum(count > 1 for count in counts.values())
    missing, extra = len(wanted - counts.keys()), len(counts.keys() - wanted)
    return [f"{missing} missing, {extra} too many, {twice} more than once"] if missing or extra or twice else []
