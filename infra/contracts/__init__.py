"""The contracts of the wire, for producers and consumers in any language.

`event.v1.json`, `escalation.v1.json` and `feedback.v1.json` are JSON Schemas made from `operators.records`, with what
stands below each field there as its description; a test fails when they differ, so a record cannot change unnoticed.
`examples/good` holds one or more messages a channel that are accepted; `examples/bad` holds one for each reason of
refusal, named after it. `examples/escalation` is the life of an alert, `examples/feedback` what was said about it.
"""

from __future__ import annotations

import ast
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from operators import records
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
    told = field_descriptions(Path(records.__file__).read_text(encoding="utf-8"))
    for name, part in made["$defs"].items():
        if "description" in part:  # docstrings; later Pythons take their indentation away
            part["description"] = cleandoc(part["description"])
        for field, its in part["properties"].items():
            part["properties"][field] = {"description": told[name][field], **its} if field in told[name] else its
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": _title(record), **made}


def field_descriptions(source: str) -> dict[str, dict[str, str]]:
    r"""What stands below each field of each class of a module, in one line; Python itself does not keep it.

    >>> field_descriptions("class Desk:\n    floor: int\n    'Where it stands.'\n    free: bool")
    {'Desk': {'floor': 'Where it stands.'}}
    """
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    return {one.name: dict(filter(None, map(_described, one.body, one.body[1:]))) for one in classes}


def _described(field: ast.stmt, below: ast.stmt) -> tuple[str, str] | None:
    """Name and description of a field, where a text stands below it."""
    if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr)):
        return None
    text = below.value.value if isinstance(below.value, ast.Constant) else None
    return (field.target.id, " ".join(text.split())) if isinstance(text, str) else None


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
