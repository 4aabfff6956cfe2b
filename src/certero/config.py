"""Settings: recipe files, command-line values and the folders that certero writes to.

A recipe is a TOML file of the same words as the command line's flags; a flag beats the recipe.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from dataclasses import dataclass
from datetime import date, time, timedelta
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from certero.errors import ConfigError
from certero.machine.files import MOST_TEXT_BYTES, read_file
from certero.names import class_name

#: Where capture times are taken from; `auto`: of each photo the manifest's, else EXIF's, else its name's.
Times = Literal["auto", "ignore", "name", "exif", "manifest"]
TIMES: tuple[Times, ...] = ("auto", "ignore", "name", "exif", "manifest")
ClassWeights = Literal["none", "balanced"] | dict[str, float]

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_SHOWN = 80
# A path may have as many.
_MOST_LETTERS = 4096
_SIZES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30}


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Everything that decides a training run; `config.toml` of a run holds all of it, resolved.

    Args:
        recipe: name of the recipe the defaults came from.
        backbone: name in the backbone registry, or any timm name whose weights are at hand.
        weights: file of weights for the backbone; None takes the registered or cached ones.
        image_size: side of the square network input, pixels; None takes the backbone's own.
        fit: `letterbox` keeps the whole frame and its shape, `stretch` ignores the shape.
        strengths: values of scikit-learn's C (inverse L2 strength) to choose from.
        class_weights: `balanced` weighs classes by 1/frequency, `none` equally, or a weight a class name.
        group_by: manifest column, `parent`, or a regular expression over the path; None separates by time or copies.
        block: length of a time block; None derives it from the photos.
        gap: photos closer than this to a photo of another split are dropped (time blocks only).
        times: where capture times are taken from: `name`, `exif` or `manifest` alone, `ignore`, or `auto`, which takes
            a photo's from the manifest, else EXIF, else its name, and none of a clock that was never set.
        cv: number of outer folds; 0 forbids cross-validation, None decides by the size of the data.
        split_seed: seed of the split, and of nothing else.
        split_from: an earlier run whose test photos stay in test.
        label_level: which folder below the split names the class: 1, 2, ... or `leaf`.
        min_photos: classes with fewer readable photos are left out; None refuses those with fewer than 2.
        keep_leaks: trains on photos that are copies of given val or test photos.
        seed: seed of everything but the split.
        device: `auto`, `cpu`, `cuda` or `mps`.
        precision: `auto`, `int8`, `fp32` or `bf16` of the network that the probe is fitted on.
        workers: threads for decoding and inference; None takes every core.
        decide: probability a photo needs to get a label at all; None always takes the likeliest class.
        require: bars such as `precision>=0.85`.
        open_test: False stops before the test set (`--no-test`).
        fitting: `probe` fits a linear classifier on the features of a backbone; `network` trains a network whole.
        layers: the network from scratch, one table a layer (see `learn.cnn`); empty trains the backbone.
        normalise: levels that the layers see: `unit` 0 to 1, `symmetric` -1 to 1, `imagenet` by its mean and deviation.
        epochs: times that each photo of train is shown.
        batch_size: photos a step.
        lr: learning rate, at its highest.
        optimizer: `adam`, `adamw` or `sgd` (with Nesterov's momentum).
        momentum: of `sgd`.
        weight_decay: of the optimiser; none on biases and normalisations where the backbone is trained.
        layer_decay: factor on the rate from one block of a backbone to the one below it; 1 trains all alike.
        freeze_epochs: first epochs in which only the new last layer of a backbone learns.
        start_strength: C of the logistic regression that a backbone's last layer starts from; 0 starts it from chance.
        start_share: share of the weights before the first step in those that are judged and shipped; 0 for none.
        frozen_stages: so many stages of a backbone, from the bottom, stay as they were pretrained; below 1, that
            share of them.
        keep_statistics: a backbone's normalisations keep the means and variances that they were pretrained with.
        schedule: `constant`, `cosine`, or `one-cycle` (up for a quarter of the steps, then down).
        label_smoothing: share of each target that is spread over all classes.
        ema: decay a step of the moving average of the weights, which is then what is judged and shipped; 0 for none.
        mixup: alpha of the Beta distribution that pairs of photos are blended by; 0 for none.
        cutmix: alpha of the Beta distribution of the area that is pasted from another photo; 0 for none.
        augment: `none`, `light`, `standard`, `strong`, or a table of `learn.augment.Augmentation`.
        oversize: photos are kept this much larger than the input while training, so that a zoom finds detail.
        train_scale: side of the training photos in the first and the last epoch, as a share of the image size.
        sampling: `natural`, or `balanced` to draw every class as often.
        class_cap: at most so many photos of each class are trained on, drawn by the seed.
        patience: epochs without a better val figure after which training stops; None trains them all.
        restore_best: ships the weights of the epoch that was best on val, not those of the last.
        refit_epochs: epochs on train and val together after val has judged and calibrated, at a fifth of the rate.
        average_flips: the model file answers with the mean for a photo and its mirror image.
        average_zoom: the model file answers with the mean for a photo and its middle enlarged so many times, mirrored
            where `average_flips` says so; 1 for the photo alone.
        label_also: further columns of the manifest; training tells their combinations apart, judging does not.
        checkpoint_seconds: least time between two checkpoints.
        random_splits: throw-away models that measure what a random split would have claimed; 0 does not measure it.
        assumed: settings that the recipe's source does not name.
    """

    recipe: str = "probe"
    backbone: str = "efficientnet_lite0"
    weights: str | None = None
    image_size: int | None = None
    fit: Literal["letterbox", "stretch"] = "letterbox"
    strengths: tuple[float, ...] = (1e-2, 3e-2, 1e-1, 3e-1, 1.0)
    class_weights: ClassWeights = "balanced"
    group_by: str | None = None
    block: timedelta | None = None
    gap: timedelta = timedelta(minutes=10)
    times: Times = "auto"
    cv: int | None = None
    split_seed: int = 0
    split_from: str | None = None
    label_level: int | Literal["leaf"] | None = None
    min_photos: int | None = None
    keep_leaks: bool = False
    seed: int = 0
    device: str = "auto"
    precision: Literal["auto", "int8", "fp32", "bf16"] = "auto"
    workers: int | None = None
    decide: float | None = None
    require: tuple[str, ...] = ()
    open_test: bool = True
    fitting: Literal["probe", "network"] = "probe"
    layers: tuple[dict[str, Any], ...] = ()
    normalise: Literal["unit", "symmetric", "imagenet"] = "unit"
    epochs: int = 10
    batch_size: int = 32
    lr: float = 0.001
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    layer_decay: float = 1.0
    freeze_epochs: int = 0
    start_strength: float = 0.0
    start_share: float = 0.0
    frozen_stages: float = 0
    keep_statistics: bool = False
    schedule: Literal["constant", "cosine", "one-cycle"] = "constant"
    label_smoothing: float = 0.0
    ema: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    augment: str | dict[str, Any] = "none"
    oversize: float = 1.0
    train_scale: tuple[float, float] = (1.0, 1.0)
    sampling: Literal["natural", "balanced"] = "natural"
    class_cap: int | None = None
    patience: int | None = None
    restore_best: bool = True
    refit_epochs: int = 0
    average_flips: bool = False
    average_zoom: float = 1.0
    label_also: tuple[str, ...] = ()
    checkpoint_seconds: float = 60.0
    random_splits: int = 5
    assumed: tuple[str, ...] = ()

    def to_toml(self) -> str:
        """The settings as `config.toml`; unset ones are left out."""
        lines = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None or value == ():
                continue
            lines.append(f"{field.name} = {_toml(value)}")
        return "\n".join(lines) + "\n"


