"""The folder of a run: written beside its place and renamed when it is whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
    place = output or first_free(_RUNS, name)
    if place.exists():
        raise _exists(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{place.name[:80]}.", dir=place.parent))
    except OSError as error:
        raise OutputError(f"--output must be a place that can be written; {place}: {error.strerror}.") from error
    try:
        work.chmod(0o755)
        run = RunFolder(work, place)
        yield run
        if output is None and place.exists():
            # Another run took the free name meanwhile.
            run.place = first_free(_RUNS, name)
        if run.place.exists():
            raise _exists(run.place)
        _sync(work)
        work.rename(run.place)
    except OSError as error:
        raise OutputError(f"--output must be a place that can be written; {place}: {error.strerror}.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def first_free(folder: Path, name: str) -> Path:
    """`folder/name-1`, or the next number that is free."""
    number = 1
    while (folder / f"{name}-{number}").exists():
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
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
