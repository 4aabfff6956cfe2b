"""The folder of a run: written beside its place and renamed when it is whole.

Its process holds a lock on the working folder. What a killed run left behind is thus known by its free lock, and the
next run beside it removes it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from certero.errors import OutputError

_RUNS = Path("runs")
# In the name of every working folder, so that no other folder is ever taken for one.
_MARK = ".certero-"


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
        _remove_abandoned(place.parent)
        work, lock = _make_work(place)
    except OSError as error:
        raise _unwritable(place, error) from error
    run = RunFolder(work, place)
    try:
        work.chmod(0o755)
        yield run
        _sync(work)
        _move(run, None if output is not None else name)
    except OutputError as error:
        # The user knows the place, not the working folder, which is gone when they read this.
        raise OutputError(str(error).replace(str(work), str(place))) from error
    except OSError as error:
        if _is_of(error, work):
            raise _unwritable(place, error) from error
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _make_work(place: Path) -> tuple[Path, int | None]:
    """A new working folder, and the descriptor of its lock; None where folders cannot be locked."""
    while True:
        work = Path(tempfile.mkdtemp(prefix=f".{_cut(place.name, 80)}{_MARK}", dir=place.parent))
        # Another run may take the folder for an abandoned one just before it is locked: wait, look, try again.
        lock = _lock(work, wait=True)
        if work.exists():
            return work, lock
        if lock is not None:
            os.close(lock)


def _remove_abandoned(folder: Path) -> None:
    """Removes the working folders of runs whose process is gone; those of living ones are locked."""
    for work in folder.glob(f".*{_MARK}*"):
        lock = _lock(work, wait=False)
        if lock is not None:
            shutil.rmtree(work, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path, *, wait: bool) -> int | None:
    """A descriptor whose lock ends with this process; None if another holds it, or where folders cannot be locked."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


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
            _sync_folder(run.place.parent)
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
        f"--output must be a place that can be written; {place}: {error.strerror}. "
        "Free the disk or choose another place."
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
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            _sync_folder(path)
        else:
            _sync_path(path)


def _sync_folder(folder: Path) -> None:
    if sys.platform != "win32":  # where a folder cannot be opened
        _sync_path(folder)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
