"""Models compared on the same photos: the answer of `certero compare`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from certero.records.photo_counts import Counts, ListedPhoto, SeparationFacts
from certero.records.quantity import Quantity
from certero.records.record import INLINE, Record
from certero.sentences import Message


@dataclass(frozen=True, slots=True)
class ClassRecall(Record):
    """Of one class, how many photos show it, and the share of them that was found."""

    n: int
    recall: Quantity


@dataclass(frozen=True, slots=True)
class ModelScores(Record):
    """The figures of one of several classifiers."""

    accuracy: Quantity
    macro_f1: Quantity
    per_class: Mapping[str, ClassRecall]


@dataclass(frozen=True, slots=True)
class Tested(Record):
    """A difference held against chance, on some of the photos.

    Args:
        n: photos.
        p: of the test, None where there is nothing to test.
        p_holm: corrected for how many parts of its kind were looked at.
        verdict: of the second model: `better`, `worse`, `alike` or `cannot tell`.
    """

    n: int
    p: float | None
    p_holm: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class ClassDifference(Record):
    """The difference of two models' recall of one class."""

    tested: Tested = field(metadata=INLINE)
    recall: Quantity


@dataclass(frozen=True, slots=True)
class SliceDifference(Record):
    """The difference of two models' accuracy on a part of the photos; see `Slice`."""

    slice: str
    value: str | None
    accuracy: Quantity
    tested: Tested = field(metadata=INLINE)


@dataclass(frozen=True, slots=True)
class Paired(Record):
    """Two models on the same photos, the second less the first.

    Args:
        n: photos.
        groups: that they come from; None for independent photos.
        only_first: photos that the first alone named rightly.
        only_second: photos that the second alone did.
        disagree: share of the photos that they name differently.
        accuracy: difference of the accuracies.
        macro_f1: difference of macro F1.
        test: `mcnemar` or `group_signs`; None where there are too few groups.
        p: of the test.
        p_holm: corrected for the number of pairs.
        verdict: of the second: `better`, `worse`, `alike` where both are right on the same photos, or `cannot tell`.
        reason: why nobody can tell.
        design_effect: photos divided by the independent ones that tell as much about the difference.
        photos_needed: photos that would show a difference of this size.
        smallest_difference: that so many photos would show.
        per_class: by name.
        slices: parts of the photos.
    """

    n: int
    groups: int | None
    only_first: int
    only_second: int
    disagree: float
    accuracy: Quantity
    macro_f1: Quantity
    test: str | None
    p: float | None
    p_holm: float | None
    verdict: str
    reason: str | None
    design_effect: float
    photos_needed: int | None
    smallest_difference: float | None
    per_class: Mapping[str, ClassDifference]
    slices: tuple[SliceDifference, ...]


@dataclass(frozen=True, slots=True)
class Pair(Record):
    """Two models by their letters, the verdict in one sentence, and what the photos cannot show of either."""

    first: str
    second: str
    paired: Paired = field(metadata=INLINE)
    says: Message
    caution: Message | None


@dataclass(frozen=True, slots=True)
class Epochs(Record):
    """What a network's epochs cost and gave; see `stages.contenders`."""

    mean_accuracy: Quantity
    final_accuracy: Quantity
    seconds: Quantity


@dataclass(frozen=True, slots=True)
class ComparedModel(Record):
    """One of the models; figures are None where they were not measured."""

    letter: str
    name: str
    kind: str
    recipe: str | None
    image_size: int
    parameters: int
    file_bytes: int
    epochs: Epochs | None
    n: int
    accuracy: Quantity | None
    macro_f1: Quantity | None
    seen: int | None
    latency_ms: Quantity | None
    photos_per_second: Quantity | None


@dataclass(frozen=True, slots=True)
class Best(Record):
    """The model with the highest accuracy, those it is better than, and those of which nobody can tell."""

    letter: str
    better_than: tuple[str, ...]
    cannot_tell: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison(Record):
    """What the page of a comparison and the command line show of it."""

    n: int
    groups: int | None
    models: tuple[ComparedModel, ...]
    pairs: tuple[Pair, ...]
    best: Best | None
    speed_on: str | None
    separation: SeparationFacts | None
    counts: Counts | None
    listed: Mapping[str, tuple[ListedPhoto, ...]]
    openings: int | None
    notes: tuple[Message, ...]
