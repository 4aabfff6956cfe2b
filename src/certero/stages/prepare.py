"""Scan, fingerprint, separate and split: everything that may look at test photos before the seal."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from certero.config.settings import TrainSettings
from certero.data.scan import list_photos
from certero.data.separation import Separation, separate
from certero.data.split import assign, assign_folds, needs_cv
from certero.data.table import Photos, leave_out_rare
from certero.errors import ConfigError, ModelFileError
from certero.findings.duplicates import note_conflicts
from certero.interchange import Json
from certero.likeness.clusters import join
from certero.likeness.copies import link_copies
from certero.likeness.sets import Link, kept_together
from certero.photos.listing import typed
from certero.probe.probe import check_class_weights
from certero.records.names import NameFamily
from certero.records.photo_counts import Described
from certero.runs.seal import Catalogue, Development, SealedTest, seal, seal_folds
from certero.runs.stored import read_table
from certero.sentences import Sentence, sentence
from certero.stages.closer_look import small_key
from certero.stages.describe import describe_photos
from certero.stages.equal_parts import landmarks_key
from certero.stages.look import find_copies, look_at_photos
from certero.stages.one_source import Sources, link_sources
from certero.stages.tools import Tools
from certero.stats.requirements import parse_requirement

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DEFAULT_FOLDS = 5

Evaluation = Literal["given", "split", "cv"]


@dataclass(frozen=True, slots=True)
class SplitPhotos:
    """All photos with their splits or folds, not sealed yet.

    Args:
        photos: the table, every row with its status; `fold` filled when cross-validated.
        separation: the rule that kept photos together.
        copies: pairs of rows that are verified copies of each other.
        evaluation: `given` (the data's own test split), `split` (cut by certero) or `cv`.
        folds: number of outer folds, 0 without cross-validation.
        reason: why cross-validation was chosen, None where it was not or was asked for.
        given_val: whether the val split came with the data.
        names: what the names tell of which photos belong together, where nothing else does.
    """

    photos: Photos
    separation: Separation
    copies: list[tuple[int, int]]
    evaluation: Evaluation
    folds: int
    reason: Sentence | None
    given_val: bool
    names: tuple[NameFamily, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """Photos with their splits or folds, those of the test set sealed.

    Args:
        development: photos to choose, fit and calibrate on; with cross-validation all used photos, of which each fold
            leaves some out.
        sealed: photos to judge.
        catalogue: every photo of the data, to be stored.
        facts: how many photos of each class are in which split, and which photos are not used.
        classes: names in the order of the outputs.
        separation: the rule that kept photos together.
        copied: int [n], equal for development photos that are verified copies of each other.
        evaluation: `given` (the data's own test split), `split` (cut by certero) or `cv`.
        folds: number of outer folds, 0 without cross-validation.
        reason: why cross-validation was chosen, None where it was not or was asked for.
        given_val: whether the val split came with the data.
        notes: what was found or done, for people.
        names: what the names tell of which photos belong together, where nothing else does.
    """

    development: Development
    sealed: SealedTest
    catalogue: Catalogue
    facts: Described
    classes: Sequence[str]
    separation: Separation
    copied: NDArray[np.int64]
    evaluation: Evaluation
    folds: int
    reason: str | None
    given_val: bool
    notes: tuple[Sentence, ...]
    names: tuple[NameFamily, ...]

    @property
    def cv(self) -> Json | None:
        """`cv` of metrics.json."""
        return {"folds": self.folds, "reason": self.reason} if self.evaluation == "cv" else None


def prepare(data: Path, settings: TrainSettings, tools: Tools, *, planned: bool = False) -> Prepared:
    """From the user's data to sealed splits or folds, as the settings say.

    Args:
        data: as the user names it.
        settings: of the run.
        tools: cores, caches, progress.
        planned: for a dry run, which does not look for altered copies: that takes a network over every photo.

    Raises:
        ConfigError: if the settings name a class that the data lack.
        DataError: if the data do not hold what training needs.
        SplitError: if they cannot be separated as asked.
    """
    split = split_photos(data, settings, tools, planned=planned)
    photos = split.photos
    classes = photos.classes()
    check_class_weights(classes, settings.class_weights)
    for requirement in settings.require:
        parse_requirement(requirement, classes)  # a misspelt class costs no opening of the test set
    development, sealed = seal_folds(photos) if split.evaluation == "cv" else seal(photos)
    copied = dict(zip(photos.table["path"], join(photos.table.height, split.copies).tolist(), strict=True))
    return Prepared(
        development=development,
        sealed=sealed,
        catalogue=Catalogue(photos.table),
        facts=describe_photos(photos, data, classes),
        classes=classes,
        separation=split.separation,
        copied=np.array([copied[path] for path in development.table["path"]], dtype=np.int64),
        evaluation=split.evaluation,
        folds=split.folds,
        reason=split.reason,
        given_val=split.given_val,
        notes=photos.notes,
        names=split.names,
    )


def split_photos(data: Path, settings: TrainSettings, tools: Tools, *, planned: bool = False) -> SplitPhotos:
    """From the user's data to splits or folds, as the settings say; see `prepare`.

    Raises:
        DataError: if the data do not hold what training needs.
        SplitError: if they cannot be separated as asked.
    """
    listed = list_photos(data, label_level=settings.label_level)
    photos = look_at_photos(listed, tools, settings.times, small_key=small_key, landmarks_key=landmarks_key)
    if settings.min_photos is not None:
        photos = leave_out_rare(photos, settings.min_photos)
    with tools.timed("separate"):
        copies = find_copies(photos)
        photos = photos.noted(note_conflicts(photos.table, copies))
    separation = separate(
        photos,
        copies,
        group_by=settings.group_by,
        block=settings.block,
        gap=settings.gap,
        figure_for=settings.figure_for,
    )
    found = Sources(link_copies(photos.table, copies))
    # Where no photo can be read there is nothing to link; the split refuses and names the first.
    if photos.used_mask().any() and (separation.rule == "copies" or _given(photos)):
        found = Sources(found.links, notes=(_LATER,)) if planned else link_sources(photos, copies, tools)
        photos = photos.noted(found.notes)
        if separation.rule == "copies":
            separation = separate(photos, kept_together(photos.table.height, found.links))
    with tools.timed("separate"):
        split = _split(photos, separation, copies, found.links, settings)
    return dataclasses.replace(split, names=found.names)


_LATER = sentence("altered copies of photos are looked for in the training itself: the split may differ by them")


def _given(photos: Photos) -> set[str]:
    return set(photos.used()["split"].drop_nulls()) & {"val", "test"}


def _split(
    photos: Photos,
    separation: Separation,
    copies: list[tuple[int, int]],
    links: list[Link],
    settings: TrainSettings,
) -> SplitPhotos:
    given = set(photos.used()["split"].drop_nulls())
    if settings.cv:
        folded = assign(photos, separation, split_seed=settings.split_seed, cv=settings.cv)
        return SplitPhotos(folded, separation, copies, "cv", settings.cv, None, False)
    parted = assign(
        photos,
        separation,
        split_seed=settings.split_seed,
        needs_val=settings.fitting == "network",
        split_from=_earlier_run(settings.split_from),
        keep_leaks=settings.keep_leaks,
        leaks=links,
    )
    reason = needs_cv(parted) if settings.cv is None and settings.split_from is None else None
    if reason is not None:
        folds = min(_DEFAULT_FOLDS, separation.counts["units"])
        folded = assign_folds(photos, separation, folds, settings.split_seed)
        return SplitPhotos(folded, separation, copies, "cv", folds, reason, False)
    evaluation: Evaluation = "given" if "test" in given else "split"
    return SplitPhotos(parted, separation, copies, evaluation, 0, None, "val" in given)


def _earlier_run(run: str | None) -> pl.DataFrame | None:
    if run is None:
        return None
    try:
        return read_table(typed(run))
    except ModelFileError as error:
        raise ConfigError(
            "--split-from must be the folder of a run with a data.parquet; %(run)s is none.", run=run
        ) from error
