"""Frozen records that the stages hand on to each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")

Json = dict[str, Any]


class Progress(Protocol):
    """Told how far a stage is; `done == total` ends the stage. Never called from two threads at once."""

    def __call__(self, stage: str, done: int, total: int, detail: str = "", /) -> None:
        """Takes the stage, what is done, how much there is, and words about it."""


class Map(Protocol):
    """An ordered parallel map; engines provide it, the layers below receive it."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
        """Yields `function(item)` in the order of items, of which a few are taken ahead."""
        ...


SPLITS = ("train", "val", "test")

#: What became of a photo. `ok` and `damaged` photos are used; the others are listed and never used.
Status = Literal["ok", "damaged", "unreadable", "purged", "leaked"]
USED: tuple[Status, ...] = ("ok", "damaged")


def no_progress(stage: str, done: int, total: int, detail: str = "", /) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A measured figure with its 95 % interval.

    Args:
        value: the point estimate; None where it is undefined (0/0), never 0 instead.
        low: lower end of the interval, None where no honest interval exists.
        high: upper end.
        method: how the interval was found: `wilson`, `wilson_effective_n`, `grouped_bootstrap`, `bootstrap`,
            `too_few_groups`, `undefined`, ...
        n: number of photos behind the figure.
    """

    value: float | None
    low: float | None
    high: float | None
    method: str
    n: int

    def to_json(self) -> Json:
        """The contract's five keys."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a decoded photo becomes the network's input; everything after it happens inside the model file.

    Args:
        height: rows of the input, pixels.
        width: columns of the input, pixels.
        fit: `letterbox` keeps the whole frame and its shape and pads; `stretch` ignores the shape; `crop`, of foreign
            models alone, keeps the shape and cuts the middle out.
        filter: `bilinear` or `bicubic`, both with antialiasing.
        pad: grey level (0 to 255) of the letterbox bars.
        shorter_side: `crop`: pixels that the shorter side is resized to before the middle is cut out; None cuts out as
            much as fits.
    """

    height: int
    width: int
    fit: Literal["letterbox", "stretch", "crop"] = "letterbox"
    filter: Literal["bilinear", "bicubic"] = "bilinear"
    pad: int = 127
    shorter_side: int | None = None

    def to_json(self) -> Json:
        """As stored in the model file's card."""
        # Absent where it says nothing: an older certero would not know the key.
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, data: Json) -> Preprocessing:
        """The inverse of `to_json`."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class PhotoFacts:
    """What one look at a photo's bytes tells.

    Args:
        status: `ok`, `damaged` (decoder warned, all pixels present) or `unreadable`.
        problem: the reason in a user's words; None for `ok`.
        format: `jpeg`, `heic`, `png` ... (`formats.READ`): of the content, whatever the name says. None if unknown.
        width: pixels after EXIF orientation; None if unreadable (height likewise).
        content_hash: 32 hexadecimal digits of the file's SHA-256.
        pixel_hash: 32 hexadecimal digits over the decoded, oriented RGB pixels and their shape.
        perceptual_hash: 64-bit DCT hash.
        descriptor: 32 bytes, a 256-bit DCT sign hash: tells copies from look-alikes where no pixels are at hand.
        brightness: mean luma, 0 to 1.
        captured_at: EXIF capture time, naive local, if the file has one.
    """

    status: Status
    problem: str | None
    format: str | None
    width: int | None
    height: int | None
    content_hash: str
    pixel_hash: str | None = None
    perceptual_hash: int | None = None
    descriptor: bytes | None = None
    brightness: float | None = None
    captured_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """The model's answer for one photo.

    Args:
        path: the photo as it was named by the caller.
        label: the class, None when the model abstains or the photo cannot be read.
        probability: calibrated probability of the likeliest class, None with an error.
        abstained: True when no class reached the model's threshold.
        probabilities: calibrated probability by class name, None with an error.
        error: why the photo could not be read, else None.
    """

    path: str
    label: str | None
    probability: float | None
    abstained: bool
    probabilities: dict[str, float] | None
    error: str | None

    def to_json(self) -> Json:
        """One row of `certero predict --json`."""
        return dataclasses.asdict(self)