def resolve(recipe: str, **given: Any) -> TrainSettings:
    """Recipe, then the given values that are not None on top, checked.

    Args:
        recipe: name of a recipe in the package, or path of a TOML file.
        given: fields of `TrainSettings`; text is parsed (`block="1h"`, `class_weights="balanced"`).

    Raises:
        ConfigError: for an unknown recipe, an unknown word, a value out of range, or one that would change nothing.
    """
    named = {name: value for name, value in given.items() if value is not None}
    written = _read_recipe(recipe)
    if recipe.endswith(".toml"):
        try:
            _checked(dict(written))
        except ConfigError as error:
            raise ConfigError("--recipe %(recipe)s: %(error)s", recipe=recipe, error=error) from error
    values: dict[str, Any] = {**written, **named}
    values = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    values["recipe"] = recipe
    settings = _checked(values)
    # A recipe may be the complete `config.toml` of a run; of that only what differs from the defaults is meant.
    _check_use(settings, [name for name in values if name in named or getattr(settings, name) != _DEFAULTS[name]])
    return settings


def override(settings: TrainSettings, given: dict[str, Any]) -> TrainSettings:
    """The settings with the given values that are not None on top, parsed and checked as in `resolve`."""
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return _checked(values | {name: value for name, value in given.items() if value is not None})


