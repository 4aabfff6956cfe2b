"""The folder of a run: written beside its place and renamed when it is whole.

The working folder is named after the place, which is thus reserved from the start: of two runs that want one place,
only one can make the folder. Its process holds a lock on it. What a killed run left behind is recognised by its
free lock, and the next run beside it removes it.

A run that trains a network saves its progress. If it is interrupted after the first save, its folder stays beside its
place, hidden, as `.NAME.unfinished`; `--resume` finds it there and continues in it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from certero.errors import CerteroError, OutputError, reason_of
from certero.machine.files import cut, in_the_making, lock_descriptor, sync
from certero.sentences import Message, Sentence, message, sentence

_RUNS = Path("runs")
# Part of every working folder's name, so that no other folder is ever taken for one.
_MARK = ".certero-"
# Windows can neither open nor lock a folder.
_LOCKABLE = hasattr(os, "O_DIRECTORY")

# No model file is smaller.
_LEAST_BYTES = 1_000_000


class _Occupied(OutputError):
    """The place belongs to another run."""


@dataclass(slots=True)
class RunFolder:
    """A run in the making.

    Args:
        work: where its files are written.
        place: where it will be; reserved from the start, unless somebody puts a folder there by hand.
        resumed: whether it was begun by an earlier process.
    """

    work: Path
    place: Path
    resumed: bool = False

    @property
    def checkpoints(self) -> Path:
        """Where training saves its progress; what is in there survives a failure."""
        return self.work / "checkpoints"


def name_of_run(data: Path) -> str:
    """The default name of a run on a folder or manifest."""
    return (data.resolve().stem if data.is_file() else data.resolve().name) or "run"


@contextlib.contextmanager
def run_folder(output: Path | None, name: str, *, resumable: bool = False) -> Iterator[RunFolder]:
    """Yields a working folder that is renamed to its place when the block ends without an error.

    Args:
        output: place of the run; None takes the first free `runs/NAME-1`, `runs/NAME-2`, ...
        name: of the run, for the default place.
        resumable: whether what it saved in `checkpoints` survives a failure.

    Raises:
        OutputError: if the place exists already or cannot be written.
    """
    name = cut(name, 200)
    places = iter([output]) if output is not None else (_RUNS / f"{name}-{number}" for number in count(1))
    for place in places:
        made = _missing_parents(place)
        try:
            work, lock = _reserve(place, resumable)
        except _Occupied:
            if output is not None:
                raise
            continue
        except OSError as error:
            _remove_empty(made)
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise  # not the place's fault
            raise _unwritable(place, error) from error
        run = RunFolder(work, place)
        with _finishing(run, None if output is not None else name, made, lock):
            yield run
        return


def check_place(output: Path | None, name: str, *, resumable: bool = False) -> None:
    """Raises unless a run could be written there now. Leaves nothing behind.

    Args:
        output: as in `run_folder`, like the other two.
        name: of the run.
        resumable: whether it trains a network.

    Raises:
        OutputError: if the place exists already or cannot be written.
    """

    class Checked(Exception):
        """Ends the block like a failure, after which a run leaves nothing."""

    with contextlib.suppress(Checked), run_folder(output, name, resumable=resumable):
        raise Checked


@contextlib.contextmanager
def resumed_folder(place: Path) -> Iterator[RunFolder]:
    """Yields the working folder that a run of this place left behind; it is renamed when the block ends.

    Raises:
        OutputError: if there is nothing to resume, or another process is working on it.
    """
    work = unfinished(place)
    if not work.is_dir():
        waiting = sorted(_place_of(folder) for folder in place.parent.glob(".*.unfinished"))
        state = message("that run is whole already") if _taken(place) else message("there is none")
        advice = (
            sentence("Unfinished here: %(runs)s.", runs=", ".join(waiting))
            if waiting
            else message("Start it without --resume.")
        )
        raise OutputError(
            "--resume must name a run that was cut off while it trained a network; %(place)s: %(state)s. %(advice)s",
            place=place,
            state=state,
            advice=advice,
        )
    if _taken(place):
        raise _exists(place)
    run = RunFolder(work, place, resumed=True)
    with _finishing(run, None, [], _lock_alone(work, place)):
        yield run


@contextlib.contextmanager
def _finishing(run: RunFolder, name: str | None, made: list[Path], lock: int | None) -> Iterator[None]:
    """Renames the folder after the block; after a failure, leaves only what can be resumed."""
    work, place = run.work, run.place
    if work != unfinished(place):  # what was saved there survives the end of the process
        in_the_making.add(work)
    try:
        yield
        _sync(work)
        _move(run, name)
        work = run.place  # from now on, whatever has the working folder's name belongs to another run
    except OutputError as error:
        # The user knows the place, not the working folder, which is gone by now.
        raise OutputError(_renamed(error.message, work, place)) from error
    except OSError as error:
        if _is_of(error, work):
            raise _unwritable(place, error) from error
        raise
    finally:
        in_the_making.discard(work)
        if work != run.place and not _has_saved(work):
            shutil.rmtree(work, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        _remove_empty(made)


def _renamed(said: Message, work: Path, place: Path) -> Message:
    """A message that names the place instead of the working folder."""
    if not isinstance(said, Sentence):
        return said
    values: dict[str, object] = {}
    for name, value in said.values.items():
        inner = value.message if isinstance(value, CerteroError) else value
        if isinstance(inner, Message):
            values[name] = _renamed(inner, work, place)
        else:
            values[name] = str(inner).replace(str(work), str(place)) if str(work) in str(inner) else inner
    return Sentence(said.one, said.many, values)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _reserve(place: Path, resumable: bool) -> tuple[Path, int | None]:
    """A new working folder for the place, and the descriptor of its lock; None if folders cannot be locked.

    Raises:
        _Occupied: if the place belongs to another run.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    # One at a time: two runs that look at one place at once would both leave it free, and take the next two.
    gate = _lock(place.parent, wait=True)
    try:
        return _reserve_alone(place, resumable)
    finally:
        if gate is not None:
            os.close(gate)


