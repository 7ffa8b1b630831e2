"""The few blocks of ClickHouse's Native format that the engine does not write itself.

The embedded engine writes Native at protocol revision 0. A client with a newer revision first asks for the server's
revision and decodes later answers at that revision. So this module answers that first query itself: it encodes the
answer at the client's revision, and the answer names revision 0.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

GREETING = "SELECT displayName(), version(), revision(), timezone()"
_BLOCK_INFO_SINCE = 1
_CUSTOM_SERIALISATION_SINCE = 54454


def varint(value: int) -> bytes:
    r"""Encode a number as unsigned LEB128.

    >>> varint(300)
    b'\xac\x02'
    """
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value: str) -> bytes:
    """Encode a string with its length in front."""
    raw = value.encode()
    return varint(len(raw)) + raw


def header(columns: Sequence[tuple[str, str]]) -> bytes:
    r"""Encode a block without rows at revision 0, which tells clients the columns of an empty result.

    >>> header([("a", "UInt8")])
    b'\x01\x00\x01a\x05UInt8'
    """
    return varint(len(columns)) + varint(0) + b"".join(text(name) + text(type_) for name, type_ in columns)


def greeting(display_name: str, version: str, timezone: str, revision: int) -> bytes:
    """Encode the answer to `GREETING` at `revision`; it says that later answers are at revision 0."""
    info = b"\x01\x00\x02" + struct.pack("<i", -1) + b"\x00" if revision >= _BLOCK_INFO_SINCE else b""
    custom = b"\x00" if revision >= _CUSTOM_SERIALISATION_SINCE else b""
    columns = (
        ("displayName()", "String", text(display_name)),
        ("version()", "String", text(version)),
        ("revision()", "UInt32", struct.pack("<I", 0)),
        ("timezone()", "String", text(timezone)),
    )
    body = b"".join(text(name) + text(type_) + custom + value for name, type_, value in columns)
    return info + varint(len(columns)) + varint(1) + body