def read_settings(text: str) -> TrainSettings:
    """The settings that `TrainSettings.to_toml` wrote.

    Raises:
        ConfigError: if another certero wrote them.
    """
    return _checked(parse_toml(text.encode(), "settings"))


def read_toml(file: Path, what: str) -> dict[str, Any]:
    """The table that a TOML file holds.

    Args:
        file: in UTF-8, with or without a mark in front that says so.
        what: to call it in a message, e.g. `--recipe`.

    Raises:
        OSError: if it cannot be read.
        ConfigError: if it is no TOML.
    """
    return parse_toml(read_file(file, MOST_TEXT_BYTES), f"{what} {file}")


def parse_toml(data: bytes, what: str) -> dict[str, Any]:
    """The table that bytes of TOML hold; see `read_toml`.

    Raises:
        ConfigError: if they are none.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:64]:
        raise ConfigError("%(what)s must be in UTF-8; it is in UTF-16 or no text at all. Save it as UTF-8.", what=what)
    try:
        return tomllib.loads(data.decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        raise ConfigError(
            "%(what)s must be in UTF-8; it is not UTF-8 from byte %(start)s on. Save it so.",
            what=what,
            start=error.start,
        ) from error
    except RecursionError as error:
        raise ConfigError("%(what)s must be valid TOML; it is nested too deeply.", what=what) from error
    except ValueError as error:  # beside the kind of tomllib, e.g. for a number of thousands of digits
        reason = " ".join(str(error).split())[:200]
        raise ConfigError("%(what)s must be valid TOML; %(reason)s.", what=what, reason=reason) from error


def shown(value: object) -> str:
    """A value for a message: what somebody wrote may be a date, a table, or a million letters."""
    text = str(value) if isinstance(value, date | time) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _read_recipe(recipe: str) -> dict[str, Any]:
    known = sorted(
        p.name.removesuffix(".toml") for p in resources.files("certero.recipes").iterdir() if p.name.endswith(".toml")
    )
    if recipe in known:
        return parse_toml((resources.files("certero.recipes") / f"{recipe}.toml").read_bytes(), recipe)
    if recipe.endswith(".toml"):
        try:
            return read_toml(Path(recipe), "--recipe")
        except OSError as error:
            raise ConfigError(
                "--recipe must be a readable TOML file; %(recipe)s: %(strerror)s.",
                recipe=recipe,
                strerror=error.strerror,
            ) from error
    raise ConfigError(
        "--recipe must be one of %(known)s or a .toml file; found %(recipe)r.", known=", ".join(known), recipe=recipe
    )


def _checked(values: dict[str, Any]) -> TrainSettings:
    fields = {field.name for field in dataclasses.fields(TrainSettings)}
    unknown = sorted(set(values) - fields)
    if unknown:
        raise ConfigError(
            "settings must be among %(fields)s; found %(unknown)s.",
            fields=", ".join(sorted(fields)),
            unknown=", ".join(unknown),
        )
    _check_kinds(values)
    for name in ("block", "gap"):
        if isinstance(values.get(name), str):
            values[name] = parse_duration(values[name], f"--{name}")
    if isinstance(values.get("class_weights"), str):
        values["class_weights"] = parse_class_weights(values["class_weights"])
    elif isinstance(values.get("class_weights"), dict):
        values["class_weights"] = {class_name(name): _weight(name, w) for name, w in values["class_weights"].items()}
    if values.get("label_level") is not None:
        values["label_level"] = parse_label_level(str(values["label_level"]))
    for name in ("strengths", "require", "layers", "label_also", "assumed", "train_scale"):
        if name in values:
            values[name] = tuple(values[name])
    settings = TrainSettings(**values)
    _check("--image-size", settings.image_size, 32, 1024)
    _check("--workers", settings.workers, 1, 1024)
    _check("--min-photos", settings.min_photos, 2, 10**9)
    if settings.decide is not None and not 0 < settings.decide <= 1:
        raise ConfigError("--decide must lie above 0 and at most 1; found %(decide)s.", decide=settings.decide)
    _check("--seed", settings.seed, 0, 2**32 - 1)
    _check("--split-seed", settings.split_seed, 0, 2**32 - 1)
    if settings.cv is not None and settings.cv != 0:
        _check("--cv", settings.cv, 2, 50)
    for name, known in _CHOICES.items():
        if getattr(settings, name) not in known:
            raise ConfigError(
                "%(flag)s must be one of %(known)s; found %(getattr)s.",
                flag=_flag(name),
                known=", ".join(known),
                getattr=shown(getattr(settings, name)),
            )
    for name, (low, high) in _RANGES.items():
        _check(_flag(name), getattr(settings, name), low, high)
    if not settings.strengths or not all(
        isinstance(s, int | float) and 0 < s < float("inf") for s in settings.strengths
    ):
        raise ConfigError(
            "strengths must be positive numbers; found %(strengths)s.", strengths=shown(list(settings.strengths))
        )
    scale = settings.train_scale
    if len(scale) != 2 or not all(isinstance(s, int | float) and 0.2 <= s <= 1.5 for s in scale):
        raise ConfigError(
            "train_scale must be two shares of the image size from 0.2 to 1.5; found %(scale)s.",
            scale=shown(list(scale)),
        )
    for name in ("require", "label_also", "assumed"):
        if not all(isinstance(text, str) for text in getattr(settings, name)):
            raise ConfigError(
                "%(name)s must be a list of texts; found %(getattr)s.",
                name=name,
                getattr=shown(list(getattr(settings, name))),
            )
    if settings.fitting == "network" and settings.precision == "int8":
        raise ConfigError("--precision int8 cannot train a network; found it beside fitting = network. Use auto.")
    return settings


_CHOICES: dict[str, tuple[str, ...]] = {
    "times": TIMES,
    "fit": ("letterbox", "stretch"),
    "precision": ("auto", "int8", "fp32", "bf16"),
    "device": ("auto", "cpu", "cuda", "mps"),
    "fitting": ("probe", "network"),
    "normalise": ("unit", "symmetric", "imagenet"),
    "optimizer": ("adam", "adamw", "sgd"),
    "schedule": ("constant", "cosine", "one-cycle"),
    "sampling": ("natural", "balanced"),
}
_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 10_000),
    "batch_size": (1, 4096),
    "lr": (1e-9, 100),
    "momentum": (0, 0.9999),
    "weight_decay": (0, 10),
    "layer_decay": (0.01, 1),
    "freeze_epochs": (0, 10_000),
    "start_strength": (0, 1000),
    "start_share": (0, 0.99),
    "frozen_stages": (0, 100),
    "label_smoothing": (0, 0.9),
    "ema": (0, 0.99999),
    "mixup": (0, 10),
    "cutmix": (0, 10),
    "oversize": (1, 2),
    "refit_epochs": (0, 10_000),
    "average_zoom": (1, 2),
    "class_cap": (1, 10**9),
    "patience": (1, 10_000),
    "checkpoint_seconds": (0, 86_400),
    "random_splits": (0, 20),
}


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(TrainSettings)}
_NAMES = list(_DEFAULTS)
# They stand together in the settings, in the order of the reference.
_OF_NETWORKS = _NAMES[_NAMES.index("layers") : _NAMES.index("random_splits")]
_OF_BACKBONES = ("backbone", "layer_decay", "start_strength", "frozen_stages", "keep_statistics")


def _check_use(settings: TrainSettings, named: list[str]) -> None:
    """Refuses what somebody wrote and nothing would look at: the run would not be what they believe.

    Args:
        settings: resolved.
        named: what stands on the command line or in the recipe.
    """
    if settings.fitting == "probe":
        idle, where = _OF_NETWORKS, "a recipe that trains a network; this one fits a probe"
        mend = 'Take --recipe finetune or cnn, write fitting = "network" into your own'
    elif settings.layers:
        idle, where = ["strengths", *_OF_BACKBONES], "a recipe without layers; this one has its own"
        mend = "Take --recipe finetune"
    else:
        idle, where = ["strengths", "normalise"], "a recipe with layers; this one trains a backbone"
        mend = "Take --recipe cnn"
    if found := [_flag(name) for name in idle if name in named]:
        raise ConfigError(
            "%(found)s must stand beside %(where)s. %(mend)s, or leave it out.",
            found=", ".join(found),
            where=where,
            mend=mend,
        )


# Of a network most settings are for a recipe alone: they are named without the dashes of an option.
_OPTIONS = ("epochs", "batch_size", "lr", "optimizer", "augment", "patience", "class_cap", "label_also")
_RECIPE_ONLY = {"strengths", "fitting", "assumed", *_OF_NETWORKS} - {*_OPTIONS}


def _flag(name: str) -> str:
    return name if name in _RECIPE_ONLY else "--" + name.replace("_", "-")


# What a recipe file may hold, and how to say so; a command line gives text that Typer has read already.
_TEXT, _WHOLE, _NUMBER = "a text", "a whole number", "a number"
_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    **dict.fromkeys(
        ("backbone", "weights", "fit", "group_by", "times", "split_from", "device", "precision"), (_TEXT, (str,))
    ),
    **dict.fromkeys(("fitting", "normalise", "optimizer", "schedule", "sampling"), (_TEXT, (str,))),
    **dict.fromkeys(("image_size", "cv", "split_seed", "seed", "workers"), (_WHOLE, (int,))),
    **dict.fromkeys(
        ("epochs", "batch_size", "freeze_epochs", "class_cap", "patience", "refit_epochs", "random_splits"),
        (_WHOLE, (int,)),
    ),
    **dict.fromkeys(
        (
            "lr",
            "momentum",
            "weight_decay",
            "layer_decay",
            "label_smoothing",
            "ema",
            "mixup",
            "cutmix",
            "oversize",
            "average_zoom",
            "start_strength",
            "start_share",
            "frozen_stages",
        ),
        (_NUMBER, (int, float)),
    ),
    "checkpoint_seconds": (_NUMBER, (int, float)),
    **dict.fromkeys(("restore_best", "average_flips", "keep_statistics"), ("true or false", (bool,))),
    "train_scale": ("a list of two numbers", (list, tuple)),
    **dict.fromkeys(("layers", "label_also", "assumed"), ("a list", (list, tuple))),
    "augment": ("none, light, standard, strong or a table", (str, dict)),
    **dict.fromkeys(("block", "gap"), ('a duration such as "1h"', (str, timedelta))),
    **dict.fromkeys(("keep_leaks", "open_test"), ("true or false", (bool,))),
    "strengths": ("a list of numbers", (list, tuple)),
    "require": ("a list of texts", (list, tuple)),
    "decide": ("a number", (int, float)),
    "label_level": ("leaf or a whole number", (str, int)),
    "class_weights": ("none, balanced or a table of numbers", (str, dict)),
}


def _check_kinds(values: dict[str, Any]) -> None:
    for name, (wanted, kinds) in _KINDS.items():
        value = values.get(name)
        # True is an int to Python, and never one to a user.
        if value is None or (isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))):
            if isinstance(value, str) and len(value) > _MOST_LETTERS:
                raise ConfigError(
                    "%(name)s must be a text of at most %(most_letters)s letters; found %(value)s.",
                    name=name,
                    most_letters=_MOST_LETTERS,
                    value=shown(value),
                )
            continue
        raise ConfigError("%(name)s must be %(wanted)s; found %(value)s.", name=name, wanted=wanted, value=shown(value))


def _check(flag: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise ConfigError(
            "%(flag)s must lie between %(low)s and %(high)s; found %(value)s.",
            flag=flag,
            low=low,
            high=high,
            value=shown(value),
        )


def parse_duration(text: str, flag: str) -> timedelta:
    """`90s`, `10m`, `1.5h`, `2d` as a duration.

    >>> parse_duration("1h", "--block")
    datetime.timedelta(seconds=3600)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", text)
    if match is None or match[2] not in _UNITS:
        raise ConfigError("%(flag)s must be a duration such as 10m, 1h or 2d; found %(text)r.", flag=flag, text=text)
    try:
        return timedelta(seconds=float(match[1]) * _UNITS[match[2]])
    except OverflowError as error:
        raise ConfigError(
            "%(flag)s must be a duration such as 10m, 1h or 2d; %(text)r is too long.", flag=flag, text=text
        ) from error


