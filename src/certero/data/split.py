"""Whole units into train, val and test, or into folds.

Nothing here looks at pixels or at models: the split depends on labels, units, given splits and its own seed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import timedelta

import numpy as np
import polars as pl

from certero.data.left_out import leave_out_leaks, leave_out_untimed, near_in_time, purge
from certero.data.separation import Separation, duration, with_units
from certero.data.strata import split_units as split_units
from certero.data.table import Mask, Photos, check_classes
from certero.errors import SplitError
from certero.likeness.sets import Link
from certero.records.photos import SPLITS
from certero.sentences import Message, Sentence, first_names, message, sentence, sentences

FRACTIONS = (0.70, 0.15, 0.15)
#: Below these, a class's figure on one test split says little, and cross-validation is the default.
MIN_TEST_PHOTOS = 20
MIN_TEST_UNITS = 3
#: With fewer separated units in test its interval is several times as wide as that of cross-validation, which tests on
#: all units.
MIN_INTERVAL_UNITS = 10
#: With fewer in all there is no interval either way (stats.intervals.FEWEST_GROUPS).
_FEWEST_UNITS = 3


def assign(
    photos: Photos,
    separation: Separation,
    *,
    split_seed: int = 0,
    needs_val: bool = False,
    cv: int | None = None,
    split_from: pl.DataFrame | None = None,
    keep_leaks: bool = False,
    leaks: Iterable[Link] = (),
) -> Photos:
    """The photos with `split` and `unit` filled, and what must be left out marked `leaked` or `purged`.

    Given splits are respected: photos without one join train, a missing test is cut from train, a missing val too
    if `needs_val`. Without given val and test photos all three are cut. Photos left out keep their row: their status
    says so. Test is never thinned out.

    Args:
        photos: as scanned.
        separation: of these photos.
        split_seed: of the split, and of nothing else.
        needs_val: whether a missing val is cut from train if test is given.
        cv: outer folds instead of three parts; see `assign_folds`.
        split_from: an earlier run's table: its test photos, with their whole units, go to test.
        keep_leaks: leave copies between given splits in use.
        leaks: pairs of rows that are copies of each other, altered ones and photos that are equal in a part too; only
            pairs across splits matter.

    Raises:
        DataError: fewer than 2 classes, or a class of one photo.
        SplitError: too few units, no two classes in more than one unit, or options that contradict each other.
    """
    check_classes(photos)
    given = photos.table["split"].is_in(["val", "test"]).fill_null(False)
    if cv is not None:
        if given.any():
            raise SplitError(
                "--cv makes its own folds; DATA gives val or test to %(given)s photos. Leave --cv "
                "out, or use data without given splits.",
                given=given.sum(),
            )
        return assign_folds(photos, separation, cv, split_seed)
    photos = with_units(photos, separation)
    if not (photos.table["split"] == "test").any():
        photos = leave_out_untimed(photos, separation)
    old_test = _old_test(photos, split_from)
    if not given.any():
        return _own_split(photos, separation, split_seed, old_test)
    return _given_split(photos, separation, split_seed, needs_val, old_test, keep_leaks, list(leaks))


def assign_folds(photos: Photos, separation: Separation, folds: int, split_seed: int = 0) -> Photos:
    """The photos, as scanned, with `unit` and the outer `fold` (0 to folds - 1) filled; every split is train.

    Raises:
        DataError: fewer than 2 classes, or a class of one photo.
        SplitError: fewer units than folds, or no two classes in more than one unit.
    """
    check_classes(photos)
    if folds < 2:
        raise SplitError("--cv must be at least 2 folds; found %(folds)s. Use --cv 5.", folds=folds)
    count = separation.counts["units"]
    photos = leave_out_untimed(with_units(photos, separation), separation)
    used = photos.used()
    alone = _check_spread(used, separation)
    if count < folds:
        raise _too_few(separation, folds, sentence("--cv %(folds)d needs at least %(folds)d", folds=folds))
    rows = np.flatnonzero(photos.used_mask())
    fold = np.full(photos.table.height, -1, dtype=np.int8)
    fold[rows] = split_units(used["label"].to_list(), used["unit"].to_list(), folds, split_seed)
    series = pl.Series("fold", [int(number) if number >= 0 else None for number in fold], dtype=pl.Int8)
    split = pl.Series("split", ["train" if number >= 0 else None for number in fold], dtype=pl.String)
    photos = dataclasses.replace(photos.with_columns(series, split), split_source="own")
    return photos.noted(alone)


def needs_cv(photos: Photos) -> Sentence | None:
    """Why the test split that certero cut is too small for a figure; None if it is not, or was given."""
    if photos.split_source != "own":
        return None
    test = photos.used().filter(pl.col("split") == "test").group_by("label")
    sizes = {label: (size, units) for label, size, units in test.agg(pl.len(), pl.col("unit").n_unique()).iter_rows()}
    small = {label: sizes.get(label, (0, 0)) for label in photos.classes()}
    small = {label: size for label, size in small.items() if size[0] < MIN_TEST_PHOTOS or size[1] < MIN_TEST_UNITS}
    if not small:
        return _wide_interval(photos)
    label, (size, units) = min(small.items(), key=lambda item: (item[1], item[0]))
    return sentence(
        "%(small)d of %(classes)d classes would have fewer than %(photos)d test photos, or test photos from fewer than "
        "%(units)d separate times or groups: %(label)s would have %(size)d from %(here)d",
        small=len(small),
        classes=len(photos.classes()),
        photos=MIN_TEST_PHOTOS,
        units=MIN_TEST_UNITS,
        label=label,
        size=size,
        here=units,
    )


def _wide_interval(photos: Photos) -> Sentence | None:
    """Why the test split would leave a figure nearly unknown, or without an interval, where all units would not."""
    used = photos.used()
    test = used.filter(pl.col("split") == "test")
    in_test, in_all = test["unit"].n_unique(), used["unit"].n_unique()
    if in_test == test.height or in_test >= MIN_INTERVAL_UNITS or in_all < _FEWEST_UNITS:
        return None
    return sentence(
        "test would hold %(in_test)d of %(in_all)d separated units, which leaves a wide interval or none",
        in_test=in_test,
        in_all=in_all,
    )


def fold_training_mask(table: pl.DataFrame, fold: int, gap: timedelta) -> Mask:
    """Boolean [rows]: used photos outside the fold, further than the gap in time from each of its photos.

    Args:
        table: rows of photos; those that are used have a fold.
        fold: the outer fold that is held out.
        gap: `Separation.gap`, which is zero unless time separates.
    """
    folds = table["fold"].fill_null(-1).to_numpy()
    times = table["captured_at"].to_numpy()
    near = near_in_time(times, times[folds == fold], gap)
    return np.asarray((folds >= 0) & (folds != fold) & ~near, dtype=np.bool_)


def units_to_fold(table: pl.DataFrame) -> list[str]:
    """What folds within some photos keep together: their units; of a single unit its hours, or else its photos.

    Photos of one hour are too much alike to choose by, and all there is where nothing tells them apart.
    """
    units: list[str] = table["unit"].to_list()
    if len(set(units)) > 1:
        return units
    if table["captured_at"].null_count() == 0:
        hours: list[str] = table["captured_at"].dt.truncate("1h").cast(pl.String).to_list()
        if len(set(hours)) > 1:
            return hours
    return [str(row) for row in range(len(units))]


_UNIT_WORDS = {
    "group": (message("group"), message("groups")),
    "days": (message("day"), message("days")),
    "time": (message("block"), message("blocks")),
    "copies": (message("set of copies"), message("units")),
}


def _kind(separation: Separation) -> str:
    return "days" if separation.whole_days else separation.rule


def _check_spread(table: pl.DataFrame, separation: Separation) -> list[Sentence]:
    """A note for each class that lies in one unit, and one if the classes were photographed one after the other.

    Args:
        table: the rows to be split, with their units.
        separation: of these photos.

    Raises:
        SplitError: fewer than two classes lie in more than one unit, so telling them apart cannot be learnt and tested.
    """
    spread = dict(table.group_by("label").agg(pl.col("unit").n_unique()).iter_rows())
    alone = sorted(label for label, units in spread.items() if units < 2)
    one, _many = _UNIT_WORDS[_kind(separation)]
    # `_too_few` says more about a single unit.
    if len(spread) - len(alone) < 2 and table["unit"].n_unique() > 1:
        raise _one_unit_a_class(separation, alone, len(spread))
    notes = [
        sentence("class %(label)s lies in one %(unit)s: never both trained and tested", label=label, unit=one)
        for label in alone
    ]
    if separation.rule == "time" and _follow_each_other(table):
        notes.append(
            sentence(
                "each class was photographed at a time of its own, one after the other: its light or background may "
                "tell it as well as what is in the photo"
            )
        )
    return notes


def _follow_each_other(table: pl.DataFrame) -> bool:
    """Whether the last photo of each class was taken before the first of the next."""
    time = pl.col("captured_at")
    spans = table.group_by("label").agg(time.min().alias("first"), time.max().alias("last"), pl.len()).sort("first")
    after = spans["first"][1:] > spans["last"][:-1]
    return bool(after.all()) and not after.null_count() and int(spans["len"].min() or 0) > 1  # type: ignore[arg-type]


def _one_unit_a_class(separation: Separation, alone: list[str], classes: int) -> SplitError:
    one, _many = _UNIT_WORDS[_kind(separation)]
    which = (
        message("each class lies")
        if len(alone) == classes
        else sentence("%(alone)d of %(classes)d classes lie", alone=len(alone), classes=classes)
    )
    if separation.rule == "group":
        unit: Message = sentence("group of --group-by %(group_by)s", group_by=separation.group_by)
        mend = message("Group by camera, animal or place instead")
    elif separation.whole_days:
        unit, mend = one, message("Photograph every class on several days, or take --for hours")
    elif separation.rule == "time":
        unit = sentence("block of %(length)s", length=duration(separation.block)) if separation.block else one
        mend = message("Photograph every class at several times, use a shorter --block, or separate with --group-by")
    else:
        unit, mend = one, message("Add photos that are no copies of each other")
    return SplitError(
        "two classes at least must lie in more than one %(one)s, or what tells them apart is "
        "never both learnt and tested; %(which)s in one %(unit)s (%(named)s). %(mend)s.",
        one=one,
        which=which,
        unit=unit,
        named=first_names(alone, 5),
        mend=mend,
    )


def _own_split(photos: Photos, separation: Separation, seed: int, old_test: Mask) -> Photos:
    photos = _cut(photos, separation, photos.used_mask(), FRACTIONS, seed, old_test)
    photos = dataclasses.replace(photos, split_source="own")
    return _finish(purge(photos, separation.gap, ("val", "test")), separation, list(SPLITS))


def _given_split(
    photos: Photos,
    separation: Separation,
    seed: int,
    needs_val: bool,
    old_test: Mask,
    keep_leaks: bool,
    leaks: list[Link],
) -> Photos:
    split = photos.table["split"]
    used = photos.used_mask()
    unassigned = used & split.is_null().to_numpy()
    photos = photos.with_columns(pl.col("split").fill_null("train"))
    if unassigned.any():
        joined = sentences(
            "%(count)d photo without a given split joined train",
            "%(count)d photos without a given split joined train",
            count=int(unassigned.sum()),
        )
        photos = photos.noted([joined])
    split = photos.table["split"]
    present = set(split.filter(pl.Series(used)))
    # Train photos may still become test photos if certero cuts test from train.
    fixed = ["val", "train"] if "test" in present else ["val"]
    if (old_test & split.is_in(fixed).to_numpy()).any():
        raise SplitError(
            "--split-from keeps old test photos in test; DATA gives some of them to train or val. "
            "Leave --split-from out, or correct the given splits."
        )
    if not keep_leaks:
        photos = leave_out_leaks(photos, leaks)
    train, val, test = FRACTIONS
    cut_val = val if needs_val and "val" not in present else 0.0
    cut_test = test if "test" not in present else 0.0
    if cut_val or cut_test:
        if "test" in present or "val" in present:
            train = 1.0 - cut_val - cut_test  # The given part is not shared out.
        pool = photos.used_mask() & (split == "train").to_numpy()
        photos = _cut(photos, separation, pool, (train, cut_val, cut_test), seed, old_test & pool)
        if not keep_leaks:
            photos = leave_out_leaks(photos, leaks)
    cut = tuple(name for name, share in (("val", cut_val), ("test", cut_test)) if share)
    photos = purge(photos, separation.gap, cut).noted(
        sentence("%(split)s was cut from train", split=message(name)) for name in cut
    )
    wanted = ["train", "val", "test"] if needs_val else ["train", "test"]
    return _finish(dataclasses.replace(photos, split_source="given"), separation, wanted)


def _old_test(photos: Photos, split_from: pl.DataFrame | None) -> Mask:
    """Boolean [rows]: used photos that were test photos of an earlier run, recognised by their pixels."""
    used = photos.used_mask()
    if split_from is None:
        return np.zeros_like(used)
    old = split_from.filter((pl.col("split") == "test") & pl.col("pixel_hash").is_not_null())["pixel_hash"]
    if not len(old):
        raise SplitError(
            "--split-from needs a run with test photos; that run has none (it was cross-validated "
            "or given no test). Leave --split-from out."
        )
    known = photos.table["pixel_hash"].is_in(old.unique().to_list()).fill_null(False)
    return np.asarray(used & known.to_numpy(), dtype=np.bool_)


def _cut(
    photos: Photos,
    separation: Separation,
    pool: Mask,
    fractions: tuple[float, float, float],
    seed: int,
    old_test: Mask,
) -> Photos:
    """The photos, with a split drawn for the pool's units, old test units first; the other rows keep theirs."""
    table = photos.table.filter(pool)
    wanted = [name for name, share in zip(SPLITS, fractions, strict=True) if share > 0]
    alone = _check_spread(table, separation)
    count = table["unit"].n_unique()
    if count < len(wanted):
        need = sentence("a split needs at least %(needed)d (%(splits)s)", needed=len(wanted), splits=", ".join(wanted))
        raise _too_few(separation, len(wanted), need, count)
    fixed = {unit: SPLITS.index("test") for unit in set(photos.table.filter(old_test)["unit"])}
    if count - len(fixed) < len(wanted) - 1:
        raise SplitError(
            "--split-from keeps old test photos in test; hardly anything else is left to train on. "
            "Add photos, or leave --split-from out."
        )
    parts = split_units(table["label"].to_list(), table["unit"].to_list(), fractions, seed, fixed)
    split = photos.table["split"].to_list()
    for row, part in zip(np.flatnonzero(pool).tolist(), parts.tolist(), strict=True):
        split[row] = SPLITS[part]
    return photos.with_columns(pl.Series("split", split, dtype=pl.String)).noted(alone)


