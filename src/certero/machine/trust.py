"""Whether somebody else may have written a folder or file of this user."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from certero.sentences import Sentence, sentence


def distrust(path: Path) -> Sentence | None:
    """Why what is there is not trusted; None if it is, or if nothing is there.

    Only this user and root may own it and be able to write to it: what others write into a cache would become
    part of this user's models.

    Args:
        path: a folder, a file, or a link to one.
    """
    if not hasattr(os, "geteuid"):  # Windows: a user's folders are closed to others, and modes do not say otherwise
        return None
    try:
        link, status = os.lstat(path), os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    for found in (link, status):
        if found.st_uid not in (os.geteuid(), 0):
            return sentence("it belongs to another user (%(number)d)", number=found.st_uid)
    if status.st_mode & stat.S_IWOTH:
        return sentence("everybody may write to it")
    if status.st_mode & stat.S_IWGRP and not _is_alone(status.st_gid):
        return sentence("other users of its group may write to it")
    return None


def make_private(folder: Path) -> None:
    """Makes the folder and those above it, if missing, for this user alone.

    Raises:
        OSError: if it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def create_private(file: Path) -> None:
    """Makes an empty file for this user alone, if there is none; closes an existing one to others.

    Raises:
        OSError: if it cannot be made.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o600)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is not a file")
        # Windows has `fchmod` from Python 3.13 on, and no numbered users.
        if hasattr(os, "geteuid") and status.st_uid == os.geteuid() and status.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _is_alone(group: int) -> bool:
    """Whether a group holds a single user, as on systems that make a group for each user."""
    import grp
    import pwd

    try:
        entry, user = grp.getgrgid(group), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return entry.gr_gid == user.pw_gid and entry.gr_name == user.pw_name and set(entry.gr_mem) <= {user.pw_name}
