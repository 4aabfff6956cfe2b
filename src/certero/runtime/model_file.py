"""Reading and writing the model file: plain ONNX with certero's card in its metadata.

An ONNX file is a protocol-buffers message, and its metadata are top-level fields of that message. So the card is read,
added and replaced by walking the top-level fields alone: no `onnx` package at run time, the graph's bytes untouched.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

from certero.errors import ModelFileError, reason_of
from certero.machine.files import MOST_MODEL_BYTES, read_file
from certero.runtime.card import Card
from certero.sentences import Message, message, sentence

_CARD_KEY = "certero"
_HASH_KEY = "certero_sha256"
# Field numbers of ModelProto and StringStringEntryProto: onnx/onnx.proto.
_GRAPH, _METADATA = 7, 14
_KEY, _VALUE = 1, 2
# Of NodeProto and AttributeProto: what holds a graph within the graph, a loop's body or the branches of a condition.
_NODE, _ATTRIBUTE, _OPERATOR, _ONE_GRAPH, _GRAPHS = 1, 5, 4, 6, 11
_FUNCTIONS = 25
# Of GraphProto and TensorProto; the types that weights are stored in: floats of every width, and 8 bits.
_INITIALIZER, _DIMS, _DATA_TYPE, _EXTERNAL_DATA = 5, 1, 2, 13
_WEIGHT_TYPES = frozenset({1, 2, 3, 10, 11, 16})


def read_model(path: Path) -> tuple[bytes, Card]:
    """The file's bytes, as ONNX Runtime takes them, and its card.

    Raises:
        ModelFileError: if the file is missing, damaged, foreign (no card) or made by a newer certero.
    """
    data, model, metadata = _read_parts(path)
    if _CARD_KEY not in metadata:
        raise ModelFileError(
            "MODEL must be a model.onnx written by certero; %(path)s carries no certero card. "
            "Train one with: certero train DATA",
            path=path,
        )
    text = metadata[_CARD_KEY]
    if metadata.get(_HASH_KEY) != _digest(model, text):
        raise ModelFileError(
            "MODEL must be whole; %(path)s does not match its own checksum, so it was damaged or "
            "edited. Copy it again from where it was made.",
            path=path,
        )
    card = Card.from_text(text, str(path))
    _check_network(model, path)
    return data, card


def _check_network(model: bytes, path: Path) -> None:
    """Refuses what certero never writes and what lets a file run for ever, or reach for others.

    Raises:
        ModelFileError: if the network loops or branches, calls functions of its own, or keeps its weights elsewhere.
    """
    found: Message | None = None
    view = memoryview(model)
    try:
        for field, _start, body, end in _fields(view):
            if field == _FUNCTIONS:
                found = message("functions of its own")
            for inner, _s, at, after in _fields(view[body:end]) if field == _GRAPH else ():
                part = view[body:end][at:after]
                if inner == _NODE and (operator := _operator_with_graph(part)):
                    found = sentence("a part that repeats or branches (%(operator)s)", operator=operator)
                elif inner == _INITIALIZER and _tensor(part)[2] is not None:
                    found = message("weights in another file")
    except (ValueError, IndexError) as error:
        raise ModelFileError(
            "MODEL must be a whole ONNX file; %(path)s is damaged or something else.", path=path
        ) from error
    if found:
        raise ModelFileError(
            "MODEL must be a model.onnx as certero writes it; %(path)s holds %(found)s, which "
            "certero never writes. Do not trust this file: train one with certero train DATA.",
            path=path,
            found=found,
        )


def _operator_with_graph(node: memoryview) -> str | None:
    """The name of the operator of a node that holds a graph; None for all others."""
    operator, holds = "", False
    for field, _start, body, end in _fields(node):
        if field == _OPERATOR:
            operator = bytes(node[body:end]).decode("ascii", "replace")[:40]
        elif field == _ATTRIBUTE:
            holds |= any(inner in (_ONE_GRAPH, _GRAPHS) for inner, _s, _b, _e in _fields(node[body:end]))
    return operator or "unnamed" if holds else None


def is_foreign(path: Path) -> bool:
    """Whether a file is an ONNX network that carries no certero card.

    Raises:
        ModelFileError: if it cannot be read or is no ONNX file.
    """
    _data, _model, metadata = _read_parts(path)
    return _CARD_KEY not in metadata


def holds_network(data: bytes) -> bool:
    """Whether these bytes are built like an ONNX file with a network in it."""
    try:
        _take_apart(data, "")
    except ModelFileError:
        return False
    return True


def take_stock(model: bytes, path: Path) -> tuple[int, int]:
    """Bytes on the disk, files of weights beside the model included, and the numbers stored as weights.

    Args:
        model: the file's bytes.
        path: of the file; its weights may lie beside it.

    Raises:
        ModelFileError: if it is no whole ONNX file.
    """
    numbers, beside = 0, set()
    view = memoryview(model)
    try:
        for field, _start, body, end in _fields(view):
            for inner, _s, tensor, after in _fields(view[body:end]) if field == _GRAPH else ():
                if inner == _INITIALIZER:
                    count, kind, location = _tensor(view[body:end][tensor:after])
                    numbers += count if kind in _WEIGHT_TYPES else 0
                    beside.add(location)
    except (ValueError, IndexError) as error:
        raise ModelFileError(
            "MODEL must be a whole ONNX file; %(path)s is damaged or something else.", path=path
        ) from error
    files = [path.parent / name for name in beside if name is not None]
    return len(model) + sum(file.stat().st_size for file in files if file.is_file()), numbers


def _tensor(data: memoryview) -> tuple[int, int, str | None]:
    """How many numbers a stored tensor has, their type, and the file they are in; None where it is this one."""
    dims: list[int] = []
    kind, location = 0, None
    for field, start, body, end in _fields(data):
        packed = data[start] & 7 == 2
        if field == _DIMS:
            while body < end:
                size, body = _varint(data, body)
                dims.append(size)
        elif field == _DATA_TYPE and not packed:
            kind, _after = _varint(data, body)
        elif field == _EXTERNAL_DATA:
            entry = {n: bytes(data[body:end][b:e]).decode() for n, _s, b, e in _fields(data[body:end])}
            location = entry.get(_VALUE) if entry.get(_KEY) == "location" else location
    return (math.prod(dims) if dims else 0), kind, location


def with_card(model: bytes, card: Card) -> bytes:
    """The ONNX bytes with the card in place of any earlier one."""
    bare, _metadata = _take_apart(model, message("the exported network"))
    text = card.to_text()
    return bare + _entry(_CARD_KEY, text) + _entry(_HASH_KEY, _digest(bare, text))


def _digest(bare: bytes, card_text: str) -> str:
    return hashlib.sha256(bare + card_text.encode()).hexdigest()


def _read_parts(path: Path) -> tuple[bytes, bytes, dict[str, str]]:
    """The file's bytes, and what `_take_apart` makes of them."""
    try:
        data = read_file(path, MOST_MODEL_BYTES)
    except OSError as error:
        raise ModelFileError(
            "MODEL must be a readable model file; %(path)s: %(reason)s. Check the path.",
            path=path,
            reason=reason_of(error),
        ) from error
    return data, *_take_apart(data, str(path))


