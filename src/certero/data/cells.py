"""The cells of a manifest: CSV, TSV or Parquet into columns of text, and the line that each row stands on."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from certero.errors import DataError, reason_of
from certero.machine.files import read_file
from certero.photos.listing import first_and_count, printable
from certero.sentences import Sentence, sentence

_SEPARATORS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r'"?sep=([^\n])"?[,;\t|]*', re.IGNORECASE)
# UTF-32 first: its marks begin with those of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ZIP, _OLD_OFFICE, _PARQUET = b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"PAR1"
_UNSEEN = "\ufeff\u200b\u200e\u200f\u2060"
_SHOWN_NAMES = 12


@dataclass(frozen=True, slots=True)
class Cells:
    """The rows of a manifest that hold something.

    Args:
        columns: by name, stripped texts; None for an empty cell.
        lines: where each row stands, from 1.
        counted: what `lines` counts: `line` of a text file, header included, or `row` of a table.
        nested: columns whose cells are not text, and what they hold instead: `lists`, `tables` or `bytes`.
        notes: sentences about what was skipped.
    """

    columns: dict[str, list[str | None]]
    lines: list[int]
    counted: str
    nested: dict[str, str] = field(default_factory=dict)
    notes: tuple[Sentence, ...] = ()

    def at(self, row: int, text: object) -> str:
        """`line 7: text`, for messages."""
        return f"{self.counted} {self.lines[row]}: {text}"


def read_cells(manifest: Path, known: frozenset[str]) -> Cells:
    """The cells of a manifest; the content decides whether it is Parquet or text.

    Args:
        manifest: CSV (commas, semicolons, tabs or bars), TSV or Parquet.
        known: column names, in lower case, by which a header and its separator are recognised.

    Raises:
        DataError: the file cannot be read as a table, with the line that is wrong.
    """
    shown = printable(manifest.name)
    try:
        data = read_file(manifest)
    except OSError as error:
        raise DataError(
            "a manifest must be readable; %(shown)s: %(reason)s.", shown=shown, reason=reason_of(error)
        ) from error
    if data.startswith(_PARQUET) or manifest.suffix.lower() == ".parquet":
        return _read_parquet(shown, data)
    if data.startswith((_ZIP, _OLD_OFFICE)):
        raise DataError(
            "a manifest must be CSV, TSV or Parquet; %(shown)s holds a spreadsheet or an archive. "
            "In the spreadsheet take Save as, CSV UTF-8.",
            shown=shown,
        )
    return _read_text(shown, _decode(shown, data), known, manifest.suffix.lower() == ".tsv")


def name_columns(names: list[str]) -> str:
    """The names, for a message; what looks like a header may be a whole file."""
    listed = [name if len(name) <= 40 else name[:37] + "..." for name in names[:_SHOWN_NAMES]]
    more = [f"{len(names) - _SHOWN_NAMES} more"] if len(names) > _SHOWN_NAMES else []
    return ", ".join([*listed, *more]) or "nothing"


# --- Text ---


def _decode(shown: str, data: bytes) -> str:
    coding = next((coding for mark, coding in _MARKS if data.startswith(mark)), None)
    if coding is None:
        # UTF-16 without its mark: every other byte of plain letters is zero.
        start = data[:256]
        sides = start[::2].count(0), start[1::2].count(0)
        coding = "utf-8" if not any(sides) else "utf-16-le" if sides[1] > sides[0] else "utf-16-be"
    try:
        text = data.decode(coding)
    except UnicodeDecodeError as error:
        if coding.startswith("utf-8"):
            line = len(re.findall(rb"\r\n|\r|\n", data[: error.start])) + 1
            byte = f"{data[error.start]:#04x}"
            found = sentence("is not: line %(line)d holds the byte %(byte)s", line=line, byte=byte)
        else:
            found = sentence("begins as %(coding)s and is none", coding=coding[:6].upper())
        raise DataError(
            "a manifest must be UTF-8; %(shown)s %(found)s. Save it as CSV UTF-8 (in a "
            "spreadsheet: Save as, CSV UTF-8).",
            shown=shown,
            found=found,
        ) from error
    if "\0" in text:
        raise DataError(
            "a manifest must be text or Parquet; %(shown)s holds zero bytes. Save it as CSV UTF-8.", shown=shown
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_text(shown: str, text: str, known: frozenset[str], tabs: bool) -> Cells:
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip(_UNSEEN + " \t,;|")), None)
    if first is None:
        raise DataError("a manifest must list at least one photo; %(shown)s is empty. Add rows.", shown=shown)
    separator = None
    if said := _SEPARATOR_LINE.fullmatch(lines[first].strip()):
        separator, first = said[1], first + 1
    rows = _parse(shown, "\n".join(lines[first:]), first + 1, separator or _separator(lines[first], known, tabs))
    line, header = next(rows, (first + 1, []))
    names = [cell.strip().strip(_UNSEEN).strip() for cell in header]
    found: list[tuple[int, list[str]]] = []
    wrong: list[str] = []
    for line, cells in rows:
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        if any(cells[len(names) :]):
            wrong.append(f"line {line}: {len(cells)} cells")
        found.append((line, cells))
    if wrong:
        raise DataError(
            "every row of a manifest must have as many cells as its header, %(n_names)s; %(shown)s "
            "has %(first_and_count)s with more. Put quotation marks around a cell that holds the "
            "sign between the cells.",
            n_names=len(names),
            shown=shown,
            first_and_count=first_and_count(wrong, "row"),
        )
    columns = {
        number: [(cells[number] or None) if number < len(cells) else None for _line, cells in found]
        for number in range(len(names))
    }
    notes = []
    for number, name in enumerate(names):
        if not name and any(columns.pop(number)):
            notes.append(sentence("column %(number)d of the manifest has no name and is not used", number=number + 1))
    _check_names(shown, [names[number] for number in columns])
    named = {names[number]: cells for number, cells in columns.items()}
    return Cells(named, [line for line, _cells in found], "line", {}, tuple(notes))


def _separator(header: str, known: frozenset[str], tabs: bool) -> str:
    """The separator of the cells: of the signs that occur, the one that gives the most known names."""

    def rank(sign: str) -> tuple[int, bool, int]:
        cells = next(csv.reader([header], delimiter=sign), [])
        names = [cell.strip().strip(_UNSEEN).strip().lower() for cell in cells]
        return sum(name in known for name in names), tabs and sign == "\t", header.count(sign)

    return max(_SEPARATORS, key=rank)


def _parse(shown: str, text: str, first: int, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Each row and the line it begins on."""
    reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=separator, strict=True)
    line = first
    try:
        for cells in reader:
            yield line, cells
            line = first + reader.line_num
    except csv.Error as error:
        raise DataError(
            "a quotation mark that opens a cell must be closed at the end of the cell; %(shown)s, "
            'line %(line)s: it is not. Write a mark inside such a cell twice ("6"" red"), or do '
            "not begin the cell with one.",
            shown=shown,
            line=line,
        ) from error