def _finish(photos: Photos, separation: Separation, wanted: Sequence[str]) -> Photos:
    """Checks that the wanted parts hold photos, and notes the classes that a part lacks."""
    used = photos.used()
    labels = {name: set(used.filter(pl.col("split") == name)["label"]) for name in SPLITS}
    for name in wanted:
        if not labels[name]:
            if separation.rule == "time":
                raise SplitError(
                    "%(name)s must hold photos; none is left in it. Use a shorter --gap, or add photos.", name=name
                )
            raise SplitError(
                "%(name)s must hold photos; none is left in it. Correct the given splits, or add photos.", name=name
            )
    notes = []
    for name in SPLITS:
        missing = sorted(set(photos.classes()) - labels[name])
        if labels[name] and missing:
            notes.append(
                sentence("%(split)s has no used photo of %(classes)s", split=message(name), classes=", ".join(missing))
            )
    return photos.noted(notes)


_MORE_UNITS = {
    "timed": (message("separate by time with --block 1h"), message("Separate by time with --block 1h")),
    "group": (message("group by something finer"), message("Group by something finer")),
    "time": (
        message("use a shorter --block (and --gap), separate with --group-by, or leave times out with --times ignore"),
        message("Use a shorter --block (and --gap), separate with --group-by, or leave times out with --times ignore"),
    ),
    "days": (
        message("bring photos of more days, or take --for hours"),
        message("Bring photos of more days, or take --for hours"),
    ),
    "copies": (
        message("add photos that are no copies of each other"),
        message("Add photos that are no copies of each other"),
    ),
}


def _too_few(separation: Separation, needed: int, need: Sentence, count: int | None = None) -> SplitError:
    count = separation.counts["units"] if count is None else count
    word = _UNIT_WORDS[_kind(separation)][0 if count == 1 and separation.rule != "copies" else 1]
    timed = separation.counts["timed"] >= 0.9 * separation.counts["photos"]
    following, alone = _MORE_UNITS["timed" if separation.rule == "group" and timed else _kind(separation)]
    few = 2 <= count < needed
    advice = sentence("Use --cv %(count)d, or %(other)s", count=count, other=following) if few else alone
    if separation.rule == "group":
        rule = sentence("--group-by %(group_by)s", group_by=separation.group_by)
    elif separation.whole_days:
        rule = sentence("keeping whole days together")
    elif separation.rule == "time":
        # Does not name an option: usually none was given.
        length = duration(separation.block) if separation.block else None
        rule = sentence("time, in blocks of %(length)s,", length=length) if length else sentence("time")
    else:
        rule = sentence("keeping copies together")
    return SplitError(
        "%(rule)s leaves %(count)s %(word)s; %(need)s. %(advice)s.",
        rule=rule,
        count=count,
        word=word,
        need=need,
        advice=advice,
    )
