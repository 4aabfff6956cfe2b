"""A second look at the picture data of a baseline JPEG, symbol by symbol, where the decoder found surplus bytes.

Surplus bytes have two causes that libjpeg cannot tell apart: a camera's padding behind whole pixels, and a corrupt
byte from which on everything was decoded wrongly and too soon. Only the former may be used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from certero.photos.jpeg import FRAMES, HUFFMAN_TABLES, QUANTISERS, RESTART_INTERVAL, SCAN, parts, quantisers

_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
# About 0.6 s for each megabyte; a 12-megapixel photo has 4. Beyond, nobody waits for a verdict.
_MAX_BYTES = 6_000_000

# Symbol of the next 16 bits, and the length of its code: (length << 8) | symbol; -1 where no code fits.
_Lookup = list[int]


# A block: tables for its DC and AC coefficients, its component, and the largest DC that 8-bit pixels can have.
_Block = tuple[_Lookup, _Lookup, int, int]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a scan is to be read: the blocks of one unit, and how many units there are."""

    blocks: list[_Block]
    units: int
    units_a_restart: int
    body: bytes


def is_whole(data: bytes) -> bool:
    """Whether every block of the picture is there and well-formed, whatever follows it before the end marker.

    Well-formed: no code that the tables lack, no coefficient beyond the 64th, no brightness beyond white, and the last
    byte filled up with ones.
    Data that went out of step hardly ever pass. Progressive files are not looked into and pass, for there surplus
    bytes stand behind the last scan, which only refines. Source: ITU-T T.81, F.2.2 and F.1.2.3.
    """
    plan = _read_plan(data)
    if plan is None:
        return True
    if len(plan.body) > _MAX_BYTES:
        return False
    pieces = [match.start() for match in _RESTART.finditer(plan.body)]
    borders = [-2, *pieces, len(plan.body)]
    left = plan.units
    for start, end in pairwise(borders):
        units = min(left, plan.units_a_restart)
        if not _piece_is_whole(plan.body[start + 2 : end].replace(b"\xff\0", b"\xff"), plan.blocks, units):
            return False
        left -= units
        if not left:
            return True
    return False


def _piece_is_whole(piece: bytes, blocks: list[_Block], units: int) -> bool:
    bits, held, at = 0, 0, 0
    means = [0, 0, 0, 0]
    for _unit in range(units):
        for dc, ac, component, limit in blocks:
            position = 0
            while position < 64:
                if held < 32:  # a code and its value take at most 16 + 15 bits
                    bits = ((bits & ((1 << held) - 1)) << 48) | int.from_bytes(
                        piece[at : at + 6].ljust(6, b"\0"), "big"
                    )
                    at += 6
                    held += 48
                entry = (ac if position else dc)[bits >> (held - 16) & 0xFFFF]
                if entry < 0:
                    return False
                symbol = entry & 0xFF
                size = symbol & 15
                held -= (entry >> 8) + size
                if position == 0:
                    if symbol > 11:
                        return False
                    if size:
                        value = bits >> held & ((1 << size) - 1)
                        means[component] += value if value >> (size - 1) else value - (1 << size) + 1
                        if abs(means[component]) > limit:
                            return False
                    position = 1
                elif size:
                    position += (symbol >> 4) + 1
                    if position > 64:
                        return False
                elif symbol == 0xF0:
                    position += 16
                elif symbol == 0:
                    break
                else:
                    return False
    used = at * 8 - held
    padding = -used % 8
    last = (used + 7) // 8
    return last <= len(piece) and (not last or piece[last - 1] & ((1 << padding) - 1) == (1 << padding) - 1)


def _read_plan(data: bytes) -> _Plan | None:
    """How to read a baseline file with a single scan; None for any other."""
    tables: dict[int, _Lookup] = {}
    components: dict[int, tuple[int, int, int]] = {}
    steps: dict[int, int] = {}
    height = width = restart = 0
    for marker, start, end in parts(data):
        content = data[start + 4 : end]
        if marker in FRAMES:
            if marker == 0xC2 or len(content) < 6 + 3 * content[5] or content[5] > 4:
                return None
            height, width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
            for at in range(6, 6 + 3 * content[5], 3):
                components[content[at]] = (content[at + 1] >> 4, content[at + 1] & 15, content[at + 2])
        elif marker == HUFFMAN_TABLES:
            tables |= _read_tables(content)
        elif marker == QUANTISERS:
            steps |= {number: int(table[0]) for number, table in quantisers(content)}
        elif marker == RESTART_INTERVAL:
            restart = int.from_bytes(content[:2], "big")
        elif marker == SCAN:
            header = data[start + 4 : start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")]
            if len(header) != 2 * len(components) + 4 or header[0] != len(components):
                return None
            blocks = []
            for number, (name, choice) in enumerate(zip(header[1:-3:2], header[2:-3:2], strict=True)):
                across, down, quantiser = components.get(name, (0, 0, 0))
                if choice >> 4 not in tables or (0x10 | choice & 15) not in tables:
                    return None
                repeats = 1 if len(components) == 1 else across * down
                # The DC coefficient of a white block is 8 * 128; a tenth more for rounding.
                limit = 1127 // max(1, steps.get(quantiser, 1)) + 2
                blocks += [(tables[choice >> 4], tables[0x10 | choice & 15], number, limit)] * repeats
            # A single component is not interleaved: its unit is one block, whatever its sampling says (A.2.2).
            wide = 8 * (1 if len(components) == 1 else max(across for across, _, _ in components.values()))
            high = 8 * (1 if len(components) == 1 else max(down for _, down, _ in components.values()))
            if not blocks or not wide or not high:
                return None
            units = -(-width // wide) * -(-height // high)
            return _Plan(blocks, units, restart or units, data[start + 4 + len(header) : end])
    return None


def _read_tables(content: bytes) -> dict[int, _Lookup]:
    """Lookups by table (class << 4 | number) of a DHT segment. Source: ITU-T T.81, annex C."""
    found: dict[int, _Lookup] = {}
    at = 0
    while at + 17 <= len(content):
        counts = content[at + 1 : at + 17]
        symbols = iter(content[at + 17 : at + 17 + sum(counts)])
        lookup: _Lookup = []
        for length, count in enumerate(counts, start=1):
            for _code, symbol in zip(range(count), symbols, strict=False):
                lookup += [length << 8 | symbol] * (1 << (16 - length))
        found[content[at]] = (lookup + [-1] * (65536 - len(lookup)))[:65536]
        at += 17 + sum(counts)
    return found
