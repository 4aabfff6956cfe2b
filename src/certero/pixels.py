"""Bytes to pixels: the only decode, orient and resize of certero.

Training, prediction and evaluation go through `prepare`, so what was measured is what runs. Content decides the
format, never the name. Nothing is substituted: a photo whose pixels are missing raises `PhotoError`; one that the
decoder complained about but whose pixels are all there is returned with `damage` set.
"""

from __future__ import annotations

import dataclasses
import io
import logging
import math
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, UnidentifiedImageError

from certero import jpeg, jpeg_entropy
from certero.errors import PhotoError
from certero.records import Preprocessing
from certero.resizing import resize

UInt8 = npt.NDArray[np.uint8]

#: Larger photos are refused from their header, before memory is spent. Just under the size at which Pillow itself
#: refuses, so that its own limit, which other code in the process may rely on, need not be changed.
MAX_PIXELS = 178_000_000

#: Pixels of a JPEG times its scans. Encoders write about ten scans; a small hostile file can hold thousands.
MAX_SCANNED_PIXELS = 4_000_000_000

# Pillow reports oddities through `warnings` and `logging`; certero reports them in `Decoded.damage` or not at all.
# Set once: warnings.catch_warnings is not thread safe, and decoding runs in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
logging.getLogger("PIL").addHandler(logging.NullHandler())

#: Raised when the same bytes give other pixels than before: what was computed from pixels is then computed anew.
PATH_VERSION = 2

# A PIL image that is open still reads from its file: two threads must not, if it is given twice.
_LOADING = threading.Lock()

_ORIENTATION, _EXIF_FOLDER, _TAKEN_AT = 0x0112, 0x8769, 0x9003
_MAKE, _MODEL = 0x010F, 0x0110
_SUBFILE_TYPE, _DNG_VERSION, _COMPRESSION = 254, 50706, 259
_STRIP_OFFSETS, _STRIP_LENGTHS, _TILE_OFFSETS, _TILE_LENGTHS = 273, 279, 324, 325
_ZEROS = re.compile(rb"\0{24,}")
_HOLE = "part of the file is zero bytes: it was written only in part"


@dataclass(frozen=True, slots=True)
class Decoded:
    """A photo's pixels.

    Args:
        pixels: uint8 [height, width, 3], RGB, upright (EXIF orientation applied), C-contiguous.
        format: `jpeg`, `png`, `webp`, `bmp`, `tiff` or `gif`, of the content.
        damage: what the decoder complained about although all pixels are present; None for a sound file.
        captured_at: EXIF DateTimeOriginal, naive local time; None where absent.
        camera: make and model that a JPEG's EXIF names; None where it names none, and for other formats.
    """

    pixels: UInt8
    format: str
    damage: str | None = None
    captured_at: datetime | None = None
    camera: str | None = None


