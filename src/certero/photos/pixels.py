"""Bytes to pixels: the only decode, orient and resize of certero.

Training, prediction and evaluation go through `prepare`, so what was measured is what runs. Content decides the
format, never the name. Nothing is substituted: a photo whose pixels are missing raises `PhotoError`; one that the
decoder complained about but whose pixels are all there is returned with `damage` set.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageFile

from certero.errors import PhotoError
from certero.photos import jpeg, jpeg_entropy
from certero.photos.exif import ORIENTATION, camera, capture_time, read_exif
from certero.photos.formats import name_other
from certero.photos.formats import sniff as sniff
from certero.photos.heif import decode_heic
from certero.photos.photo import HOLE, LARGE_PIXELS, as_rgb, check_size, on_white, one_line, say_surplus, turn_upright
from certero.photos.photo import Decoded as Decoded
from certero.photos.photo import UInt8 as UInt8
from certero.photos.resizing import resize
from certero.photos.stills import decode_still
from certero.photos.tiff import decode_tiff
from certero.photos.turns import one_at_a_time
from certero.records.preprocessing import Preprocessing
from certero.sentences import Message, in_a_row, message, sentence

#: Largest product of a JPEG's pixels and scans. Encoders write about ten scans; a hostile file can hold thousands.
MAX_SCANNED_PIXELS = 4_000_000_000

# Pillow reports oddities through `warnings` and `logging`; certero reports them in `Decoded.damage` or not at all.
# Set once: warnings.catch_warnings is not thread safe, and decoding runs in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
logging.getLogger("PIL").addHandler(logging.NullHandler())

#: Raised whenever the same bytes give other pixels than before, so that results computed from pixels are renewed.
PATH_VERSION = 3

# An open PIL image still reads from its file, which two threads must not do if it is given twice.
_LOADING = threading.Lock()


@one_at_a_time()
def decode(data: bytes, *, at_least: tuple[int, int] | None = None) -> Decoded:
    """Decode one photo, upright, as 8-bit RGB.

    Alpha is laid on white, 16 bits are scaled to 8. Of several pictures the first is taken, of a film the first that is
    not blank.

    Args:
        data: the file's bytes.
        at_least: (height, width) in upright pixels that the caller is going to shrink to. A much larger JPEG may then
            be decoded at 1/2, 1/4 or 1/8 of its size, never below 1.5 times `at_least`. Other formats ignore it.

    Raises:
        PhotoError: pixels are missing or undecodable, the format is not supported, or the photo is larger than
            `photo.MAX_PIXELS`.
    """
    if not data:
        raise PhotoError("the file is empty")
    photo_format = sniff(data)
    if photo_format is None:
        if not data.strip(b"\0"):
            raise PhotoError("the file holds nothing but zero bytes")
        if other := name_other(data):
            raise PhotoError(other)
        raise PhotoError("not a photo that can be read: the content is of no known format (JPEG, PNG, HEIC, TIFF ...)")
    try:
        if photo_format == "jpeg":
            return _decode_jpeg(data, at_least)
        if photo_format == "tiff":
            return decode_tiff(data)
        return decode_heic(data) if photo_format == "heic" else decode_still(data, photo_format)
    except PhotoError:
        raise
    except MemoryError as error:
        raise PhotoError("the photo does not fit into memory") from error
    except Exception as error:  # decoders meet hostile bytes: whatever they raise means "cannot be decoded"
        raise PhotoError(
            "the %(photo_format)s data cannot be decoded: %(one_line)s",
            photo_format=photo_format,
            one_line=one_line(error),
        ) from error


def fit(pixels: UInt8, preprocessing: Preprocessing) -> UInt8:
    """Resize a photo to the network's input, uint8 [height, width, 3].

    `letterbox` keeps the whole frame and its shape, centred between bars of grey `pad`; `stretch` ignores the shape;
    `crop` keeps the shape and cuts the middle out. Resizing is antialiased; a photo that fits already is returned
    unchanged.
    """
    if preprocessing.fit == "crop":
        return _cut_out(pixels, preprocessing)
    height, width = preprocessing.height, preprocessing.width
    rows, columns = _fitted_size(pixels.shape[0], pixels.shape[1], preprocessing)
    resized = resize(pixels, rows, columns, preprocessing.filter)
    if (rows, columns) == (height, width):
        return resized
    framed = np.full((height, width, 3), preprocessing.pad, dtype=np.uint8)
    top, left = (height - rows) // 2, (width - columns) // 2
    framed[top : top + rows, left : left + columns] = resized
    return framed


@one_at_a_time()
def prepare(data: bytes, preprocessing: Preprocessing) -> UInt8:
    """Decode and fit one photo, uint8 [height, width, 3]: the one pixel path of training, prediction, evaluation.

    Raises:
        PhotoError: as `decode`.
    """
    at_least = (preprocessing.height, preprocessing.width)
    if preprocessing.fit == "crop":
        scale = _side_before_cutting(preprocessing) / min(at_least)
        at_least = (math.ceil(at_least[0] * scale), math.ceil(at_least[1] * scale))
    return fit(decode(data, at_least=at_least).pixels, preprocessing)


def is_picture(photo: object) -> bool:
    """Whether it is a PIL image."""
    return isinstance(photo, Image.Image)


def file_of(picture: Any) -> bytes | None:
    """The contents of the file of a PIL image that is opened and not loaded yet; None of every other image.

    Raises:
        PhotoError: the file cannot be read any more.
    """
    if not isinstance(picture, ImageFile.ImageFile) or not picture.tile or picture.tell() != 0:
        return None
    try:
        with _LOADING:
            file: Any = picture.fp
            if file is None:
                return None
            place = file.tell()
            file.seek(0)
            data: bytes = file.read()
            file.seek(place)
            return data
    except Exception as error:  # whatever a closed image or a user's own file raises
        raise PhotoError("the image cannot be decoded: %(one_line)s", one_line=one_line(error)) from error


def from_picture(picture: Any) -> UInt8:
    """The pixels of a PIL image, uint8 [height, width, 3], RGB and upright as those of the file that it came from.

    Of an animation the frame that it stands at. The image stays as it is, but is loaded.

    Raises:
        PhotoError: pixels are missing or cannot be decoded, or the image is larger than `photo.MAX_PIXELS` or closed.
    """
    try:
        check_size(picture.height, picture.width)
        if 0 in picture.size:
            raise PhotoError("the image has no pixels")
        with _LOADING:
            picture.load()
        # Pillow's TIFF reader has turned the photo itself while loading.
        orientation = None if picture.format == "TIFF" else picture.getexif().get(ORIENTATION)
        return turn_upright(as_rgb(picture.copy() if "transparency" in picture.info else picture), orientation)
    except PhotoError:
        raise
    except MemoryError as error:
        raise PhotoError("the photo does not fit into memory") from error
    except Exception as error:  # as in `decode`
        raise PhotoError("the image cannot be decoded: %(one_line)s", one_line=one_line(error)) from error


def from_array(array: npt.NDArray[Any]) -> UInt8:
    """Pixels uint8 [height, width], or [height, width, 1, 3 or 4], as uint8 [height, width, 3]; alpha laid on white.

    Raises:
        PhotoError: there are no pixels in it, or too many, or it is of another kind.
    """
    array = array[:, :, None] if array.ndim == 2 else array
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise PhotoError(
            "pixels must be uint8 of shape [height, width, 3]; found %(dtype)s %(shape)s",
            dtype=array.dtype,
            shape=list(array.shape),
        )
    check_size(*array.shape[:2])
    if array.shape[2] == 4:
        return on_white(Image.fromarray(np.ascontiguousarray(array)))
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def luma(pixels: UInt8) -> UInt8:
    """Luma (ITU-R 601) of RGB uint8 [h, w, 3], uint8 [h, w]."""
    if pixels.shape[0] * pixels.shape[1] <= LARGE_PIXELS:
        return np.asarray(Image.fromarray(pixels).convert("L"))
    rows = max(1, LARGE_PIXELS // pixels.shape[1])
    return np.concatenate([luma(pixels[top : top + rows]) for top in range(0, len(pixels), rows)])


def count_levels(grey: UInt8) -> npt.NDArray[np.int64]:
    """Pixels of each level of uint8 [h, w], int64 [256]: in half the time of `np.bincount`, which widens them first."""
    return np.array(Image.fromarray(grey).histogram(), np.int64)


def shrink_grey(pixels: UInt8, height: int, width: int) -> UInt8:
    """Luma (ITU-R 601) of RGB uint8 [h, w, 3], shrunk with antialiasing to uint8 [height, width]."""
    return luma(resize(pixels, height, width))


def _fitted_size(height: int, width: int, preprocessing: Preprocessing) -> tuple[int, int]:
    """Rows and columns that a photo of the given size takes inside the network's input."""
    if preprocessing.fit == "stretch":
        return preprocessing.height, preprocessing.width
    scale = min(preprocessing.height / height, preprocessing.width / width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    return min(rows, preprocessing.height), min(columns, preprocessing.width)


def _side_before_cutting(preprocessing: Preprocessing) -> int:
    shortest = min(preprocessing.height, preprocessing.width)
    return max(shortest, preprocessing.shorter_side or shortest)


def _cut_out(pixels: UInt8, preprocessing: Preprocessing) -> UInt8:
    """The middle of a photo that was resized to cover the input, as torchvision's Resize and CenterCrop do it."""
    height, width = preprocessing.height, preprocessing.width
    cover = max(height / pixels.shape[0], width / pixels.shape[1])
    scale = cover * _side_before_cutting(preprocessing) / min(height, width)
    # The longer side is rounded down, there as here; what rounds to below itself must not lose a pixel.
    rows = max(height, int(pixels.shape[0] * scale + 1e-6))
    columns = max(width, int(pixels.shape[1] * scale + 1e-6))
    resized = resize(pixels, rows, columns, preprocessing.filter)
    top, left = round((rows - height) / 2), round((columns - width) / 2)
    return np.ascontiguousarray(resized[top : top + height, left : left + width])


def _check_scans(height: int, width: int, scans: int) -> None:
    """Refuse a progressive JPEG whose scans, each a pass over the whole picture, would take minutes."""
    if scans * height * width > MAX_SCANNED_PIXELS:
        raise PhotoError(
            "a photo of %(width)sx%(height)s may have %(max_scanned_pixels)s scans; this one has "
            "%(scans)s: save it anew",
            width=width,
            height=height,
            max_scanned_pixels=MAX_SCANNED_PIXELS // (height * width),
            scans=scans,
        )


# ---- JPEG -----------------------------------------------------------------------------------------------------


def _decode_jpeg(data: bytes, at_least: tuple[int, int] | None) -> Decoded:
    if jpeg.has_hole(data):
        raise PhotoError(HOLE)
    if jpeg.has_empty_quantiser(data):
        raise PhotoError("the jpeg data cannot be decoded: a quantisation table is corrupt")
    exif, damage = read_exif(_exif_block(data))
    orientation = exif.get(ORIENTATION)
    if at_least is not None and orientation in (5, 6, 7, 8):
        at_least = (at_least[1], at_least[0])
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except ValueError as error:
        if "subsampling" not in str(error):
            raise
        # Valid but rare chroma layouts, which TurboJPEG's header reader refuses and libjpeg under Pillow decodes.
        return dataclasses.replace(decode_still(data, "jpeg"), camera=camera(exif))
    check_size(height, width)
    if height * width * len(data) // 2 > MAX_SCANNED_PIXELS:  # else not even a file of nothing but scans has too many
        _check_scans(height, width, jpeg.count_scans(data))
    pixels, complaints = _jpeg_pixels(data, _jpeg_reduction(height, width, at_least))
    problems = [*([damage] if damage else []), *complaints]
    said = in_a_row(problems, "; ") if len(problems) > 1 else problems[0] if problems else None
    return Decoded(turn_upright(pixels, orientation), "jpeg", said, capture_time(exif), camera(exif))


def _jpeg_reduction(height: int, width: int, at_least: tuple[int, int] | None) -> dict[str, int]:
    """Options of simplejpeg for the smallest power-of-two size that still holds 1.5 times the wanted pixels."""
    if at_least is not None:
        ratio = min(height / at_least[0], width / at_least[1])
        for factor in (
            8,
            4,
            2,
        ):  # powers of two: libjpeg-turbo's other factors are slower than decoding in full
            if ratio >= 1.5 * factor:
                return {
                    "min_height": -(-height // factor),
                    "min_width": -(-width // factor),
                    "min_factor": factor,
                }
    return {}


def _jpeg_pixels(data: bytes, reduction: dict[str, int]) -> tuple[UInt8, list[Message]]:
    """Decode strictly; where libjpeg complains, find out whether pixels are missing.

    libjpeg reports only its first complaint, which may hide a worse one. So a mended copy (end marker appended,
    header stripped to what decoding needs) is decoded again until it is clean or the complaint is about pixels.
    """
    complaints: list[Message] = []
    ended, whole_header = True, True
    mended = data
    while True:
        try:
            pixels = simplejpeg.decode_jpeg(mended, "RGB", strict=True, **reduction)
            break
        except ValueError as error:
            complaint = one_line(error)
        if "Premature end of JPEG file" in complaint and ended:
            if data.endswith(b"\0\0\0\0"):
                # An end marker lost together with zero padding: written in part before a power cut.
                raise PhotoError("the file ends in zero bytes: it was written only in part")
            ended = False
            mended += jpeg.END_OF_IMAGE
            complaints.append(message("the end marker is missing"))
        elif "extraneous bytes before marker 0xd9" in complaint and not jpeg.has_zero_bytes(data):
            if not jpeg_entropy.is_whole(mended):
                raise PhotoError("the picture data are corrupt: what follows the corrupt bytes is lost")
            pixels = simplejpeg.decode_jpeg(mended, "RGB", strict=False, **reduction)
            complaints.append(message("surplus bytes before the end marker"))
            break
        elif whole_header and (bare := jpeg.without_extras(mended)) != mended:
            whole_header = False
            mended = bare
            complaints.append(
                message("surplus bytes in the header")
                if "extraneous" in complaint
                else sentence("the decoder warned: %(complaint)s", complaint=complaint)
            )
        else:
            raise PhotoError(_missing_pixels(complaint, data))
    if not ended and not jpeg.has_every_scan(data):
        raise PhotoError("the file is cut short: detail of a progressive JPEG is missing")
    if (surplus := jpeg.bytes_after_end(data)) and ended:
        complaints.append(say_surplus(surplus))
    return pixels, complaints


def _missing_pixels(complaint: str, data: bytes) -> Message:
    if jpeg.has_zero_bytes(data):
        return HOLE
    lowered = complaint.lower()
    if "premature end" in lowered:
        return message("the file is cut short or corrupt: pixels are missing")
    return sentence("the jpeg data cannot be decoded: %(complaint)s", complaint=complaint)


def _exif_block(data: bytes) -> bytes:
    """The first EXIF block of a JPEG, empty where it has none."""
    for marker, start, end in jpeg.segments(data):
        if marker == 0xE1 and data[start + 4 : start + 10] == b"Exif\0\0":
            return data[start + 4 : end]
    return b""
