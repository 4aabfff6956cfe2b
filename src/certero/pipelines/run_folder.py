"""The folder of a run: written beside its place and renamed when it is whole.

Its process holds a lock on the working folder. What a killed run left behind is thus known by its free lock, and the
next run beside it removes it.

A run that trains a network saves where it stands. If it is cut off after the first save, its folder stays beside its
place, hidden, as `.NAME.unfinished`: `--resume` finds it there and goes on in it.
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

from certero.disk import lock_descriptor, sync
from certero.errors import OutputError

_RUNS = Path("runs")
# In the name of every working folder, so that no other folder is ever taken for one.
_MARK = ".certero-"


@dataclass(slots=True)
class RunFolder:
    """A run in the making.

    Args:
        work: where its files are written.
        place: where it will stand; final after the block, or from the start for a run that can be resumed.
        resumed: whether its work began in an earlier process.
    """

    work: Path
    place: Path
    resumed: bool = False

    @property
    def checkpoints(self) -> Path:
        """Where trainings save what they cannot afford to lose: what is in there outlives a failure."""
        return self.work / "checkpoints"


@contextlib.contextmanager
def run_folder(output: Path | None, name: str, *, resumable: bool = False) -> Iterator[RunFolder]:
    """Yields a working folder that is renamed to its place when the block ends without an error.

    Args:
        output: where the run shall stand; None takes the first free `runs/NAME-1`, `runs/NAME-2`, ...
        name: of the run, for the default place.
        resumable: whether what it has saved in `checkpoints` shall outlive a failure.

    Raises:
        OutputError: if the place exists already or cannot be written.
    """
    name = _cut(name, 200)
    place = output or first_free(_RUNS, name)
    if _taken(place):
        raise _exists(place)
    _clear_dead(place)
    if unfinished(place).exists():
        raise OutputError(
            f"--output must not be the place of an unfinished run; {place} is. Go on with --resume {place}, or delete "
            f"{unfinished(place)}."
        )
    made = _missing_parents(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(place.parent)
        work, lock = _make_resumable(place) if resumable else _make_work(place)
    except OSError as error:
        raise _unwritable(place, error) from error
    run = RunFolder(work, place)
    with _finishing(run, None if output is not None else name, made, lock):
        yield run


@contextlib.contextmanager
def resumed_folder(place: Path) -> Iterator[RunFolder]:
    """Yields the working folder that a run of this place left behind; it is renamed when the block ends.

    Raises:
        OutputError: if there is nothing to go on with, or another process is at it.
    """
    work = unfinished(place)
    if not work.is_dir():
        waiting = sorted(_place_of(folder) for folder in place.parent.glob(".*.unfinished"))
        state = "that run is whole already" if _taken(place) else "there is none"
        raise OutputError(
            f"--resume must name a run that was cut off while it trained a network; {place}: {state}. "
            + (f"Unfinished here: {', '.join(waiting)}." if waiting else "Start it without --resume.")
        )
    if _taken(place):
        raise _exists(place)
    run = RunFolder(work, place, resumed=True)
    with _finishing(run, None, [], _lock_alone(work, place)):
        yield run


@contextlib.contextmanager
def _finishing(run: RunFolder, name: str | None, made: list[Path], lock: int | None) -> Iterator[None]:
    """Renames the folder after the block; after a failure leaves only what can be resumed."""
    work, place = run.work, run.place
    try:
        work.chmod(0o755)
        yield
        _sync(work)
        _move(run, name)
    except OutputError as error:
        # The user knows the place, not the working folder, which is gone when they read this.
        raise OutputError(str(error).replace(str(work), str(place))) from error
    except OSError as error:
        if _is_of(error, work):
            raise _unwritable(place, error) from error
        raise
    finally:
        if not _has_saved(work):
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


def _make_resumable(place: Path) -> tuple[Path, int | None]:
    """The working folder under the name at which `--resume` looks for it, and the descriptor of its lock."""
    work = unfinished(place)
    work.mkdir()
    return work, _lock(work, wait=True)


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
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    if lock_descriptor(descriptor, wait=wait):
        return descriptor
    os.close(descriptor)
    return None


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
            sync(run.place.parent)
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


def unfinished(place: Path) -> Path:
    """Where a run that trains a network works until it is whole."""
    return place.with_name(f".{_cut(place.name, 200)}.unfinished")


def _place_of(work: Path) -> str:
    return str(work.with_name(work.name.removeprefix(".").removesuffix(".unfinished")))


def _has_saved(work: Path) -> bool:
    return any((work / "checkpoints").rglob("*.safetensors"))


def _clear_dead(place: Path) -> None:
    """Removes what a run left that was killed before it had saved anything."""
    work = unfinished(place)
    if work.is_dir() and not _has_saved(work):
        lock = _lock_alone(work, place)
        shutil.rmtree(work, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _lock_alone(work: Path, place: Path) -> int | None:
    """The lock of a working folder that no other process may be at.

    Raises:
        OutputError: if one is.
    """
    lock = _lock(work, wait=False)
    if lock is None and sys.platform != "win32":
        raise OutputError(f"a run is worked on by one process at a time; another one is at {place}. Wait for it.")
    return lock


def _taken(place: Path) -> bool:
    return os.path.lexists(place)


def first_free(folder: Path, name: str) -> Path:
    """`folder/name-1`, or the next number that is free."""
    number = 1
    while _taken(folder / f"{name}-{number}") or unfinished(folder / f"{name}-{number}").exists():
        number += 1
    return folder / f"{name}-{number}"


def _exists(place: Path) -> OutputError:
    return OutputError(
        f"--output must not exist yet, so that no run is overwritten; {place} does. Choose another name."
    )


def _sync(folder: Path) -> None:
    # The renamed folder must not outlive its files in a power cut.
    for path in (folder, *folder.rglob("*")):
        sync(path)
