"""The exceptions of certero.

Every message is one line: what must hold, what was found, what to do. The command line prints it in the
reader's language and exits with the class's `exit_code`: 2 for something the user can mend, 1 for a fault of certero.
"""

from __future__ import annotations

from certero.sentences import Message, message, sentence


class CerteroError(Exception):
    """A fault of certero or of its surroundings.

    Args:
        message: English, one line, with `%(name)s` where the values go; or what says all of it already.
        **values: what goes there; sentences among them are translated too.
    """

    exit_code = 1

    def __init__(self, message: str, /, **values: object) -> None:
        self.message: Message = sentence(message, **values) if values or not isinstance(message, Message) else message
        super().__init__(self.message)


class UserError(CerteroError):
    """Something the user can mend; the message says how."""

    exit_code = 2


class DataError(UserError):
    """The folder or manifest does not hold what the command needs."""


class InputError(DataError, TypeError):
    """What a program handed over is no photo, nor several."""


class PhotoError(UserError):
    """One photo whose pixels are missing or cannot be decoded."""


def changed_since(photo: object, now: object) -> PhotoError:
    """The error for a photo that could be scanned and cannot be read now.

    Args:
        photo: its file or name.
        now: what is wrong with it.
    """
    why = reason_of(now) if isinstance(now, OSError) else now
    return PhotoError("%(photo)s must stay as it was scanned; now: %(now)s. Run again.", photo=photo, now=why)


class SplitError(UserError):
    """The photos cannot be separated or split as asked."""


class ModelFileError(UserError):
    """The model file is corrupt, foreign, or made by a newer certero."""


class OutputError(UserError):
    """The place to write to exists already or cannot be written."""


class ConfigError(UserError):
    """A setting is unknown, contradictory or out of range."""


class MissingExtra(UserError):
    """The command needs an optional part of certero that is not installed."""


#: What each verb, and the function of its name, needs beyond the runtime.
EXTRAS = {
    "audit": "report",
    "compare": "report",
    "demo": "train",
    "evaluate": "report",
    "plan": "train",
    "scan": "report",
    "train": "train",
    "value": "report",
}
# Only networks trained whole, and backbones of timm, need these, whatever the verb.
_OF_NETWORKS = ("torch", "torchvision", "timm")


def missing_part(name: str, wanted_by: str, verb: str = "train") -> MissingExtra:
    """The error for a library that is not installed.

    Args:
        name: the module that could not be imported.
        wanted_by: what asked for it.
        verb: the command, one of `EXTRAS`.
    """
    extra = "networks" if name.partition(".")[0] in _OF_NETWORKS else EXTRAS[verb]
    return MissingExtra(
        "%(wanted_by)s needs parts that are not installed (%(name)s). Run: pip install 'certero[%(extra)s]'",
        wanted_by=wanted_by,
        name=name,
        extra=extra,
    )


#: What systems say most often of a file, in the words of C's library.
_OF_SYSTEMS = (
    message("No such file or directory"),
    message("Permission denied"),
    message("Operation not permitted"),
    message("Is a directory"),
    message("Not a directory"),
    message("File exists"),
    message("Directory not empty"),
    message("No space left on device"),
    message("Disk quota exceeded"),
    message("Read-only file system"),
    message("Input/output error"),
    message("File name too long"),
    message("Too many levels of symbolic links"),
    message("Too many open files"),
    message("Stale file handle"),
)


def reason_of(error: OSError) -> Message:
    """Why the system could not do it."""
    return Message(error.strerror or str(error))


class TrainingError(UserError):
    """Training cannot go on with these settings; the message says what to try."""
