"""Formats of files, told by their first bytes or by their suffix: those that are read, and those that can be named."""

from __future__ import annotations

import posixpath
import re
import struct

from certero.sentences import Message, Sentence, message, sentence

#: Formats that are read, and Pillow's names for them; libheif reads HEIC.
READ = {
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "bmp": "BMP",
    "tiff": "TIFF",
    "gif": "GIF",
    "heic": "HEIF",
    "avif": "AVIF",
    "jp2": "JPEG2000",
    "ppm": "PPM",
}

#: Suffixes of photos, in lower case, and the format that each promises.
PHOTO_SUFFIXES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), "jpeg"),
    **dict.fromkeys((".png", ".apng"), "png"),
    ".webp": "webp",
    **dict.fromkeys((".bmp", ".dib"), "bmp"),
    **dict.fromkeys((".tif", ".tiff"), "tiff"),
    ".gif": "gif",
    **dict.fromkeys((".heic", ".heif", ".hif", ".heics", ".heifs"), "heic"),
    **dict.fromkeys((".avif", ".avifs"), "avif"),
    **dict.fromkeys((".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), "jp2"),
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "ppm"),
}

#: Suffixes of archives, which are unpacked first.
ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"})

RAW = "camera raw"
# Suffixes of pictures that are not read, and their formats.
_FOREIGN = {
    **dict.fromkeys((".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc"), RAW),
    **dict.fromkeys((".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl"), RAW),
    **dict.fromkeys((".sr2", ".srf", ".srw", ".x3f"), RAW),
    ".jxl": "JPEG XL",
    **dict.fromkeys((".jxr", ".wdp", ".hdp"), "JPEG XR"),
    **dict.fromkeys((".psd", ".psb"), "Photoshop"),
    **dict.fromkeys((".dcm", ".dicom"), "DICOM"),
    **dict.fromkeys((".svg", ".svgz"), "SVG"),
    **{"." + name.lower(): name for name in ("XCF", "TGA", "PCX", "EXR", "HDR", "DDS", "ICO", "QOI", "BPG", "FLIF")},
}
#: Formats of pictures that are not read, as in the column `format`.
FOREIGN_FORMATS = frozenset(_FOREIGN.values())

_SIGNATURES = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
)
# Brands of ISO/IEC 23008-12 and of AVIF: `mif1` and `msf1` leave open what is inside, the compatible brands say it.
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}

# Beginnings of pictures that are not read. Nothing else has the first ones: they count whatever a file is called.
_UNMISTAKABLE = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"II\xbc", "JPEG XR"),
    (b"8BPS", "Photoshop"),
    (b"FUJIFILMCCD-RAW", RAW),
    (b"IIRO", RAW),
    (b"IIRS", RAW),
    (b"MMOR", RAW),
    (b"IIU\0", RAW),
    (b"II\x1a\0\0\0HEAPCCDR", RAW),
    (b"\0MRM", RAW),
    (b"FOVb", RAW),
)
_OTHER_PICTURES = (
    (b"gimp xcf", "XCF"),
    (b"\0\0\1\0", "ICO"),
    (b"icns", "ICO"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"v/1\1", "EXR"),
    (b"#?RADIANCE", "HDR"),
    (b"SIMPLE  =", "FITS"),
    (b"PF\n", "PFM"),
    (b"Pf\n", "PFM"),
    (b"P7\n", "PAM"),
    (b"\x01\xda", "SGI"),
    (b"\x0a\x05\x01", "PCX"),
    (b"\x59\xa6\x6a\x95", "Sun raster"),
    (b"\xd7\xcd\xc6\x9a", "Windows metafile"),
    (b"%PDF-", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"<svg", "SVG"),
)
# How a sentence speaks of one file of them, where it is not "a ... picture".
_ONE_OF_THEM = {
    "JPEG XL": message("a JPEG XL photo"),
    "JPEG XR": message("a JPEG XR photo"),
    "Photoshop": message("a Photoshop file"),
    RAW: message("a camera raw file"),
    "XCF": message("a GIMP file"),
    "ICO": message("an icon"),
    "DDS": message("a DDS texture"),
    "EXR": message("an OpenEXR picture"),
    "HDR": message("a Radiance HDR picture"),
    "SGI": message("an SGI picture"),
    "Windows metafile": message("a Windows metafile"),
    "PDF": message("a PDF document"),
    "PostScript": message("a PostScript document"),
    "SVG": message("a drawing (SVG)"),
    "HEIF": message("a HEIF photo of a rare kind"),
}
# Sizes of the header that follows a BMP's own: its two letters may begin any text.
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
# Likewise: comments, then width and height.
_PPM_HEADER = re.compile(rb"P[1-6](\s|#[^\n]*\n)+\d+\s+\d+\s")
_NO_PICTURES = (
    (b"\x1aE\xdf\xa3", message("a film")),
    (b"\0\0\1\xba", message("a film")),
    (b"\0\0\1\xb3", message("a film")),
    (b"FLV\1", message("a film")),
    (b"PK\3\4", message("a zip archive")),
    (b"Rar!\x1a\7", message("an archive")),
    (b"7z\xbc\xaf\x27\x1c", message("an archive")),
    (b"\x1f\x8b", message("an archive")),
)


