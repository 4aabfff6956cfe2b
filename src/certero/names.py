"""Class names as people type them and as disks store them: which are the same, and which look the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# Invisible: zero-width spaces, soft hyphen, byte order mark, marks of writing direction. Joiners stay:
# in Persian and Hindi they change the word.
_INVISIBLE = dict.fromkeys(
    [0x00AD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2060, *range(0x2066, 0x206A), 0xFEFF]
)
# Lower-case Cyrillic and Greek letters that look like Latin ones, in lower or upper case.
# Source: Unicode Technical Standard 39, confusables.txt.
_DRAWN_AS = str.maketrans("авекмнорстухіјѕԁԛԝһαβεζηικμνορτυχ", "abekmhopctyxijsdqwhabezhikmnoptyx")

# Only between letters and numbers: A- and A are different.
_JOINING = re.compile(r"(?<=[^\W_])[-_ ]+(?=[^\W_])")


def class_name(text: str) -> str:
    """The one spelling of a class name: composed accents, single spaces, nothing invisible.

    Names from the user, from folders and from tables go through this before they are compared.

    >>> class_name("cafe\\u0301  con leche ")
    'café con leche'
    """
    composed = unicodedata.normalize("NFC", text.translate(_INVISIBLE))
    return " ".join(composed.split()) or text


def look(text: str) -> str:
    """A key that is equal for names that a reader may take for one: capitals, width, foreign look-alikes, hyphens.

    >>> look("ＲＥＤ") == look("red") == look("rеd")  # the last with a Cyrillic letter
    True
    >>> look("Vaca_parada") == look("vaca-parada"), look("A+") == look("A-")
    (True, False)
    """
    wide = _JOINING.sub(" ", unicodedata.normalize("NFKC", class_name(text)))
    return unicodedata.normalize("NFC", wide.casefold().translate(_DRAWN_AS))


def without_accents(text: str) -> str:
    """`look` without accents.

    >>> without_accents("Validación")
    'validacion'
    """
    apart = unicodedata.normalize("NFD", look(text))
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def find_class(name: str, classes: Iterable[str]) -> str | None:
    """The class that is meant: the one of this name, else the only one that looks like it; None if there is none.

    >>> find_class("red ", ["Red", "red"]), find_class("RED", ["Red", "blue"]), find_class("RED", ["Red", "red"])
    ('red', 'Red', None)
    """
    known = list(classes)
    if name in known:
        return name
    for spell in (class_name, look):
        alike = [each for each in known if spell(each) == spell(name)]
        if alike:
            return alike[0] if len(alike) == 1 else None
    return None
