"""Formats of files, told by their first bytes: those that are read, and those that have a name to say."""

from __future__ import annotations

import struct

#: Formats that are read, and how Pillow calls them; HEIC is read by libheif.
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

_RAW = "a camera raw file"
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

_PICTURES = (
    (b"\xff\x0a", "a JPEG XL photo"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL photo"),
    (b"II\xbc", "a JPEG XR photo"),
    (b"8BPS", "a Photoshop file"),
    (b"gimp xcf", "a GIMP file"),
    (b"\0\0\1\0", "an icon"),
    (b"icns", "an icon"),
    (b"qoif", "a QOI picture"),
    (b"DDS ", "a DDS texture"),
    (b"v/1\1", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"SIMPLE  =", "a FITS picture"),
    (b"PF\n", "a PFM picture"),
    (b"Pf\n", "a PFM picture"),
    (b"P7\n", "a PAM picture"),
    (b"\x01\xda", "an SGI picture"),
    (b"\x0a\x05\x01", "a PCX picture"),
    (b"\x59\xa6\x6a\x95", "a Sun raster picture"),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (b"%PDF-", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document"),
    (b"<svg", "a drawing (SVG)"),
    (b"FUJIFILMCCD-RAW", _RAW),
    (b"IIRO", _RAW),
    (b"IIRS", _RAW),
    (b"MMOR", _RAW),
    (b"IIU\0", _RAW),
    (b"II\x1a\0\0\0HEAPCCDR", _RAW),
    (b"\0MRM", _RAW),
    (b"FOVb", _RAW),
)
_NO_PICTURES = (
    (b"\x1aE\xdf\xa3", "a film"),
    (b"\0\0\1\xba", "a film"),
    (b"\0\0\1\xb3", "a film"),
    (b"FLV\1", "a film"),
    (b"PK\3\4", "a zip archive"),
    (b"Rar!\x1a\7", "an archive"),
    (b"7z\xbc\xaf\x27\x1c", "an archive"),
    (b"\x1f\x8b", "an archive"),
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


def name_other(data: bytes) -> str | None:
    """What a file that is not read seems to be and what to do about it, a sentence; None where nothing tells."""
    if picture := _name_picture(data):
        return f"this is {picture}, which cannot be read: convert it to JPEG"
    for signature, name in _NO_PICTURES:
        if data.startswith(signature):
            return f"this is {name} and no photo"
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide") or (data[:4] == b"RIFF" and data[8:12] == b"AVI "):
        return "this is a film and no photo"
    head = data[:300].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return "this is a web page and no photo" if head.startswith((b"<!doctype html", b"<html")) else None


def _name_picture(data: bytes) -> str | None:
    for signature, name in _PICTURES:
        if data.startswith(signature):
            return name
    if data.endswith(b"TRUEVISION-XFILE.\0"):
        return "a TGA picture"
    if data[128:132] == b"DICM":
        return "a DICOM picture"
    brands = _brands(data)
    if b"crx " in brands:
        return _RAW
    if brands & {b"mif1", b"msf1", b"miaf"}:
        return "a HEIF photo of a rare kind"
    return "a drawing (SVG)" if data[:5] == b"<?xml" and b"<svg" in data[:1000] else None


def _brands(data: bytes) -> set[bytes]:
    """Major and compatible brands of an ISO base media file, empty for anything else."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int(struct.unpack(">I", data[:4])[0]), len(data), 512)
    return {data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))}
