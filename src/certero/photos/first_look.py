"""The first look at a file: its facts, and what the audit keeps of the photo beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from certero.errors import reason_of
from certero.machine.files import read_file
from certero.photos.fingerprints import fingerprint, hash_content
from certero.photos.landmarks import find_landmarks
from certero.photos.pixels import Decoded, UInt8, decode, luma
from certero.photos.scanned import read_scanned
from certero.photos.turns import one_at_a_time
from certero.photos.views import look
from certero.records.photos import PhotoFacts


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at one file tells.

    Args:
        facts: of the photo; `unreadable` with the reason where the file cannot be opened.
        size: of the file in bytes; None where it cannot be opened.
        view: `views.View` as bytes; None where it was not asked for or the photo cannot be read.
        small: the grey picture behind the hashes, uint8 [64, 64] as bytes; None likewise.
        landmarks: `landmarks.Landmarks` as bytes; None likewise.
    """

    facts: PhotoFacts
    size: int | None
    view: bytes | None = None
    small: bytes | None = None
    landmarks: bytes | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a file from others before its photo is decoded.

    Args:
        content_hash: as in `PhotoFacts`.
        size: of the file in bytes.
    """

    content_hash: str
    size: int


def identify(paths: Sequence[Path]) -> list[Identity | Seen]:
    """Names files by their content; those that cannot be opened are already seen."""
    found: list[Identity | Seen] = []
    for path in paths:
        try:
            data = read_file(path)
        except OSError as error:
            found.append(unreadable(error))
        else:
            found.append(Identity(hash_content(data), len(data)))
    return found


def look_at(paths: Sequence[Path], *, closer: bool = False, small: bool = False, landmarks: bool = False) -> list[Seen]:
    """Looks at files; closer if the view is wanted, too, and with the grey picture and the landmarks if those are."""
    found: list[Seen] = []
    for path in paths:
        try:
            data = read_file(path)
        except OSError as error:
            found.append(unreadable(error))
            continue
        views: list[bytes] = []
        greys: list[bytes] = []
        marks: list[bytes] = []
        keepers = [partial(_keep_view, views)] * closer + [partial(_keep_landmarks, marks)] * landmarks
        keep = partial(_keep_small, greys) if small else None
        facts = fingerprint(data, partial(_show_all, keepers), keep)
        found.append(Seen(facts, len(data), *(next(iter(each), None) for each in (views, greys, marks))))
    return found


def look_closer_at(paths: Sequence[Path]) -> list[bytes]:
    """The views alone, as bytes.

    Raises:
        PhotoError: if a photo that could be read before cannot be read now.
    """
    views: list[bytes] = []
    for path in paths:
        with one_at_a_time():
            _keep_view(views, read_scanned(path, decode))
    return views


def unreadable(error: OSError) -> Seen:
    """Of a file that cannot be opened (permission, vanished, a folder), with the reason."""
    return Seen(PhotoFacts("unreadable", reason_of(error), None, None, None, content_hash=""), None)


def _keep_small(greys: list[bytes], grey: UInt8) -> None:
    greys.append(grey.tobytes())


def _show_all(keepers: Sequence[Callable[[Decoded], None]], photo: Decoded) -> None:
    for keep in keepers:
        keep(photo)


def _keep_landmarks(marks: list[bytes], photo: Decoded) -> None:
    marks.append(find_landmarks(luma(photo.pixels)).to_blob())


def _keep_view(views: list[bytes], photo: Decoded) -> None:
    views.append(look(photo.pixels, photo.camera).to_blob())
