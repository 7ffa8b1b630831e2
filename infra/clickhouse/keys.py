"""Convert ids of customers and agents to the keys in the tables, hashed as the job hashes them.

An id is personal data: it is read from standard input, never from the command line, and no message contains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

import msgspec

from flows.settings import Settings
from operators.identity import Identity
from operators.records import SCHEMA, Event

BY_ID = "id"
BY_INTERACTION = "interaction"
BY_AGENT = "agent"
"""Kinds of ids besides the types of `customer.refs`: `customer.id`, `interaction_id` and `agent_id`."""


def read_ids(stream: BinaryIO) -> list[str]:
    r"""Read ids, one a line. They are not changed: blanks and capitals are part of an id.

    Raises:
        ValueError: There is no id, or the bytes are not UTF-8.

    >>> from io import BytesIO
    >>> read_ids(BytesIO(b"C-20417\r\n\nC-20418"))
    ['C-20417', 'C-20418']
    """
    try:
        lines = stream.read().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise ValueError("the ids on standard input are not UTF-8") from None
    ids = [line.removesuffix("\r") for line in lines if line.strip()]
    if not ids:
        raise ValueError("no id on standard input: write them there, one a line")
    return ids


def keys(ids: Sequence[str], settings: Settings, tenant: str, by: str = BY_ID, region: str = "") -> list[str]:
    """Return the key, 16 hex digits, of each id of a customer or, with `BY_AGENT`, of an agent.

    `region` is the region of the customers' events, used for phone numbers without a country prefix.

    Raises:
        ValueError: The contract forbids the tenant, id, type or region. The message names the field, not its value.

    >>> keys(["C-20417"], Settings(), "acme")
    ['788740d32702fd72']
    """
    identity = Identity(settings.customer_secret, settings.default_region)
    events = [_event(each, tenant, by, region) for each in ids]
    if by == BY_AGENT:
        return [identity.agent_key(event.tenant, event.agent_id) for event in events]
    return [f"{identity.customer_key(event):016x}" for event in events]


def _event(value: str, tenant: str, by: str, region: str) -> Event:
    """Return an event of that customer or agent, because `Identity` derives keys from events, as in the job."""
    named: dict[str, dict[str, Any]] = {
        BY_ID: {"customer": {"id": value}},
        BY_INTERACTION: {"interaction_id": value},
        BY_AGENT: {"agent_id": value},
    }
    fields = {
        "schema": SCHEMA,
        "event_id": "-",
        "tenant": tenant,
        "region": region,
        "channel": "chat",
        "interaction_id": "-",
        "event_time": "2000-01-01T00:00:00Z",
    }
    referred = {"customer": {"refs": [{"type": by, "value": value}]}}
    return msgspec.convert({**fields, **named.get(by, referred)}, Event)
