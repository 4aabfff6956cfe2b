"""The figures of a classifier on held-out photos: `test` of metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from certero.records.quantity import Quantity
from certero.records.record import ABSENT, INLINE, Record, key

#: The points of a curve, x and y each.
Points = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Averages(Record):
    """Precision, recall and F1, averaged over photos or classes."""

    precision: Quantity
    recall: Quantity
    f1: Quantity


@dataclass(frozen=True, slots=True)
class ClassScores(Record):
    """The figures of one class; `n` is how many of the photos show it."""

    n: int
    precision: Quantity
    recall: Quantity
    f1: Quantity
    roc_auc: Quantity
    average_precision: Quantity


@dataclass(frozen=True, slots=True)
class Confusion(Record):
    """What is taken for what.

    Args:
        classes: names of the K classes.
        counts: photos by true class (row) and predicted class.
        no_label: photos of each true class that got no label; None where every photo gets one.
    """

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    no_label: tuple[int, ...] | None = field(default=None, metadata=ABSENT)


@dataclass(frozen=True, slots=True)
class ReliabilityBin(Record):
    """Photos of similar confidence.

    Args:
        start: least confidence of the bin.
        end: greatest confidence.
        n: photos.
        confidence: their mean confidence.
        accuracy: the share of them that was named rightly.
    """

    start: float = field(metadata=key("from"))
    end: float = field(metadata=key("to"))
    n: int
    confidence: float
    accuracy: Quantity


@dataclass(frozen=True, slots=True)
class BeforeCalibration(Record):
    """How far the probabilities were off before they were calibrated; `ece` is None without photos."""

    ece: float | None
    reliability: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class ClassCalibration(Record):
    """Whether the probabilities of one class mean what they say.

    Args:
        named: photos that got its name.
        said: mean probability of the class on these; None without any.
        right: the share of these that show it.
        expected_share: mean probability of the class over all photos.
        share: the share of all photos that show it.
        verdict: `calibrated`, `off` or `too_few`; None where nothing could be tested.
    """

    named: int
    said: float | None
    right: Quantity
    expected_share: float
    share: Quantity
    verdict: str | None


@dataclass(frozen=True, slots=True)
class Curve(Record):
    """ROC (false against true positive rate) and precision-recall (recall, precision), thinned out for a chart."""

    roc: Points
    precision_recall: Points


@dataclass(frozen=True, slots=True)
class Curves(Record):
    """Of each class that can be ranked, and their mean."""

    macro: Curve
    per_class: Mapping[str, Curve]


@dataclass(frozen=True, slots=True)
class Answered(Record):
    """What the model is worth when it answers only the photos of which it is surest.

    Args:
        coverage: share of the photos to answer.
        threshold: confidence that answers so many of these photos.
        n: photos answered.
        accuracy: of these answers.
        set_threshold: threshold set on held-out photos; None without one, as what follows.
        answered: share of the photos that it answers.
        accuracy_answered: of those answers.
    """

    coverage: float
    threshold: float | None
    n: int
    accuracy: Quantity
    set_threshold: float | None
    answered: Quantity | None
    accuracy_answered: Quantity | None


@dataclass(frozen=True, slots=True)
class Abstention(Record):
    """The risk-coverage curve (share answered, accuracy, threshold), and some of its points in full."""

    curve: Points
    at_coverage: tuple[Answered, ...]


@dataclass(frozen=True, slots=True)
class Slice(Record):
    """Accuracy on a part of the photos.

    Args:
        slice: what divides them: `lighting`, `hour`, `group` or a column of the manifest.
        value: of this part; None where it is unknown.
        n: photos of the part.
        accuracy: on them.
        p: how often one of so many parts that are all alike would look so bad, at most; None where that cannot be
            told: an unknown value, too few photos, photos of one group.
        worse: whether the part surely is worse than the rest.
    """

    slice: str
    value: str | None
    n: int
    accuracy: Quantity
    p: float | None = None
    worse: bool = False


@dataclass(frozen=True, slots=True)
class Part(Record):
    """A slice beside the rest; `rest_accuracy` is the share of all other photos that was named rightly."""

    slice: str
    value: str | None
    n: int
    accuracy: Quantity
    rest_accuracy: float


@dataclass(frozen=True, slots=True)
class WorstSlice(Record):
    """The part of the photos that is most surely worse than the rest.

    Args:
        part: which one.
        looked_at: how many parts were compared.
        p: of the part, corrected for the number of parts; None where none could be compared.
        worse: whether it surely is.
        untested: a part that lies lower still but is one group, so that nobody can tell; None without.
    """

    part: Part = field(metadata=INLINE)
    looked_at: int
    p: float | None
    worse: bool
    untested: Part | None


@dataclass(frozen=True, slots=True)
class WeakClass(Record):
    """A class that was picked for being weak.

    Args:
        name: of the class.
        n: photos that show it.
        found: share of them that got its name, as in `per_class`.
        recall: the share to expect, given that it was picked: drawn towards the other classes as far as classes are
            alike. `method` is `picked`; without interval, as in `per_class`.
    """

    name: str = field(metadata=key("class"))
    n: int
    found: float
    recall: Quantity


@dataclass(frozen=True, slots=True)
class WeakestClass(WeakClass):
    """The class that is most likely the weakest.

    Args:
        of: how many classes were compared.
        by_chance: the share that the lowest of so many classes would show by chance if all were alike; None where
            none could be compared.
        p: how often one of them would look as low by chance; None likewise.
        worse: whether it surely is worse than the others.
        next: the further weak classes, at most 4.
    """

    of: int
    by_chance: float | None
    p: float | None
    worse: bool
    next: tuple[WeakClass, ...]


@dataclass(frozen=True, slots=True)
class ClassAlarms(Record):
    """Of the photos of a day, those of one class that are missed, and those that wrongly get its name.

    Args:
        shown: photos that show the class.
        missed: those of them that do not get its name.
        false_alarms: photos that get its name and do not show it.
    """

    shown: float
    missed: Quantity
    false_alarms: Quantity


@dataclass(frozen=True, slots=True)
class Alarms(Record):
    """What goes wrong among the photos of a day, with the classes in the shares of the judged photos.

    Args:
        per: `day`, or `hundred` photos where capture times do not tell how many a day brings.
        photos: of a day, as the photos of the run have them on average; or 100.
        per_class: by name of the class.
    """

    per: str
    photos: float
    per_class: Mapping[str, ClassAlarms]


@dataclass(frozen=True, slots=True)
class Scores(Record):
    """Every figure of a classifier on n held-out photos.

    Args:
        n: photos.
        groups: of photos that are not independent; None for independent photos.
        design_effect: photos divided by the independent ones that tell as much about the accuracy.
        effective_n: those independent ones.
        accuracy: share of the photos named rightly.
        new_unit: the accuracy to expect of one further day, place or group, and the range that 19 of 20 of them fall
            into; None where hours, or nothing, separate the photos.
        balanced_accuracy: mean recall over the classes.
        macro_f1: mean F1 over the classes.
        log_loss: mean log loss, nats.
        top_3: share whose class is among the three likeliest; undefined up to three classes.
        top_5: likewise of five.
        roc_auc: mean area under the ROC curves of the classes.
        average_precision: mean area under their precision-recall curves.
        majority_class_accuracy: share right of always naming the commonest class of the training.
        micro: averages over photos.
        macro: averages over classes.
        weighted: averages over classes by their photos.
        samples: averages of each photo's own figures.
        per_class: by name of the class.
        confusion: what is taken for what.
        ece: expected calibration error.
        ece_perfect: that of perfectly calibrated probabilities on these photos: mean, and the ends that 19 of 20 such
            sets of photos stay above and below.
        calibration_by_class: by name of the class; empty in older files.
        reliability: the table behind a reliability diagram, by rising confidence.
        before_calibration: the same without temperature and offsets; None where it is not known.
        curves: ROC and precision-recall.
        abstention: what it is worth to answer only where the model is sure.
        slices: accuracy on parts of the photos.
        worst_slice: the part that is most surely worse; None where nothing can be compared.
        majority_class: that class; None where folds would name different ones, or where it is not known.
        gain_over_majority: the accuracy minus that of naming it always, on the same photos.
        weakest_class: the class that is most likely the weakest; None with fewer than two classes.
        alarms: what is missed and what is called by a wrong name in a day; None in older files.
        levels: as `reliability`, over levels of confidence that people know; empty in older files.
    """

    n: int
    groups: int | None
    design_effect: float
    effective_n: float
    accuracy: Quantity
    balanced_accuracy: Quantity
    macro_f1: Quantity
    log_loss: Quantity
    top_3: Quantity
    top_5: Quantity
    roc_auc: Quantity
    average_precision: Quantity
    majority_class_accuracy: Quantity
    micro: Averages
    macro: Averages
    weighted: Averages
    samples: Averages
    per_class: Mapping[str, ClassScores]
    confusion: Confusion
    ece: Quantity
    ece_perfect: Quantity
    calibration_by_class: Mapping[str, ClassCalibration]
    reliability: tuple[ReliabilityBin, ...]
    before_calibration: BeforeCalibration | None
    curves: Curves
    abstention: Abstention
    slices: tuple[Slice, ...] = ()
    worst_slice: WorstSlice | None = None
    new_unit: Quantity | None = None
    majority_class: str | None = None
    gain_over_majority: Quantity | None = None
    weakest_class: WeakestClass | None = None
    alarms: Alarms | None = None
    levels: tuple[ReliabilityBin, ...] = ()