def parse_size(text: str, flag: str) -> int:
    """`500MB`, `1.5 GB`, `2GiB` in bytes.

    >>> parse_size("2GB", "--max-size")
    2000000000
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", text.lower())
    if match is None or match[2] not in _SIZES:
        raise ConfigError("%(flag)s must be a size such as 500MB or 2GB; found %(text)r.", flag=flag, text=text)
    return round(float(match[1]) * _SIZES[match[2]])


def parse_class_weights(text: str) -> ClassWeights:
    """`none`, `balanced` or `CLASS=WEIGHT,CLASS=WEIGHT`.

    >>> parse_class_weights("standing=3,lying=2")
    {'standing': 3.0, 'lying': 2.0}
    """
    if text == "none":
        return "none"
    if text == "balanced":
        return "balanced"
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _equals, value = part.rpartition("=")
        name = class_name(name)
        weights[name] = _weight(name, value, part)
    return weights


def _weight(name: str, value: object, found: str | None = None) -> float:
    try:
        weight = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except ValueError:
        weight = -1.0
    if not name or not 0 < weight < float("inf"):
        raise ConfigError(
            "--class-weights must be none, balanced or CLASS=WEIGHT,... with positive weights; found %(found)r.",
            found=found if found is not None else f"{name}={value}",
        )
    return weight


def parse_times(text: str) -> Times:
    """One of the words of `Times`."""
    for times in TIMES:
        if text == times:
            return times
    raise ConfigError("--times must be one of %(times)s; found %(text)r.", times=", ".join(TIMES), text=text)


def parse_label_level(text: str) -> int | Literal["leaf"]:
    """`leaf` or a positive folder level."""
    if text == "leaf":
        return "leaf"
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise ConfigError("--label-level must be leaf or a folder level from 1 on; found %(text)r.", text=text)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        # Not %g: it rounds two weeks and more to six digits, with an exponent that no duration has.
        return f'"{f"{value.total_seconds():.6f}".rstrip("0").rstrip(".")}s"'
    if isinstance(value, str):
        return _toml_text(value)
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml_text(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    return repr(value)


def _toml_text(text: str) -> str:
    # Bytes of a path that are no UTF-8 cannot stand in TOML; they are shown as \\xNN.
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    escaped = "".join(
        f"\\u{ord(c):04x}" if ord(c) < 32 or ord(c) == 127 else "\\" + c if c in '\\"' else c for c in text
    )
    return f'"{escaped}"'


@cache
def version() -> str:
    """certero's own version."""
    from importlib.metadata import version as installed

    return installed("certero")