def _check_names(shown: str, names: list[str]) -> None:
    """Refuses two columns with the same name, whatever their case."""
    lowered = [name.lower() for name in names]
    twice = [name for number, name in enumerate(names) if lowered.index(name.lower()) < number]
    if twice:
        raise DataError(
            "every column of a manifest needs a name of its own; %(shown)s has %(twice)s twice. Rename or remove one.",
            shown=shown,
            twice=twice[0],
        )


# --- Parquet ---


def _read_parquet(shown: str, data: bytes) -> Cells:
    try:
        # From memory: a memory-mapped file that changes under the reader would crash the process.
        table = pl.read_parquet(io.BytesIO(data))
    except BaseException as error:
        # Polars' panic on corrupt bytes is not an Exception, and not every version has a name to import for it.
        if isinstance(error, pl.exceptions.PolarsError | OSError) or type(error).__name__ == "PanicException":
            raise DataError(
                "a manifest named .parquet must be a whole Parquet file; %(shown)s cannot be read "
                "as one. Write it anew, or save it as CSV UTF-8.",
                shown=shown,
            ) from error
        raise
    names = [name.strip() for name in table.columns]
    _check_names(shown, names)
    columns: dict[str, list[str | None]] = {}
    nested: dict[str, str] = {}
    for name, series in zip(names, table, strict=True):
        if (texts := _texts(series)) is not None:
            columns[name] = texts
        else:
            nested[name] = _kind(series.dtype)
    kept = [row for row in range(table.height) if any(cells[row] for cells in columns.values())]
    columns = {name: [cells[row] for row in kept] for name, cells in columns.items()}
    return Cells(columns, [row + 1 for row in kept], "row", nested)


def _texts(series: pl.Series) -> list[str | None] | None:
    """The cells as text; None for lists, tables and bytes."""
    kind = series.dtype
    if kind.is_nested() or kind in (pl.Binary, pl.Object):
        return None
    if isinstance(kind, pl.Datetime):
        zone = "%:z" if kind.time_zone else ""
        series = series.cast(pl.Datetime("us", kind.time_zone)).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f" + zone)
    if isinstance(kind, pl.Duration):
        return [None if span is None else str(span) for span in series]
    texts = series.cast(pl.String).to_list()
    return [(text.strip() or None) if text is not None else None for text in texts]


def _kind(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.List | pl.Array):
        return "lists"
    return "tables" if isinstance(dtype, pl.Struct) else "bytes"
