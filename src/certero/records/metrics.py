"""metrics.json: what a training or an evaluation measured, and which of it may stand at the top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from certero.interchange import Json
from certero.records.coverage import Covers
from certero.records.names import NameFamily
from certero.records.other_half import OtherHalf
from certero.records.photo_counts import Counts, Data, ListedPhoto, SeparationFacts
from certero.records.quantity import Quantity
from certero.records.record import ABSENT, INLINE, Record, key
from certero.records.scores import ReliabilityBin, Scores
from certero.records.training import Training
from certero.records.weighed import Weighed
from certero.sentences import Message

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Seen(Record):
    """How many of the judged photos the model was trained on.

    Args:
        exact: photos that are in the model's training, re-encoded and resized copies included.
        near: further near copies of training photos; None where they cannot be told.
        reason: why they cannot.
        near_falsely: share of photos never seen that pass for near copies.
        near_recognised: share of changed copies that are recognised.
        warning: where most of the photos were seen.
        unseen: the figures on the other photos; None where none or all were seen.
        paths: of all photos seen.
        near_paths: of the near copies.
    """

    exact: int
    near: int | None
    reason: Message | None
    near_falsely: float | None
    near_recognised: float | None
    warning: Message | None
    unseen: Scores | None
    paths: tuple[str, ...]
    near_paths: tuple[str, ...] | None

    @property
    def count(self) -> int:
        """Photos seen, exact or near."""
        return self.exact + (self.near or 0)


@dataclass(frozen=True, slots=True)
class Unknown(Record):
    """What became of photos of classes that the model does not know.

    Args:
        n: photos.
        classes: photos of each class.
        refused_share: share of known photos that may be refused for their sake; None in models made before there was a
            threshold for them, as what follows.
        threshold: the probability below which a photo is refused.
        refused: share of these photos that was refused.
        known_refused: share of the photos of known classes that was refused; None where there are none.
    """

    n: int
    classes: Mapping[str, int]
    refused_share: float | None
    threshold: float | None
    refused: Quantity | None
    known_refused: Quantity | None


@dataclass(frozen=True, slots=True)
class Calibration(Record):
    """How logits become probabilities, and on which held-out photos that was chosen.

    Args:
        source: `oof` (out-of-fold outputs of train and val) or `val`.
        method: `temperature`, `temperature_and_offsets` or `none`.
        reason: why the probabilities were left as they are; None where a temperature was fitted.
        temperature: what the logits are divided by.
        offsets: what is then added to those of each class; None where nothing is, and in older files.
        n: photos.
        log_loss_before: without it.
        log_loss_after: with what was fitted without the photo's unit.
        ece_before: expected calibration error without it.
        ece_after: with it.
        thresholds: confidence that answers a share of these photos, by that share as text.
        reliability_before: the table behind a reliability diagram; None in what the model file remembers.
        reliability_after: likewise.
    """

    source: str | None
    method: str | None
    reason: Message | None
    temperature: float | None
    offsets: Mapping[str, float] | None
    n: int | None
    log_loss_before: float | None
    log_loss_after: float | None
    ece_before: float | None
    ece_after: float | None
    thresholds: Mapping[str, float]
    reliability_before: tuple[ReliabilityBin, ...] | None = field(default=None, metadata=ABSENT)
    reliability_after: tuple[ReliabilityBin, ...] | None = field(default=None, metadata=ABSENT)

    @property
    def divisor(self) -> float:
        """What logits are divided by; 1 leaves them as they are."""
        return 1.0 if self.temperature is None else self.temperature

    def offsets_of(self, classes: Sequence[str]) -> tuple[float, ...] | None:
        """What is added to the divided logits of each class, in this order; None where nothing is."""
        given = self.offsets
        return None if given is None else tuple(given.get(name, 0.0) for name in classes)


@dataclass(frozen=True, slots=True)
class Folds(Record):
    """How many folds a cross-validation has, and why there is one."""

    folds: int
    reason: Message | None


@dataclass(frozen=True, slots=True)
class Export(Record):
    """What the speed of the model file cost.

    Args:
        features: where and how precisely the network was computed in training.
        n: photos that were compared.
        label_agreement: share of them that both name alike.
        probability_difference: largest difference of a probability.
    """

    features: str
    n: int
    label_agreement: float
    probability_difference: float


@dataclass(frozen=True, slots=True)
class Model(Record):
    """What is in the model file.

    Args:
        recipe: its name.
        backbone: pretrained network; None for layers of a recipe's own.
        image_size: side of the input, pixels.
        shipped: what the weights were fitted on.
        strength: the probe's C; None for a network trained whole.
        strength_losses: mean log loss of each C that was tried, by the C as text; None where only the file is at hand.
        photos: fitted on, as the file says; None in the metrics of a training.
    """

    recipe: str | None
    backbone: str | None
    image_size: int | None
    shipped: str | None
    strength: float | None
    strength_losses: Mapping[str, float | None] | None = field(default=None, metadata=ABSENT)
    photos: int | None = field(default=None, metadata=ABSENT)


@dataclass(frozen=True, slots=True)
class JudgedFigure(Record):
    """A figure held against a bar; `label` is its class, None for a figure of all classes."""

    figure: str
    label: str | None = field(metadata=key("class"))
    quantity: Quantity = field(metadata=INLINE)
    verdict: str


@dataclass(frozen=True, slots=True)
class Judgement(Record):
    """A user's bar: `require` as it was written, `met`, `not met` or `cannot tell`, and the figures behind that."""

    require: str
    verdict: str
    figures: tuple[JudgedFigure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics(Record):
    """The contents of metrics.json. Which keys there are depends on what was done, see `to_json`.

    Args:
        schema: version of the keys.
        evaluation: `split`, `given` or `cv` of a training, `evaluate` of a finished model.
        cv: of a cross-validation.
        test: the figures on held-out photos; None where they stay sealed, or where only refusals are counted.
        seen: how many of the photos an evaluated model was trained on.
        unknown: photos of classes that it does not know.
        shares: the figures with other shares of the classes; None where none were asked for.
        random_split_accuracy: what a random split would have claimed.
        optimism_of_random_split: that minus the accuracy.
        other_half: what a model trained on one half of the time says of the other; None from three days on, and where
            it was not asked.
        train_accuracy: on the photos fitted on; no measure.
        parameters: trainable numbers.
        openings: how often these test photos had been opened before.
        seconds: by stage.
        calibration: of the probabilities.
        export: what the speed of the model file cost.
        separation: what kept photos apart.
        covers: what the photos cover, and what nothing is known of; None in files of older versions.
        data: what the photos are.
        counts: of photos used and left out.
        listed: photos left out or damaged, by the reason.
        splits: photos of each class by split; None for a split without photos.
        requirements: the user's bars.
        decide: probability from which on a photo gets a label.
        threshold: the model's own, for all or by class.
        model: what is in the model file.
        training: how a network was trained; None for a probe.
        versions: of certero and the libraries it rests on.
        notes: what else a reader must know.
        names: what the names of a training's photos tell of which belong together, where nothing else does.
    """

    schema: int = SCHEMA
    evaluation: str
    cv: Folds | None = None
    test: Scores | None
    seen: Seen | None = None
    unknown: Unknown | None = None
    shares: Weighed | None = field(default=None, metadata=ABSENT)
    random_split_accuracy: Quantity | None = None
    optimism_of_random_split: Quantity | None = None
    other_half: OtherHalf | None = None
    train_accuracy: Quantity | None = None
    parameters: int | None = None
    openings: int | None = 0
    seconds: Mapping[str, float]
    calibration: Calibration = field(default_factory=lambda: Calibration.from_json(None))
    export: Export | None = None
    separation: SeparationFacts = field(default_factory=lambda: SeparationFacts.from_json(None))
    covers: Covers | None = None
    data: Data = field(default_factory=lambda: Data.from_json(None))
    counts: Counts
    listed: Mapping[str, tuple[ListedPhoto, ...]] = field(default_factory=dict)
    splits: Mapping[str, Mapping[str, int] | None] = field(default_factory=dict)
    requirements: tuple[Judgement, ...] = ()
    decide: float | None = None
    threshold: float | Mapping[str, float] | None = None
    model: Model = field(default_factory=lambda: Model.from_json(None))
    training: Training | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Message, ...] = ()
    names: tuple[NameFamily, ...] = ()

    def to_json(self) -> Json:
        """The keys of a training, of an evaluation, or of an evaluation on photos of unknown classes alone."""
        found = Record.to_json(self)
        if self.evaluation != "evaluate":
            return _without(found, "seen", "unknown", "threshold")
        if self.test is None:
            kept = ("schema", "evaluation", "test", "seen", "unknown", "counts", "requirements", "notes")
            return {name: found[name] for name in (*kept, "openings", "seconds")}
        # As the card tells them, whose keys are sorted.
        size = found["model"].pop("image_size")
        found["model"] = dict(sorted(found["model"].items())) | {"image_size": size}
        found["calibration"] = dict(sorted(found["calibration"].items()))
        last = ("openings", "requirements", "seconds")
        measured = _without(found, "cv", "other_half", "parameters", "export", "training", "names", *last)
        return measured | {name: found[name] for name in last}


def _without(found: Json, *names: str) -> Json:
    return {name: value for name, value in found.items() if name not in names}


@dataclass(frozen=True, slots=True)
class Headline:
    """Which of the measured figures may stand at the top.

    Args:
        body: the figures, None where there is no honest one.
        sealed: no test photo was opened.
        seen: photos that the model was trained on; they are not in `body`.
        contaminated: all photos were seen in training, so nothing may be claimed.
    """

    body: Scores | None
    sealed: bool
    seen: int
    contaminated: bool


def headline(metrics: Metrics) -> Headline:
    """The figures on photos that the model has never seen; nothing else may be a headline, or be held against a bar."""
    seen = 0 if metrics.seen is None else metrics.seen.count
    if metrics.test is None:
        return Headline(None, sealed=True, seen=seen, contaminated=False)
    if metrics.seen is None or not seen:
        return Headline(metrics.test, sealed=False, seen=0, contaminated=False)
    unseen = metrics.seen.unseen
    if unseen is not None and unseen.n:
        return Headline(unseen, sealed=False, seen=seen, contaminated=False)
    return Headline(None, sealed=False, seen=seen, contaminated=True)
