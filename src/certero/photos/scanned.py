"""Photos read again after the scan: a file that has changed or gone since is an error, not a gap."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from certero.errors import PhotoError, changed_since
from certero.machine.files import read_file

T = TypeVar("T")


def read_scanned(path: Path, read: Callable[[bytes], T]) -> T:
    """What `read` makes of the bytes of a photo that could be scanned.

    Raises:
        PhotoError: if the file cannot be read now, or `read` refuses it.
    """
    try:
        return read(read_file(path))
    except (OSError, PhotoError) as error:
        raise changed_since(path, error) from error