def sniff(data: bytes) -> str | None:
    """Name the format of the content, a key of `READ`; None for anything else."""
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3] in (b" ", b"\t", b"\r", b"\n", b"#"):
        return "ppm"
    brands = _brands(data)
    if brands & _AVIF_BRANDS:
        return "avif"
    if brands & _HEIC_BRANDS:
        return "heic"
    return None


def say_misnamed(suffix: str, found: str) -> Sentence:
    """That a file's name claims another format than its content has."""
    if suffix:
        return sentence("named %(suffix)s, holds %(format)s", suffix=suffix, format=found)
    return sentence("named without suffix, holds %(format)s", format=found)


def name_other(data: bytes) -> Message | None:
    """What a file that is not read seems to be and what to do about it, a sentence; None where nothing tells."""
    if picture := _name_picture(data):
        said = _ONE_OF_THEM.get(picture) or sentence("a %(kind)s picture", kind=picture)
        return sentence("this is %(what)s, which cannot be read: convert it to JPEG", what=said)
    for signature, name in _NO_PICTURES:
        if data.startswith(signature):
            return sentence("this is %(what)s and no photo", what=name)
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide") or (data[:4] == b"RIFF" and data[8:12] == b"AVI "):
        return message("this is a film and no photo")
    head = data[:300].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    is_page = head.startswith((b"<!doctype html", b"<html"))
    return message("this is a web page and no photo") if is_page else None


def _name_picture(data: bytes) -> str | None:
    for signature, name in (*_UNMISTAKABLE, *_OTHER_PICTURES):
        if data.startswith(signature):
            return name
    if data.endswith(b"TRUEVISION-XFILE.\0"):
        return "TGA"
    if data[128:132] == b"DICM":
        return "DICOM"
    brands = _brands(data)
    if b"crx " in brands:
        return RAW
    if brands & {b"mif1", b"msf1", b"miaf"}:
        return "HEIF"
    return "SVG" if data[:5] == b"<?xml" and b"<svg" in data[:1000] else None


def foreign_of_suffix(name: str) -> str | None:
    """What a picture that is not read is by its suffix: one of `FOREIGN_FORMATS`; None for any other file."""
    return _FOREIGN.get(suffix_of(name))


def foreign_of_content(beginning: bytes) -> str | None:
    """What a picture that is not read is, whatever its name: one of `FOREIGN_FORMATS`; None where too little tells."""
    for signature, name in _UNMISTAKABLE:
        if beginning.startswith(signature):
            return name
    return RAW if beginning[4:12] == b"ftypcrx " else None


def is_photo(name: str, beginning: bytes) -> bool:
    """Whether a file without a photo's suffix is a photo, by its first 512 bytes.

    Stricter than `sniff`: a text may begin as a BMP or a PPM does, and most cameras' raw files are TIFFs to look at.
    """
    found = sniff(beginning)
    if found == "bmp":
        return int.from_bytes(beginning[14:18], "little") in _BMP_HEADERS
    if found == "ppm":
        return _PPM_HEADER.match(beginning) is not None
    return found is not None and not (found == "tiff" and foreign_of_suffix(name) == RAW)


def is_misnamed(name: str, found: str | None) -> bool:
    """Whether the suffix of a photo's name promises another format than its content has.

    Args:
        name: of the file.
        found: format of the content, see `PhotoFacts.format`; None where it is unknown.
    """
    suffix = suffix_of(name)
    return found is not None and found not in FOREIGN_FORMATS and found != PHOTO_SUFFIXES.get(suffix, suffix[1:])


def suffix_of(name: str) -> str:
    """The suffix in lower case, dot included; empty where there is none.

    >>> suffix_of("barn/cow.JPG"), suffix_of("notes.")
    ('.jpg', '')
    """
    suffix = posixpath.splitext(name)[1].lower()  # pathlib takes five times as long
    return "" if suffix == "." else suffix


def _brands(data: bytes) -> set[bytes]:
    """Major and compatible brands of an ISO base media file, empty for anything else."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int(struct.unpack(">I", data[:4])[0]), len(data), 512)
    return {data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))}
