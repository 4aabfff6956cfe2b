"""What a JPEG file tells without decoding: segments, scans, tables, and where they cannot be sound.

libjpeg decodes whatever it can and reports the first oddity. The questions here are those it does not ask: is picture
data missing, was part of the file never written, would decoding take forever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

START_OF_IMAGE, END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
HUFFMAN_TABLES, QUANTISERS, SCAN, RESTART_INTERVAL = 0xC4, 0xDB, 0xDA, 0xDD
FRAMES = (0xC0, 0xC1, 0xC2)  # Huffman-coded: baseline, extended, progressive
_END, _ADOBE, _COMMENT = 0xD9, 0xEE, 0xFE
_OTHER_FRAMES = (0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))

# Where entropy-coded data end: a marker that is neither a stuffed FF nor a restart.
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")

#: A run of this many zero bytes is suspicious. In 4,000 sound photos (grocery, barn) the longest run is 5.
ZERO_RUN = 16


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Header segments (marker, start, end) of a JPEG up to and without its first scan, skipping junk between them.

    The last one yielded is (0xDA, start of scan, length of data). Source: ITU-T T.81, annex B.
    """
    for marker, start, end in parts(data):
        if marker in (SCAN, _END):
            yield marker, start, len(data)
            return
        yield marker, start, end


def without_extras(data: bytes) -> bytes:
    """The same photo without comments, application data (but Adobe's colour transform) and junk in the header."""
    kept = [data[a:b] for marker, a, b in segments(data) if marker == _ADOBE or not 0xE0 <= marker <= _COMMENT]
    return START_OF_IMAGE + b"".join(kept)


def has_zero_bytes(data: bytes) -> bool:
    """Whether the picture data hold a long run of zeros; asked only of files that the decoder complained about.

    64 zero bytes: a lost disk sector has 512; flat areas of sound photos also encode to zeros.
    """
    scan = next((start for marker, start, _ in segments(data) if marker == SCAN), 0)
    return data.find(bytes(64), scan) >= 0 or data.endswith(bytes(4))


def has_hole(data: bytes) -> bool:
    """Whether the picture data hold zeros that no encoder writes, although the decoder may accept them.

    The code of nothing but zeros belongs to the first symbol of a Huffman table. Where that symbol carries a
    coefficient, a run of zero bytes would be a row of equal coefficients, -(2^size - 1) each, across at least a third
    of a block: no photo has that, because high frequencies fade. Where the symbol ends a block, zeros are a flat
    area, as in sound photos, and nothing is claimed. Zeros at the very end of the data are padding, not a hole.

    Source: ITU-T T.81, C.2 (codes), F.1.2.2 and G.1.2.2 (coefficients).
    """
    if data.find(bytes(ZERO_RUN)) < 0:
        return False
    first_symbols = {0x10: 0x01, 0x11: 0x00}  # the tables of annex K, for files that leave them out
    progressive = False
    for marker, start, end in parts(data):
        if marker == HUFFMAN_TABLES:
            first_symbols |= _first_symbols(data[start + 4 : end])
        elif marker in FRAMES:
            progressive = marker == 0xC2
        elif marker in _OTHER_FRAMES:
            return False
        elif marker == SCAN:
            header = data[start + 4 : start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")]
            if len(header) < 6 or len(header) != 2 * header[0] + 4:
                return False
            first_coefficient, refinement = header[-3], header[-1] >> 4
            symbol = first_symbols.get(0x10 | header[2] & 15, 0)
            if (first_coefficient > 0 or not progressive) and not (progressive and refinement) and symbol & 15:
                body = data[start + 4 + len(header) : end].rstrip(b"\0")
                if body.find(bytes(ZERO_RUN)) >= 0:
                    return True
    return False


def has_empty_quantiser(data: bytes) -> bool:
    """Whether a quantisation table holds a zero, which T.81 (B.2.4.1) forbids and which erases a frequency."""
    return any(
        not table.all()
        for marker, start, end in segments(data)
        # Table numbers and high bytes are often zero, steps never are: most files need no closer look.
        if marker == QUANTISERS and 0 in data[start + 5 : end]
        for _number, table in quantisers(data[start + 4 : end])
    )


def quantisers(content: bytes) -> Iterator[tuple[int, npt.NDArray[np.uint16]]]:
    """The number and the 64 steps of each table in a DQT segment's content."""
    at = 0
    while at < len(content):
        size = 128 if content[at] >> 4 else 64
        steps = np.frombuffer(content[at + 1 : at + 1 + size].ljust(size, b"\1"), ">u2" if size == 128 else "u1")
        yield content[at] & 15, steps.astype(np.uint16)
        at += 1 + size


def count_scans(data: bytes) -> int:
    """Number of scans."""
    return data.count(b"\xff\xda")


def bytes_after_end(data: bytes) -> int:
    """Bytes behind the last end marker, but for the film or trailer that phones append by design."""
    end = data.rfind(END_OF_IMAGE) + 2
    if end == len(data) or b"ftyp" in data[end : end + 64] or data.endswith(b"SEFT"):
        return 0
    return len(data) - end


def has_every_scan(data: bytes) -> bool:
    """Whether the scans of a JPEG bring all 64 coefficients of every component to full precision.

    A progressive file cut between two scans decodes without complaint once an end marker is appended.
    Source: ITU-T T.81, B.2.3 and G.1.1.
    """
    components = 0
    at = 0
    for marker, start, _ in segments(data):
        if marker in FRAMES:
            components = data[start + 9]
        at = start
    missing_bits = np.full((256, 64), 99)
    while 0 <= at < len(data) - 5:
        if data[at + 1] == SCAN:
            count = data[at + 4]
            scan = data[at + 5 : at + 5 + 2 * count + 3]
            if len(scan) == 2 * count + 3:
                for component in scan[0 : 2 * count : 2]:
                    missing_bits[component, scan[-3] : scan[-2] + 1] = scan[-1] & 15
        at = data.find(b"\xff\xda", at + 2)
    return int((missing_bits == 0).all(axis=1).sum()) >= components > 0


def parts(data: bytes) -> Iterator[tuple[int, int, int]]:
    """All segments (marker, start, end) in order, a scan with its entropy-coded data; ends behind the end marker."""
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            return
        marker = data[at + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:  # fill byte or a marker without content
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == SCAN:
            found = _NEXT_MARKER.search(data, min(end, len(data)))
            end = found.start() if found else len(data)
        yield marker, at, end
        if marker == _END:
            return
        at = max(end, at + 2)


def _first_symbols(tables: bytes) -> dict[int, int]:
    """The symbol of the all-zero code by table (class << 4 | number), of a DHT segment's content."""
    found = {}
    at = 0
    while at + 17 < len(tables):
        found[tables[at]] = tables[at + 17]
        at += 17 + sum(tables[at + 1 : at + 17])
    return found
