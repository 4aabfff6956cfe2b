"""The figures of a classifier on held-out photos, each with its interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from certero.errors import ConfigError, DataError
from certero.records.quantity import Quantity
from certero.records.scores import Averages, BeforeCalibration, ClassScores, Confusion, Curves, Scores
from certero.stats.abstention import measure_abstention
from certero.stats.calibration import uncalibrated
from certero.stats.calibration_check import check_calibration
from certero.stats.class_means import Members, class_f1, counts_by_group, mean_over_classes
from certero.stats.guessing import compare_with_guess
from certero.stats.intervals import (
    effective_sample_size,
    group_codes,
    percentile_interval,
    proportion,
    resample,
    transformed,
    undefined,
)
from certero.stats.linearised import mean_loss
from certero.stats.ranking import Rankings, rank
from certero.stats.reliability import confidence_bins, expected_calibration_error, reliability, spoken_levels
from certero.stats.weakest import pick_weakest

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

FIGURES = ("precision", "recall", "f1")


@dataclass(frozen=True, slots=True)
class _Answers:
    """What the classifier said about n photos of K classes.

    `photo` and `label` [pairs] list every label given; without `decide` there is exactly one a photo.
    """

    truth: Integers
    photo: Integers
    label: Integers
    probability_of_truth: Floats
    confidence: Floats
    top_correct: Flags
    rank_of_truth: Integers
    classes: tuple[str, ...]
    one_label: bool

    @property
    def hit(self) -> Flags:
        """Bool [pairs]: this label is the true one."""
        return np.equal(self.truth[self.photo], self.label)

    @property
    def found(self) -> Flags:
        """Bool [n]: the true label is among those given."""
        return np.bincount(self.photo[self.hit], minlength=len(self.truth)) > 0

    @property
    def labels_given(self) -> Integers:
        """Int [n]: number of labels given to each photo."""
        return np.bincount(self.photo, minlength=len(self.truth)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Beforehand:
    """What was set on held-out photos before these were judged.

    Args:
        temperature: float or float [n], what the logits were divided by; None to leave that out.
        thresholds: see `measure_abstention`.
        offsets: float [K] or float [n, K], what was added to the divided logits; None for none.
        guess: see `compare_with_guess`.
    """

    temperature: ArrayLike | None = None
    thresholds: Mapping[str, ArrayLike] | None = None
    offsets: ArrayLike | None = None
    guess: ArrayLike | None = None


NOTHING_SET = Beforehand()


@dataclass(frozen=True, slots=True)
class Resamples:
    """Of the bootstrap: how many, and the seed that draws them."""

    count: int = 1000
    seed: int = 0


_USUAL = Resamples()


def score(
    probabilities: ArrayLike,
    truth: ArrayLike,
    classes: Sequence[str],
    groups: ArrayLike | None = None,
    *,
    decide: float | None = None,
    accepted: ArrayLike | None = None,
    beforehand: Beforehand = NOTHING_SET,
    resamples: Resamples = _USUAL,
) -> Scores:
    """Every figure of n held-out photos but those of slices.

    Shares of photos (accuracy, recall, precision) and per-class F1 carry Wilson intervals, other figures
    bootstrap ones. Where all resamples agree (a perfect score) an averaged figure has the average of its
    classes' own intervals instead, method `class_intervals`, which is wider than 95 % asks for. When the photos are
    all of one class, precision, F1, the areas and the averages over classes are undefined, method `single_class`. See
    `_per_class` and `_figures` for what other undefined figures become.

    Args:
        probabilities: float [n, K].
        truth: int [n], index into classes.
        classes: K names.
        groups: int or str [n], the group of each photo; None for independent photos.
        decide: give a photo every label whose probability reaches this, perhaps none or several, instead of
            the likeliest one. `accuracy` then counts the photos whose only label is the true one.
        accepted: bool [n], photos whose likeliest label counts; the others get none. Not together with `decide`.
        beforehand: calibration and thresholds, whose worth is measured too.
        resamples: of the bootstrap.

    Raises:
        DataError: no photos, or shapes and indices that do not fit together.
        ConfigError: `decide` outside (0, 1].
    """
    answers = _answers(probabilities, truth, classes, decide, accepted)
    n = len(answers.truth)
    codes = group_codes(groups, n)
    count = None if codes is None else int(codes.max()) + 1
    exact = answers.found & (answers.labels_given == 1)
    accuracy = proportion(exact, codes, all_groups=count)
    effective_n = effective_sample_size(exact, codes)
    guessing = compare_with_guess(exact, answers.truth, beforehand.guess, answers.classes, codes)
    per_class = _per_class(answers, codes, count)
    figures = _averages(answers, codes, per_class, resamples) | _shares(answers, codes, count, accuracy)
    ranking = rank(probabilities, answers.truth, codes)
    check = check_calibration(probabilities, answers.truth, answers.classes, codes, answers.photo, answers.label)
    if len(np.unique(answers.truth)) == 1:
        _null_single_class(figures, per_class, answers.classes[answers.truth[0]])
    return Scores(
        n=n,
        groups=count,
        design_effect=n / effective_n,
        effective_n=effective_n,
        accuracy=accuracy,
        balanced_accuracy=figures["balanced", "recall"],
        macro_f1=figures["macro", "f1"],
        log_loss=figures["log_loss", ""],
        top_3=_in_top(3, answers, codes),
        top_5=_in_top(5, answers, codes),
        roc_auc=ranking.macro.roc_auc,
        average_precision=ranking.macro.average_precision,
        majority_class_accuracy=guessing.accuracy,
        micro=_row("micro", figures),
        macro=_row("macro", figures),
        weighted=_row("weighted", figures),
        samples=_row("samples", figures),
        per_class=_class_scores(per_class, ranking),
        confusion=_confusion(answers),
        ece=_with_perfect(figures["ece", ""], check.perfect),
        ece_perfect=check.perfect,
        calibration_by_class=check.by_class,
        reliability=reliability(probabilities, truth, groups=codes),
        before_calibration=_before_calibration(probabilities, truth, codes, beforehand),
        curves=_curves(answers.classes, ranking),
        abstention=measure_abstention(answers.confidence, answers.top_correct, codes, beforehand.thresholds),
        majority_class=guessing.name,
        gain_over_majority=guessing.gain,
        weakest_class=pick_weakest(answers.found, answers.truth, codes, per_class),
        levels=spoken_levels(probabilities, truth, codes),
    )


def _shares(
    answers: _Answers, codes: Integers | None, count: int | None, accuracy: Quantity
) -> dict[tuple[str, str], Quantity]:
    """The averaged figures that are shares of photos: the same number must not carry two intervals."""
    found: dict[tuple[str, str], Quantity] = {}
    if answers.one_label:
        found |= dict.fromkeys([(row, figure) for row in ("micro", "samples") for figure in FIGURES], accuracy)
    recall = proportion(answers.found, codes, all_groups=count)
    return found | {(row, "recall"): recall for row in ("micro", "weighted", "samples")}


def _with_perfect(error: Quantity, perfect: Quantity) -> Quantity:
    """The calibration error with an interval that holds 0 where perfect calibration would show as much.

    Its resamples alone hold 0 in some half of perfectly calibrated sets: a mean of absolute differences is never 0.
    """
    high = perfect.high
    if error.value is None or error.low is None or high is None or error.value > high:
        return error
    return dataclasses.replace(error, low=0.0)


def _in_top(k: int, answers: _Answers, codes: Integers | None) -> Quantity:
    """How often the true class is among the k likeliest; undefined where there are no more classes."""
    if len(answers.classes) <= k:
        return undefined(len(answers.truth))
    return proportion(answers.rank_of_truth < k, codes, all_groups=None if codes is None else int(codes.max()) + 1)


def _row(row: str, figures: Mapping[tuple[str, str], Quantity]) -> Averages:
    return Averages(*(figures[row, figure] for figure in FIGURES))


def _class_scores(per_class: Mapping[str, Mapping[str, Quantity]], ranking: Rankings) -> dict[str, ClassScores]:
    return {
        name: ClassScores(
            n=found["recall"].n,
            precision=found["precision"],
            recall=found["recall"],
            f1=found["f1"],
            roc_auc=one.roc_auc,
            average_precision=one.average_precision,
        )
        for (name, found), one in zip(per_class.items(), ranking.classes, strict=True)
    }


def _curves(classes: Sequence[str], ranking: Rankings) -> Curves:
    ranked = zip(classes, ranking.classes, strict=True)
    return Curves(ranking.macro.curve(), {name: one.curve() for name, one in ranked if len(one.roc)})


def _before_calibration(
    probabilities: ArrayLike, truth: ArrayLike, codes: Integers | None, beforehand: Beforehand
) -> BeforeCalibration | None:
    if beforehand.temperature is None:
        return None
    before = uncalibrated(probabilities, beforehand.temperature, beforehand.offsets)
    return BeforeCalibration(expected_calibration_error(before, truth), reliability(before, truth, groups=codes))


def _answers(
    probabilities: ArrayLike,
    truth: ArrayLike,
    classes: Sequence[str],
    decide: float | None,
    accepted: ArrayLike | None = None,
) -> _Answers:
    given = np.asarray(probabilities)
    labels = np.asarray(truth, dtype=np.int64)
    n, k = len(labels), len(classes)
    if n == 0:
        raise DataError("figures need at least 1 test photo; found none")
    if given.shape != (n, k):
        raise DataError(
            "probabilities must have shape %(what)s (photos, classes); found %(shape)s", what=(n, k), shape=given.shape
        )
    if not np.isfinite(given).all():
        raise DataError("probabilities must be finite; found NaN or infinity, so check the model file")
    if labels.min() < 0 or labels.max() >= k:
        raise DataError(
            "true labels must lie in 0..%(k)s; found %(min)s..%(max)s", k=k - 1, min=labels.min(), max=labels.max()
        )
    if decide is not None and not 0 < decide <= 1:
        raise ConfigError("--decide must lie above 0 and at most 1; found %(decide)g", decide=decide)
    top = given.argmax(axis=1)
    if accepted is not None:
        photo = np.flatnonzero(np.asarray(accepted, dtype=bool))
        label = top[photo]
    else:
        photo, label = (np.arange(n), top) if decide is None else np.nonzero(given >= decide)
    # A probability that underflowed to 0 costs what the smallest step of its type costs, not infinity.
    tiny = float(np.finfo(given.dtype).eps) if given.dtype.kind == "f" else 1e-15
    # Of equal probabilities the first column wins, as in argmax.
    own = given[np.arange(n), labels][:, None]
    before = np.arange(k)[None] < labels[:, None]
    return _Answers(
        truth=labels,
        photo=photo.astype(np.int64),
        label=label.astype(np.int64),
        probability_of_truth=np.clip(given[np.arange(n), labels].astype(np.float64), tiny, 1.0),
        confidence=given.max(axis=1).astype(np.float64),
        top_correct=top == labels,
        rank_of_truth=((given > own) | ((given == own) & before)).sum(axis=1),
        classes=tuple(classes),
        one_label=decide is None and accepted is None,
    )


def _per_class(answers: _Answers, codes: Integers | None, count: int | None) -> dict[str, dict[str, Quantity]]:
    """Precision, recall and F1 of each class; null (`undefined`) for 0/0: never predicted, or not there."""
    hit = answers.hit

    def share(successes: Flags, photos: Integers | Flags) -> Quantity:
        return proportion(successes, None if codes is None else codes[photos], all_groups=count)

    table = {}
    for index, name in enumerate(answers.classes):
        called = answers.label == index
        is_called = np.zeros(len(answers.truth), dtype=bool)
        is_called[answers.photo[called]] = True
        is_class = answers.truth == index
        table[name] = {
            "precision": share(hit[called], answers.photo[called]),
            "recall": share(is_called[is_class], is_class),
            "f1": class_f1(is_class, is_called, codes, count),
        }
    return table


def _averages(
    answers: _Answers,
    codes: Integers | None,
    per_class: dict[str, dict[str, Quantity]],
    resamples: Resamples,
) -> dict[tuple[str, str], Quantity]:
    """The figures that are no shares of photos, from one set of bootstrap resamples."""
    n, k = len(answers.truth), len(answers.classes)
    bin_of, _ = confidence_bins(answers.confidence)
    true_photo, true_label = answers.photo[answers.hit], answers.label[answers.hit]
    given = answers.labels_given
    # A photo's own precision, recall and F1 (the `samples` row); recall is 1 where the label was found.
    per_photo = np.stack(
        [
            np.divide(answers.found, given, out=np.zeros(n), where=given > 0),
            answers.found.astype(np.float64),
            2 * answers.found / (given + 1),
            -np.log(answers.probability_of_truth),
            np.ones(n),
        ]
    )
    gaps = answers.top_correct - answers.confidence

    def sums(weights: Floats) -> Floats:
        return np.concatenate(
            [
                np.bincount(true_label, weights=weights[true_photo], minlength=k),
                np.bincount(answers.label, weights=weights[answers.photo], minlength=k),
                np.bincount(answers.truth, weights=weights, minlength=k),
                per_photo @ weights,
                np.bincount(bin_of, weights=weights * gaps),
            ]
        )

    # Classes are counted as scikit-learn counts them: of a label matrix all columns, else those that occur.
    occurring = len(np.union1d(answers.truth, answers.label))
    share = 1.0 if answers.one_label else occurring / k
    whole = _figures(sums(np.ones(n))[None], k, share)
    draws = _figures(resample(sums, n, codes, n_resamples=resamples.count, seed=resamples.seed), k, share)
    found = {} if codes is None else _grouped_averages(answers, codes, per_class)
    for (row, figure), value in whole.items():
        if (row, figure) in found:
            continue
        quantity = percentile_interval(
            float(value[0]), draws[row, figure], n, codes, mirrored=(row, figure) == ("ece", "")
        )
        if quantity.method == "no_variation":
            quantity = _without_variation(quantity, row, figure, answers, codes, per_class)
        found[row, figure] = quantity
    return found


def _figures(sums: Floats, k: int, share: float) -> dict[tuple[str, str], Floats]:
    """Every averaged figure, float [resamples], from the sums of `_averages`, float [resamples, sums].

    An undefined precision, recall or F1 of a class counts as 0 in the macro and weighted rows, as in
    scikit-learn; a class that a resample happens to miss altogether does not count there. `share` of the k
    classes occur at all; the others count as 0 in the macro row.
    """
    hits, called, true = sums[:, :k], sums[:, k : 2 * k], sums[:, 2 * k : 3 * k]
    photos, gaps = sums[:, 3 * k : 3 * k + 5], sums[:, 3 * k + 5 :]
    total = photos[:, 4]
    occurs = (called + true) > 0
    counted = occurs.sum(axis=1)
    found: dict[tuple[str, str], Floats] = {}
    pairs = {"precision": (hits, called), "recall": (hits, true), "f1": (2 * hits, called + true)}
    for place, (figure, (above, below)) in enumerate(pairs.items()):
        each = _ratio(above, below)
        zeroed = np.nan_to_num(each)
        found["micro", figure] = _ratio(above.sum(axis=1), below.sum(axis=1))
        found["macro", figure] = share * zeroed.sum(axis=1) / np.maximum(counted, 1)
        found["weighted", figure] = (zeroed * true).sum(axis=1) / total
        found["samples", figure] = photos[:, place] / total
        if figure == "recall":
            found["balanced", figure] = zeroed.sum(axis=1) / (true > 0).sum(axis=1)
    found["log_loss", ""] = photos[:, 3] / total
    found["ece", ""] = np.abs(gaps).sum(axis=1) / total
    return found


def _ratio(above: Floats, below: Floats) -> Floats:
    ratio: Floats = np.full(above.shape, np.nan)
    return np.divide(above, below, out=ratio, where=below > 0)


def _without_variation(
    quantity: Quantity,
    row: str,
    figure: str,
    answers: _Answers,
    codes: Integers | None,
    per_class: dict[str, dict[str, Quantity]],
) -> Quantity:
    """An interval for a figure that every resample repeats: by its classes, or as a share of photos."""
    value = quantity.value
    if value is None or figure == "":
        return quantity  # a loss has no classes to fall back on
    if row in ("micro", "samples"):
        count = None if codes is None else int(codes.max()) + 1
        return proportion(np.full(len(answers.truth), value), codes, all_groups=count)
    weight = _class_weights(row, answers)
    quantities = [found[figure] for found in per_class.values()]
    low = np.array([0.0 if q.low is None else q.low for q in quantities])
    high = np.array([1.0 if q.high is None else q.high for q in quantities])
    ends = min(value, float(weight @ low)), max(value, min(1.0, float(weight @ high)))
    return Quantity(value, *ends, "class_intervals", quantity.n)


def _class_weights(row: str, answers: _Answers) -> Floats:
    """Of each class in the averages of a row, float [K]."""
    true = np.bincount(answers.truth, minlength=len(answers.classes)).astype(np.float64)
    called = np.bincount(answers.label, minlength=len(answers.classes))
    counts = true if row == "weighted" else (true > 0) if row == "balanced" else (true + called) > 0
    weight = np.asarray(counts, dtype=np.float64)
    total = len(answers.classes) if row == "macro" and not answers.one_label else weight.sum()
    weights: Floats = weight / total
    return weights


def _grouped_averages(
    answers: _Answers, codes: Integers, per_class: dict[str, dict[str, Quantity]]
) -> dict[tuple[str, str], Quantity]:
    """The averages of dependent photos: over classes from the classes' intervals, over photos as shares of photos."""
    n, k = len(answers.truth), len(answers.classes)
    groups = int(codes.max()) + 1
    shape = groups, k
    hits = counts_by_group(codes[answers.photo[answers.hit]], answers.label[answers.hit], shape)
    called = counts_by_group(codes[answers.photo], answers.label, shape)
    true = counts_by_group(codes, answers.truth, shape)
    sizes = np.bincount(codes)[:, None]
    pairs = {"precision": (hits, called), "recall": (hits, true), "f1": (2 * hits, called + true)}
    found = {}
    for figure, (above, below) in pairs.items():
        quantities = [row[figure] for row in per_class.values()]
        value = np.array([quantity.value or 0.0 for quantity in quantities])
        pulls = (above - value * below) / np.maximum(below.sum(axis=0), 1)
        for row in ("macro", "weighted", *(["balanced"] if figure == "recall" else [])):
            weights = _class_weights(row, answers)
            composition = (true - sizes * weights) @ value / n if row == "weighted" else None
            found[row, figure] = mean_over_classes(Members(quantities, weights, pulls, below), n, composition)
    given = answers.labels_given
    each = {"precision": answers.found / np.maximum(given, 1), "f1": 2 * answers.found / (given + 1)}
    for figure, share in each.items():
        found["samples", figure] = proportion(share, codes, all_groups=groups)
    found["log_loss", ""] = mean_loss(-np.log(answers.probability_of_truth), codes)
    found["micro", "precision"] = proportion(answers.hit, codes[answers.photo], all_groups=groups)
    # Every label given, and every true one that was not: F1 rises with the share of hits among them.
    missed = codes[~answers.found]
    union = proportion(
        np.r_[answers.hit, np.zeros(len(missed), dtype=bool)],
        np.r_[codes[answers.photo], missed],
        all_groups=groups,
    )
    found["micro", "f1"] = transformed(union, lambda share: 2 * share / (1 + share))
    return found


def _null_single_class(
    figures: dict[tuple[str, str], Quantity], per_class: dict[str, dict[str, Quantity]], only: str
) -> None:
    """Photos of one class have no chance to be false alarms: only recall and accuracy mean something."""
    for (row, figure), quantity in figures.items():
        if row in ("macro", "balanced") or figure in ("precision", "f1"):
            figures[row, figure] = undefined(quantity.n, "single_class")
    for name, found in per_class.items():
        for figure in FIGURES if name != only else ("precision", "f1"):
            found[figure] = undefined(found[figure].n, "single_class")


def _confusion(answers: _Answers) -> Confusion:
    """With `decide` a photo counts under each of its labels, or in `no_label`."""
    k = len(answers.classes)
    cells = np.bincount(answers.truth[answers.photo] * k + answers.label, minlength=k * k)
    unnamed = None
    if not answers.one_label:
        unnamed = tuple(np.bincount(answers.truth[answers.labels_given == 0], minlength=k).tolist())
    return Confusion(answers.classes, tuple(map(tuple, cells.reshape(k, k).tolist())), unnamed)
