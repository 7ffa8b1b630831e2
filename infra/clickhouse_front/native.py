"""The few blocks of ClickHouse's Native format that the engine does not write itself.

The embedded engine writes Native at protocol revision 0. A client that speaks a newer revision asks for the server's
revision first and decodes what follows at that revision, so its greeting is answered by hand, at the revision that it
asked for, with the revision 0.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

GREETING = "SELECT displayName(), version(), revision(), timezone()"
_BLOCK_INFO_SINCE = 1
_CUSTOM_SERIALISATION_SINCE = 54454


def varint(value: int) -> bytes:
    r"""Unsigned LEB128.

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
    """A length-prefixed string."""
    raw = value.encode()
    return varint(len(raw)) + raw


def header(columns: Sequence[tuple[str, str]]) -> bytes:
    r"""A block without rows at revision 0: clients learn the columns of an empty result from it.

    >>> header([("a", "UInt8")])
    b'\x01\x00\x01a\x05UInt8'
    """
    return varint(len(columns)) + varint(0) + b"".join(text(name) + text(type_) for name, type_ in columns)


def greeting(display_name: str, version: str, timezone: str, revision: int) -> bytes:
    """Answer to `GREETING`, encoded at `revision`, saying that all that follows is at revision 0."""
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
