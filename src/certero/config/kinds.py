"""What a setting may hold: how it is read, what is refused, and in which words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from certero.config.packaged import recipe_names
from certero.config.parsing import parse_class_weights, parse_duration, parse_label_level, read_class_weights, shown
from certero.errors import ConfigError
from certero.sentences import message

# A path may have as many.
_MOST_LETTERS = 4096


class Kind:
    """One kind of values; subclasses say which. Plain classes: the help must not wait for generated ones.

    Attributes:
        wanted: the kind in words, for messages.
        types: what a recipe or a program may give.
        typed: what the command line turns a word into before it is checked here.
        other: stands in the help for a value that is none of the choices; empty where there is no other.
        bounds: least and greatest value; None where there are none.
    """

    wanted: str
    types: tuple[type, ...]
    typed: Any = str
    other: str = "TEXT"
    bounds: tuple[float, float] | None = None

    @property
    def choices(self) -> tuple[Any, ...]:
        """Values to offer; empty where any may be meant."""
        return ()

    def read(self, name: str, flag: str, value: object) -> Any:
        """The value as the settings hold it.

        Args:
            name: of the setting.
            flag: its option, or its name where it has none.
            value: from a recipe, a command line or a program.

        Raises:
            ConfigError: if it is of another kind.
        """
        # True is an int to Python, and never one to a user.
        if not isinstance(value, self.types) or (isinstance(value, bool) and bool not in self.types):
            raise ConfigError(
                "%(name)s must be %(wanted)s; found %(value)s.", name=name, wanted=self.wanted, value=shown(value)
            )
        if isinstance(value, str) and len(value) > _MOST_LETTERS:
            raise ConfigError(
                "%(name)s must be a text of at most %(most_letters)s letters; found %(value)s.",
                name=name,
                most_letters=_MOST_LETTERS,
                value=shown(value),
            )
        return self._convert(flag, value)

    def check(self, name: str, flag: str, value: Any) -> None:
        """Raises unless a value that was read is allowed; see `read`.

        Raises:
            ConfigError: if it is out of range, or no word that is known.
        """

    def _convert(self, flag: str, value: Any) -> Any:  # noqa: ARG002 (subclasses name it in their messages)
        return value


class Text(Kind):
    """Any text.

    Args:
        suggested: words to offer beside any other.
        file: a path: the shell completes it, and the command line hands over a `Path`.
    """

    wanted = message("a text")
    types = (str,)

    def __init__(self, *, suggested: tuple[str, ...] = (), file: bool = False) -> None:
        self.suggested = suggested
        self.file = file

    @property
    def choices(self) -> tuple[Any, ...]:
        return self.suggested


class RecipeName(Kind):
    """A recipe of the package, or a TOML file."""

    wanted = message("a text")
    types = (str,)
    other = "FILE"

    @property
    def choices(self) -> tuple[Any, ...]:
        return recipe_names()


class Word(Kind):
    """One of the words that are known."""

    wanted = message("a text")
    types = (str,)
    other = ""

    def __init__(self, *known: str) -> None:
        self.known = known

    @property
    def choices(self) -> tuple[Any, ...]:
        return self.known

    def check(self, name: str, flag: str, value: Any) -> None:  # noqa: ARG002
        if value not in self.known:
            raise ConfigError(
                "%(flag)s must be one of %(known)s; found %(value)s.",
                flag=flag,
                known=", ".join(self.known),
                value=shown(value),
            )


class Whole(Kind):
    """A whole number.

    Args:
        low: the least.
        high: the greatest.
        or_zero: 0 is allowed, too, below `low`.
    """

    wanted = message("a whole number")
    types = (int,)
    typed = int
    other = "N"

    def __init__(self, low: int, high: int, *, or_zero: bool = False) -> None:
        self.low, self.high = self.bounds = (low, high)
        self.or_zero = or_zero

    def check(self, name: str, flag: str, value: Any) -> None:  # noqa: ARG002
        if not (self.or_zero and value == 0):
            _check_range(flag, value, self.low, self.high)


class Number(Kind):
    """A number.

    Args:
        low: the least.
        high: the greatest.
        above: `low` itself is not allowed.
    """

    wanted = message("a number")
    types = (int, float)
    typed = float
    other = "X"

    def __init__(self, low: float, high: float, *, above: bool = False) -> None:
        self.low, self.high = self.bounds = (low, high)
        self.above = above

    def check(self, name: str, flag: str, value: Any) -> None:  # noqa: ARG002
        if not self.above:
            _check_range(flag, value, self.low, self.high)
        elif not self.low < value <= self.high:
            raise ConfigError(
                "%(flag)s must lie above %(low)s and at most %(high)s; found %(value)s.",
                flag=flag,
                low=self.low,
                high=self.high,
                value=value,
            )


class Switch(Kind):
    """True or false; on the command line a flag that says the opposite of the default."""

    wanted = message("true or false")
    types = (bool,)
    typed = bool
    other = ""

    @property
    def choices(self) -> tuple[Any, ...]:
        return (False, True)


class Duration(Kind):
    """A length of time, as text or `timedelta`."""

    wanted = message('a duration such as "1h"')
    types = (str, timedelta)
    other = "TIME"

    def _convert(self, flag: str, value: Any) -> Any:
        return parse_duration(value, flag) if isinstance(value, str) else value


class Texts(Kind):
    """A list of texts; on the command line an option that may be repeated."""

    wanted = message("a list of texts")
    types = (list, tuple)
    typed = list[str]

    def _convert(self, flag: str, value: Any) -> Any:  # noqa: ARG002
        return tuple(value)

    def check(self, name: str, flag: str, value: Any) -> None:  # noqa: ARG002
        if not all(isinstance(text, str) for text in value):
            raise ConfigError("%(name)s must be a list of texts; found %(value)s.", name=name, value=shown(list(value)))


class Tables(Kind):
    """A list of tables; what they hold is checked where it is used."""

    wanted = message("a list")
    types = (list, tuple)

    def _convert(self, flag: str, value: Any) -> Any:  # noqa: ARG002
        return tuple(value)


class Positives(Kind):
    """A list of positive numbers, at least one."""

    wanted = message("a list of numbers")
    types = (list, tuple)

    def _convert(self, flag: str, value: Any) -> Any:  # noqa: ARG002
        return tuple(value)

    def check(self, name: str, flag: str, value: Any) -> None:  # noqa: ARG002
        if not value or not all(isinstance(each, int | float) and 0 < each < float("inf") for each in value):
            raise ConfigError(
                "%(name)s must be positive numbers; found %(value)s.", name=name, value=shown(list(value))
            )


class Pair(Kind):
    """Two shares of the image size."""

    wanted = message("a list of two numbers")
    types = (list, tuple)

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = self.bounds = (low, high)

    def _convert(self, flag: str, value: Any) -> Any:  # noqa: ARG002
        return tuple(value)

    def check(self, name: str, flag: str, value: Any) -> None:  # noqa: ARG002
        fine = len(value) == 2 and all(isinstance(v, int | float) and self.low <= v <= self.high for v in value)
        if not fine:
            raise ConfigError(
                "%(name)s must be two shares of the image size from %(low)s to %(high)s; found %(value)s.",
                name=name,
                low=self.low,
                high=self.high,
                value=shown(list(value)),
            )


class Weights(Kind):
    """Weights of classes: a word, `CLASS=WEIGHT,...`, or a table."""

    wanted = message("none, balanced or a table of numbers")
    types = (str, dict)
    other = "CLASS=WEIGHT,..."

    @property
    def choices(self) -> tuple[Any, ...]:
        return ("none", "balanced")

    def _convert(self, flag: str, value: Any) -> Any:  # noqa: ARG002
        return parse_class_weights(value) if isinstance(value, str) else read_class_weights(value)


class Level(Kind):
    """Which folder names the class."""

    wanted = message("leaf or a whole number")
    types = (str, int)
    other = ""

    @property
    def choices(self) -> tuple[Any, ...]:
        return ("1", "2", "leaf")

    def _convert(self, flag: str, value: Any) -> Any:  # noqa: ARG002
        return parse_label_level(str(value))


class Preset(Kind):
    """A word for a set of values, or their table; `learn.augment` checks both."""

    types = (str, dict)
    wanted = message("none, light, standard, strong or a table")
    other = ""

    def __init__(self, *presets: str) -> None:
        self.presets = presets

    @property
    def choices(self) -> tuple[Any, ...]:
        return self.presets


def _check_range(flag: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(
            "%(flag)s must lie between %(low)s and %(high)s; found %(value)s.",
            flag=flag,
            low=low,
            high=high,
            value=shown(value),
        )
