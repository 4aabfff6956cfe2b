"""The language of what people read: results and errors on the command line, and reports.

Messages are written in English in the code and looked up in the catalogue of the chosen language, gettext's way.
Names of options, files and keys of JSON stay English: they are searched for and typed. What a stage finds and JSON
holds, and what an error says, is an English `sentence` that can still be said otherwise (decision 13).

Each context (a thread, a task, a visitor of a server) has a language of its own (decision 49). One that begins anew
speaks English; the engines hand theirs on.
"""

from __future__ import annotations

import gettext
import os
from contextvars import ContextVar
from functools import cache

from certero.errors import CerteroError, ConfigError
from certero.sentences import Message, Sentence

#: Languages with a catalogue, English being what the code is written in.
LANGUAGES = ("en", "es")

_ENGLISH = gettext.NullTranslations()
_language: ContextVar[str] = ContextVar("certero_language", default="en")


def use_language(asked: str | None = None) -> str:
    """Chooses the language of everything said from now on in this context; returns it.

    Args:
        asked: `en` or `es`; None takes the locale (`LC_ALL`, `LC_MESSAGES`, `LANG`), English where it is another.

    Raises:
        ConfigError: if the asked language has no catalogue.
    """
    if asked is not None and asked not in LANGUAGES:
        raise ConfigError(
            "--lang must be one of %(languages)s; found %(asked)r.", languages=", ".join(LANGUAGES), asked=asked
        )
    chosen = asked or _from_locale()
    _language.set(chosen)
    return chosen


def language() -> str:
    """The language in use."""
    return _language.get()


def _(message: str) -> str:
    """The message in the language in use."""
    # The empty message is the catalogue's header.
    return _read(_language.get()).gettext(message) if message else message


def ngettext(one: str, many: str, count: int) -> str:
    """The message for one or for several, in the language in use."""
    return _read(_language.get()).ngettext(one, many, count)


def translate(said: object) -> str:
    """A sentence, a message or an error of certero in the language in use; any other text as it is."""
    if isinstance(said, CerteroError):
        return translate(said.message)
    if not isinstance(said, Sentence):
        return _(said) if isinstance(said, Message) else str(said)
    chosen = _(said.one) if said.many is None else ngettext(said.one, said.many, _number(said.values["count"]))
    return chosen % {name: _in_language(value) for name, value in said.values.items()}


def _in_language(value: object) -> object:
    # A number, or a text for %(name)r, goes in as it is.
    return translate(value) if isinstance(value, Message | CerteroError) else value


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value


@cache
def _read(code: str) -> gettext.NullTranslations:
    if code == "en":
        return _ENGLISH
    from importlib import resources  # with what it imports, a fifth of the time of `certero --help`

    file = resources.files("certero") / "locale" / code / "LC_MESSAGES" / "certero.mo"
    with file.open("rb") as stream:
        return gettext.GNUTranslations(stream)


def _from_locale() -> str:
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(variable):
            word = value.split(".")[0].split("_")[0].lower()
            return word if word in LANGUAGES else "en"
    return "en"
