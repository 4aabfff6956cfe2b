"""The check of the probabilities class by class, in words and as the rows of a table."""

from __future__ import annotations

from dataclasses import dataclass

from certero.language import _
from certero.records.quantity import Quantity
from certero.records.scores import ClassCalibration, Scores
from certero.report.figures import known, number, percent

# Classes that a sentence names; the table below has all.
_MOST_NAMED = 3
# A difference below this, in shares, is not worth a sentence.
_SMALL = 0.02


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A row of the table.

    Args:
        name: of the class.
        named: photos that got its name.
        said: mean probability of the class on them.
        right: the share of them that show it.
        expected: mean probability of the class over all photos.
        share: the share of all photos that show it.
        verdict: `calibrated`, `off`, `too_few` or None.
    """

    name: str
    named: int
    said: float | None
    right: Quantity
    expected: float
    share: Quantity
    verdict: str | None


def class_rows(body: Scores) -> list[ClassRow]:
    """The rows, those that are off first, then those of which too little is known; empty for older files."""
    order = {"off": 0, "too_few": 1}
    rows = [
        ClassRow(name, found.named, found.said, found.right, found.expected_share, found.share, found.verdict)
        for name, found in body.calibration_by_class.items()
    ]
    return sorted(rows, key=lambda row: order.get(row.verdict or "", 2))


def classes_astray(body: Scores) -> list[str]:
    """A sentence for each class whose probabilities are off, those of the most photos first, three at most."""
    found = [(name, row) for name, row in body.calibration_by_class.items() if row.verdict == "off"]
    found.sort(key=lambda pair: -pair[1].named)
    return [_astray(name, row) for name, row in found[:_MOST_NAMED]]


def _astray(name: str, row: ClassCalibration) -> str:
    said, right = row.said, row.right.value
    if known(said) and known(right) and abs(said - right) >= _SMALL:
        text = _("Where it names %(class)s it says %(said)s and is right in %(right)s (%(photos)s photos).")
        values = {"said": percent(said, 0), "right": percent(right, 0), "photos": number(row.named)}
    else:
        text = _("By its probabilities %(expected)s of the photos would show %(class)s; %(share)s do.")
        values = {"expected": percent(row.expected_share), "share": percent(row.share.value)}
    return text % (values | {"class": name})


def classes_untold(body: Scores) -> str:
    """The classes with too few photos to tell, in one sentence; empty without any."""
    names = [name for name, row in body.calibration_by_class.items() if row.verdict == "too_few"]
    if not names:
        return ""
    if len(names) > _MOST_NAMED:
        text = _("Of %(classes)s classes alone there are too few photos to tell.")
        return text % {"classes": number(len(names))}
    return _("Of %(classes)s alone there are too few photos to tell.") % {"classes": ", ".join(names)}
