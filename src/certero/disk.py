"""Files that are whole or not there at all."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from certero.errors import OutputError


def write_whole(path: Path, data: bytes | str) -> None:
    """Writes a file beside its place, syncs it, and renames it: a power cut leaves the old file or the new one.

    Raises:
        OutputError: if it cannot be written.
    """
    content = data.encode("utf-8") if isinstance(data, str) else data
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path} must be writable; {error.strerror}. Free the disk or choose another place."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Waits until a file's content, or a folder's names, are on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows has no handle on a folder; its names are written with the files.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_descriptor(descriptor: int, *, wait: bool = True) -> bool:
    """Locks an open file or folder against other processes until it is closed, or its process ends.

    Returns:
        False if another process holds the lock, or where files cannot be locked (Windows, some network disks).
    """
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True
