"""A decoded photo, and what holds for one of any format: its largest size, its orientation, its levels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from certero.errors import PhotoError
from certero.photos.turns import take_turn
from certero.sentences import Message, Sentence, message, sentence

UInt8 = npt.NDArray[np.uint8]

#: Larger photos are refused by their header, before memory is spent. Just under the size at which Pillow itself
#: refuses, so that its own limit, which other code in the process may rely on, need not be changed.
MAX_PIXELS = 178_000_000

#: Photos with more pixels are processed in parts: a second copy would take as much memory again.
LARGE_PIXELS = 20_000_000
_ROWS_A_BAND = 256

#: The problem of a file in which zero bytes stand for data.
HOLE = message("part of the file is zero bytes: it was written only in part")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A photo's pixels.

    Args:
        pixels: uint8 [height, width, 3], RGB, upright (EXIF orientation applied), C-contiguous.
        format: of the content, one of `formats.READ`.
        damage: what is not in order although all pixels are present; None for a sound file.
        captured_at: EXIF DateTimeOriginal, naive local time; None where absent.
        camera: make and model that EXIF names; None where it names none.
    """

    pixels: UInt8
    format: str
    damage: Message | None = None
    captured_at: datetime | None = None
    camera: str | None = None


def check_size(height: int, width: int) -> None:
    """Refuses a photo that is too large; makes a large one wait until no other is being decoded.

    Raises:
        PhotoError: with its size in megapixels.
    """
    if height * width > MAX_PIXELS:
        raise PhotoError(
            "a photo may have %(max_pixels)s megapixels; this one has %(megapixels)s "
            "(%(width)sx%(height)s): make it smaller",
            max_pixels=MAX_PIXELS // 1_000_000,
            megapixels=height * width // 1_000_000,
            width=width,
            height=height,
        )
    take_turn(height * width)


def say_surplus(count: int) -> Sentence:
    """What is odd about a file that goes on behind its photo."""
    return sentence("%(count)d surplus bytes after the end of the photo", count=count)


def one_line(error: Exception) -> Message:
    """What a decoder said, as one printable line of at most 120 characters."""
    words = " ".join(str(error).split())
    if isinstance(error, UnidentifiedImageError) or not any(letter.isalpha() for letter in words):
        return message("the header is corrupt")
    words = "".join(letter for letter in words if letter.isprintable())
    return Message(words if len(words) <= 120 else words[:117] + "...")


def turn_upright(pixels: UInt8, orientation: object) -> UInt8:
    """Undo the camera's rotation and mirroring (EXIF 2.32, tag 0x0112); unknown values leave the photo alone."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def on_white(photo: Image.Image) -> UInt8:
    """Alpha and transparent colours laid on white, in bands: a whole canvas would take 12 bytes a pixel."""
    pixels = np.empty((photo.height, photo.width, 3), np.uint8)
    for top in range(0, photo.height, _ROWS_A_BAND):
        bottom = min(top + _ROWS_A_BAND, photo.height)
        band = photo.crop((0, top, photo.width, bottom)).convert("RGBA")
        white = Image.new("RGBA", band.size, "white")
        white.alpha_composite(band)
        pixels[top:bottom] = np.asarray(white.convert("RGB"))
    return pixels


def _rgb_in_bands(photo: Image.Image) -> UInt8:
    """What `as_rgb` gives, without a second copy of all pixels, which Pillow holds in four bytes each."""
    pixels = np.empty((photo.height, photo.width, 3), np.uint8)
    for top in range(0, photo.height, _ROWS_A_BAND):
        bottom = min(top + _ROWS_A_BAND, photo.height)
        pixels[top:bottom] = np.asarray(photo.crop((0, top, photo.width, bottom)).convert("RGB"))
    return pixels


def as_rgb(photo: Image.Image) -> UInt8:
    """Any mode of Pillow as 8-bit RGB, uint8 [height, width, 3], alpha and transparent colours on white.

    Raises:
        PhotoError: for pixels of which it is not agreed how bright they are.
    """
    if photo.mode.startswith("I;16") or (photo.mode == "I" and photo.format in ("PNG", "PPM")):
        return grey_to_rgb(np.asarray(photo), 65535)
    if photo.mode in ("I", "F"):
        raise PhotoError("32-bit and floating-point pixels are not supported: convert the photo to 8 or 16 bits")
    if photo.mode == "RGB" and max(photo.info.get("transparency", (0,))) > 255:
        # One colour declared transparent, in a 16-bit file and with 16 bits: no 8-bit colour equals it.
        del photo.info["transparency"]
    if photo.has_transparency_data:
        return on_white(photo)
    if photo.height * photo.width > LARGE_PIXELS:
        return _rgb_in_bands(photo)
    return np.asarray(photo if photo.mode == "RGB" else photo.convert("RGB"))


def scale_to_8_bits(samples: npt.NDArray[Any], white: int) -> UInt8:
    """Whole numbers from 0 to `white`, at most 65,535, as the nearest of 256 levels, of any shape."""
    return ((samples.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)


def grey_to_rgb(samples: npt.NDArray[Any], white: int) -> UInt8:
    """Whole numbers [height, width] from 0 to `white` as three equal channels, uint8 [height, width, 3]."""
    return np.repeat(scale_to_8_bits(samples, white)[:, :, None], 3, axis=2)


def note_unused_levels(largest: int) -> Sentence | None:
    """What is odd about a 16-bit photo whose largest value this is: cameras of 12 bits write it without scaling."""
    if 0 < largest < 4096:
        level = f"{largest:,}"
        return sentence(
            "the largest of 65,535 levels is %(largest)s: if the camera has 12 bits, the photo is shown too dark",
            largest=level,
        )
    return None
