"""What every record can do: become the JSON that is stored, and be read back from it."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, Self

from certero.interchange import Json
from certero.sentences import Message, stored

#: Of a field whose key is left out where its value is None.
ABSENT = {"absent": True}
#: Of a field whose own keys stand among those of the record that holds it.
INLINE = {"inline": True}

_PLAIN: dict[Any, type | tuple[type, ...]] = {float: (int, float), int: int, str: str, Message: str, bool: bool}
# What a field holds that the file lacks: nothing that could pass for a measured figure.
_NOTHING: dict[Any, object] = {float: float("nan"), int: 0, str: "", Message: Message(""), bool: False}


class Record:
    """Base of frozen dataclasses that are stored as JSON: a key a field, in the order of the fields."""

    __slots__ = ()

    def to_json(self) -> Json:
        """The fields by their keys, records inside them likewise."""
        found: Json = {}
        for field in _fields(type(self)):
            value = getattr(self, field.name)
            if "inline" in field.metadata:
                found |= value.to_json()
            elif value is not None or "absent" not in field.metadata:
                found[_key(field)] = _write(value)
        return found

    @classmethod
    def from_json(cls, data: object) -> Self:
        """The inverse of `to_json`. Files of other versions lack keys: a missing or unfit value is an unknown one."""
        given = data if isinstance(data, Mapping) else {}
        hints = _hints(cls)  # type: ignore[arg-type]  # mypy asks whether a record can be hashed, not its class
        return cls(
            **{
                field.name: _read(hints[field.name], given if "inline" in field.metadata else given.get(_key(field)))
                for field in _fields(cls)
            }
        )


def key(name: str) -> dict[str, str]:
    """Of a field whose key is a word that Python keeps for itself."""
    return {"key": name}


def _fields(kind: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)


def _key(field: dataclasses.Field[Any]) -> str:
    return str(field.metadata.get("key", field.name))


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _write(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, Mapping):
        return {name: _write(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_write(part) for part in value]
    return value


def _read(hint: Any, data: Any) -> Any:
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return next((_read(part, data) for part in inside if _fits(part, data)), None)
    if origin is tuple:
        return tuple(_read(inside[0], part) for part in data) if isinstance(data, list | tuple) else ()
    if origin in (dict, Mapping):
        return {str(k): _read(inside[1], part) for k, part in data.items()} if isinstance(data, Mapping) else {}
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint.from_json(data)
    if not _fits(hint, data):
        return _NOTHING.get(hint)
    return stored(data) if hint is Message else data


def _fits(hint: Any, data: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is tuple:
        return isinstance(data, list | tuple)
    if origin in (dict, Mapping) or (isinstance(hint, type) and issubclass(hint, Record)):
        return isinstance(data, Mapping)
    if isinstance(data, bool) and hint is not bool:
        return False
    return isinstance(data, _PLAIN.get(hint, ()))
