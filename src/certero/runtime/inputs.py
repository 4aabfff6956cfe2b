"""What a program may hand to `predict`: one photo or several, in any of the forms that Python holds photos in."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from certero.errors import InputError, PhotoError, reason_of
from certero.photos import pixels
from certero.sentences import Message, message, sentence

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHANNELS = (1, 3, 4)
_WANTED = message(
    "a photo must be a path, an open file, the bytes of a file, a PIL image, or pixels uint8 [height, width, 3] in the "
    "order red, green, blue"
)


def several(photos: Any) -> list[Any]:
    """The photos one by one, each as it was given: of one photo a list of one, of no photos an empty one.

    Args:
        photos: one photo; an array of them [N, H, W, 3]; or any iterable.

    Raises:
        InputError: for None, a number, a mapping, or pixels that are no photos.
    """
    if isinstance(photos, Mapping) or hasattr(photos, "columns"):
        raise InputError(
            "%(wanted)s, or several of them; found a %(name)s. Give a list: of a table one column.",
            wanted=_WANTED,
            name=type(photos).__name__,
        )
    if (array := _as_array(photos)) is not None:
        return _photos_of(array, message("the array"))
    if _is_one(photos) or not isinstance(photos, Iterable):
        return [photos]
    return list(photos)


def to_source(photo: Any, number: int) -> Any:
    """A photo as the network's queue takes it: a Path, bytes, pixels, a PIL image, or why it cannot be read.

    Args:
        photo: one of `several`.
        number: its place among them, for the message.

    Raises:
        InputError: it is none.
    """
    if isinstance(photo, str | os.PathLike):
        return Path(os.fsdecode(photo))
    if isinstance(photo, bytes | bytearray | memoryview):
        return bytes(photo)
    if pixels.is_picture(photo):
        return photo
    if (array := _as_array(photo)) is not None:
        found = _photos_of(array, sentence("photo %(number)d", number=number))
        if len(found) == 1 and isinstance(found[0], np.ndarray):
            return found[0]
    elif callable(getattr(photo, "read", None)):
        return _read(photo, number)
    raise InputError(
        "%(wanted)s; photo %(number)s is %(kind)s. %(advice)s",
        wanted=_WANTED,
        number=number,
        kind=_kind(photo),
        advice=_advice(photo),
    )


def name_of(photo: Any) -> str | None:
    """The name that an open file goes by; None for everything else."""
    name = getattr(photo, "name", None)
    if not callable(getattr(photo, "read", None)) or not isinstance(name, str):
        return None
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") or None


def _is_one(photo: Any) -> bool:
    """Whether it is a photo although Python could go through it piece by piece."""
    known = isinstance(photo, str | bytes | bytearray | memoryview | os.PathLike)
    return known or pixels.is_picture(photo) or callable(getattr(photo, "read", None))


def _as_array(photo: Any) -> NDArray[Any] | None:
    """The array that this is, or that a tensor of another library holds."""
    if isinstance(photo, np.ndarray):
        return photo
    if not hasattr(photo, "__array__") or not hasattr(photo, "shape") or pixels.is_picture(photo):
        return None
    try:
        return np.asarray(photo)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            "%(wanted)s; found %(kind)s, which gives no NumPy array. Convert it, e.g. tensor.cpu().numpy().",
            wanted=_WANTED,
            kind=_kind(photo),
        ) from error


def _photos_of(array: NDArray[Any], what: Message) -> list[Any]:
    """The photos of an array: one, or its rows where it holds several or is a list of other things.

    Raises:
        InputError: its numbers are no pixels, or its shape is no photo's.
    """
    if array.dtype.kind in "OUS" and array.ndim == 1:
        return list(array)
    if array.dtype != np.uint8:
        raise InputError(
            "%(wanted)s; %(what)s is %(kind)s. %(conversion)s",
            wanted=_WANTED,
            what=what,
            kind=_kind(array),
            conversion=_conversion(array),
        )
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in _CHANNELS):
        return [array]
    if array.ndim == 4 and array.shape[3] in _CHANNELS:
        return list(array)
    first = array.shape[array.ndim - 3] in _CHANNELS if array.ndim in (3, 4) else False
    order = "(1, 2, 0)" if array.ndim == 3 else "(0, 2, 3, 1)"
    advice = (
        sentence("Put the channels last: array.transpose%(order)s.", order=order)
        if first
        else message("Several photos are uint8 [N, H, W, 3].")
    )
    raise InputError(
        "%(wanted)s, or grey or with transparency; %(what)s is %(kind)s. %(advice)s",
        wanted=_WANTED,
        what=what,
        kind=_kind(array),
        advice=advice,
    )


def _conversion(array: NDArray[Any]) -> Message:
    """How to make pixels of other numbers: what stands for white cannot be known, so nothing is guessed."""
    if array.dtype.kind == "b":
        return message("Convert it: array.astype('uint8') * 255.")
    if array.dtype.kind == "f":
        return message(
            "Convert it: (array * 255).round().astype('uint8') from 0 to 1, array.astype('uint8') from 0 to 255."
        )
    if array.dtype.kind in "iu":
        return message(
            "Convert it: array.astype('uint8') from 0 to 255, (array // 257).astype('uint8') from 0 to 65535."
        )
    return message("Give numbers.")


def _read(file: Any, number: int) -> bytes | PhotoError:
    """The whole content of an open file, from its beginning where it has one."""
    try:
        with contextlib.suppress(OSError, AttributeError):  # a pipe has no beginning to go back to
            file.seek(0)
        data = "" if isinstance(file, io.TextIOBase) else file.read()
    except OSError as error:
        return PhotoError(reason_of(error))
    except ValueError as error:
        raise InputError(
            "%(wanted)s; photo %(number)s is a file that is closed. Open it, or give its path.",
            wanted=_WANTED,
            number=number,
        ) from error
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InputError(
            "%(wanted)s; photo %(number)s is a file that gives %(name)s. Open it with 'rb'.",
            wanted=_WANTED,
            number=number,
            name=type(data).__name__,
        )
    return bytes(data)


def _kind(photo: Any) -> str:
    if isinstance(photo, np.ndarray):
        return f"{photo.dtype} {list(photo.shape)}"
    return "None" if photo is None else sentence("of type %(name)s", name=type(photo).__name__)


def _advice(photo: Any) -> Message:
    if isinstance(photo, list | tuple):
        return message("Give one flat list.")
    return message("Leave it out.") if photo is None else message("Convert it.")
