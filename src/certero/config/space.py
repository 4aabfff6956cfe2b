"""What a search may vary, and between which values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from certero.config.kinds import Whole
from certero.config.setting import Among, Fitting, Setting, settings_of
from certero.config.settings import TrainSettings


@dataclass(frozen=True, slots=True)
class Dimension:
    """A setting that a search may vary.

    Args:
        name: of the setting.
        kind: `whole` and `number` lie between `low` and `high`, `choice` is one of `choices`.
        low: the least value; None for choices.
        high: the greatest value; None for choices.
        log: drawn evenly in the logarithm.
        choices: the values to choose from; empty for numbers.
    """

    name: str
    kind: Literal["whole", "number", "choice"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()


def search_space(fitting: Fitting, cls: type = TrainSettings) -> tuple[Dimension, ...]:
    """The settings that a search may vary, in the order of the settings.

    Args:
        fitting: the way of fitting; what it does not look at is left out.
        cls: a dataclass of settings.

    >>> [dimension.name for dimension in search_space("probe")]
    ['image_size', 'fit', 'views', 'class_weights']
    """
    return tuple(
        _dimension(each) for each in settings_of(cls).values() if each.search is not None and fitting in each.used_by
    )


def _dimension(setting: Setting) -> Dimension:
    search = setting.search
    assert search is not None
    if isinstance(search, Among):
        return Dimension(setting.name, "choice", choices=search.values or setting.kind.choices)
    kind: Literal["whole", "number"] = "whole" if isinstance(setting.kind, Whole) else "number"
    return Dimension(setting.name, kind, search.low, search.high, search.log)
