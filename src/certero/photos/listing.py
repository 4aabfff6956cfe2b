"""Photos on disk: which files below a folder are photos, which pictures cannot be read, and what else is there."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from certero.errors import DataError, reason_of
from certero.photos.formats import PHOTO_SUFFIXES, RAW, foreign_of_content, foreign_of_suffix, is_photo, suffix_of
from certero.sentences import Sentence, in_a_row, message, sentence, sentences

_BEGINNING_BYTES = 512

# What systems and storage devices put beside photos: thumbnails, deleted files, resource forks.
_SYSTEM_FOLDERS = frozenset(
    {
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin", "recycler"),
        *("system volume information", "__macosx", "lost+found", "found.000", "picasaoriginals"),
    }
)

_HIDDEN, _NO_SUFFIX, _NO_FILE = "(hidden)", "(no suffix)", "(not a file)"
_LOOP, _RAW_TWIN, _FOLDER = "(folder loop)", "(camera raw beside its photo)", "(folder "
NO_CLASS, NO_SPLIT = "(photo without a class folder)", "(photo outside the split folders)"
CLOSED_FOLDER, RARE_CLASS = "(folder that could not be opened)", "(photo of a class left out)"
#: Kinds that hold photos which were not examined.
LOST_PHOTOS = frozenset({NO_CLASS, NO_SPLIT, CLOSED_FOLDER, RARE_CLASS})
_SAID = {
    _HIDDEN: message("%(count)s hidden"),
    _NO_SUFFIX: message("%(count)s without a suffix"),
    _NO_FILE: message("%(count)s not a file"),
    _LOOP: message("%(count)s folder loop"),
    _RAW_TWIN: message("%(count)s camera raw beside its photo"),
    NO_CLASS: message("%(count)s photo without a class folder"),
    NO_SPLIT: message("%(count)s photo outside the split folders"),
    CLOSED_FOLDER: message("%(count)s folder that could not be opened"),
    RARE_CLASS: message("%(count)s photo of a class left out"),
}

_ESCAPED_BYTE = re.compile(r"\\x([89a-f][0-9a-f])")


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk through a folder found.

    Args:
        root: the folder walked.
        photos: photos as POSIX paths relative to root, sorted by code point; undecodable bytes of a name are
            lone surrogates, as `os.fsdecode` gives them.
        foreign: pictures that cannot be read, likewise, with what they are, see `why_foreign`.
        others: every other file with its kind: lower-case suffix, `(no suffix)`, `(hidden)`, `(not a file)` for
            pipes and devices, `(folder loop)` for links back to a folder above, `(folder @eaDir)` and the like for
            what a system put there.
        folders: every folder below root that was opened.
        unreadable_folders: relative path and reason of each folder that could not be opened.
    """

    root: Path
    photos: list[str]
    foreign: dict[str, str]
    others: list[tuple[str, str]]
    folders: list[str]
    unreadable_folders: list[Sentence]

    @property
    def passed_over(self) -> dict[str, int]:
        """How many other files there are, by kind."""
        return dict(sorted(Counter(kind for _name, kind in self.others).items()))


