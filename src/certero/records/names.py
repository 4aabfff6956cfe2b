"""What the names of photos say about which belong together, and whether likeness bears it out."""

from __future__ import annotations

from dataclasses import dataclass

from certero.records.record import Record


@dataclass(frozen=True, slots=True)
class NameFamily(Record):
    """One way in which names tell families, and what the photos say to it.

    Args:
        scheme: `versions` (a name with something added: `x_flip`, `x(1)`), `two_numbers` (`clip3_frame0012`) or
            `sequence` (`IMG_1118`).
        photos: whose names tell it.
        families: groups of two photos and more; for a sequence the rows that photos stand in.
        alike: mean likeness of photos that the names put together, for a sequence of neighbours; 1 for equal photos.
        shuffled: the same after the names were shuffled within each class.
        p: how often shuffled names do as well.
        related: whether these photos are clearly more alike than chance makes them.
        curve: for a sequence (distance in the row, mean likeness); empty for others.
        group_by: `--group-by` that keeps them together; None where the names give no such groups.
        groups: that it makes; None without it.
        parted: families that lie in two given splits and more; None for a sequence, and where no split is given.
        examples: paths of the photos of one family, or of neighbours.
    """

    scheme: str
    photos: int
    families: int
    alike: float
    shuffled: float
    p: float
    related: bool
    curve: tuple[tuple[float, ...], ...]
    group_by: str | None
    groups: int | None
    parted: int | None
    examples: tuple[str, ...]