def sniff(data: bytes) -> str | None:
    """Name the format of the content: `jpeg`, `png`, `webp`, `bmp`, `tiff`, `gif`; None for anything else."""
    if data[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if data[:2] == b"BM":
        return "bmp"
    return None


def decode(data: bytes, *, at_least: tuple[int, int] | None = None) -> Decoded:
    """Decode one photo, upright, as 8-bit RGB.

    Alpha is laid on white, 16 bits are scaled to 8, the first frame of an animation is taken.

    Args:
        data: the file's bytes.
        at_least: (height, width) in upright pixels that the caller is going to shrink to. A much larger JPEG may then
            be decoded at 1/2, 1/4 or 1/8 of its size, never below 1.5 times `at_least`. Other formats ignore it.

    Raises:
        PhotoError: pixels are missing or undecodable, the format is not supported, or the photo is larger than
            `MAX_PIXELS`.
    """
    if not data:
        raise PhotoError("the file is empty")
    photo_format = sniff(data)
    if photo_format is None:
        if not data.strip(b"\0"):
            raise PhotoError("the file holds nothing but zero bytes")
        raise PhotoError("not a photo that can be read: the content is no JPEG, PNG, WebP, BMP, TIFF or GIF")
    try:
        if photo_format == "jpeg":
            return _decode_jpeg(data, at_least)
        return _decode_with_pillow(data, photo_format)
    except PhotoError:
        raise
    except MemoryError as error:
        raise PhotoError("the photo does not fit into memory") from error
    except Exception as error:  # decoders meet hostile bytes: whatever they raise means "cannot be decoded"
        raise PhotoError(f"the {photo_format} data cannot be decoded: {_one_line(error)}") from error


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


def from_picture(picture: Any) -> UInt8:
    """The pixels of a PIL image, uint8 [height, width, 3], RGB and upright as those of the file that it came from.

    Of an animation the frame that it stands at. The image stays as it is, but is loaded.

    Raises:
        PhotoError: pixels are missing or cannot be decoded, or the image is larger than `MAX_PIXELS` or closed.
    """
    try:
        _check_size(picture.height, picture.width)
        if 0 in picture.size:
            raise PhotoError("the image has no pixels")
        with _LOADING:
            picture.load()
        # Pillow's TIFF reader has turned the photo itself while loading.
        orientation = None if picture.format == "TIFF" else picture.getexif().get(_ORIENTATION)
        return _upright(_rgb(picture.copy() if "transparency" in picture.info else picture), orientation)
    except PhotoError:
        raise
    except MemoryError as error:
        raise PhotoError("the photo does not fit into memory") from error
    except Exception as error:  # as in `decode`
        raise PhotoError(f"the image cannot be decoded: {_one_line(error)}") from error


def from_array(array: npt.NDArray[Any]) -> UInt8:
    """Pixels uint8 [height, width], or [height, width, 1, 3 or 4], as uint8 [height, width, 3]; alpha laid on white.

    Raises:
        PhotoError: there are no pixels in it, or too many, or it is of another kind.
    """
    array = array[:, :, None] if array.ndim == 2 else array
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise PhotoError(f"pixels must be uint8 of shape [height, width, 3]; found {array.dtype} {list(array.shape)}")
    _check_size(*array.shape[:2])
    if array.shape[2] == 4:
        return _on_white(Image.fromarray(np.ascontiguousarray(array)))
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def luma(pixels: UInt8) -> UInt8:
    """Luma (ITU-R 601) of RGB uint8 [h, w, 3], uint8 [h, w]."""
    return np.asarray(Image.fromarray(pixels).convert("L"))


def count_levels(grey: UInt8) -> npt.NDArray[np.int64]:
    """Pixels of each level of uint8 [h, w], int64 [256]: in half the time of `np.bincount`, which widens them first."""
    return np.array(Image.fromarray(grey).histogram(), np.int64)


def shrink_grey(pixels: UInt8, height: int, width: int) -> UInt8:
    """Luma (ITU-R 601) of RGB uint8 [h, w, 3], shrunk with antialiasing to uint8 [height, width]."""
    return luma(resize(pixels, height, width))


def rotate(pixels: UInt8, degrees: float) -> UInt8:
    """Pixels uint8 [height, width, 3] turned about their middle, corners cut off and filled with black."""
    return np.asarray(Image.fromarray(pixels).rotate(degrees, Image.Resampling.BILINEAR))


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


def _one_line(error: Exception) -> str:
    words = " ".join(str(error).split())
    if isinstance(error, UnidentifiedImageError) or not any(letter.isalpha() for letter in words):
        return "the header is corrupt"
    words = "".join(letter for letter in words if letter.isprintable())
    return words if len(words) <= 120 else words[:117] + "..."


def _check_size(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise PhotoError(
            f"a photo may have {MAX_PIXELS // 1_000_000} megapixels; this one has {height * width // 1_000_000} "
            f"({width}x{height}): make it smaller"
        )


def _check_scans(height: int, width: int, scans: int) -> None:
    """Refuse a progressive JPEG whose scans, each a pass over the whole picture, would take minutes."""
    if scans * height * width > MAX_SCANNED_PIXELS:
        raise PhotoError(
            f"a photo of {width}x{height} may have {MAX_SCANNED_PIXELS // (height * width)} scans; this one has "
            f"{scans}: save it anew"
        )


# ---- orientation and capture time -----------------------------------------------------------------------------


def _upright(pixels: UInt8, orientation: object) -> UInt8:
    """Undo the camera's rotation and mirroring (EXIF 2.32, tag 0x0112); unknown values leave the photo alone."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _capture_time(exif: Image.Exif) -> datetime | None:
    try:
        text = exif.get_ifd(_EXIF_FOLDER).get(_TAKEN_AT)
        return datetime.strptime(str(text).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")
    except Exception:  # absent, blank, all zeros or corrupt: the photo simply has no capture time
        return None


def _camera(exif: Image.Exif) -> str | None:
    try:
        words = " ".join(str(exif.get(tag) or "").strip("\0 ") for tag in (_MAKE, _MODEL)).strip()
    except Exception:  # corrupt, see `_capture_time`: the photo simply has no camera
        return None
    return "".join(letter for letter in words if letter.isprintable())[:80] or None


# ---- JPEG -----------------------------------------------------------------------------------------------------


def _decode_jpeg(data: bytes, at_least: tuple[int, int] | None) -> Decoded:
    if jpeg.has_hole(data):
        raise PhotoError(_HOLE)
    if jpeg.has_empty_quantiser(data):
        raise PhotoError("the jpeg data cannot be decoded: a quantisation table is corrupt")
    exif, damage = _jpeg_exif(data)
    orientation = exif.get(_ORIENTATION)
    if at_least is not None and orientation in (5, 6, 7, 8):
        at_least = (at_least[1], at_least[0])
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except ValueError as error:
        if "subsampling" not in str(error):
            raise
        # Valid but rare chroma layouts, which TurboJPEG's header reader refuses and libjpeg under Pillow decodes.
        return dataclasses.replace(_decode_with_pillow(data, "jpeg"), camera=_camera(exif))
    _check_size(height, width)
    if height * width * len(data) // 2 > MAX_SCANNED_PIXELS:  # else not even a file of nothing but scans has too many
        _check_scans(height, width, jpeg.count_scans(data))
    pixels, complaints = _jpeg_pixels(data, _jpeg_reduction(height, width, at_least))
    problems = [*([damage] if damage else []), *complaints]
    said = "; ".join(problems) or None
    return Decoded(_upright(pixels, orientation), "jpeg", said, _capture_time(exif), _camera(exif))


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


def _jpeg_pixels(data: bytes, reduction: dict[str, int]) -> tuple[UInt8, list[str]]:
    """Decode strictly; where libjpeg complains, find out whether pixels are missing.

    libjpeg reports only its first complaint, which may hide a worse one. So a mended copy (end marker appended,
    header stripped to what decoding needs) is decoded again until it is clean or the complaint is about pixels.
    """
    complaints: list[str] = []
    ended, whole_header = True, True
    mended = data
    while True:
        try:
            pixels = simplejpeg.decode_jpeg(mended, "RGB", strict=True, **reduction)
            break
        except ValueError as error:
            complaint = _one_line(error)
        if "Premature end of JPEG file" in complaint and ended:
            if data.endswith(b"\0\0\0\0"):
                # An end marker lost together with zero padding: written in part before a power cut.
                raise PhotoError("the file ends in zero bytes: it was written only in part")
            ended = False
            mended += jpeg.END_OF_IMAGE
            complaints.append("the end marker is missing")
        elif "extraneous bytes before marker 0xd9" in complaint and not jpeg.has_zero_bytes(data):
            if not jpeg_entropy.is_whole(mended):
                raise PhotoError("the picture data are corrupt: what follows the corrupt bytes is lost")
            pixels = simplejpeg.decode_jpeg(mended, "RGB", strict=False, **reduction)
            complaints.append("surplus bytes before the end marker")
            break
        elif whole_header and (bare := jpeg.without_extras(mended)) != mended:
            whole_header = False
            mended = bare
            complaints.append(
                "surplus bytes in the header" if "extraneous" in complaint else f"the decoder warned: {complaint}"
            )
        else:
            raise PhotoError(_missing_pixels(complaint, data))
    if not ended and not jpeg.has_every_scan(data):
        raise PhotoError("the file is cut short: detail of a progressive JPEG is missing")
    if (surplus := jpeg.bytes_after_end(data)) and ended:
        complaints.append(f"{surplus} surplus bytes after the end of the photo")
    return pixels, complaints


def _missing_pixels(complaint: str, data: bytes) -> str:
    if jpeg.has_zero_bytes(data):
        return _HOLE
    lowered = complaint.lower()
    if "premature end" in lowered:
        return "the file is cut short or corrupt: pixels are missing"
    return f"the jpeg data cannot be decoded: {complaint}"


def _jpeg_exif(data: bytes) -> tuple[Image.Exif, str | None]:
    """EXIF of a JPEG, empty if it has none, and what is wrong with it."""
    exif = Image.Exif()
    for marker, start, end in jpeg.segments(data):
        if marker == 0xE1 and data[start + 4 : start + 10] == b"Exif\0\0":
            try:
                exif.load(data[start + 4 : end])
                exif.get(_ORIENTATION)
            except Exception:  # Pillow's TIFF reader raises many kinds on corrupt bytes
                return Image.Exif(), "the EXIF data are corrupt"
            break
    return exif, None


# ---- the other formats ----------------------------------------------------------------------------------------


def _decode_with_pillow(data: bytes, photo_format: str) -> Decoded:
    if photo_format != "png":
        return _decode_once_with_pillow(data, photo_format, None)
    bare, damage = _bare_png(data)
    if damage:
        return _decode_once_with_pillow(bare, photo_format, damage)
    try:
        return _decode_once_with_pillow(data, photo_format, None)
    except PhotoError:
        raise
    except Exception:
        # Texts and colour profiles that unpack to gigabytes are not the picture.
        return _decode_once_with_pillow(bare, photo_format, "data beside the picture cannot be read")


def _decode_once_with_pillow(data: bytes, photo_format: str, damage: str | None) -> Decoded:
    with Image.open(io.BytesIO(data), formats=[photo_format.upper()]) as photo:
        _check_size(photo.height, photo.width)
        if photo_format == "tiff":
            _check_tiff(photo, data)
        photo.load()  # before EXIF, which a PNG may hold behind its pixels
        captured_at, orientation = None, None
        damage = damage or _damage_at_end(data, photo_format)
        try:
            exif = photo.getexif()
            captured_at = _capture_time(exif)
            # Pillow's TIFF reader has turned the photo itself while loading.
            orientation = None if photo_format == "tiff" else exif.get(_ORIENTATION)
        except Exception:  # Pillow's TIFF reader raises many kinds on corrupt bytes
            damage = damage or "the EXIF data are corrupt"
        spans = _webp_spans(data) if photo_format == "webp" else _tiff_spans(photo) if photo_format == "tiff" else ()
        pixels = _rgb(photo)
    # Zeros encode flat areas, at 40 and more tiles for each byte; other sound photos have runs of at most 17.
    if (zeros := _longest_hole(data, spans)) and 8 * zeros > _count_flat_tiles(pixels):
        raise PhotoError(_HOLE)
    return Decoded(_upright(pixels, orientation), photo_format, damage, captured_at)


def _bare_png(data: bytes) -> tuple[bytes, str | None]:
    """The chunks that pixels, transparency and orientation need, and what is wrong with the others.

    Pillow does not verify the checksum of the picture data. Source: PNG specification, 5.3 and 5.4.

    Raises:
        PhotoError: the checksum of a chunk that the picture needs is wrong.
    """
    kept, damage = [data[:8]], None
    at = 8
    while at + 12 <= len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        end = at + 12 + length
        if end > len(data):
            if name == b"IDAT":  # Pillow would read on to the end of the file, whatever is there
                raise PhotoError("the png data are cut short or corrupt: the checksum of the picture is missing")
            break
        sound = zlib.crc32(memoryview(data)[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end], "big")
        needed = name in (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS")
        if needed and not sound:
            raise PhotoError("the png data are corrupt: the checksum of the picture is wrong")
        if not sound:
            damage = "data beside the picture are corrupt"
        elif needed or name == b"eXIf":
            kept.append(data[at:end])
        at = end
        if name == b"IEND":
            break
    return b"".join((*kept, data[at:])), damage


def _webp_spans(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of the picture data of a still WebP."""
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack("<4sI", data[at : at + 8])
        if name in (b"VP8 ", b"VP8L"):
            yield at + 8, at + 8 + length
        at += 8 + length + (length & 1)


def _tiff_spans(photo: Any) -> list[tuple[int, int]]:
    """Start and end of the strips or tiles of a TIFF, if they are compressed by LZW, JPEG or deflate."""
    tags = photo.tag_v2
    if tags.get(_COMPRESSION) not in (5, 7, 8, 32946):
        return []
    offsets = tags.get(_STRIP_OFFSETS) or tags.get(_TILE_OFFSETS) or ()
    lengths = tags.get(_STRIP_LENGTHS) or tags.get(_TILE_LENGTHS) or ()
    return [(start, start + length) for start, length in zip(offsets, lengths, strict=False)]


def _longest_hole(data: bytes, spans: Iterable[tuple[int, int]]) -> int:
    """Length of the longest run of zero bytes within the spans, 0 below 24."""
    runs = (match.end() - match.start() for start, end in spans for match in _ZEROS.finditer(data, start, end))
    return max(runs, default=0)


def _count_flat_tiles(pixels: UInt8) -> int:
    """Number of tiles of 16x16 pixels of a single colour."""
    rows, columns = pixels.shape[0] // 16, pixels.shape[1] // 16
    count = 0
    for row in range(rows):  # one by one: comparing all at once would take as much memory as the photo
        tiles = pixels[row * 16 : row * 16 + 16, : columns * 16].reshape(16, columns, 16, 3)
        count += int((tiles == tiles[:1, :, :1]).all(axis=(0, 2, 3)).sum())
    return count


def _check_tiff(photo: Any, data: bytes) -> None:
    """Refuse camera raw files: their first image is a small preview, which must not pass for the photo."""
    tags = photo.tag_v2
    if data[8:10] == b"CR" or _DNG_VERSION in tags or int(tags.get(_SUBFILE_TYPE, 0) or 0) & 1:
        raise PhotoError("the file is a camera raw file or holds only a preview: convert it to JPEG or TIFF")


def _damage_at_end(data: bytes, photo_format: str) -> str | None:
    """What is wrong behind the pixels, which have decoded completely."""
    if photo_format == "png":
        end = data.rfind(b"IEND\xaeB`\x82")
        if end < 0:
            return "the end marker is missing"
        surplus = len(data) - end - 8
    elif photo_format == "webp":
        surplus = len(data) - 8 - int(struct.unpack("<I", data[4:8])[0]) - (data[4] & 1)
    else:
        return None
    return f"{surplus} surplus bytes after the end of the photo" if surplus > 0 else None


def _rgb(photo: Image.Image) -> UInt8:
    """Any Pillow mode as 8-bit RGB, alpha and transparent colours on white."""
    if photo.mode.startswith("I;16") or (photo.mode == "I" and photo.format == "PNG"):
        grey = np.asarray(photo).astype(np.uint32)
        scaled = ((grey * 255 + 32767) // 65535).astype(np.uint8)
        return np.repeat(scaled[:, :, None], 3, axis=2)
    if photo.mode in ("I", "F"):
        raise PhotoError("32-bit and floating-point pixels are not supported: convert the photo to 8 or 16 bits")
    if photo.mode == "RGB" and max(photo.info.get("transparency", (0,))) > 255:
        # One colour declared transparent, in a 16-bit file and with 16 bits: no 8-bit colour equals it.
        del photo.info["transparency"]
    if photo.has_transparency_data:
        return _on_white(photo)
    return np.asarray(photo if photo.mode == "RGB" else photo.convert("RGB"))


def _on_white(photo: Image.Image) -> UInt8:
    """Alpha and transparent colours laid on white, in bands: a whole canvas would take 12 bytes a pixel."""
    pixels = np.empty((photo.height, photo.width, 3), np.uint8)
    for top in range(0, photo.height, 256):
        bottom = min(top + 256, photo.height)
        band = photo.crop((0, top, photo.width, bottom)).convert("RGBA")
        white = Image.new("RGBA", band.size, "white")
        white.alpha_composite(band)
        pixels[top:bottom] = np.asarray(white.convert("RGB"))
    return pixels
