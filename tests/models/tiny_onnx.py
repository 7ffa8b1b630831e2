"""Graphs of three nodes in ONNX's own wire format, for tests where the `onnx` package is not installed.

Every output is the sum of a row's token ids, in as many columns as asked for. The numbers are those of `onnx.proto`.
"""

from collections.abc import Mapping, Sequence

import numpy as np

FLOAT, INT64 = 1, 7
INT, INTS = 2, 7


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _field(number: int, value: "int | str | bytes") -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _node(kind: str, inputs: Sequence[str], output: str, attributes: bytes = b"") -> bytes:
    names = b"".join(_field(1, name) for name in inputs)
    return _field(1, names + _field(2, output) + _field(4, kind) + attributes)


def _attribute(name: str, kind: int, value: int) -> bytes:
    return _field(5, _field(1, name) + _field(8 if kind == INTS else 3, value) + _field(20, kind))


def _value(place: int, name: str, kind: int, columns: str) -> bytes:
    shape = b"".join(_field(1, _field(2, size)) for size in ("rows", columns))
    return _field(place, _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, shape))))


def _ones(name: str, columns: int) -> bytes:
    content = np.ones((1, columns), np.float32).tobytes()
    return _field(5, _field(1, 1) + _field(1, columns) + _field(2, FLOAT) + _field(8, name) + _field(9, content))


def tiny_model(inputs: Sequence[str], outputs: Mapping[str, int]) -> bytes:
    """A model with these inputs [rows, tokens], of which it reads the first, and outputs [rows, columns]."""
    sums = _node("ReduceSum", inputs[:1], "sums", _attribute("axes", INTS, 1) + _attribute("keepdims", INT, 1))
    graph = sums + _node("Cast", ["sums"], "floats", _attribute("to", INT, FLOAT))
    for name, columns in outputs.items():
        graph += _node("MatMul", ["floats", f"ones_{name}"], name) + _ones(f"ones_{name}", columns)
        graph += _value(12, name, FLOAT, f"columns_{name}")
    graph += b"".join(_value(11, name, INT64, "tokens") for name in inputs) + _field(2, "tiny")
    return _field(1, 6) + _field(8, _field(1, "") + _field(2, 11)) + _field(7, graph)
