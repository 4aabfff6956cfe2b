"""What a card must look like, checked before anything is made of it: a model file may come from anywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from certero.sentences import Message, either, message, sentence

#: Pixels of a side of the input. Networks for photos take some hundreds.
LARGEST_SIDE = 4096

#: Bytes a photo of each array of the fingerprints; those that older files lack come last.
_BYTES_A_PHOTO = {"pixel_hashes": 16, "perceptual_hashes": 8, "descriptors": 32, "minutes": 1, "sketches": 16}
_OLDEST_PRINTS = 3
_MOST_CLASSES = 100_000
_MOST_BINS = 1_000
_LONGEST_NAME = 1_000
_SHOWN = 60

# What several parts must be.
_TABLE = message("a table")
_SHARE = message("a number from 0 to 1")
_NAME = sentence("a name of 1 to %(most)d letters", most=_LONGEST_NAME)
_SIDE = sentence("a whole number from %(least)d to %(most)d", least=1, most=LARGEST_SIDE)


class CardFault(ValueError):
    """A part of a card is wrong.

    Args:
        said: which, what it must be, and what was found.
    """

    def __init__(self, said: Message) -> None:
        super().__init__(said)
        self.said = said


def check_card(data: Any) -> None:
    """Passes a card, as parsed from JSON, in which every part that certero reads has its type, size and range.

    Parts that this version does not know are left alone: a newer certero may have added them.

    Raises:
        CardFault: which part is wrong, what it must be, and what was found.
    """
    _expect(isinstance(data, Mapping), message("the card"), _TABLE, data)
    classes = data.get("classes")
    _expect(
        isinstance(classes, list) and 1 <= len(classes) <= _MOST_CLASSES, "classes", message("a list of names"), classes
    )
    for name in classes:
        good = isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME and _is_text(name)
        _expect(good, message("a class"), _NAME, name)
    _expect(len(set(classes)) == len(classes), "classes", message("different names"), _first_twice(classes))
    _check_preprocessing(data.get("preprocessing"))
    for part in ("calibration", "training", "versions", "fingerprints"):
        _expect(isinstance(data.get(part), Mapping), part, _TABLE, data.get(part))
    metrics = data.get("metrics")
    _expect(metrics is None or isinstance(metrics, Mapping), "metrics", _TABLE, metrics)
    _check_calibration(data["calibration"], classes)
    _check_threshold(data.get("threshold"), classes)
    _check_shares(data.get("shares"), data.get("outcomes"), classes)
    for key, value in data["training"].items():
        if key in ("recipe", "backbone", "shipped"):
            _expect(
                value is None or isinstance(value, str),
                sentence("%(name)s in training", name=key),
                message("a text"),
                value,
            )
    _check_fingerprints(data["fingerprints"])


def is_side(value: Any) -> bool:
    """Whether a value is a number of pixels that a side of the input may have."""
    return _is_whole(value, 1, LARGEST_SIDE)


def _check_preprocessing(given: Any) -> None:
    _expect(isinstance(given, Mapping), "preprocessing", _TABLE, given)
    for side in ("height", "width"):
        value = given.get(side)
        _expect(is_side(value), side, _SIDE, value)
    _choose(given, "fit", ("letterbox", "stretch", "crop"), "letterbox")
    _choose(given, "filter", ("bilinear", "bicubic"), "bilinear")
    pad = given.get("pad", 127)
    _expect(_is_whole(pad, 0, 255), "pad", message("a grey level from 0 to 255"), pad)
    shorter = given.get("shorter_side")
    _expect(shorter is None or is_side(shorter), "shorter_side", message("a whole number of pixels"), shorter)


def _check_calibration(given: Mapping[str, Any], classes: list[str]) -> None:
    temperature = given.get("temperature")
    _expect(
        temperature is None or _is_number(temperature, above=0.0),
        "temperature",
        message("a number above 0"),
        temperature,
    )
    offsets = given.get("offsets")
    _expect(offsets is None or isinstance(offsets, Mapping), "offsets", _TABLE, offsets)
    for name, value in (offsets or {}).items():
        _expect(name in classes, message("a class of the offsets"), message("one of the classes"), name)
        _expect(_is_number(value), sentence("the offset of %(name)s", name=name), message("a number"), value)
    for key in ("ece_before", "ece_after"):
        _expect(given.get(key) is None or _is_share(given[key]), key, _SHARE, given.get(key))
    thresholds = given.get("thresholds")
    _expect(thresholds is None or isinstance(thresholds, Mapping), "thresholds", _TABLE, thresholds)
    for share, value in (thresholds or {}).items():
        _expect(value is None or _is_share(value), sentence("the threshold of %(name)s", name=share), _SHARE, value)


def _check_threshold(given: Any, classes: list[str]) -> None:
    if isinstance(given, Mapping):
        for name, value in given.items():
            _expect(name in classes, message("a class of the threshold"), message("one of the classes"), name)
            _expect(_is_share(value), sentence("the threshold of %(name)s", name=name), _SHARE, value)
    else:
        _expect(given is None or _is_share(given), message("the threshold"), _SHARE, given)


def _check_shares(shares: Any, outcomes: Any, classes: list[str]) -> None:
    if shares is not None:
        whole = isinstance(shares, Mapping) and set(shares) == set(classes)
        _expect(whole, "shares", message("a share of each class"), shares)
        for name, value in shares.items():
            what = sentence("the share of %(name)s", name=name)
            _expect(_is_share(value) and value > 0, what, message("a number above 0, up to 1"), value)
    if outcomes is not None:
        _expect(isinstance(outcomes, Mapping), "outcomes", _TABLE, outcomes)
        rows, cells = outcomes.get("sureness"), outcomes.get("named")
        good = isinstance(rows, list) and len(rows) == len(classes)
        good = good and all(isinstance(row, list) and len(row) == len(rows[0]) < _MOST_BINS for row in rows)
        good = good and all(_is_whole(count, 0, 2**40) for row in rows for count in row)
        _expect(good, "sureness", message("photos of each class by sureness"), rows)
        good = isinstance(cells, list) and all(isinstance(cell, list) and len(cell) == 3 for cell in cells)
        last = len(classes) - 1
        limits = (last, last, 2**40)
        good = good and all(_is_whole(*pair) for cell in cells for pair in zip(cell, (0, 0, 0), limits, strict=True))
        _expect(good, "named", message("photos by class and by the class that was named"), cells)


def _check_fingerprints(given: Mapping[str, Any]) -> None:
    n: Any = given.get("n")
    _expect(_is_whole(n, 0, 2**40), sentence("%(name)s in fingerprints", name="n"), message("a number of photos"), n)
    for place, (name, size) in enumerate(_BYTES_A_PHOTO.items()):
        if place < _OLDEST_PRINTS or name in given:
            found = _count_bytes(given.get(name))
            _expect(
                found == size * n,
                sentence("%(name)s in fingerprints", name=name),
                sentence("%(count)d bytes in base64", count=size * n),
                found,
            )
    if "centre" in given:
        found = _count_bytes(given["centre"])
        _expect(
            found is not None and found > 0 and found % 4 == 0,
            sentence("%(name)s in fingerprints", name="centre"),
            message("32-bit numbers"),
            found,
        )
    near = given.get("near")
    if near is not None:
        _expect(isinstance(near, Mapping), sentence("%(name)s in fingerprints", name="near"), _TABLE, near)
        distance, reason = near.get("distance"), near.get("reason")
        _expect(
            distance is None or _is_whole(distance, 0, 2**16),
            sentence("%(name)s in near", name="distance"),
            message("a whole number"),
            distance,
        )
        _expect(
            reason is None or isinstance(reason, str),
            sentence("%(name)s in near", name="reason"),
            message("a text"),
            reason,
        )
        for key in ("falsely", "recognised"):
            _expect(
                near.get(key) is None or _is_share(near[key]), sentence("%(name)s in near", name=key), _SHARE, near[key]
            )


def _count_bytes(text: Any) -> int | None:
    """How many bytes a text in base64 holds by its length, which decoding will prove; None where it cannot be one."""
    if not isinstance(text, str) or len(text) % 4:
        return None
    return len(text) // 4 * 3 - text[-2:].count("=")


def _choose(given: Mapping[str, Any], key: str, allowed: tuple[str, ...], default: str) -> None:
    value = given.get(key, default)
    _expect(isinstance(value, str) and value in allowed, key, either(allowed), value)


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: Any, *, above: float = -math.inf) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value) and value > above


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _is_text(name: str) -> bool:
    """Whether a name can be written down: lone surrogates, which JSON can hold, cannot."""
    return not any(0xD800 <= ord(letter) < 0xE000 for letter in name)


def _first_twice(names: list[str]) -> str:
    return next((name for name in names if names.count(name) > 1), "") if len(names) < _LONGEST_NAME else ""


def _expect(good: bool, what: str, must: str, found: object) -> None:
    if not good:
        shown = message("nothing") if found is None else _cut(ascii(found))  # ASCII: the name may hold anything
        raise CardFault(sentence("%(what)s must be %(must)s; found %(shown)s", what=what, must=must, shown=shown))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
