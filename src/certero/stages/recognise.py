"""What a model file remembers of its photos, and which photos it knows again. Imports no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from certero.data.separation import TIMED_SHARE, Separation
from certero.errors import DataError, PhotoError
from certero.interchange import Json
from certero.likeness import recognition
from certero.likeness.alterations import NEAR, alter
from certero.likeness.recognition import Prints
from certero.machine.files import read_file
from certero.photos import pixels
from certero.photos.fingerprints import SIDE, pack_hashes, perceive, strengths
from certero.photos.scanned import read_scanned
from certero.photos.turns import one_at_a_time
from certero.records.metrics import Seen
from certero.records.protocols import Map
from certero.records.scores import Scores
from certero.runtime.card import Fingerprints
from certero.runtime.inference import infer
from certero.runtime.network import Network
from certero.sentences import Message, Sentence, message, sentence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from certero.records.preprocessing import Preprocessing

#: Held-out photos on which the distance of near copies is chosen.
_HELD_OUT = 1000
#: Photos that are altered, to see how many of the copies the distance finds.
_ALTERED = 16
# Photos of one fixed camera so far apart in time are held out from each other where no block says more.
_ELSEWHEN_MINUTES = 60.0
# Enough for every network's input and for the perceptual hash.
_LEAST_SIDE = 512

FIXED_CAMERA = message("fixed camera: near copies cannot be told apart")
_ALIKE = message("different photos are too much alike: near copies cannot be told apart")
_FEW = message("too few photos to tell near copies from look-alikes")
_OLDER = message("the model file is of an older version and cannot tell near copies")
#: More of the photos than this seen in training make every figure doubtful.
MOSTLY_SEEN = 0.5


# ---- in training ----------------------------------------------------------------------------------------------


def remember_photos(
    table: pl.DataFrame,
    paths: Sequence[Path],
    embeddings: NDArray[np.float32],
    separation: Separation,
    copied: NDArray[np.int64],
    model: bytes,
    preprocessing: Preprocessing,
    map: Map,
) -> Fingerprints:
    """The fingerprints of the photos that a model was fitted on, and the distance within which copies of them lie.

    Args:
        table: used rows of train and val.
        paths: of the same photos.
        embeddings: float32 [n, D], the model file's, of the same photos.
        separation: the rule that kept photos apart.
        copied: int [n], equal for photos that are verified copies of each other.
        model: the model file.
        preprocessing: how photos reach it.
        map: ordered parallel map.
    """
    # An order that tells nothing about the photos' own.
    order = table.with_row_index("row").sort("pixel_hash", "row")["row"].to_numpy().astype(np.int64)
    rows = table[order.tolist()]
    centre = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    hashes, signs = _hashes(rows)
    prints = Prints(
        hashes,
        signs,
        recognition.mark_minutes(rows["captured_at"].to_list()),
        recognition.sketch(embeddings[order], centre),
    )
    elsewhere = _held_out_from(rows, separation, copied[order])
    near = _choose_near([paths[row] for row in order], prints, elsewhere, separation, centre, model, preprocessing, map)
    return Fingerprints(
        hashes,
        rows["perceptual_hash"].to_numpy().astype(np.uint64),
        np.ascontiguousarray(signs[:, 8:]),
        prints.minutes,
        prints.sketches,
        centre,
        near,
    )


def _held_out_from(
    rows: pl.DataFrame, separation: Separation, copied: NDArray[np.int64]
) -> Callable[[int], NDArray[np.bool_]]:
    """Which photos a held-out one may be compared with: of other blocks of time if times are known, else no copies.

    Groups are no help here: a later photo of the same group is new to the model, and must not pass for seen.
    """
    times = rows["captured_at"].to_physical().to_numpy().astype(np.float64) / 60e6
    known = ~np.isnan(times)
    if separation.rule == "time":
        _names, unit = np.unique(rows["unit"].to_numpy(), return_inverse=True)
        apart = separation.gap / timedelta(minutes=1)
        return lambda row: (unit != unit[row]) & ~(np.abs(times - times[row]) <= apart)
    if known.mean() >= TIMED_SHARE:
        return lambda row: (copied != copied[row]) & ~(np.abs(times - times[row]) <= _ELSEWHEN_MINUTES)
    return lambda row: copied != copied[row]


def _choose_near(
    paths: Sequence[Path],
    prints: Prints,
    elsewhere: Callable[[int], NDArray[np.bool_]],
    separation: Separation,
    centre: NDArray[np.float32],
    model: bytes,
    preprocessing: Preprocessing,
    map: Map,
) -> Json:
    sample = np.unique(np.linspace(0, len(prints) - 1, _HELD_OUT).astype(np.int64))
    held_out = recognition.nearest_elsewhere(prints, sample, elsewhere)
    held_out = held_out[held_out < np.iinfo(np.int32).max]
    if len(held_out) < recognition.FEWEST_PHOTOS:
        return {"distance": None, "falsely": None, "recognised": None, "n": len(held_out), "reason": str(_FEW)}
    distance = recognition.choose_distance(held_out)
    recognised = _recognised(paths, prints, distance, centre, model, preprocessing, map)
    useful = recognised >= recognition.LEAST_RECOGNISED
    return {
        "distance": distance if useful else None,
        "falsely": float((held_out <= distance).mean()),
        "recognised": recognised,
        "n": len(held_out),
        "reason": None if useful else str(FIXED_CAMERA if separation.rule == "time" else _ALIKE),
    }


def _recognised(
    paths: Sequence[Path],
    prints: Prints,
    distance: int,
    centre: NDArray[np.float32],
    model: bytes,
    preprocessing: Preprocessing,
    map: Map,
) -> float:
    """The share of altered copies of some photos (`alterations.NEAR`) within the distance of their original."""
    chosen = np.unique(np.linspace(0, len(paths) - 1, _ALTERED).astype(np.int64)).tolist()
    copies = [copy for altered in map(_alter, [paths[row] for row in chosen]) for copy in altered]
    each = len(copies) // len(chosen)
    answers = [*infer(Network(model), preprocessing, copies, ["embedding"], map)]
    embeddings = np.stack([answer[0] for answer in answers if not isinstance(answer, PhotoError)])
    found = [perceive(pixels.shrink_grey(copy, SIDE, SIDE)) for copy in copies]
    signs = pack_hashes([one for one, _two in found], [two for _one, two in found])
    asked = Prints(np.zeros((len(copies), 16), np.uint8), signs, None, recognition.sketch(embeddings, centre))
    assert prints.sketches is not None
    originals = Prints(prints.pixel_hashes[chosen], prints.signs[chosen], None, prints.sketches[chosen])
    apart = recognition.distances(asked, originals)[np.arange(len(copies)), np.repeat(np.arange(len(chosen)), each)]
    return float((apart <= distance).mean())


def _alter(path: Path) -> list[NDArray[np.uint8]]:
    photo = read_scanned(path, partial(pixels.decode, at_least=(_LEAST_SIDE, _LEAST_SIDE)))
    return [*alter(photo.pixels, NEAR).values()]


# ---- in use ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recognition:
    """Which of n photos a model was trained on.

    Args:
        exact: bool [n], re-encoded and resized copies included.
        near: bool [n], near copies that are not in `exact`; None where they cannot be told.
        reason: why they cannot.
        limit: what the model file says of its distance: `falsely`, `recognised`, `n`; None if nothing.
    """

    exact: NDArray[np.bool_]
    near: NDArray[np.bool_] | None
    reason: Message | None
    limit: Json | None

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Bool [n], exact or near."""
        return self.exact if self.near is None else self.exact | self.near

    def describe(self, unseen: Scores | None, paths: Sequence[str]) -> Seen:
        """How many of the photos were seen, and which.

        Args:
            unseen: the figures without the photos seen, None where there are none.
            paths: names of the n photos.
        """
        limit = self.limit or {}
        near = None if self.near is None else tuple(path for path, near in zip(paths, self.near, strict=True) if near)
        return Seen(
            exact=int(self.exact.sum()),
            near=None if near is None else len(near),
            reason=self.reason,
            near_falsely=limit.get("falsely"),
            near_recognised=limit.get("recognised"),
            warning=self._warning(),
            unseen=unseen,
            paths=tuple(path for path, seen in zip(paths, self.seen, strict=True) if seen),
            near_paths=near,
        )

    def _warning(self) -> Sentence | None:
        share = float(self.seen.mean())
        if share <= MOSTLY_SEEN:
            return None
        return sentence(
            "the model was trained on %(seen)d of these %(photos)d photos: they do not show how good it is on new ones",
            seen=int(self.seen.sum()),
            photos=len(self.seen),
        )


