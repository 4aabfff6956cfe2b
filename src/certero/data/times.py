"""Capture times in file names and manifest cells, their zones, and clocks that were never set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from certero.sentences import Sentence, sentence, sentences

# A word between date and time, as WhatsApp, macOS and others write it in the languages of their users.
_WORD = r"[\s,]+(?:at|a\s+las?|a\s+la\(s\)|um|à|às|as|alle(?:\s+ore)?|kl\.?)\s+"
# Spaces of any kind: macOS puts a narrow one, U+202F, before PM.
_HALF = r"[\s_.-]{0,3}(?P<half>[AaPp])\.?\s?[Mm](?![A-Za-z])\.?"
# Markers of other scripts and languages, which are not read: a twelve-hour time with one does not count.
_OTHER_HALF = r"\s?(?:[πμ]\.?\s?μ|[مص](?!\w)|[上下]午|午[前後]|오[전후]|(?:SA|CH)(?![A-Za-z]))"
_OFFSET = r"[+]\d\d(?:[:.-]?\d\d)?|-(?:\d\d:\d\d|(?(t)\d{4}|(?!)))"
_ZONE = rf"(?P<zone>\s?(?:Z|UTC|GMT)(?![A-Za-z0-9])|(?:{_OFFSET})(?!\d))"
# Year to second, with anything between; milliseconds may follow. datetime itself checks the ranges.
_IN_NAME = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)[-_.]?(?P<month>\d\d)[-_.]?(?P<day>\d\d)"
    rf"(?:(?P<t>T)|[-_.,\s]{{0,3}}|(?P<word>{_WORD}))"
    r"(?:(?P<hour>\d\d)[-_.:h]?(?P<minute>\d\d)[-_.:m]?(?P<second>\d\d)"
    r"|(?P<short>\d)(?P<sign>[-_.:h])(?P<minute1>\d\d)[-_.:m](?P<second1>\d\d))"
    rf"(?:[.,]?\d{{3}})?(?!\d)(?:{_HALF})?(?:{_ZONE})?(?P<other>{_OTHER_HALF})?"
)
# A cell holds nothing but the time, so parts may be shorter.
_IN_CELL = re.compile(
    r"(?P<year>\d{4})[-/.:](?P<month>\d\d?)[-/.:](?P<day>\d\d?)[T\s]\s*(?P<hour>\d\d?):(?P<minute>\d\d)"
    rf"(?::(?P<second>\d\d)(?:[.,]\d+)?)?(?:{_HALF})?\s?(?:(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d))?"
)
_UTC = ("Z", "UTC", "GMT")

# Days on which clocks that were never set begin: Unix, DOS, GPS, Macintosh, and cameras' own.
_FIRST_DAYS = frozenset(
    {date(year, 1, 1) for year in (1900, 1904, 1970, 1980, 2000, 2001)} | {date(1969, 12, 31), date(1980, 1, 6)}
)
# A camera that kept running shows how far apart its photos are, whatever day it believes in.
_RUNNING_DAYS = 3
# At least so many photos of one second, so large a share of all, so many times the usual number.
_MANY, _MANY_SHARE, _MANY_TIMES = 10, 0.2, 5


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time as written somewhere.

    Args:
        time: what the clock showed, naive.
        offset: how far the clock was ahead of UTC, if that is written.
    """

    time: datetime
    offset: timedelta | None = None


def time_in_name(name: str) -> datetime | None:
    """The capture time in a file's name, to the second; a date alone is not a time.

    >>> time_in_name("bed1_2024-01-12-05-40-04.jpg")
    datetime.datetime(2024, 1, 12, 5, 40, 4)
    >>> time_in_name("WhatsApp Image 2024-01-12 at 9.15.32 PM.jpeg")
    datetime.datetime(2024, 1, 12, 21, 15, 32)
    >>> time_in_name("IMG_20240112.jpg") is None
    True
    """
    stamp = stamp_in_name(name)
    return None if stamp is None else stamp.time


def stamp_in_name(name: str) -> Stamp | None:
    """The same with its zone, if the name has one."""
    for match in _IN_NAME.finditer(name):
        # One digit is an hour only if something else shows that this is a time.
        if match["short"] and not (match["half"] or match["word"]):
            continue
        if (stamp := _stamp(match.groupdict())) is not None:
            return stamp
    return None


def stamp_in_cell(text: str) -> Stamp | None:
    """The date and time that a manifest's cell holds; None for a date alone and for everything else."""
    try:
        date.fromisoformat(text)
        return None
    except ValueError:
        pass
    try:
        time = datetime.fromisoformat(text)
        return Stamp(time.replace(tzinfo=None), time.utcoffset())
    except ValueError:
        match = _IN_CELL.fullmatch(text)
    if match is not None:
        return _stamp(match.groupdict())
    match = _IN_NAME.fullmatch(text)
    return None if match is None else _stamp(match.groupdict())


