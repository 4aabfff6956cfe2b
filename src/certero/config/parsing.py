"""Words of the command line and of recipes as values: durations, sizes, weights and shares of classes, times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, time, timedelta
from typing import Literal

from certero.errors import ConfigError
from certero.names import class_name

#: Where capture times are taken from; `auto`: of each photo the manifest's, else EXIF's, else its name's.
Times = Literal["auto", "ignore", "name", "exif", "manifest"]
TIMES: tuple[Times, ...] = ("auto", "ignore", "name", "exif", "manifest")
#: What the headline figure must speak of.
FigureFor = Literal["hours", "days", "places"]
FIGURE_FOR: tuple[FigureFor, ...] = ("hours", "days", "places")
ClassWeights = Literal["none", "balanced"] | dict[str, float]
#: Shares of classes that outputs are re-weighted to: found from the photos, or given for some of the classes.
Shares = Literal["adapt"] | dict[str, float]
#: Shares that come to 1 but for this much come to 1: people round them.
ROUNDED = 0.01

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_SIZES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SHOWN = 80


def shown(value: object) -> str:
    """A value for a message: what somebody wrote may be a date, a table, or a million letters."""
    text = str(value) if isinstance(value, date | time) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


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


def read_class_weights(table: dict[str, object]) -> dict[str, float]:
    """A table of weights by class, as a recipe holds one.

    Raises:
        ConfigError: for a weight that is no positive number.
    """
    return {class_name(name): _weight(name, weight) for name, weight in table.items()}


def _weight(name: str, value: object, found: str | None = None) -> float:
    try:
        weight = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except ValueError:
        weight = -1.0
    if not name or not 0 < weight < float("inf"):
        written = found if found is not None else f"{name}={value}"
        raise ConfigError(
            "--class-weights must be none, balanced or CLASS=WEIGHT,... with positive weights; found %(found)r.",
            found=written,
        )
    return weight


def parse_shares(given: str | Mapping[str, float]) -> Shares:
    """`adapt`, or `CLASS=SHARE,CLASS=SHARE` with shares from 0 to 1, as percentages too; a table of them likewise.

    >>> parse_shares("standing=0.3,lying=25%")
    {'standing': 0.3, 'lying': 0.25}

    Raises:
        ConfigError: for a share that is none, a class that is given twice, or shares that come to more than 1.
    """
    if given == "adapt":
        return "adapt"
    parts: Iterable[tuple[str, object]]
    if isinstance(given, str):
        pieces = [part.rpartition("=") for part in given.split(",")]
        parts = [(name, value) for name, _equals, value in pieces]
    else:
        parts = given.items()
    shares: dict[str, float] = {}
    for name, value in parts:
        spelled, share = class_name(name), _share(value)
        written = f"{name}={value}" if name else str(value)
        if not spelled or share is None:
            raise ConfigError(
                "--shares must be adapt or CLASS=SHARE,... with shares from 0 to 1; found %(found)r.", found=written
            )
        if spelled in shares:
            raise ConfigError("--shares must name each class once; found %(name)s twice.", name=spelled)
        shares[spelled] = share
    total = sum(shares.values())
    if total > 1 + ROUNDED + 1e-9 or not shares:
        raise ConfigError(
            "--shares must come to 1 at most; found %(total).3g. Give each class its share of all photos.", total=total
        )
    return shares


def _share(value: object) -> float | None:
    try:
        if isinstance(value, str):
            text = value.strip()
            share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
        else:
            share = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else -1.0
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None


def parse_times(text: str) -> Times:
    """One of the words of `Times`."""
    for times in TIMES:
        if text == times:
            return times
    raise ConfigError("--times must be one of %(times)s; found %(text)r.", times=", ".join(TIMES), text=text)


def parse_figure_for(text: str | None) -> FigureFor | None:
    """One of the words of `FigureFor`, or nothing."""
    for target in (None, *FIGURE_FOR):
        if text == target:
            return target
    raise ConfigError("--for must be one of %(targets)s; found %(text)r.", targets=", ".join(FIGURE_FOR), text=text)


def parse_label_level(text: str) -> int | Literal["leaf"]:
    """`leaf` or a positive folder level."""
    if text == "leaf":
        return "leaf"
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    raise ConfigError("--label-level must be leaf or a folder level from 1 on; found %(text)r.", text=text)
