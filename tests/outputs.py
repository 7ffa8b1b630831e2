"""All that a run leaves behind, as text, and the search for personal data in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.kafka_traffic import read_all


def topic_text(brokers: str, topic: str) -> str:
    """Keys, headers and payloads of a topic."""
    records = ((message.key(), message.headers(), message.value()) for message in read_all(brokers, topic))
    return "\n".join(" ".join(map(_text, (key, *_flat(headers), value))) for key, headers, value in records)


def table_texts(rows: Mapping[str, Iterable[tuple[Any, ...]]]) -> dict[str, str]:
    """Rows of tables, every version of them."""
    return {table: "\n".join(map(repr, found)) for table, found in rows.items()}


def files_text(folder: Path) -> str:
    """All files below a folder, whatever they hold; text in them stays readable."""
    return "\n".join(path.read_bytes().decode(errors="replace") for path in folder.rglob("*") if path.is_file())


def leaks(outputs: Mapping[str, str], secrets: Iterable[str]) -> dict[str, list[str]]:
    """Say which secrets are in which output.

    >>> leaks({"log": "started", "topic": "call 555-0100"}, ["555-0100", "4111"])
    {'topic': ['555-0100']}
    """
    wanted = sorted(secrets)
    found = {name: [secret for secret in wanted if secret in text] for name, text in outputs.items()}
    return {name: secrets for name, secrets in found.items() if secrets}


def _flat(headers: Any) -> list[str | bytes]:
    return [part for header in headers or () for part in header]


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
