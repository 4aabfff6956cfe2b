"""Scan, fingerprint, separate and split: everything that may look at test photos before the seal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from certero.config.settings import TrainSettings
from certero.data.scan import list_photos
from certero.data.separation import Separation, separate
from certero.data.split import assign, assign_folds, needs_cv
from certero.data.table import Photos, leave_out_rare
from certero.errors import ConfigError, ModelFileError
from certero.findings.duplicates import note_conflicts
from certero.photos.listing import typed
from certero.runs.stored import read_table
from certero.stages.look import find_copies, look_at_photos
from certero.stages.tools import Resources

_DEFAULT_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Prepared:
    """Photos with their splits or folds.

    Args:
        photos: the table, every row with its status; `fold` filled when cross-validated.
        separation: the rule that kept photos together.
        copies: pairs of rows that are verified copies of each other.
        evaluation: `given` (the data's own test split), `split` (cut by certero) or `cv`.
        folds: number of outer folds, 0 without cross-validation.
        reason: why cross-validation was chosen, None where it was not or was asked for.
        given_val: whether the val split came with the data.
    """

    photos: Photos
    separation: Separation
    copies: list[tuple[int, int]]
    evaluation: str
    folds: int
    reason: str | None
    given_val: bool


def prepare(data: Path, settings: TrainSettings, tools: Resources) -> Prepared:
    """From the user's data to splits or folds, as the settings say.

    Raises:
        DataError: if the data do not hold what training needs.
        SplitError: if they cannot be separated as asked.
    """
    photos = look_at_photos(list_photos(data, label_level=settings.label_level), tools, settings.times)
    if settings.min_photos is not None:
        photos = leave_out_rare(photos, settings.min_photos)
    with tools.timed("separate"):
        copies = find_copies(photos)
        photos = photos.noted(note_conflicts(photos.table, copies))
        separation = separate(photos, copies, group_by=settings.group_by, block=settings.block, gap=settings.gap)
        return _split(photos, separation, copies, settings)


def _split(photos: Photos, separation: Separation, copies: list[tuple[int, int]], settings: TrainSettings) -> Prepared:
    given = set(photos.used()["split"].drop_nulls())
    if settings.cv:
        folded = assign(photos, separation, split_seed=settings.split_seed, cv=settings.cv)
        return Prepared(folded, separation, copies, "cv", settings.cv, None, False)
    parted = assign(
        photos,
        separation,
        split_seed=settings.split_seed,
        needs_val=settings.fitting == "network",
        split_from=_earlier_run(settings.split_from),
        keep_leaks=settings.keep_leaks,
        leaks=copies,
    )
    reason = needs_cv(parted) if settings.cv is None and settings.split_from is None else None
    if reason is not None:
        folds = min(_DEFAULT_FOLDS, separation.counts["units"])
        folded = assign_folds(photos, separation, folds, settings.split_seed)
        return Prepared(folded, separation, copies, "cv", folds, reason, False)
    evaluation = "given" if "test" in given else "split"
    return Prepared(parted, separation, copies, evaluation, 0, None, "val" in given)


def _earlier_run(run: str | None) -> pl.DataFrame | None:
    if run is None:
        return None
    try:
        return read_table(typed(run))
    except ModelFileError as error:
        raise ConfigError(
            "--split-from must be the folder of a run with a data.parquet; %(run)s is none.", run=run
        ) from error