def _stamp(parts: dict[str, str | None]) -> Stamp | None:
    """The stamp that the parts of a match stand for; None if no clock could show it."""
    hour = int(parts["hour"] or parts.get("short") or 0)
    if parts.get("other") and hour <= 12:
        return None
    if half := (parts["half"] or "").lower():
        if (hour > 12 and half == "a") or (hour == 0 and half == "p"):
            return None
        hour = hour % 12 + 12 * (half == "p") if hour <= 12 else hour
    minute, second = (int(parts[name] or parts.get(name + "1") or 0) for name in ("minute", "second"))
    try:
        time = datetime(int(parts["year"] or 0), int(parts["month"] or 0), int(parts["day"] or 0), hour, minute, second)
        return Stamp(time, _offset(parts["zone"]))
    except ValueError:
        return None


def _offset(zone: str | None) -> timedelta | None:
    if not zone:
        return None
    if (zone := zone.strip()) in _UTC:
        return timedelta(0)
    digits = re.sub(r"\D", "", zone)
    ahead = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    if ahead > timedelta(hours=14):
        raise ValueError(zone)
    return -ahead if zone.startswith("-") else ahead


def shift(stamps: Sequence[Stamp | None]) -> tuple[list[datetime | None], str | None]:
    """The times as one clock would have shown them: that of the commonest zone, of equals the most western.

    Args:
        stamps: None if there is no time. Those without a zone are taken as they are.

    Returns:
        The times, and how far that clock was ahead of UTC (`+02:00`); None if no stamp has a zone.
    """
    offsets = Counter(stamp.offset for stamp in stamps if stamp is not None and stamp.offset is not None)
    if not offsets:
        return [None if stamp is None else stamp.time for stamp in stamps], None
    common = min(offsets, key=lambda offset: (-offsets[offset], offset))
    times = [
        None if stamp is None else stamp.time if stamp.offset is None else stamp.time - stamp.offset + common
        for stamp in stamps
    ]
    minutes = round(abs(common).total_seconds() / 60)
    return times, f"{'-' if common < timedelta(0) else '+'}{minutes // 60:02d}:{minutes % 60:02d}"


def zones(stamps: Iterable[Stamp | None]) -> int:
    """The number of different zones."""
    return len({stamp.offset for stamp in stamps if stamp is not None and stamp.offset is not None})


# --- Clocks that were never set ---


def never_set(times: Sequence[datetime | None], sources: Sequence[str | None]) -> tuple[list[bool], list[Sentence]]:
    """Which times come from a clock that was never set, and a sentence for each sign of it.

    Very many photos of one second, which no camera takes; or a day on which such clocks begin, if no photo of the
    days after it shows that the clock went on.

    Args:
        times: [photos], None if unknown.
        sources: [photos], `manifest`, `exif` or `name`.
    """
    wrong = [False] * len(times)
    told: list[Sentence] = []
    known = sum(time is not None for time in times)
    seconds = Counter(time.replace(microsecond=0) for time in times if time is not None)
    for second, count in _stuck(seconds, len(times)):
        told.append(
            sentence(
                "%(count)d of %(photos)d photos state the same second, %(time)s, as a clock does that was never set",
                count=count,
                photos=known,
                time=second.isoformat(" "),
            )
        )
        wrong = [
            bad or (time is not None and time.replace(microsecond=0) == second)
            for bad, time in zip(wrong, times, strict=True)
        ]
    days = {(source, time.date()) for time, source in zip(times, sources, strict=True) if time is not None}
    for source, day in sorted((source or "", day) for source, day in days if day in _FIRST_DAYS):
        after = {day + timedelta(days=number) for number in range(1, _RUNNING_DAYS + 1)}
        if any((source, later) in days for later in after):
            continue
        rows = [
            row
            for row, (time, origin) in enumerate(zip(times, sources, strict=True))
            if time is not None
            and origin == source
            and time.date() == day
            and not wrong[row]
            # A time that somebody wrote into a table is wrong only if it is that very first moment.
            and (source != "manifest" or time == datetime(day.year, day.month, day.day))
        ]
        if rows:
            told.append(
                sentences(
                    "%(count)d photo states %(day)s, the day on which a clock begins that was never set",
                    "%(count)d photos state %(day)s, the day on which a clock begins that was never set",
                    count=len(rows),
                    day=day.isoformat(),
                )
            )
        for row in rows:
            wrong[row] = True
    return wrong, told


def _stuck(seconds: Counter[datetime], photos: int) -> list[tuple[datetime, int]]:
    """The seconds that too many photos share. If frames are cut into many photos, each second has about as many."""
    counts = sorted(seconds.values())
    known, usual = sum(counts), counts[len(counts) // 2] if counts else 0
    return [
        (second, count)
        for second, count in sorted(seconds.items())
        if (count >= _MANY or 1 < count == photos)
        and (len(counts) == 1 or (count >= _MANY_SHARE * known and count >= _MANY_TIMES * usual))
    ]
