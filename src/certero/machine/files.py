"""Files written whole or not at all, and inputs that are files and not too large."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from pathlib import Path

from certero.errors import OutputError, reason_of

#: Largest file in bytes: as large as an uncompressed 16-bit photo of 178 megapixels.
MOST_BYTES = 2**30
#: Largest recipe, case or card.
MOST_TEXT_BYTES = 10 * 2**20
#: Largest model: the limit of protocol buffers.
MOST_MODEL_BYTES = 2**31

#: Unfinished files and folders, which a process removes first when it is ended from outside.
in_the_making: set[Path] = set()

_LINKS = 40  # as many as Linux follows
_NAME_BYTES = 200
_PART_BYTES = 2**20


class NotRead(OSError):
    """An input that is not a file, or is too large; `strerror` says which."""


def read_file(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """The bytes of a regular file, or of a stream that was passed to this process.

    A pipe that nobody writes to would wait for ever, and `/dev/zero` never ends: neither is opened. What a shell
    passes, as `/dev/stdin` or by `<(...)`, is read to its end.

    Args:
        path: of the file.
        most_bytes: larger files are refused before they are read.

    Raises:
        OSError: if it cannot be read.
    """
    if _descriptor(path) is None and not stat.S_ISREG(mode := os.stat(path).st_mode):  # noqa: PTH116
        raise _no_file(mode)
    # Even if the file is replaced by a pipe after that check, opening it does not wait.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    own = _descriptor(path)
    descriptor = os.open(path, flags) if own is None else os.dup(own)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if own is None and not stat.S_ISREG(status.st_mode):
            raise _no_file(status.st_mode)
        if status.st_size > most_bytes:
            raise _too_large(most_bytes, status.st_size)
        # First the stated size in one piece, then the rest: the file may grow, or be a stream.
        parts = [file.read(status.st_size + 1) or b""]
        while parts[-1]:
            if sum(map(len, parts)) > most_bytes:
                raise _too_large(most_bytes, None)
            parts.append(file.read(_PART_BYTES) or b"")
        return b"".join(parts) if len(parts) > 2 else parts[0]


def check_file(path: Path) -> None:
    """Refuses what `read_file` would refuse because of its kind, for files that a library opens itself.

    Raises:
        OSError: if it is not a regular file, or not there.
    """
    if not stat.S_ISREG(mode := os.stat(path).st_mode):  # noqa: PTH116
        raise _no_file(mode)


def write_whole(path: Path, data: bytes | str) -> None:
    """Writes a file beside its place, syncs it, and renames it: a power cut leaves the old file or the new one.

    A link stays, and the file it points to is written. An existing file keeps its permissions; a new one gets those
    that the user's umask leaves. Devices, pipes and what a shell passes (`/dev/stdout`, `>(...)`) are written directly.

    Raises:
        OutputError: if it cannot be written.
    """
    content = data.encode("utf-8") if isinstance(data, str) else data
    try:
        if is_stream(path):
            _write_through(path, content)
        else:
            _replace(Path(os.path.realpath(path)), content)
    except OSError as error:
        raise OutputError(
            "%(path)s must be writable; %(reason)s. Free the disk or choose another place.",
            path=path,
            reason=reason_of(error),
        ) from error


def is_stream(path: Path) -> bool:
    """Whether writing there goes to a device, a pipe or an open stream, not into a file of that name."""
    if _descriptor(path) is not None:
        return True
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _write_through(path: Path, content: bytes) -> None:
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()  # it may be the same stream
    own = _descriptor(path)
    descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0)) if own is None else os.dup(own)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
    except BrokenPipeError:
        pass  # the reader has all it wants
    finally:
        os.close(descriptor)


def _replace(place: Path, content: bytes) -> None:
    before: os.stat_result | None = None
    with contextlib.suppress(FileNotFoundError):
        before = place.stat()
    if before is not None and not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is there and may not be written", str(place))
    temporary = place.with_name(f".{cut(place.name, _NAME_BYTES)}.{os.urandom(4).hex()}")
    in_the_making.add(temporary)
    try:
        # The system itself applies the umask.
        with open(temporary, "xb", opener=_open_for_all) as file:
            if before is not None and hasattr(os, "geteuid"):
                if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                    with contextlib.suppress(OSError):  # only root may give files away
                        os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fchmod(file.fileno(), before.st_mode & 0o777)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)
        in_the_making.discard(temporary)


def _open_for_all(path: str, flags: int) -> int:
    return os.open(path, flags, 0o666)


def _descriptor(path: Path) -> int | None:
    """The number of this process's open stream that a path stands for, such as `/dev/stdin` or `/dev/fd/63`."""
    if sys.platform == "win32":
        return None
    place = os.path.abspath(path)  # noqa: PTH100 (links stay)
    for _link in range(_LINKS):
        folder, name = os.path.split(place)
        if name.isdecimal() and folder in ("/dev/fd", "/proc/self/fd", f"/proc/{os.getpid()}/fd"):
            return int(name)
        try:
            place = os.path.normpath(os.path.join(folder, os.readlink(place)))  # noqa: PTH115, PTH118
        except OSError:
            return None
    return None


def _no_file(mode: int) -> NotRead:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    kind = next((word for test, word in kinds if test(mode)), "a device")
    return NotRead(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, f"it is {kind}, not a file")


def _too_large(most_bytes: int, found: int | None) -> NotRead:
    size = "it goes on" if found is None else f"it has {found / 2**20:,.0f} MiB"
    return NotRead(errno.EFBIG, f"it may have {most_bytes // 2**20:,} MiB and {size}")


def cut(name: str, size_bytes: int) -> str:
    """The beginning of a name: file systems limit a name's bytes, usually to 255."""
    return os.fsencode(name)[:size_bytes].decode(errors="ignore")


def sync(path: Path) -> None:
    """Waits until a file's content, or a folder's names, are on the disk."""
    is_folder = path.is_dir()
    if is_folder and not hasattr(os, "O_DIRECTORY"):
        return  # Windows has no handle on a folder; its names are written with the files.
    # Windows syncs only what is open for writing; a folder can only be open for reading.
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_descriptor(descriptor: int, *, wait: bool = True) -> bool:
    """Locks an open file or folder against other processes until it is closed, or its process ends.

    Returns:
        False if another process holds the lock, or files cannot be locked (Windows, some network disks).
    """
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True
