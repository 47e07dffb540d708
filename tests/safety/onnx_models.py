"""A small ONNX model, written byte by byte: the score of a frame is its mean brightness (or how far it is from it)."""

from __future__ import annotations

from pathlib import Path

FLOAT = 1  # the type of tensors


def field(number: int, content: bytes | int | str) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    data = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def value_info(name: str, sides: tuple[int | str, ...]) -> bytes:
    shape = b"".join(field(1, field(1, side) if isinstance(side, int) else field(2, side)) for side in sides)
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, shape)))


def node(kind: str, given: list[str], out: str, **ints: list[int] | int) -> bytes:
    attributes = b""
    for name, value in ints.items():
        many = isinstance(value, list)
        values = b"".join(field(8, one) for one in value) if isinstance(value, list) else field(3, value)
        attributes += field(5, field(1, name) + values + field(20, 7 if many else 2))
    return b"".join(field(1, name) for name in given) + field(2, out) + field(4, kind) + attributes


def brightness_model(path: Path, side: int | str = 8, labels: int = 2) -> Path:
    """Write a model [n, side, side, 3] -> [n, labels] whose labels are all the mean of the input."""
    graph = field(1, node("ReduceMean", ["frames"], "mean", axes=[1, 2, 3], keepdims=0))
    graph += field(1, node("Unsqueeze", ["mean"], "column", axes=[1]))
    graph += field(1, node("Concat", ["column"] * labels, "scores", axis=1)) + field(2, "brightness")
    graph += field(11, value_info("frames", ("n", side, side, 3))) + field(12, value_info("scores", ("n", labels)))
    path.write_bytes(field(1, 7) + field(7, graph) + field(8, field(2, 12)))
    return path
