"""Compare what the demo sent with what was written; each difference is a problem, described in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from flows.demo.play import Books
from infra.wallboard.store import Client

ROWS = "SELECT count(), countIf(label = 'negative'), sum(redactions), uniqExact(customer_key) FROM {rows}"
SCORED = "undertone.scored_events FINAL"
CUSTOMERS_SAID = "(SELECT * FROM undertone.scored_events FINAL WHERE speaker = 'customer' AND kind = 'utterance')"
REJECTS = "SELECT reason, count() FROM undertone.dead_letters FINAL GROUP BY reason"
SESSIONS = """
SELECT countIf(state = 'closed'), countIf(state = 'open'), countIf(outcome = 'recovered'), countIf(outcome = 'soured')
FROM undertone.sessions FINAL
"""
FAMILIES = """
SELECT family, countIf(transition != 'suppressed'), countIf(transition = 'suppressed')
FROM (SELECT escalation_id, any(family) AS family, argMin(transition, version) AS transition
      FROM undertone.escalation_steps FINAL GROUP BY escalation_id)
GROUP BY family
"""
WRITTEN = """
SELECT concat(text, '\\n', event_id, '\\n', interaction_id, '\\n', queue, '\\n', agent_key) FROM undertone.scored_events
UNION ALL SELECT concat(excerpt, '\\n', reason, '\\n', queue) FROM undertone.escalation_steps
"""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of what the store holds at the end."""

    rows: int
    said: int
    """Messages of customers."""
    negative: int
    redactions: int
    customers: int
    rejects: Mapping[str, int]
    families: Mapping[str, int]
    """Number of escalations raised, by rule family."""
    suppressed: int
    sessions: int = 0
    """Closed sessions."""
    open: int = 0
    recovered: int = 0
    soured: int = 0
    leaks: int
    """Number of pieces of planted personal data found in the store."""


def take(client: Client, planted: Sequence[str]) -> Account:
    """Read the account from the store."""
    rows, _, redactions, customers = client.query(ROWS.format(rows=SCORED)).result_rows[0]
    said, negative, _, _ = client.query(ROWS.format(rows=CUSTOMERS_SAID)).result_rows[0]
    families = client.query(FAMILIES).result_rows
    closed, still_open, recovered, soured = client.query(SESSIONS).result_rows[0]
    written = "\n".join(row[0] for row in client.query(WRITTEN).result_rows)
    return Account(
        rows=rows,
        said=said,
        negative=negative,
        redactions=redactions,
        customers=customers,
        rejects=dict(client.query(REJECTS).result_rows),
        families={family: raised for family, raised, _ in families},
        suppressed=sum(suppressed for _, _, suppressed in families),
        sessions=closed,
        open=still_open,
        recovered=recovered,
        soured=soured,
        leaks=sum(secret in written for secret in planted),
    )


def problems(account: Account, books: Books, families: Iterable[str]) -> list[str]:
    """Return one sentence for each difference between sent and written; empty when there is none."""
    return [
        *_rejects(account.rejects, books.expected_rejects),
        *_rows(account.rows, books.rows),
        *(
            f"no rule of the family {family!r} rose: see operators/rules.yaml, or play with more --customers"
            for family in sorted(set(families))
            if not account.families.get(family)
        ),
        *([f"{account.leaks} pieces of planted personal data are in the store"] if account.leaks else []),
    ]


def _rejects(found: Mapping[str, int], expected: Counter[str]) -> list[str]:
    return [
        f"{found.get(reason, 0)} records were refused as {reason}, and {expected[reason]} were made for that"
        for reason in sorted({*found, *expected})
        if found.get(reason, 0) != expected[reason]
    ]


def _rows(found: int, expected: int) -> list[str]:
    if found == expected:
        return []
    return [f"scored_events holds {found} rows, and {expected} events were sent that must be there"]


def families_of(rules: Any) -> set[str]:
    """Families of the rules in a parsed rules file; the demo must raise an alert of each."""
    return {rule["family"] for rule in rules["rules"]}
