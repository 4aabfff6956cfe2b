"""Photos on disk: which files below a folder are photos, and what was passed over."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from certero.errors import DataError

#: Suffixes of photos, compared in lower case.
PHOTO_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"),
        *(".heic", ".heif", ".hif", ".heics", ".heifs", ".avif", ".avifs"),
        *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm"),
    )
)

_ESCAPED_BYTE = re.compile(r"\\x([89a-f][0-9a-f])")


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk through a folder met; hidden files and folders are not part of it.

    Args:
        root: the folder walked.
        photos: photos as POSIX paths relative to root, sorted by code point; undecodable bytes of a name are
            lone surrogates, as `os.fsdecode` gives them.
        passed_over: how many other files there were, by lower-case suffix, `(no suffix)`, `(not a file)` for
            pipes and devices, `(folder loop)` for links back to a folder above.
        unreadable_folders: relative path and reason of each folder that could not be opened.
    """

    root: Path
    photos: list[str]
    passed_over: dict[str, int]
    unreadable_folders: list[str]


def walk_photos(root: Path) -> Walk:
    """Every photo below root, and a count of what else is there.

    Links to folders are followed, except back to a folder on the way down. Hidden names (a leading dot, so
    `.ipynb_checkpoints` too) are ignored. A dangling link with a photo's name counts as a photo: opening it
    tells the reason later, so that it is listed instead of lost.

    Raises:
        DataError: root is not a folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"a folder of photos is needed; {printable(str(root))} is not one. Check the path.")
    photos: list[str] = []
    passed_over: Counter[str] = Counter()
    unreadable: list[str] = []
    open_folders = [("", frozenset[tuple[int, int]]())]
    while open_folders:
        folder, above = open_folders.pop()
        try:
            status = os.stat(root / folder)  # noqa: PTH116
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                passed_over["(folder loop)"] += 1
                continue
            with os.scandir(root / folder) as listing:
                entries = list(listing)
        except OSError as error:
            unreadable.append(f"{printable(folder) or '.'}: {error.strerror}")
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = f"{folder}/{entry.name}" if folder else entry.name
            kind = _kind(entry)
            if kind == "folder":
                open_folders.append((name, above | {identity}))
            elif kind == "other":
                passed_over["(not a file)"] += 1
            elif (suffix := Path(entry.name).suffix.lower()) in PHOTO_SUFFIXES:
                photos.append(name)
            else:
                passed_over[suffix or "(no suffix)"] += 1
    return Walk(root, sorted(photos), dict(sorted(passed_over.items())), sorted(unreadable))


def find_photos(root: Path) -> list[Path]:
    """Every photo below root, sorted by code point of the relative path.

    Raises:
        DataError: root is not a folder, or a folder below it cannot be opened.
    """
    walk = walk_photos(root)
    if walk.unreadable_folders:
        raise DataError(
            f"every folder must be readable; {len(walk.unreadable_folders)} below {printable(str(root))} could "
            f"not be opened (first: {walk.unreadable_folders[0]}). Change the permissions or move it away."
        )
    return [walk.root / name for name in walk.photos]


def printable(name: str) -> str:
    r"""The name as valid Unicode: bytes that are no UTF-8 become `\xNN`.

    >>> printable("caf\udce9.jpg")
    'caf\\xe9.jpg'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def on_disk(root: Path, name: str) -> Path:
    r"""The file that `printable` named: the inverse, trying the name as it is first."""
    path = root / name
    if _ESCAPED_BYTE.search(name) and not os.path.lexists(path):
        return root / _ESCAPED_BYTE.sub(lambda match: chr(0xDC00 + int(match[1], 16)), name)
    return path


def first_and_count(names: Iterable[str], noun: str) -> str:
    """`3 photos (first: a.jpg)`, for messages."""
    listed = list(names)
    plural = "" if len(listed) == 1 else "s"
    return f"{len(listed)} {noun}{plural} (first: {listed[0]})" if listed else f"0 {noun}s"


def _kind(entry: os.DirEntry[str]) -> str:
    """`folder`, `file` or `other`; a link that leads nowhere is a `file`."""
    try:
        mode = entry.stat().st_mode
    except OSError:
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "other"
