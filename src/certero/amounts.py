"""Durations and sizes in words."""

from __future__ import annotations

from certero.language import ngettext


def duration(seconds: float) -> str:
    """`12 seconds`, `6 minutes`, `1 hour 20 minutes`: with no more digits than matter.

    >>> duration(0.2), duration(95), duration(4500)
    ('1 second', '2 minutes', '1 hour 15 minutes')
    """
    whole = max(1, round(seconds))
    if whole < 90:
        return ngettext("{n} second", "{n} seconds", whole).format(n=whole)
    minutes = round(whole / 60)
    if minutes < 60:
        return ngettext("{n} minute", "{n} minutes", minutes).format(n=minutes)
    hours, minutes = divmod(minutes, 60)
    text = ngettext("{n} hour", "{n} hours", hours).format(n=hours)
    if minutes == 0 or hours >= 10:
        return text
    return f"{text} {ngettext('{n} minute', '{n} minutes', minutes).format(n=minutes)}"


def size(count: float) -> str:
    """Bytes as `850 KB`, `12 MB`, `1.5 GB`.

    >>> size(0), size(850_400), size(1_530_000_000)
    ('0 KB', '850 KB', '1.5 GB')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if count >= scale:
            value = count / scale
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{count / 1e3:.0f} KB"


def count(number: int) -> str:
    """A whole number with separated thousands.

    >>> count(4650000)
    '4,650,000'
    """
    return f"{number:,}"