def recognise(
    used: pl.DataFrame, paths: Sequence[Path], embeddings: NDArray[np.float32] | None, known: Fingerprints, map: Map
) -> Recognition:
    """Which photos the model was trained on, from what its file remembers.

    Args:
        used: rows of the photos.
        paths: of the same photos, read again where a fingerprint leaves a doubt.
        embeddings: float32 [n, D], the model file's; None to look for copies alone.
        known: of the model file.
        map: ordered parallel map.
    """
    stored = _stored(known)
    asked = _asked(used)
    exact = recognition.find_copies_seen(asked, stored, lambda row: _weigh(paths[row]), map)
    near = known.near or {"distance": None, "reason": str(_OLDER)}
    if embeddings is None or near["distance"] is None or known.centre is None or stored.sketches is None:
        why = near["reason"] or _OLDER
        return Recognition(exact, None, message(why), known.near)
    asked = dataclasses.replace(asked, sketches=recognition.sketch(embeddings, known.centre))
    found = np.zeros(len(asked), dtype=bool)
    rest = np.flatnonzero(~exact)
    found[rest] = recognition.find_near(_rows(asked, rest), stored, int(near["distance"]), map)
    return Recognition(exact, found, None, known.near)


def recognise_each(
    used: pl.DataFrame,
    paths: Sequence[Path],
    models: Sequence[tuple[Fingerprints | None, NDArray[np.float32] | None]],
    map: Map,
) -> tuple[list[NDArray[np.bool_] | None], NDArray[np.bool_]]:
    """The photos that each of several models was trained on, bool [n], and those that none was, bool [n].

    Args:
        used: rows of the photos.
        paths: of the same photos.
        models: of each, its fingerprints, None where it carries none and cannot be asked, and its embeddings [n, D].
        map: ordered parallel map.

    Raises:
        DataError: if there is no photo that none of them was trained on.
    """
    seen = [
        None if known is None else recognise(used, paths, embeddings, known, map).seen for known, embeddings in models
    ]
    fresh = np.ones(used.height, np.bool_)
    for mask in seen:
        fresh &= True if mask is None else ~mask
    if not fresh.any():
        raise DataError(
            "--data must hold photos that no model was trained on; all %(height)s were in training. Use others.",
            height=used.height,
        )
    return seen, fresh


