"""What is known of a setting, beside its name and type: all of it stands with the field."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from certero.config.kinds import Kind, Switch

#: Three ways to fit: a linear classifier on the features of a backbone; the backbone itself; layers from scratch.
Fitting = Literal["probe", "backbone", "layers"]
EVERY: frozenset[Fitting] = frozenset(("probe", "backbone", "layers"))
NETWORKS: frozenset[Fitting] = frozenset(("backbone", "layers"))

_KEY = "setting"
T = TypeVar("T")


@dataclass(frozen=True)
class Between:
    """A search may take any value between two, both included.

    Args:
        low: the least.
        high: the greatest.
        log: factors count, not differences.
    """

    low: float
    high: float
    log: bool = False


class Among:
    """A search may take one of these values; without any, one of all that the setting allows."""

    def __init__(self, *values: Any) -> None:
        self.values = values


@dataclass(frozen=True)
class Option:
    """The option of a setting on the command line.

    Args:
        panel: heading of the help that it stands under.
        name: where it is not `--` and the setting's name.
        metavar: stands for the value in the help; None takes what the kind says.
    """

    panel: str
    name: str | None = None
    metavar: str | None = None


@dataclass(frozen=True)
class Setting:
    """A setting; see `setting`."""

    name: str
    default: Any
    kind: Kind
    help: str
    used_by: frozenset[Fitting]
    option: Option | None
    default_said: str | None
    more: str
    search: Between | Among | None

    @property
    def flag(self) -> str:
        """What to call it in a message: its option, or its key in a recipe where it has none."""
        if self.option is None:
            return self.name
        return self.option.name or "--" + self.name.replace("_", "-")

    @property
    def default_shown(self) -> str | None:
        """The default in words; None where there is nothing to say."""
        if self.default_said is not None:
            return self.default_said
        if self.default is None or isinstance(self.default, bool | tuple | list | dict):
            return None
        return str(self.default)

    @property
    def metavar(self) -> str:
        """What stands for its value in the help: the words it may be, or what else it is."""
        if self.option is not None and self.option.metavar is not None:
            return self.option.metavar
        if isinstance(self.kind, Switch):
            return ""
        return "|".join([*self.kind.choices, *([self.kind.other] if self.kind.other else [])])


def setting(
    default: T,
    kind: Kind,
    help: str,
    *,
    used_by: frozenset[Fitting] = EVERY,
    option: Option | None = None,
    default_said: str | None = None,
    more: str = "",
    search: Between | Among | None = None,
) -> T:
    """The field of a setting.

    Args:
        default: its value where neither recipe nor user says another.
        kind: what it may hold.
        help: what it is, in one or two sentences; marked for the catalogue.
        used_by: the ways of fitting that look at it; beside another it is refused.
        option: None for a setting that only a recipe has.
        default_said: the default in words, where the value itself says too little; marked for the catalogue.
        more: what only the reference says.
        search: how a search may vary it; None where it may not.
    """
    about = Setting("", default, kind, help, used_by, option, default_said, more, search)
    return dataclasses.field(default=default, metadata={_KEY: about})


def settings_of(cls: type) -> Mapping[str, Setting]:
    """The settings of a dataclass whose fields were made by `setting`, by name, in order."""
    return {field.name: dataclasses.replace(field.metadata[_KEY], name=field.name) for field in dataclasses.fields(cls)}
