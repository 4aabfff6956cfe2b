"""Archives that somebody names instead of the folder they unpack to: where their photos are."""

from __future__ import annotations

import itertools
import zipfile
from pathlib import Path

from certero.data.layout import some, where_classes_are
from certero.photos.formats import PHOTO_SUFFIXES
from certero.sentences import Message, message, sentence

_MOST_NAMES = 200_000


def look_inside(archive: Path) -> Message:
    """What to point to once the archive is unpacked, for a message; its photos are not read."""
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [info.filename for info in itertools.islice(opened.infolist(), _MOST_NAMES)]
    except (OSError, zipfile.BadZipFile, NotImplementedError, UnicodeError, ValueError):
        return message("Unpack it and point to the folder that holds one folder a class.")
    photos = [
        name
        for name in (name.replace("\\", "/") for name in names)
        if Path(name).suffix.lower() in PHOTO_SUFFIXES and not name.startswith("__MACOSX/")
    ]
    if not photos:
        return message("It holds no photos: give another one, unpacked.")
    place = where_classes_are(photos)
    if place is None:
        return message("Unpack it and point to the folder that it becomes.")
    folder, inside = place
    return sentence(
        "Unpack it and point to the folder %(folder)s in it, which holds %(count)d folders with photos (%(names)s).",
        folder=folder,
        count=len(inside),
        names=some(inside),
    )