def _reserve_alone(place: Path, resumable: bool) -> tuple[Path, int | None]:
    works = _works(place)
    work, other = works if resumable else works[::-1]
    while True:
        if _taken(place):
            raise _exists(place)
        for found in works:
            _clear_dead(found, place)
        if unfinished(place).exists():
            raise _Occupied(
                "--output must not be the place of an unfinished run; %(place)s is. Go on with "
                "--resume %(place)s, or delete %(unfinished)s.",
                place=place,
                unfinished=unfinished(place),
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(place.parent)
        try:
            work.mkdir()
        except FileExistsError as error:
            raise _busy(work, place) from error
        if _is_full(work):
            work.rmdir()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        # Just before it is locked, another run may take the folder for an abandoned one: wait, look, try again.
        lock = _lock(work, wait=True)
        if not (work.exists() if lock is None else _is_at(lock, work)):
            if lock is not None:
                os.close(lock)
            continue
        # A run of the other kind makes its folder before it looks for this one; a finished one has left its own.
        if other.exists() or _taken(place):
            shutil.rmtree(work, ignore_errors=True)
            if lock is not None:
                os.close(lock)
            raise _busy(other, place) if other.exists() else _exists(place)
        return work, lock


def _is_full(folder: Path) -> bool:
    """Whether the disk has no room for any run, as far as the system says."""
    try:
        return shutil.disk_usage(folder).free < _LEAST_BYTES
    except OSError:
        return False


def _is_at(descriptor: int, folder: Path) -> bool:
    """Whether the open folder is still the one with that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except OSError:
        return False


def _remove_abandoned(folder: Path) -> None:
    """Removes the working folders of runs whose process is gone; those of running ones are locked."""
    for work in folder.glob(f".*{_MARK}*"):
        lock = _lock(work, wait=False)
        if lock is not None:
            shutil.rmtree(work, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path, *, wait: bool) -> int | None:
    """A descriptor whose lock ends with this process; None if another process holds it, or folders cannot be locked."""
    if not _LOCKABLE:
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    if lock_descriptor(descriptor, wait=wait) and (wait or _is_at(descriptor, folder)):
        return descriptor
    os.close(descriptor)
    return None


def _move(run: RunFolder, name: str | None) -> None:
    """Renames the working folder to its place; if somebody has taken a default place by hand, the next one is used.

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
    """The folders that must be made for the place, deepest first; a run that does not finish leaves none of them."""
    return [folder for folder in place.parents if not folder.exists()]


def _is_of(error: OSError, work: Path) -> bool:
    """Whether the error concerns the run's place, not a photo or a cache."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    return full or any(
        name is not None and str(name).startswith(str(work)) for name in (error.filename, error.filename2)
    )


def _unwritable(place: Path, error: OSError) -> OutputError:
    return OutputError(
        "--output must be a place that can be written; %(place)s: %(reason)s. Free the disk or choose another place.",
        place=place,
        reason=reason_of(error),
    )


def unfinished(place: Path) -> Path:
    """Where a run that trains a network works until it is finished."""
    return place.with_name(f".{cut(place.name, 200)}.unfinished")


def _works(place: Path) -> tuple[Path, Path]:
    """Where a run of this place works: one that can be resumed, and one that cannot."""
    # Two places whose names differ only in what is cut off must not become one.
    digest = hashlib.blake2b(os.fsencode(place.name), digest_size=4).hexdigest()
    return unfinished(place), place.with_name(f".{cut(place.name, 80)}{_MARK}{digest}")


def _place_of(work: Path) -> str:
    return str(work.with_name(work.name.removeprefix(".").removesuffix(".unfinished")))


def _has_saved(work: Path) -> bool:
    return any((work / "checkpoints").rglob("*.safetensors"))


def _clear_dead(work: Path, place: Path) -> None:
    """Removes what a run left that was killed before it saved anything.

    Raises:
        _Occupied: if its process is still running.
    """
    if work.is_dir() and not _has_saved(work):
        lock = _lock(work, wait=False)
        if lock is None:
            if work.exists():
                raise _busy(work, place)
            return
        shutil.rmtree(work, ignore_errors=True)
        os.close(lock)


def _lock_alone(work: Path, place: Path) -> int | None:
    """The lock of a working folder that no other process may be working on.

    Raises:
        OutputError: if one is.
    """
    lock = _lock(work, wait=False)
    if lock is None and _LOCKABLE:
        raise _busy(work, place)
    return lock


def _busy(work: Path, place: Path) -> _Occupied:
    # If folders cannot be locked, what a killed run left looks like a run at work.
    return _Occupied(
        "--output must not exist yet, and a run is worked on by one process at a time; another "
        "one is at %(place)s. Wait for it or choose another --output; if no process is at it, "
        "delete %(work)s.",
        place=place,
        work=work,
    )


def _taken(place: Path) -> bool:
    return os.path.lexists(place)


def first_free(folder: Path, name: str) -> Path:
    """`folder/name-1`, or the next number that is free."""
    number = 1
    while _taken(place := folder / f"{name}-{number}") or any(work.exists() for work in _works(place)):
        number += 1
    return place


def _exists(place: Path) -> _Occupied:
    return _Occupied(
        "--output must not exist yet, so that no run is overwritten; %(place)s does. Choose another name.", place=place
    )


def _sync(folder: Path) -> None:
    # The renamed folder must not outlive its files in a power cut.
    for path in (folder, *folder.rglob("*")):
        sync(path)
