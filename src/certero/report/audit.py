"""The audit as a page: each kind of finding with its photos, how bad it is, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from certero import pixels
from certero.data.files import on_disk
from certero.data.findings import KINDS, SEVERITIES
from certero.disk import read_file, write_whole
from certero.errors import PhotoError
from certero.language import language
from certero.records import Json
from certero.report.page import SIZE_HERE, environment, restate_size
from certero.report.pictures import picture_address, thumbnail

# Findings of a kind that are shown as pictures, photos of a cluster, and pictures on the whole page.
_SHOWN, _IN_CLUSTER, _MOST_PICTURES = 12, 4, 120
_SIDE, _BYTES = 150, 4500
#: Findings of a kind that are listed by name below the pictures.
LISTED = 200


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
    """All findings of a kind.

    Args:
        kind: key of `KINDS`.
        severity: the worst of them.
        title: what they are.
        advice: what to do.
        findings: how many.
        photos: how many photos they concern.
        shown: the worst, with pictures.
        listed: further ones, by name.
    """

    kind: str
    severity: str
    title: str
    advice: str
    findings: int
    photos: int
    shown: list[Shown]
    listed: list[Json]


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
        "SIZE_HERE": SIZE_HERE,
        "SHADES": 0,
    }
    page = environment().get_template("audit.html.jinja").render(view)
    write_whole(output, restate_size(page.replace(SIZE_HERE, "0")).encode("utf-8", "replace"))


def gather(findings: Sequence[Json], root: Path) -> list[Section]:
    """The findings by kind, worst first."""
    by_kind: dict[str, list[Json]] = {}
    for finding in findings:
        by_kind.setdefault(finding["kind"], []).append(finding)
    order = sorted(by_kind, key=lambda kind: (SEVERITIES.index(by_kind[kind][0]["severity"]), list(KINDS).index(kind)))
    sections: list[Section] = []
    left = _MOST_PICTURES
    for kind in order:
        rows = by_kind[kind]
        shown = [_show(finding, root) for finding in rows[: min(_SHOWN, left)]]
        left = max(0, left - sum(len(item.pictures) for item in shown))
        title, advice = KINDS[kind]
        photos = len({path for finding in rows for path in finding["paths"]})
        listed = rows[len(shown) : len(shown) + LISTED]
        sections.append(Section(kind, rows[0]["severity"], title, advice, len(rows), photos, shown, listed))
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