def walk_photos(root: Path) -> Walk:
    """Every photo below root, every picture that cannot be read, and what else is there.

    A file is a photo by its suffix, or by how it begins. Links to folders are followed, except back to a folder on
    the way down. Hidden names (a leading dot, so `.ipynb_checkpoints` too) and what systems put beside photos are
    passed over whole. A dangling link with a photo's name counts as a photo: opening it tells the reason later, so
    that it is listed instead of lost.

    Raises:
        DataError: root is not a folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError("a folder of photos is needed; %(root)s is not one. Check the path.", root=printable(str(root)))
    photos: list[str] = []
    foreign: dict[str, str] = {}
    others: list[tuple[str, str]] = []
    folders: list[str] = []
    unreadable: list[Sentence] = []
    open_folders = [("", frozenset[tuple[int, int]]())]
    while open_folders:
        folder, above = open_folders.pop()
        try:
            status = os.stat(root / folder)  # noqa: PTH116
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                others.append((folder, _LOOP))
                continue
            with os.scandir(root / folder) as listing:
                entries = list(listing)
        except OSError as error:
            unreadable.append(in_a_row([printable(folder) or ".", reason_of(error)], ": "))
            continue
        if folder:
            folders.append(folder)
        found, strange = [], []
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith("."):
                others.append((name, _HIDDEN))
                continue
            kind = _kind(entry)
            if kind == "folder" and entry.name.lower() in _SYSTEM_FOLDERS:
                others.append((name, f"{_FOLDER}{entry.name})"))
            elif kind == "folder":
                open_folders.append((name, above | {identity}))
            elif kind == "other":
                others.append((name, _NO_FILE))
            elif suffix_of(entry.name) in PHOTO_SUFFIXES:
                found.append(name)
            else:
                strange.append(name)
        stems = {os.path.splitext(name)[0].lower() for name in found} if strange else set()  # noqa: PTH122
        for name in strange:
            what = _recognise(f"{root}/{name}")
            if what == "photo":
                found.append(name)
            elif what is None:
                others.append((name, suffix_of(name) or _NO_SUFFIX))
            elif what == RAW and os.path.splitext(name)[0].lower() in stems:  # noqa: PTH122
                others.append((name, _RAW_TWIN))
            else:
                foreign[name] = what
        photos += found
    return Walk(
        root, sorted(photos), dict(sorted(foreign.items())), sorted(others), sorted(folders), sorted(unreadable)
    )


def check_folders(walk: Walk) -> None:
    """Raises unless every folder below the walk's root could be opened.

    Raises:
        DataError: naming the first.
    """
    if walk.unreadable_folders:
        raise DataError(
            "every folder must be readable; %(count)s below %(root)s could not be "
            "opened (first: %(first)s). Change the permissions or move it away.",
            count=len(walk.unreadable_folders),
            root=printable(str(walk.root)),
            first=walk.unreadable_folders[0],
        )


# Of the kinds of pictures that are not read, those that are no proper name.
_NAMES = {RAW: message("camera raw")}


Noun = Literal["photo", "path", "row", "other word", "other value"]
_COUNTED: dict[Noun, Callable[[int, str], Sentence]] = {
    "photo": lambda count, first: sentences(
        "%(count)d photo (first: %(first)s)", "%(count)d photos (first: %(first)s)", count=count, first=first
    ),
    "path": lambda count, first: sentences(
        "%(count)d path (first: %(first)s)", "%(count)d paths (first: %(first)s)", count=count, first=first
    ),
    "row": lambda count, first: sentences(
        "%(count)d row (first: %(first)s)", "%(count)d rows (first: %(first)s)", count=count, first=first
    ),
    "other word": lambda count, first: sentences(
        "%(count)d other word (first: %(first)s)", "%(count)d other words (first: %(first)s)", count=count, first=first
    ),
    "other value": lambda count, first: sentences(
        "%(count)d other value (first: %(first)s)",
        "%(count)d other values (first: %(first)s)",
        count=count,
        first=first,
    ),
}
_NONE: dict[Noun, str] = {
    "photo": message("0 photos"),
    "path": message("0 paths"),
    "row": message("0 rows"),
    "other word": message("0 other words"),
    "other value": message("0 other values"),
}


def why_foreign(name: str, what: str) -> Sentence:
    """Why a picture is not read, and what to do."""
    suffix = suffix_of(name)
    if not suffix:
        return sentence("%(what)s is not read: convert it to JPEG", what=_NAMES.get(what, what))
    return sentence("%(what)s (%(suffix)s) is not read: convert it to JPEG", what=_NAMES.get(what, what), suffix=suffix)


def describe_passed_over(counts: Mapping[str, int]) -> list[Sentence]:
    """What was passed over, a few words a kind: `3 .txt`, `2 without suffix`."""
    words: list[Sentence] = []
    for kind, count in counts.items():
        if kind.startswith(_FOLDER) and kind not in _SAID:
            name = kind.removeprefix(_FOLDER).removesuffix(")")
            words.append(sentence("%(count)s folder %(name)s", count=count, name=name))
        elif kind in _SAID:
            words.append(sentence(_SAID[kind], count=count))
        else:
            words.append(Sentence("%(count)s %(kind)s", None, {"count": count, "kind": kind.strip("()")}))
    return words


def printable(name: str) -> str:
    r"""The name as valid Unicode: bytes that are no UTF-8 become `\xNN`.

    >>> printable("caf\udce9.jpg")
    'caf\\xe9.jpg'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def on_disk(root: Path, name: str) -> Path:
    r"""The file that `printable` named, or that somebody typed: the name as it is first.

    Then with its bytes that are no UTF-8, then by names that differ in how accents are stored (composed, or apart as
    macOS does it).
    """
    path = root / name
    escaped = _ESCAPED_BYTE.search(name)
    if (name.isascii() and not escaped) or os.path.lexists(path):
        return path
    if escaped:
        raw = root / _ESCAPED_BYTE.sub(lambda match: chr(0xDC00 + int(match[1], 16)), name)
        if os.path.lexists(raw):
            return raw
    return _same_but_for_accents(root, Path(name).parts) or path


def typed(path: str | Path) -> Path:
    """The file or folder that a user named: as typed, else the one whose accents are merely stored otherwise."""
    given = Path(path)
    return on_disk(Path(given.anchor), str(given.relative_to(given.anchor) if given.anchor else given))


def first_and_count(names: Iterable[str], noun: Noun) -> Sentence:
    """`3 photos (first: a.jpg)`, for messages; without a name `0 photos`."""
    listed = list(names)
    if not listed:
        return sentence(_NONE[noun])
    return _COUNTED[noun](len(listed), listed[0])


def _same_but_for_accents(root: Path, parts: Sequence[str]) -> Path | None:
    """The path below root whose every name composes to what the parts compose to; None where there is none."""
    here = root
    for part in parts:
        if os.path.lexists(here / part):
            here = here / part
            continue
        wanted = unicodedata.normalize("NFC", part)
        try:
            names = os.listdir(here)  # noqa: PTH208
        except OSError:
            return None
        same = [name for name in names if unicodedata.normalize("NFC", name) == wanted]
        if not same:
            return None
        here = here / min(same)
    return here


def _kind(entry: os.DirEntry[str]) -> str:
    """`folder`, `file` or `other`; a link that leads nowhere is a `file`."""
    try:
        mode = entry.stat().st_mode
    except OSError:
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "other"


def _recognise(path: str) -> str | None:
    """`photo`, one of `FOREIGN_FORMATS`, or None, of a file without a photo's suffix."""
    named = foreign_of_suffix(path)
    try:
        # Not as a file object, which takes longer: there may be as many other files as photos.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
        try:
            beginning = os.read(descriptor, _BEGINNING_BYTES)
        finally:
            os.close(descriptor)
    except OSError:
        return named
    return "photo" if is_photo(path, beginning) else foreign_of_content(beginning) or named
