"""How many photos there are, what became of them, and what kept them apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from certero.interchange import Json
from certero.records.record import ABSENT, Record
from certero.sentences import Message


@dataclass(frozen=True, slots=True)
class SeparationFacts(Record):
    """What counts as independent, and in a training what kept the splits apart.

    Args:
        rule: `time`, `time_blocks`, `group`, `copies`, ...
        description: in words.
        block_minutes: length of a block of time; None where time does not separate.
        units: groups of photos that are kept together.
        speaks_of: what a figure on these photos speaks of: `hours` (other hours of the same days), `days` (other days),
            `places`, `groups`, or `unknown` where nothing tells which photos depend on each other; None in files made
            before this was told.
        gap_minutes: least time between photos of two splits.
        group_by: what names the groups.
        decay: pairs of minutes and likeness; None where no photo was split from another one, and neither a gap nor
            groups are told.
    """

    rule: str | None
    description: Message | None
    block_minutes: float | None
    units: int | None
    speaks_of: str | None = None
    gap_minutes: float | None = None
    group_by: str | None = None
    decay: tuple[tuple[float, ...], ...] | None = None

    def to_json(self) -> Json:
        """All fields of a split; of an evaluation the first five."""
        found = Record.to_json(self)
        apart = (self.gap_minutes, self.group_by, self.decay) != (None, None, None)
        return found if apart else {name: found[name] for name in tuple(found)[:5]}


@dataclass(frozen=True, slots=True)
class Data(Record):
    """What the photos are.

    Args:
        name: of the folder or manifest.
        layout: `manifest`, `folders`, ...
        classes: names, in the order of the model's outputs.
        time_source: photos by where their capture time is from.
    """

    name: str | None
    layout: str | None
    classes: tuple[str, ...]
    time_source: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LostClass(Record):
    """A class that lost photos: how many it has, how many cannot be read, and what else its folder holds."""

    photos: int
    unreadable: int
    passed_over: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Counts(Record):
    """Photos and what became of them; only the first two where refusals alone are counted.

    Args:
        photos: listed.
        used: of these.
        unreadable: never used.
        damaged: used, though the decoder complained.
        leaked: copies of val or test photos, left out of training.
        purged: too close in time to another split, or of an unknown day where whole days separate.
        passed_over: files that are no photos, by kind.
        lost: classes that lost photos.
    """

    photos: int | None
    used: int | None
    unreadable: int | None = field(default=None, metadata=ABSENT)
    damaged: int | None = field(default=None, metadata=ABSENT)
    leaked: int | None = field(default=None, metadata=ABSENT)
    purged: int | None = field(default=None, metadata=ABSENT)
    passed_over: Mapping[str, int] | None = field(default=None, metadata=ABSENT)
    lost: Mapping[str, LostClass] | None = field(default=None, metadata=ABSENT)


@dataclass(frozen=True, slots=True)
class ListedPhoto(Record):
    """A photo that was left out or is damaged, and what is wrong with it."""

    path: str
    problem: Message | None


@dataclass(frozen=True, slots=True)
class Described(Record):
    """The photos of a run or an evaluation: four keys of metrics.json, see `Metrics`."""

    data: Data
    counts: Counts
    listed: Mapping[str, tuple[ListedPhoto, ...]]
    splits: Mapping[str, Mapping[str, int] | None]
