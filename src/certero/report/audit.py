"""The audit as a page: each kind of finding with its photos, how bad it is, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from certero.errors import PhotoError
from certero.findings.findings import describe_kind
from certero.interchange import Json
from certero.language import language
from certero.machine.files import read_file, write_whole
from certero.photos import pixels
from certero.photos.listing import on_disk
from certero.records.names import NameFamily
from certero.records.quantity import Quantity
from certero.report.names import draw_names
from certero.report.page import SIZE_HERE, environment, restate_size
from certero.report.pictures import picture_address, thumbnail

# Findings of a kind that are shown as pictures, photos of a cluster, and pictures on the whole page.
_SHOWN, _IN_CLUSTER, _MOST_PICTURES = 12, 4, 120
_SIDE, _BYTES = 150, 4500


@dataclass(frozen=True, slots=True)
class Shown:
    """One finding on the page.

    Args:
        finding: the entry of `findings`.
        pictures: name and address of each picture, the cluster's first photos.
        hidden: photos of the cluster without a picture.
    """

    finding: Json
    pictures: list[tuple[str, str]]
    hidden: int


@dataclass(frozen=True, slots=True)
class Section:
    """All findings of a kind and a severity, so that the sections' counts add up to the page's.

    Args:
        kind: key of `KINDS`.
        severity: of each of them.
        title: what they are.
        advice: what to do.
        findings: all of them, to be listed by name.
        photos: how many photos they concern.
        shown: the worst, with pictures.
    """

    kind: str
    severity: str
    title: str
    advice: str
    findings: list[Json]
    photos: int
    shown: list[Shown]


def write_audit(output: Path, answer: Json, root: Path, command: str) -> None:
    """Writes the page; an earlier file is replaced whole or not at all.

    Args:
        output: the file.
        answer: the contents of `audit --json`.
        root: folder that the paths are relative to.
        command: the command line.

    Raises:
        MissingExtra: Jinja2 is not installed.
        OutputError: the file cannot be written.
    """
    view = {
        "language": language(),
        "answer": answer,
        "command": command,
        "sections": gather(answer["findings"], root),
        "names": draw_names([NameFamily.from_json(row) for row in answer["names"]]),
        "shortcuts": [
            (row["from"], Quantity.from_json(row["accuracy"]), row["majority"]) for row in answer["shortcuts"] or ()
        ],
        "SIZE_HERE": SIZE_HERE,
        "SHADES": 0,
    }
    page = environment().get_template("audit.html.jinja").render(view)
    write_whole(output, restate_size(page.replace(SIZE_HERE, "0")).encode("utf-8", "replace"))


def gather(findings: Sequence[Json], root: Path) -> list[Section]:
    """The findings by severity and kind, in their order: worst first."""
    groups: dict[tuple[str, str], list[Json]] = {}
    for finding in findings:
        groups.setdefault((finding["kind"], finding["severity"]), []).append(finding)
    sections: list[Section] = []
    left = _MOST_PICTURES
    for (kind, severity), rows in groups.items():
        shown = [_show(finding, root) for finding in rows[: min(_SHOWN, left)]]
        left = max(0, left - sum(len(item.pictures) for item in shown))
        title, advice = describe_kind(kind, severity)
        photos = len({path for finding in rows for path in finding["paths"]})
        sections.append(Section(kind, severity, title, advice, rows, photos, shown))
    return sections


def _show(finding: Json, root: Path) -> Shown:
    pictures: list[tuple[str, str]] = []
    for name in finding["paths"][:_IN_CLUSTER]:
        try:
            data = read_file(on_disk(root, name))
            small = thumbnail(pixels.decode(data, at_least=(_SIDE, _SIDE)).pixels, _SIDE, _BYTES)
        except (OSError, PhotoError):
            continue
        pictures.append((name, picture_address(small)))
    return Shown(finding, pictures, max(0, len(finding["paths"]) - len(pictures)))
