"""A recipe is a TOML file of settings; what is given on the command line beats it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from certero.config.checks import check_settings, check_use
from certero.config.packaged import packaged_recipe, recipe_names
from certero.config.setting import settings_of
from certero.config.settings import TrainSettings
from certero.config.toml import parse_toml, read_toml
from certero.errors import ConfigError, reason_of
from certero.sentences import message


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
            check_settings(written)
        except ConfigError as error:
            raise ConfigError("--recipe %(recipe)s: %(error)s", recipe=recipe, error=error.message) from error
    values: dict[str, Any] = {**written, **named}
    values = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    values["recipe"] = recipe
    settings = check_settings(values)
    # A recipe may be the complete `config.toml` of a run; of that only what differs from the defaults is meant.
    defaults = settings_of(TrainSettings)
    check_use(settings, [name for name in values if name in named or getattr(settings, name) != defaults[name].default])
    return settings


def override(settings: TrainSettings, given: dict[str, Any]) -> TrainSettings:
    """The settings with the given values that are not None on top, parsed and checked as in `resolve`."""
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return check_settings(values | {name: value for name, value in given.items() if value is not None})


def read_settings(text: str) -> TrainSettings:
    """The settings that `TrainSettings.to_toml` wrote.

    Raises:
        ConfigError: if another certero wrote them.
    """
    return check_settings(parse_toml(text.encode(), message("settings")))


def _read_recipe(recipe: str) -> dict[str, Any]:
    known = recipe_names()
    if recipe in known:
        return parse_toml(packaged_recipe(recipe), recipe)
    if recipe.endswith(".toml"):
        try:
            return read_toml(Path(recipe), "--recipe")
        except OSError as error:
            raise ConfigError(
                "--recipe must be a readable TOML file; %(recipe)s: %(reason)s.",
                recipe=recipe,
                reason=reason_of(error),
            ) from error
    raise ConfigError(
        "--recipe must be one of %(known)s or a .toml file; found %(recipe)r.", known=", ".join(known), recipe=recipe
    )
