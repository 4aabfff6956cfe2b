"""What an audit finds: one record a defect, with the photos it concerns, how bad it is, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from certero.interchange import Json
from certero.records.photos import SPLITS
from certero.sentences import Sentence, message

Severity = Literal["high", "medium", "low"]
SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low")

#: By kind its name and what to do, in the order in which kinds are shown within a severity.
KINDS: dict[str, tuple[str, str]] = {
    "leakage": (
        message("Copies on both sides of a split"),
        message(
            "Keep each photo in one split alone, or the figures are too good. certero train leaves resaved and resized "
            "training photos out by itself; other tools do not. --fix writes a list without them."
        ),
    ),
    "label_conflict": (
        message("One photo, two labels"),
        message(
            "Look which label is right and correct the other, or leave the picture out if it shows neither; --fix "
            "leaves out all of them."
        ),
    ),
    "suspicious_label": (
        message("Labels that are probably wrong"),
        message("Look at each and correct what is wrong. Models that never saw the photo say something else."),
    ),
    "doubtful_label": (
        message("Photos that look more like another class"),
        message(
            "Hard photos, their labels as a rule right: a model may name them wrongly. Nothing has to be corrected."
        ),
    ),
    "unreadable": (
        message("Photos that cannot be read"),
        message("Copy them again from the camera or remove them. They are never used."),
    ),
    "class_lost": (
        message("Classes that lost their photos"),
        message("Convert or copy these photos again: a model does not know a class that it has not seen."),
    ),
    "shortcut": (
        message("Labels that something beside the picture gives away"),
        message(
            "A network may learn this instead of what you want. Take photos of every class with the same camera, at "
            "the same hours and in the same light, and store them in the same way."
        ),
    ),
    "class_missing_in_split": (
        message("Classes missing from a split"),
        message("Move photos of the class into that split, or let certero make the split."),
    ),
    "condition_missing_in_split": (
        message("Conditions missing from a split"),
        message("Add such photos to that split: nothing is learnt, or measured, of a condition that is not in it."),
    ),
    "imbalance": (
        message("Classes of very different size"),
        message("Take more photos of the rare class. Until then look at the figures of each class, not the accuracy."),
    ),
    "exact_duplicate": (
        message("The same photo several times"),
        message("Keep one of them: copies count a photo twice. --fix does."),
    ),
    "near_duplicate": (
        message("Photos that are one photo altered"),
        message("Keep them in one split. certero keeps resaved and resized copies together by itself."),
    ),
    "name_family": (
        message("Names that tell which photos belong together"),
        message(
            "Look at a few: versions of one photo, frames of one film and photos of one visit must lie in one split, "
            "or the figures are too good. Nothing is done about it unless --group-by names the groups."
        ),
    ),
    "partly_equal": (
        message("Photos that are equal in a part"),
        message(
            "They were made from one photo: something was pasted, drawn or put in the place of the rest. Keep them in "
            "one split. certero train does where it makes the split without times and groups, and leaves such training "
            "photos out where the split is given."
        ),
    ),
    "damaged": (
        message("Damaged photos that can be used"),
        message("Copy them again if you still have them. All their pixels are there, so they are used."),
    ),
    "misnamed": (
        message("Files whose name claims another format"),
        message("Rename them: other tools go by the name. certero goes by the content."),
    ),
    "dark": (message("Photos that are nearly black"), message("Leave them out unless the camera will see such too.")),
    "bright": (message("Photos that are nearly white"), message("Leave them out unless the camera will see such too.")),
    "blurry": (message("Blurred photos"), message("Leave them out where a person cannot tell the class either.")),
    "low_information": (
        message("Photos with hardly anything in them"),
        message("Look whether the camera was covered or the file is a placeholder; leave those out."),
    ),
    "odd_size": (
        message("Photos of an unusual size or shape"),
        message("Look whether they are thumbnails, screenshots or cut out otherwise than the rest."),
    ),
}

# Name and advice of findings that are milder than the worst of their kind.
_MILDER: dict[tuple[str, str], tuple[str, str]] = {
    ("suspicious_label", "medium"): (
        message("Labels that may be wrong"),
        message("Look at each: some of these labels are wrong, others are of photos that are hard to tell."),
    ),
}


def describe_kind(kind: str, severity: str) -> tuple[str, str]:
    """What findings of a kind are called, and what to do about those of a severity."""
    return _MILDER.get((kind, severity), KINDS[kind])


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect.

    Args:
        kind: key of `KINDS`.
        severity: `high` spoils a model or its figures, `medium` may, `low` is worth a look.
        message: what was found.
        paths: photos it concerns, as the data name them.
        splits: splits it concerns, in order.
        labels: classes it concerns.
        score: how marked it is, the higher the worse; what it measures depends on the kind. None where it is yes or no.
        suggested: for suspicious and doubtful labels, the likelier class.
        how: for copies, `same_file`, `same_pixels`, `resaved`, `altered` or `partly`.
    """

    kind: str
    severity: Severity
    message: Sentence
    paths: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    score: float | None = None
    suggested: str | None = None
    how: str | None = None

    def to_json(self) -> Json:
        """One entry of `findings`."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "message": self.message,
            "advice": describe_kind(self.kind, self.severity)[1],
            "paths": list(self.paths),
            "splits": list(self.splits),
            "labels": list(self.labels),
            "score": None if self.score is None else round(float(self.score), 4),
            "suggested": self.suggested,
            "how": self.how,
        }


def concerning(
    kind: str,
    severity: Severity,
    said: Sentence,
    rows: pl.DataFrame,
    score: float | None = None,
    suggested: str | None = None,
    how: str | None = None,
) -> Finding:
    """A finding about these rows of the table of photos."""
    splits = set(rows["split"].drop_nulls())
    return Finding(
        kind,
        severity,
        said,
        tuple(rows["path"]),
        tuple(name for name in SPLITS if name in splits),
        tuple(sorted(set(rows["label"].drop_nulls()))),
        score,
        suggested,
        how,
    )


def rank(findings: Iterable[Finding]) -> list[Finding]:
    """Worst first: by severity, kind, score, first path."""
    kinds = list(KINDS)

    def place(finding: Finding) -> tuple[int, int, float, Sequence[str]]:
        return SEVERITIES.index(finding.severity), kinds.index(finding.kind), -(finding.score or 0.0), finding.paths

    return sorted(findings, key=place)


def count_kinds(findings: Iterable[Finding]) -> Json:
    """How many findings and how many photos there are of each kind, those of none included."""
    counts: Json = {kind: {"findings": 0, "photos": 0} for kind in KINDS}
    photos: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for finding in findings:
        counts[finding.kind]["findings"] += 1
        photos[finding.kind].update(finding.paths)
    for kind, named in photos.items():
        counts[kind]["photos"] = len(named)
    return counts
