"""Texts that people read, made in English and said again in their language; see `certero.language.translate`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import reduce
from typing import Any


class Message(str):
    """An English text of the catalogue, in JSON like any other, that is looked up where people read it.

    What is no message is never looked up: a class may be called `photo`.
    """

    __slots__ = ()


def message(text: str) -> Message:
    """The text itself, marked for the catalogue; it is looked up where it is shown."""
    return Message(text)


class Sentence(Message):
    """A message with its values filled in, which remembers both."""

    __slots__ = ("many", "one", "values")

    one: str
    many: str | None
    values: Mapping[str, object]

    def __new__(cls, one: str, many: str | None, values: Mapping[str, object]) -> Sentence:
        chosen = one if many is None or values["count"] == 1 else many
        text = super().__new__(cls, chosen % values)
        text.one, text.many, text.values = one, many, values
        return text

    def __reduce__(self) -> tuple[type[Sentence], tuple[str, str | None, dict[str, object]]]:
        return (Sentence, (self.one, self.many, dict(self.values)))


def sentence(message: str, /, **values: object) -> Sentence:
    """A text about the photos that JSON holds in English and people read in their language.

    Args:
        message: with `%(name)s` where the values go.
        **values: what goes there; messages and sentences among them are translated too.

    >>> sentence("train has no used photo of %(classes)s", classes="cow")
    'train has no used photo of cow'
    """
    return Sentence(message, None, values)


def sentences(one: str, many: str, *, count: int, **values: object) -> Sentence:
    """`sentence` for a count: one message for 1, the other for several; both may show `%(count)d`."""
    return Sentence(one, many, {"count": count, **values})


def in_a_row(texts: Iterable[str], between: str = ", ") -> Sentence:
    """Several texts as one, of which messages and sentences are translated each for itself."""
    values = {f"text_{number}": text for number, text in enumerate(texts)}
    return Sentence(between.join(f"%({name})s" for name in values), None, values)


def either(names: Iterable[str]) -> str:
    """`a or b`; of one name the name."""
    return reduce(lambda before, name: sentence("%(before)s or %(name)s", before=before, name=name), names)


def both(names: Iterable[str]) -> str:
    """`a and b`; of one name the name."""
    return reduce(lambda before, name: sentence("%(before)s and %(name)s", before=before, name=name), names)


def first_names(names: Collection[str], most: int) -> str:
    """The names for a message, only the first and how many more if there are many."""
    listed = list(names)
    if len(listed) <= most:
        return ", ".join(listed)
    return sentence("%(names)s and %(more)d more", names=", ".join(listed[:most]), more=len(listed) - most)


def stored(text: str) -> Message:
    """A text that a file holds in English."""
    return text if isinstance(text, Message) else Message(text)


def to_json(said: str) -> Any:
    """The message and values of a sentence, for a file that it is read back from; see `from_json`."""
    if not isinstance(said, Sentence):
        return {"one": said} if isinstance(said, Message) else said
    values = {name: to_json(value) if isinstance(value, str) else value for name, value in said.values.items()}
    return {"one": said.one, "many": said.many, "values": values}


def from_json(parts: Any) -> Sentence:
    """The inverse of `to_json`; a bare text, as older files hold, stays as it is in every language."""
    said = _part(parts)
    return said if isinstance(said, Sentence) else Sentence("%(text)s", None, {"text": said})


def _part(parts: Any) -> Any:
    if not isinstance(parts, dict):
        return parts
    if "values" not in parts:
        return Message(parts["one"])
    return Sentence(parts["one"], parts["many"], {name: _part(value) for name, value in parts["values"].items()})
