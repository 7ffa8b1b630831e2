"""Describe in readable lines how the JSON on the server differs from the JSON that we want."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator

from dashboards.common import Json


def missing(wanted: object, there: object, path: str = "") -> Iterator[str]:
    """Yield where `there` differs from `wanted`; fields that only `there` has were added by the server and are ignored.

    >>> list(missing({"a": 1, "b": [1]}, {"a": 2, "b": [1], "id": 7}))
    ['a: 2 -> 1']
    """
    if isinstance(wanted, dict) and isinstance(there, dict):
        for key in wanted:
            yield from missing(wanted[key], there.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(wanted, list) and isinstance(there, list):
        yield from _missing_items(wanted, there, path)
    elif isinstance(wanted, str) and isinstance(there, str) and "\n" in wanted + there:
        yield from _text_lines(wanted, there, path)
    elif wanted != there and (wanted or there):
        yield f"{path}: {_short(there)} -> {_short(wanted)}"


def _missing_items(wanted: list[object], there: list[object], path: str) -> Iterator[str]:
    """Compare lists; items with an identity, like panels, are matched by it, so that a moved one shows as moved."""
    for index, item in enumerate(wanted):
        identity = _identity(item)
        twins = [other for other in there if identity is not None and _identity(other) == identity]
        other = twins[0] if twins else (there[index] if identity is None and index < len(there) else None)
        name = identity if identity is not None else str(index)
        yield from missing(item, other, f"{path}[{name}]")
    known = [_identity(item) for item in wanted]
    for extra in there:
        if _identity(extra) is not None and _identity(extra) not in known:
            yield f"{path}[{_identity(extra)}]: removed"
    if len(there) > len(wanted) and all(identity is None for identity in known):
        yield f"{path}: {len(there)} -> {len(wanted)} entries"


def _identity(item: object) -> str | None:
    if not isinstance(item, dict):
        return None
    if "gridPos" in item:
        return f"panel {item.get('id')} {item.get('title', '')!r}"
    for key in ("uid", "refId", "name"):
        if isinstance(item.get(key), str):
            return str(item[key])
    return None


def _text_lines(wanted: str, there: str, path: str) -> Iterator[str]:
    if wanted == there:
        return
    yield f"{path}:"
    for line in difflib.unified_diff(there.splitlines(), wanted.splitlines(), lineterm="", n=1):
        if not line.startswith(("---", "+++")):
            yield f"    {line}"


def _short(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= 90 else text[:87] + "..."


def changes(wanted: Json, there: Json) -> list[str]:
    """All differences, in the order of `wanted`."""
    return list(missing(wanted, there))
