"""The language of what people read: results on the command line, and reports.

Messages are written in English in the code and looked up in the catalogue of the chosen language, gettext's way.
Names of options, files, keys of JSON and error messages stay English: they are searched for, typed and sent to others.
What a stage finds and JSON holds is an English `sentence` that can still be said otherwise (decision 13).
"""

from __future__ import annotations

import gettext
import os
from importlib import resources

from certero.errors import ConfigError
from certero.sentences import Sentence

#: Languages with a catalogue, English being what the code is written in.
LANGUAGES = ("en", "es")

_catalogue: gettext.NullTranslations = gettext.NullTranslations()
_language = "en"


def use_language(asked: str | None = None) -> str:
    """Chooses the language of everything said from now on; returns it.

    Args:
        asked: `en` or `es`; None takes the locale (`LC_ALL`, `LC_MESSAGES`, `LANG`), English where it is another.

    Raises:
        ConfigError: if the asked language has no catalogue.
    """
    global _catalogue, _language
    if asked is not None and asked not in LANGUAGES:
        raise ConfigError(
            "--lang must be one of %(languages)s; found %(asked)r.", languages=", ".join(LANGUAGES), asked=asked
        )
    _language = asked or _from_locale()
    _catalogue = gettext.NullTranslations()
    if _language != "en":
        file = resources.files("certero") / "locale" / _language / "LC_MESSAGES" / "certero.mo"
        with file.open("rb") as stream:
            _catalogue = gettext.GNUTranslations(stream)
    return _language


def language() -> str:
    """The language in use."""
    return _language


def _(message: str) -> str:
    """The message in the language in use."""
    # The empty message is the catalogue's header.
    return _catalogue.gettext(message) if message else message


def ngettext(one: str, many: str, count: int) -> str:
    """The message for one or for several, in the language in use."""
    return _catalogue.ngettext(one, many, count)


def translate(text: str) -> str:
    """A sentence, or a message of the catalogue, in the language in use; any other text as it is."""
    if not isinstance(text, Sentence):
        return _(text)
    values = {name: translate(value) if isinstance(value, str) else value for name, value in text.values.items()}
    chosen = _(text.one) if text.many is None else ngettext(text.one, text.many, _number(values["count"]))
    return chosen % values


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value


def _from_locale() -> str:
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(variable):
            word = value.split(".")[0].split("_")[0].lower()
            return word if word in LANGUAGES else "en"
    return "en"
