"""The contracts of the wire, for producers and consumers in any language.

`event.v1.json`, `escalation.v1.json` and `feedback.v1.json` are JSON Schemas made from `operators.records`; a test
fails when they differ, so a record cannot change unnoticed. `examples/good` holds one or more messages a channel
that are accepted; `examples/bad` holds one for each reason of refusal, named after it.
"""

from __future__ import annotations

from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from operators.records import Escalation, Event, Feedback, Record

FOLDER = Path(__file__).parent
CONTRACTS: dict[str, type[Record]] = {
    "event.v1.json": Event,
    "escalation.v1.json": Escalation,
    "feedback.v1.json": Feedback,
}


def schema(record: type[Record]) -> dict[str, Any]:
    """JSON Schema (2020-12) of one record. Unknown fields are allowed: producers may be newer than the job."""
    made = msgspec.json.schema(record)
    for part in made["$defs"].values():
        if "description" in part:  # docstrings; later Pythons take their indentation away
            part["description"] = cleandoc(part["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": _title(record), **made}


def rendered(record: type[Record]) -> str:
    """The schema as committed: indented, with stable order, so that a change reads well in a diff."""
    return msgspec.json.format(msgspec.json.encode(schema(record)), indent=2).decode() + "\n"


def write(folder: Path = FOLDER) -> list[Path]:
    """Write every contract into `folder`; returns what was written."""
    written = []
    for name, record in CONTRACTS.items():
        path = folder / name
        path.write_text(rendered(record), encoding="utf-8")
        written.append(path)
    return written


def _title(record: type[Record]) -> str:
    name = next(field for field in msgspec.structs.fields(record) if field.name == "schema")
    values: tuple[str, ...] = name.type.__args__
    return values[0]
