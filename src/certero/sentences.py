"""Texts that people read, made in English and said again in their language."""

from __future__ import annotations

from collections.abc import Mapping


def message(text: str) -> str:
    """The text itself, marked for the catalogue; it is looked up where it is shown."""
    return text


class Sentence(str):
    """An English text, in JSON like any other, that remembers its message and values; see `translate`."""

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
        **values: what goes there; sentences among them are translated too.

    >>> sentence("train has no used photo of %(classes)s", classes="cow")
    'train has no used photo of cow'
    """
    return Sentence(message, None, values)


def sentences(one: str, many: str, *, count: int, **values: object) -> Sentence:
    """`sentence` for a count: one message for 1, the other for several; both may show `%(count)d`."""
    return Sentence(one, many, {"count": count, **values})
