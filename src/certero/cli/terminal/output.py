"""What a command says on standard output or writes to the file that was asked for."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from certero.errors import OutputError, reason_of
from certero.sentences import Message, message, sentence

STDOUT = "-"
# Files of a run that other commands read; its report may be written anew.
_OF_A_RUN = (
    "metrics.json",
    "data.parquet",
    "predictions.csv",
    "held_out.csv",
    "history.csv",
    "config.toml",
    "model.onnx",
)
_CLOSED = message("standard output must be open; it is closed. Write to a file instead.")


# Control characters, marks that turn the direction of what follows, marks without a width, bytes that are no UTF-8,
# ends of a line or paragraph: what moves a cursor, clears a screen, or shows one name as another.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    r"""The text on one line, safe for a terminal: every character that is not seen is written out.

    Names of files, classes and columns are made by others. A name that holds an escape sequence would clear the screen,
    one that holds the end of a line would forge the next one.

    >>> visible("cow\x1b[2J\nAccuracy: 100%")
    'cow\\x1b[2J\\nAccuracy: 100%'
    """
    if text.isprintable():
        return text
    return "".join(_written_out(letter) if unicodedata.category(letter) in _UNSEEN else letter for letter in text)


def _written_out(letter: str) -> str:
    if letter in _NAMED:
        return _NAMED[letter]
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file's name that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def say(line: str) -> None:
    """Prints one line for people; characters that their terminal cannot show become `?`.

    A command that was started without a standard output (a service, `>&-`) has nobody to tell.

    Raises:
        OutputError: if standard output cannot be written.
        BrokenPipeError: if its reader has left.
    """
    put(visible(line) + "\n")


def put(text: str) -> None:
    """Prints what is laid out already, lines and colours; every name in it went through `visible`.

    Raises:
        OutputError: as `say`.
        BrokenPipeError: as `say`.
    """
    if sys.stdout is not None:
        _send(text, None)


def put_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, red: Collection[int] = ()) -> None:
    """Prints a table for people.

    Args:
        header: a word a column.
        rows: of cells.
        red: numbers of the rows that tell of a fault.

    Raises:
        OutputError: as `say`.
        BrokenPipeError: as `say`.
    """
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(*(Column(Text(visible(word))) for word in header), box=None, pad_edge=False, header_style="bold")
    for number, row in enumerate(rows):
        table.add_row(*(Text(visible(cell)) for cell in row), style="red" if number in red else None)
    text = io.StringIO()
    # Paths must not be cut where the output goes to a file or a pipe.
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    console = Console(file=text, force_terminal=on_terminal, width=None if on_terminal else 10_000)
    console.print(table, soft_wrap=True)
    put("".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines()))


def tell(line: str) -> None:
    """Prints one line beside the results, on standard error; where nobody can read it, nothing is lost but the line."""
    try:
        print(visible(line), file=sys.stderr, flush=True)
    except (OSError, ValueError):  # its reader has left, its disk is full, it is closed
        _silence(2)


def check_targets(targets: Mapping[str, str | Path | None], reads: Iterable[str | Path | None] = ()) -> None:
    """Refuses places that cannot be written to, before any work is done for them; `-` is standard output.

    Args:
        targets: by the option that names it.
        reads: files and folders that the command reads: what it reads must not be written over.

    Raises:
        OutputError: if a file's folder is missing or closed, if the file is a folder, may not be written, is read by
            the command or is a photo, or if two options name the same file.
    """
    from certero.machine.files import is_stream

    asked = {flag: target for flag, target in targets.items() if target is not None}
    inputs = [Path(place) for place in reads if place is not None]
    places: dict[str, str] = {}
    for flag, target in asked.items():
        check_target(target, flag)
        if target == STDOUT or is_stream(path := Path(target)):
            continue
        place = os.path.realpath(path)
        if place in places:
            raise OutputError(
                "%(places)s and %(flag)s must go to different files; both go to %(path)s. Name two.",
                places=places[place],
                flag=flag,
                path=path,
            )
        places[place] = flag
        if reason := _read_as(path, inputs):
            raise OutputError(
                "%(flag)s must not be written over what is read; %(path)s: %(reason)s. Choose another place.",
                flag=flag,
                path=path,
                reason=reason,
            )


def check_target(target: str | Path | None, flag: str) -> None:
    """As `check_targets`, for one file."""
    from certero.machine.files import is_stream

    if target is None:
        return
    if target == STDOUT:
        if sys.stdout is None:
            raise OutputError(_CLOSED)
        return
    path = Path(target)
    if str(path) == STDOUT:
        raise OutputError(
            "%(flag)s must be a file; - is standard output for data alone. Name one, or /dev/stdout.", flag=flag
        )
    if is_stream(path):
        return
    place = Path(os.path.realpath(path))
    folder = path.parent if place == path.absolute() else place.parent
    reason: Message | None = None
    with contextlib.suppress(OSError):
        if not folder.is_dir():
            reason = sentence("there is no folder %(folder)s", folder=folder)
        elif path.is_dir():
            reason = message("it is a folder")
        elif not os.access(folder, os.W_OK):
            reason = sentence("the folder %(folder)s may not be written", folder=folder)
        elif place.exists() and not os.access(place, os.W_OK):
            reason = message("it is there and may not be written")
    if reason:
        raise OutputError(
            "%(flag)s must be a file that can be written; %(path)s: %(reason)s. Choose another place.",
            flag=flag,
            path=path,
            reason=reason,
        )


def of_model(model: Path | None) -> list[Path]:
    """A model file or the folder of a run, and the folder that a model file lies in: more of it may be read."""
    return [] if model is None else [model] if model.is_dir() else [model, model.parent]


def _read_as(path: Path, inputs: Sequence[Path]) -> Message | None:
    """As what a file that is there already is read, or by its name may be; None for any other."""
    from certero.photos.formats import PHOTO_SUFFIXES

    if not path.exists():
        return None
    for place in inputs:
        with contextlib.suppress(OSError):
            if place.samefile(path):
                return message("the command reads it")
            if place.is_dir() and path.name in _OF_A_RUN and place.samefile(path.parent):
                return message("it is part of a run that the command reads")
    if path.suffix.lower() in PHOTO_SUFFIXES:
        return message("a photo is there")
    return message("a model is there") if path.suffix.lower() == ".onnx" else None


def write(text: str, target: str) -> None:
    """Writes data for machines, in UTF-8, whole or not at all, to a file; or to standard output for `-`.

    Raises:
        OutputError: if it cannot be written.
    """
    if target == STDOUT:
        _send(text, "utf-8")
    else:
        from certero.machine.files import write_whole

        write_whole(Path(target), text.encode("utf-8", "replace"))


def _send(text: str, encoding: str | None) -> None:
    if sys.stdout is None:
        raise OutputError(_CLOSED)
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):  # a notebook's or a test's is something else
            sys.stdout.reconfigure(encoding=encoding, errors="replace")
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence()
        raise OutputError(
            "standard output must be writable; %(reason)s. Free the disk.", reason=reason_of(error)
        ) from error


def open_streams() -> None:
    """Gives a process that was started without one of its streams an empty one in its place.

    Else the next file that is opened takes the number of the missing stream, and what a library prints goes into it.
    """
    with contextlib.suppress(OSError):
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(descriptor, True)
        os.close(descriptor)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 (open to the end)


def silence() -> None:
    """Sends what is still buffered for standard output nowhere, so that Python's end does not fail on it."""
    _silence(1)


def _silence(descriptor: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
