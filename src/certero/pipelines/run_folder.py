"""The folder of a run: written beside its place and renamed when it is whole."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from certero.disk import sync
from certero.errors import OutputError

_RUNS = Path("runs")


@dataclass(slots=True)
class RunFolder:
    """A run in the making.

    Args:
        work: where its files are written.
        place: where it will stand; final after the block.
    """

    work: Path
    place: Path


@contextlib.contextmanager
def run_folder(output: Path | None, name: str) -> Iterator[RunFolder]:
    """Yields a working folder that is renamed to its place when the block ends without an error.

    Args:
        output: where the run shall stand; None takes the first free `runs/NAME-1`, `runs/NAME-2`, ...
        name: of the run, for the default place.

    Raises:
        OutputError: if the place exists already or cannot be written.
    """
    name = _cut(name, 200)
    place = output or first_free(_RUNS, name)
    if _taken(place):
        raise _exists(place)
    made = _missing_parents(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{_cut(place.name, 80)}.", dir=place.parent))
    except OSError as error:
        raise _unwritable(place, error) from error
    run = RunFolder(work, place)
    try:
        work.chmod(0o755)
        yield run
        _sync(work)
        _move(run, None if output is not None else name)
    except OSError as error:
        if _is_of(error, work):
            raise _unwritable(place, error) from error
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _move(run: RunFolder, name: str | None) -> None:
    """Renames the working folder to its place; a default place that another run took meanwhile gives way to the next.

    Raises:
        OutputError: if a place that the user named exists by now.
    """
    while True:
        try:
            if _taken(run.place):
                raise FileExistsError(errno.EEXIST, "exists", str(run.place))
            run.work.rename(run.place)
            return
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            if name is None:
                raise _exists(run.place) from error
            run.place = first_free(_RUNS, name)


def _missing_parents(place: Path) -> list[Path]:
    """The folders that must be made for the place, the deepest first: an unfinished run leaves none of them."""
    return [folder for folder in place.parents if not folder.exists()]


def _is_of(error: OSError, work: Path) -> bool:
    """Whether the place of the run is to blame, not a photo or a cache."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    return full or any(
        name is not None and str(name).startswith(str(work)) for name in (error.filename, error.filename2)
    )


def _unwritable(place: Path, error: OSError) -> OutputError:
    return OutputError(
        f"--output must be a place that can be written; {place}: {error.strerror}. Choose another place."
    )


def _cut(name: str, size_bytes: int) -> str:
    """The name's beginning: a file system limits the bytes of a name, to 255 as a rule."""
    return os.fsencode(name)[:size_bytes].decode(errors="ignore")


def _taken(place: Path) -> bool:
    return os.path.lexists(place)


def first_free(folder: Path, name: str) -> Path:
    """`folder/name-1`, or the next number that is free."""
    number = 1
    while _taken(folder / f"{name}-{number}"):
        number += 1
    return folder / f"{name}-{number}"


def _exists(place: Path) -> OutputError:
    return OutputError(
        f"--output must not exist yet, so that no run is overwritten; {place} does. Choose another name."
    )


def _sync(folder: Path) -> None:
    # The renamed folder must not outlive its files in a power cut.
    for file in folder.rglob("*"):
        if file.is_file():
            sync(file)