def _take_apart(data: bytes, where: str) -> tuple[bytes, dict[str, str]]:
    """The model without certero's metadata, and the metadata by key."""
    kept: list[bytes] = []
    metadata: dict[str, str] = {}
    has_graph = False
    try:
        for number, start, body, end in _fields(data):
            key = value = None
            if number == _METADATA:
                entry = {n: data[body:end][b:e] for n, _s, b, e in _fields(data[body:end])}
                key, value = entry.get(_KEY, b"").decode(), entry.get(_VALUE, b"").decode()
            if key in (_CARD_KEY, _HASH_KEY) and value is not None:
                metadata[key] = value
            else:
                kept.append(data[start:end])
            has_graph |= number == _GRAPH
    except (ValueError, IndexError) as error:
        raise ModelFileError(
            "MODEL must be a whole ONNX file; %(where)s is damaged or something else.", where=where
        ) from error
    if not has_graph:
        raise ModelFileError("MODEL must be a whole ONNX file; %(where)s holds no network.", where=where)
    return b"".join(kept), metadata


def _fields(data: bytes | memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Field number, start of its tag, start of its body, end, for each top-level field.

    Source: protobuf.dev, "Encoding": wire types 0 (varint), 1 (64 bits), 2 (length-delimited), 5 (32 bits).
    """
    position = 0
    while position < len(data):
        start = position
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        body = position
        if wire == 0:
            _value, position = _varint(data, position)
        elif wire == 1:
            position += 8
        elif wire == 2:
            length, body = _varint(data, position)
            position = body + length
        elif wire == 5:
            position += 4
        else:
            raise ValueError(f"wire type {wire}")
        if number == 0 or position > len(data):
            raise ValueError("field out of bounds")
        yield number, start, body, position


def _varint(data: bytes | memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("varint too long")


def _entry(key: str, value: str) -> bytes:
    inner = _delimited(_KEY, key.encode()) + _delimited(_VALUE, value.encode())
    return _delimited(_METADATA, inner)


def _delimited(number: int, body: bytes) -> bytes:
    return _to_varint(number << 3 | 2) + _to_varint(len(body)) + body


def _to_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
