"""Values of settings are read and checked, each by its kind and all together."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

from certero.config.setting import Fitting, settings_of
from certero.config.settings import TrainSettings
from certero.errors import ConfigError
from certero.sentences import sentence

S = TypeVar("S")


def check_values(values: dict[str, Any], cls: type[S]) -> S:
    """The settings with these values, each read and checked by its kind.

    Args:
        values: by the name of the setting, from a recipe, a command line or a program; None leaves the default.
        cls: a dataclass of settings.

    Raises:
        ConfigError: for an unknown setting, or a value of the wrong kind or out of range.
    """
    settings = settings_of(cls)
    if unknown := sorted(set(values) - set(settings)):
        raise ConfigError(
            "settings must be among %(fields)s; found %(unknown)s.",
            fields=", ".join(sorted(settings)),
            unknown=", ".join(unknown),
        )
    given = [(settings[name], value) for name, value in values.items() if value is not None]
    read = {each.name: each.kind.read(each.name, each.flag, value) for each, value in given}
    for name, value in read.items():
        settings[name].kind.check(name, settings[name].flag, value)
    return cls(**read)


def check_settings(values: dict[str, Any]) -> TrainSettings:
    """As `check_values` for a training run, and whether the settings go together."""
    settings = check_values(values, TrainSettings)
    if settings.fitting == "network" and settings.precision == "int8":
        raise ConfigError("--precision int8 cannot train a network; found it beside fitting = network. Use auto.")
    return settings


def check_use(settings: TrainSettings, named: Collection[str]) -> None:
    """Refuses what somebody wrote and nothing would look at: the run would not be what they believe.

    Args:
        settings: resolved.
        named: what stands on the command line or in the recipe.
    """
    fitting = fitting_of(settings)
    where, mend = {
        "probe": (
            sentence("a recipe that trains a network; this one fits a probe"),
            sentence('Take --recipe finetune or cnn, write fitting = "network" into your own'),
        ),
        "layers": (
            sentence("a recipe without layers; this one has its own"),
            sentence("Take --recipe finetune"),
        ),
        "backbone": (
            sentence("a recipe with layers; this one trains a backbone"),
            sentence("Take --recipe cnn"),
        ),
    }[fitting]
    every = settings_of(type(settings)).values()
    if found := [each.flag for each in every if fitting not in each.used_by and each.name in named]:
        raise ConfigError(
            "%(found)s must stand beside %(where)s. %(mend)s, or leave it out.",
            found=", ".join(found),
            where=where,
            mend=mend,
        )


def fitting_of(settings: TrainSettings) -> Fitting:
    """Which way of fitting the settings ask for."""
    if settings.fitting == "probe":
        return "probe"
    return "layers" if settings.layers else "backbone"
