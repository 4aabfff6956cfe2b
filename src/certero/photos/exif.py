"""EXIF: what a camera wrote beside the picture. Corrupt blocks count as absent, and are said."""

from __future__ import annotations

from datetime import datetime

from PIL import Image

from certero.sentences import Message, message

ORIENTATION = 0x0112
_EXIF_FOLDER, _TAKEN_AT = 0x8769, 0x9003
_MAKE, _MODEL = 0x010F, 0x0110

#: The problem of a photo whose block cannot be read.
CORRUPT = message("the EXIF data are corrupt")


def read_exif(block: bytes) -> tuple[Image.Exif, Message | None]:
    """The tags of an EXIF block, or of a TIFF file, empty if it has none; and what is wrong with it.

    Args:
        block: as JPEG and HEIC hold it, `Exif` and two zero bytes before it or not; empty where there is none.
    """
    exif = Image.Exif()
    try:
        exif.load(block)
        exif.get(ORIENTATION)  # Pillow reads a tag when it is asked for
    except Exception:  # Pillow's TIFF reader raises many kinds on corrupt bytes
        return Image.Exif(), CORRUPT
    return exif, None


def capture_time(exif: Image.Exif) -> datetime | None:
    """DateTimeOriginal, naive local time; None where there is none that can be read."""
    try:
        text = exif.get_ifd(_EXIF_FOLDER).get(_TAKEN_AT)
        return datetime.strptime(str(text).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")
    except Exception:  # absent, blank, all zeros or corrupt: the photo simply has no capture time
        return None


def camera(exif: Image.Exif) -> str | None:
    """Make and model in one line, None where EXIF names neither."""
    try:
        words = " ".join(str(exif.get(tag) or "").strip("\0 ") for tag in (_MAKE, _MODEL)).strip()
    except Exception:  # corrupt, see `capture_time`: the photo simply has no camera
        return None
    return "".join(letter for letter in words if letter.isprintable())[:80] or None