@one_at_a_time()
def _weigh(path: Path) -> NDArray[np.float32] | None:
    try:
        return strengths(pixels.shrink_grey(pixels.decode(read_file(path)).pixels, SIDE, SIDE))
    except (OSError, PhotoError):
        return None


def _asked(used: pl.DataFrame) -> Prints:
    hashes, signs = _hashes(used)
    return Prints(hashes, signs, recognition.mark_minutes(used["captured_at"].to_list()))


def _stored(known: Fingerprints) -> Prints:
    hashes = known.perceptual_hashes.astype(">u8").view(np.uint8).reshape(-1, 8)
    signs = np.concatenate([hashes, known.descriptors], axis=1)
    return Prints(known.pixel_hashes, signs, known.minutes, known.sketches)


def _hashes(rows: pl.DataFrame) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixel hashes uint8 [n, 16], and hash and descriptor uint8 [n, 40]."""
    hashes = np.frombuffer(bytes.fromhex("".join(rows["pixel_hash"])), np.uint8).reshape(-1, 16)
    return hashes, pack_hashes(rows["perceptual_hash"].to_list(), rows["descriptor"].to_list())


def _rows(prints: Prints, chosen: NDArray[Any]) -> Prints:
    parts = (prints.pixel_hashes, prints.signs, prints.minutes, prints.sketches)
    return Prints(*(None if part is None else part[chosen] for part in parts))  # type: ignore[arg-type]
