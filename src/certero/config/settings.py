"""Every setting of a training run. Here is the only place where one is written; see the package's docstring."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from certero.config.kinds import (
    Duration,
    Level,
    Number,
    Pair,
    Positives,
    Preset,
    RecipeName,
    Switch,
    Tables,
    Text,
    Texts,
    Weights,
    Whole,
    Word,
)
from certero.config.panels import DATA, NETWORK, OUTPUT, SPLIT, TRAINING, WORK
from certero.config.parsing import FIGURE_FOR, TIMES, ClassWeights, FigureFor, Times
from certero.config.setting import NETWORKS, Among, Between, Fitting, Option, setting
from certero.config.toml import to_toml
from certero.sentences import message

_PROBE: frozenset[Fitting] = frozenset(("probe",))
_BACKBONE: frozenset[Fitting] = frozenset(("backbone",))
_LAYERS: frozenset[Fitting] = frozenset(("layers",))
_SEED = Whole(0, 2**32 - 1)
_OF_RECIPE = message("the recipe's")


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Everything that decides a training run; `config.toml` of a run holds all of it, resolved.

    The help of each field says what it is; docs/reference.md lists them all.
    """

    recipe: str = setting(
        "probe",
        RecipeName(),
        message("What to train: a recipe of certero's, or a TOML file of settings."),
        option=Option(NETWORK),
        more="See [Recipes](#recipes).",
    )
    backbone: str = setting(
        "efficientnet_lite0",
        Text(suggested=("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")),
        message("Pretrained network: efficientnet_lite0, or a timm name whose weights are at hand."),
        used_by=_PROBE | _BACKBONE,
        option=Option(NETWORK, metavar="NAME"),
        default_said=_OF_RECIPE,
    )
    weights: str | None = setting(
        None,
        Text(file=True),
        message("File of weights to start from: of the backbone, or of an earlier run."),
        option=Option(NETWORK, metavar="FILE"),
        default_said=message("the backbone's own"),
        more="Safetensors or a plain state dictionary; also `checkpoints/best.safetensors` of an earlier run of the "
        "same network.",
    )
    image_size: int | None = setting(
        None,
        Whole(32, 1024),
        message("Side of the network's input, pixels."),
        option=Option(NETWORK),
        default_said=message("the recipe's, else the backbone's"),
        search=Among(128, 160, 192, 224, 256),
    )
    fit: Literal["letterbox", "stretch"] = setting(
        "letterbox",
        Word("letterbox", "stretch"),
        message("letterbox keeps the whole photo and its shape; stretch ignores the shape."),
        option=Option(NETWORK),
        default_said=_OF_RECIPE,
        search=Among(),
    )
    strengths: tuple[float, ...] = setting(
        (1e-2, 3e-2, 1e-1, 3e-1, 1.0),
        Positives(),
        message("Values of C, the inverse strength of the L2 penalty, to choose from."),
        used_by=_PROBE,
        more="They are tried in rising order until one is worse than the one before.",
    )
    views: int | None = setting(
        None,
        Whole(1, 8),
        message("Views of each training photo that a probe learns from: the photo, and parts of it in other light."),
        used_by=_PROBE,
        option=Option(NETWORK, metavar="N"),
        default_said=message("3 for up to 1,000 photos, else 1"),
        more="The first is the photo, the second a part of it, mirrored or not, the third likewise in other light, and "
        "so on in turn. A prediction looks at the photo alone.",
        search=Among(1, 2, 3, 5),
    )
    class_weights: ClassWeights = setting(
        "balanced",
        Weights(),
        message("none, balanced (by 1/frequency), or CLASS=WEIGHT,..."),
        option=Option(NETWORK),
        default_said=_OF_RECIPE,
        more="In a recipe also a table of weights by class.",
        search=Among("none", "balanced"),
    )
    group_by: str | None = setting(
        None,
        Text(suggested=("parent",)),
        message("Photos that stay together: a manifest column, 'parent', or a regular expression over the path."),
        option=Option(SPLIT, metavar="COLUMN"),
        default_said=message("by time, else copies"),
        more="`parent` is the photo's folder; of an expression the first group counts, or else the whole match.",
    )
    block: timedelta | None = setting(
        None,
        Duration(),
        message("Photos taken within one such block of time stay together, e.g. 1h."),
        option=Option(SPLIT),
        default_said=message("whole days, else from the photos"),
    )
    figure_for: FigureFor | None = setting(
        None,
        Word(*FIGURE_FOR),
        message("What the figure must speak of: other hours of the same days, other days, or other places."),
        option=Option(SPLIT, name="--for"),
        default_said=message("the most that the photos allow"),
        more="Whole days are kept together for `days`, blocks of hours for `hours`, the groups of `--group-by` for "
        "`places`; see [What a figure speaks of](#what-a-figure-speaks-of).",
    )
    gap: timedelta = setting(
        timedelta(minutes=10),
        Duration(),
        message("Least time between photos of two splits, where time separates them."),
        option=Option(SPLIT),
        default_said="10m",
    )
    times: Times = setting(
        "auto",
        Word(*TIMES),
        message("Where capture times are taken from."),
        option=Option(DATA),
        more="`name`, `exif` or `manifest` alone, `ignore`, or `auto`; see [Capture times](#capture-times).",
    )
    cv: int | None = setting(
        None,
        Whole(2, 50, or_zero=True),
        message("Number of folds of cross-validation; 0 switches it off."),
        option=Option(SPLIT),
        default_said=message("5 where one test split would be too small"),
    )
    split_seed: int = setting(0, _SEED, message("Seed of the split, and of nothing else."), option=Option(SPLIT))
    split_from: str | None = setting(
        None,
        Text(file=True),
        message("An earlier run whose test photos stay in test."),
        option=Option(SPLIT, metavar="RUN"),
    )
    label_level: int | Literal["leaf"] | None = setting(
        None,
        Level(),
        message("Which folder names the class: 1, 2, ... or leaf."),
        option=Option(DATA),
        default_said="1",
        more="Counted from below the root, or from below the split's folder.",
    )
    min_photos: int | None = setting(
        None,
        Whole(2, 10**9),
        message("Leave out classes with fewer readable photos."),
        option=Option(DATA),
        default_said=message("refuse those with fewer than 2"),
        more="A note names them.",
    )
    keep_leaks: bool = setting(
        False, Switch(), message("Also train on copies of given val and test photos."), option=Option(SPLIT)
    )
    seed: int = setting(0, _SEED, message("Seed of everything but the split."), option=Option(NETWORK))
    device: str = setting(
        "auto", Word("auto", "cpu", "cuda", "mps"), message("Where the network is computed."), option=Option(WORK)
    )
    precision: Literal["auto", "int8", "fp32", "bf16"] = setting(
        "auto",
        Word("auto", "int8", "fp32", "bf16"),
        message(
            "Precision of the network that features come from; auto is int8 on a CPU if the backbone has it, else fp32."
        ),
        option=Option(WORK),
        more="`int8` and `fp32` are also those of the model file; with `bf16` torch computes what is fitted on, and "
        "the file is `fp32`.",
    )
    workers: int | None = setting(
        None,
        Whole(1, 1024),
        message("Threads for decoding and computing."),
        option=Option(WORK),
        default_said=message("every core"),
    )
    decide: float | None = setting(
        None,
        Number(0, 1, above=True),
        message("Give a label only from this probability up; other photos get none."),
        option=Option(OUTPUT),
        default_said=message("always the likeliest class"),
    )
    require: tuple[str, ...] = setting(
        (),
        Texts(),
        message('A bar, e.g. "f1>=0.8" for every class; may be repeated.'),
        option=Option(OUTPUT, metavar="BAR"),
    )
    open_test: bool = setting(
        True,
        Switch(),
        message("Stop before the test photos are opened."),
        option=Option(SPLIT, name="--no-test"),
        more="In a recipe `open_test = false`.",
    )
    fitting: Literal["probe", "network"] = setting(
        "probe",
        Word("probe", "network"),
        message("probe fits a linear classifier on the features of a backbone; network trains one whole."),
    )
    layers: tuple[dict[str, Any], ...] = setting(
        (),
        Tables(),
        message("A network from scratch, one table a layer; without it the backbone is trained."),
        used_by=NETWORKS,
        more="See [Layers](#layers).",
    )
    normalise: Literal["unit", "symmetric", "imagenet"] = setting(
        "unit",
        Word("unit", "symmetric", "imagenet"),
        message("Range of the layers' input: unit 0 to 1, symmetric -1 to 1, imagenet by its mean and deviation."),
        used_by=_LAYERS,
        search=Among(),
    )
    epochs: int = setting(
        10,
        Whole(1, 10_000),
        message("How often each photo of train is shown."),
        used_by=NETWORKS,
        option=Option(TRAINING),
        default_said=_OF_RECIPE,
        search=Between(3, 60, log=True),
    )
    batch_size: int = setting(
        32,
        Whole(1, 4096),
        message("Photos in each training step."),
        used_by=NETWORKS,
        option=Option(TRAINING),
        default_said=_OF_RECIPE,
        search=Among(8, 16, 32, 64, 128),
    )
    lr: float = setting(
        0.001,
        Number(1e-9, 100),
        message("Highest learning rate."),
        used_by=NETWORKS,
        option=Option(TRAINING),
        default_said=_OF_RECIPE,
        search=Between(1e-5, 1e-1, log=True),
    )
    optimizer: Literal["adam", "adamw", "sgd"] = setting(
        "adam",
        Word("adam", "adamw", "sgd"),
        message("Optimiser; sgd comes with Nesterov's momentum."),
        used_by=NETWORKS,
        option=Option(TRAINING),
        default_said=_OF_RECIPE,
        search=Among(),
    )
    momentum: float = setting(
        0.9, Number(0, 0.9999), message("Momentum of sgd."), used_by=NETWORKS, search=Between(0.8, 0.99)
    )
    weight_decay: float = setting(
        0.0,
        Number(0, 10),
        message("Weight decay of the optimiser."),
        used_by=NETWORKS,
        more="None on biases and normalisations where a backbone is trained.",
        search=Between(1e-6, 0.3, log=True),
    )
    layer_decay: float = setting(
        1.0,
        Number(0.01, 1),
        message("Factor on the learning rate from one block of a backbone to the one below it; 1 trains all alike."),
        used_by=_BACKBONE,
        search=Between(0.5, 1),
    )
    freeze_epochs: int = setting(
        0,
        Whole(0, 10_000),
        message("First epochs in which only the new last layer of a backbone learns."),
        used_by=NETWORKS,
        search=Between(0, 5),
    )
    start_strength: float = setting(
        0.0,
        Number(0, 1000),
        message("C of the logistic regression that a backbone's last layer starts from; 0 starts it from chance."),
        used_by=_BACKBONE,
        search=Between(0.01, 10, log=True),
    )
    start_share: float = setting(
        0.0,
        Number(0, 0.99),
        message("Share of the weights from before training in the weights that are judged and shipped; 0 for none."),
        used_by=NETWORKS,
        more="A mean of both generalises better to photos unlike the training photos.",
        search=Between(0, 0.5),
    )
    frozen_stages: float = setting(
        0,
        Number(0, 100),
        message(
            "Number of stages of a backbone, from the bottom, that stay as pretrained; below 1, a share of the stages."
        ),
        used_by=_BACKBONE,
        more="Their normalisations too; a share is rounded down.",
        search=Between(0, 0.9),
    )
    keep_statistics: bool = setting(
        False,
        Switch(),
        message("The normalisations of a backbone keep their pretrained means and variances."),
        used_by=_BACKBONE,
        more="Their factors and offsets are still trained.",
        search=Among(),
    )
    schedule: Literal["constant", "cosine", "one-cycle"] = setting(
        "constant",
        Word("constant", "cosine", "one-cycle"),
        message("Course of the learning rate; one-cycle rises for a quarter of the steps, then falls."),
        used_by=NETWORKS,
        search=Among(),
    )
    label_smoothing: float = setting(
        0.0,
        Number(0, 0.9),
        message("Share of each target that is spread over all classes."),
        used_by=NETWORKS,
        search=Between(0, 0.2),
    )
    ema: float = setting(
        0.0,
        Number(0, 0.99999),
        message("Decay per step of the moving average of the weights, which is then judged and shipped; 0 for none."),
        used_by=NETWORKS,
        search=Among(0.0, 0.99, 0.999),
    )
    mixup: float = setting(
        0.0,
        Number(0, 10),
        message("Alpha of the Beta distribution that pairs of photos are blended by; 0 for none."),
        used_by=NETWORKS,
        search=Between(0, 0.5),
    )
    cutmix: float = setting(
        0.0,
        Number(0, 10),
        message("Alpha of the Beta distribution of the area that is pasted from another photo; 0 for none."),
        used_by=NETWORKS,
        search=Between(0, 1),
    )
    augment: str | dict[str, Any] = setting(
        "none",
        Preset("none", "light", "standard", "strong"),
        message("Random changes to the photos of train."),
        used_by=NETWORKS,
        option=Option(TRAINING),
        default_said=_OF_RECIPE,
        more="In a recipe also a table: `rotation_degrees`, `flip`, `flip_vertical`, `brightness`, `contrast`, "
        "`saturation`, `hue`, `zoom` (least and greatest share of the area), `ratio` (least and greatest width / "
        "height), `erase`.",
        search=Among(),
    )
    oversize: float = setting(
        1.0,
        Number(1, 2),
        message("During training photos are kept this much larger than the input, so that zooming finds detail."),
        used_by=NETWORKS,
        search=Among(1.0, 1.25),
    )
    train_scale: tuple[float, float] = setting(
        (1.0, 1.0),
        Pair(0.2, 1.5),
        message("Size of the training photos in the first and in the last epoch, as shares of the image size."),
        used_by=NETWORKS,
    )
    sampling: Literal["natural", "balanced"] = setting(
        "natural",
        Word("natural", "balanced"),
        message("natural draws photos as they are; balanced draws every class equally often."),
        used_by=NETWORKS,
        search=Among(),
    )
    class_cap: int | None = setting(
        None,
        Whole(1, 10**9),
        message("Train on at most this many photos of each class, drawn by the seed."),
        used_by=NETWORKS,
        option=Option(TRAINING),
        default_said=message("all"),
    )
    patience: int | None = setting(
        None,
        Whole(1, 10_000),
        message("Stop after this many epochs without a better figure on val."),
        used_by=NETWORKS,
        option=Option(TRAINING),
        default_said=message("never"),
    )
    restore_best: bool = setting(
        True,
        Switch(),
        message("Ship the epoch that was best on val instead of the last one."),
        used_by=NETWORKS,
    )
    refit_epochs: int = setting(
        0,
        Whole(0, 10_000),
        message("Epochs on train and val together, at a fifth of the rate, after val has judged and calibrated."),
        used_by=NETWORKS,
        more="The figures on val stay those of before.",
    )
    average_flips: bool = setting(
        False,
        Switch(),
        message("The model file outputs the mean of the predictions for a photo and its mirror image."),
        used_by=NETWORKS,
    )
    average_zoom: float = setting(
        1.0,
        Number(1, 2),
        message(
            "The model file outputs the mean of the predictions for a photo and its middle, enlarged by this factor."
        ),
        used_by=NETWORKS,
        more="Mirrored with `average_flips`; 1 leaves the middle out.",
    )
    label_also: tuple[str, ...] = setting(
        (),
        Texts(),
        message("Manifest column of finer labels, which training tells apart and judging does not; may be repeated."),
        used_by=NETWORKS,
        option=Option(TRAINING, metavar="COLUMN"),
    )
    checkpoint_seconds: float = setting(
        60.0,
        Number(0, 86_400),
        message("Least time between two checkpoints, seconds."),
        used_by=NETWORKS,
        more="0 saves at every step.",
    )
    kernels: Literal["on", "off"] = setting(
        "on",
        Word("on", "off"),
        message(
            "on trains with certero's own fast code for a CPU, off with torch alone: slower, the same but for rounding."
        ),
        used_by=NETWORKS,
        option=Option(TRAINING),
    )
    random_splits: int = setting(
        5,
        Whole(0, 20),
        message("Throw-away models that show what a random split would have claimed; 0 for none."),
        option=Option(SPLIT),
        default_said=_OF_RECIPE,
        more="5 for `probe`, 1 for `cow-cnn`, 0 for the other recipes in the package.",
    )
    assumed: tuple[str, ...] = setting((), Texts(), message("Settings that the recipe's source does not state."))

    def to_toml(self) -> str:
        """The settings as `config.toml`; unset ones are left out."""
        lines = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None or value == ():
                continue
            lines.append(f"{field.name} = {to_toml(value)}")
        return "\n".join(lines) + "\n"
