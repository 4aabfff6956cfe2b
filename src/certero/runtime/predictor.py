"""A model file ready to answer; needs no torch."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from certero.config.parsing import Shares, parse_shares
from certero.errors import DataError, PhotoError
from certero.records.prediction import AsTrained, Prediction
from certero.records.protocols import Map, Progress, no_progress
from certero.runtime.checked import CheckedNetwork
from certero.runtime.inference import Outputs, Photo, infer
from certero.runtime.inputs import name_of, several, to_source
from certero.runtime.model_file import read_model
from certero.runtime.new_shares import NewShares, find_shares, give_shares, shares_of
from certero.sentences import in_a_row, message

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Named:
    """Photos to label.

    Args:
        photos: each with the name that its answer goes by, and for a picture of a kind that is not read the error in
            place of it.
        passed_over: how many files of the searched folders are no photos, see `photos.listing.Walk`.
    """

    photos: list[tuple[str, Photo | PhotoError]]
    passed_over: dict[str, int]


#: One photo or several, each as a path, an open file, the contents of one, a PIL image, or pixels.
Photos = str | Path | Photo | Named | Any


class Predictor:
    """Labels photos with a model file.

    Args:
        path: a `model.onnx` written by certero.
        map: ordered parallel map over the cores.

    Raises:
        ModelFileError: if the file is missing, damaged, foreign or made by a newer certero.
    """

    def __init__(self, path: str | Path, map: Map) -> None:
        data, self.card = read_model(Path(path))
        self.network = CheckedNetwork(data, self.card, str(path))
        self._map = map

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probability columns."""
        return self.card.classes

    def predict(
        self,
        photos: Photos,
        progress: Progress = no_progress,
        *,
        shares: str | Mapping[str, float] | None = None,
    ) -> list[Prediction]:
        """One prediction per photo, in order; for a photo that cannot be read it holds the error.

        Args:
            photos: one photo, or any iterable of photos, each as a path (of a file, of a folder that is searched, or a
                pattern such as `new/*.jpg`), an open file, the bytes of a file, a PIL image, or upright pixels uint8
                [H, W, 3] in the order red, green, blue; also grey [H, W], and [H, W, 4] with transparency, which is
                laid on white. An array [N, H, W, 3] is N photos. One photo gives a list of one.
            progress: told how many photos are done.
            shares: weigh the outputs for other shares of the classes than in training: `adapt` finds them from these
                photos, which rests on each class looking as it did; else shares by class, as a table or a text
                (`standing=0.3`). Each prediction then has `as_trained`, too.

        Raises:
            DataError: for a path that does not exist, a folder without photos, or `adapt` where the photos are too few
                or other shares alone do not explain them.
            ConfigError: for shares that are none, or of classes that the model does not know.
            ModelFileError: for shares, if the file is too old to know those of its training.
            InputError: a kind of DataError and of TypeError, for something that is no photo: None, a number, a table,
                nothing at all, pixels of other numbers or of another shape.
        """
        return list(self.stream(photos, progress, shares=shares))

    def predict_proba(self, photos: Photos) -> NDArray[np.float64]:
        """Calibrated probabilities float64 [n, classes]; a row of NaN for a photo that cannot be read."""
        sources = [photo for _name, photo in name_photos(photos).photos]
        table = np.full((len(sources), len(self.classes)), np.nan)
        for number, row in enumerate(self._rows(sources)):
            if isinstance(row, np.ndarray):
                table[number] = row
        return table

    def stream(
        self,
        photos: Photos,
        progress: Progress = no_progress,
        *,
        shares: str | Mapping[str, float] | None = None,
        told: Callable[[NewShares], None] | None = None,
    ) -> Iterator[Prediction]:
        """As `predict`, but yields each answer while later photos are still being worked on.

        To find shares, all photos are looked at before the first answer.

        Args:
            photos: as in `predict`.
            progress: likewise.
            shares: likewise.
            told: is given the shares once they are known, before the first answer.
        """
        named = name_photos(photos).photos
        wish = None if shares is None else parse_shares(shares)
        weighed = None if wish is None else self.weigh(wish)
        rows = self._rows([photo for _name, photo in named])
        if wish == "adapt":
            looked: list[NDArray[np.float32] | PhotoError] = []
            for row in rows:
                looked.append(row)
                progress("predict", len(looked), len(named))
            read = [row for row in looked if isinstance(row, np.ndarray)]
            weighed = self.weigh(wish, np.array(read).reshape(len(read), len(self.classes)))
            rows = iter(looked)
        if told is not None and weighed is not None:
            told(weighed)
        for done, ((name, _photo), row) in enumerate(zip(named, rows, strict=True), start=1):
            yield self._answer(name, row, weighed)
            progress("predict", done, len(named))

    def weigh(self, wish: Shares, probabilities: NDArray[np.float32] | None = None) -> NewShares | None:
        """The new shares that are wished for.

        Args:
            wish: see `parse_shares`.
            probabilities: outputs [n, K] that shares are found from; None where they are yet to come, and the answer
                is None for `adapt`.

        Raises:
            DataError: if the photos are too few, or other shares alone do not explain them.
            ConfigError: for shares of unknown classes.
            ModelFileError: if the file does not know the shares of its training.
        """
        if wish != "adapt":
            return give_shares(self.card, wish)
        if probabilities is None:
            shares_of(self.card)  # before all photos are looked at
            return None
        found = find_shares(self.card, probabilities)
        if found.reason is not None:
            raise DataError(
                "--shares adapt must rest on photos that it fits: %(reason)s. Leave --shares out, or give the shares "
                "that you know as CLASS=SHARE,...",
                reason=found.reason,
            )
        return found

    def _rows(self, sources: Sequence[Photo | PhotoError]) -> Iterator[NDArray[np.float32] | PhotoError]:
        """As `probabilities`, of photos among which some are known to be unreadable."""
        rows = self.probabilities([source for source in sources if not isinstance(source, PhotoError)])
        for source in sources:
            yield source if isinstance(source, PhotoError) else next(rows)

    def _answer(self, name: str, row: NDArray[np.float32] | PhotoError, weighed: NewShares | None) -> Prediction:
        if isinstance(row, PhotoError):
            return Prediction(name, None, None, False, None, row.message)
        plain = None if weighed is None else AsTrained(*self._named(row))
        outputs = row if weighed is None else weighed.reweigh(row[None])[0]
        label, probability = self._named(outputs)
        table = dict(zip(self.classes, outputs.tolist(), strict=True))
        return Prediction(name, label, probability, label is None, table, None, plain)

    def _named(self, row: NDArray[np.floating]) -> tuple[str | None, float]:
        """The likeliest class, None where it does not reach the model's threshold, and its probability."""
        best = int(row.argmax())
        abstained = float(row[best]) < self.card.least_probability(self.classes[best])
        return None if abstained else self.classes[best], float(row[best])

    def probabilities(self, photos: Sequence[Photo]) -> Iterator[NDArray[np.float32] | PhotoError]:
        """Yields one row of calibrated probabilities [classes] a photo, or why there is none."""
        for answer in self.answers(photos, ["probabilities"]):
            yield answer if isinstance(answer, PhotoError) else answer[0]

    def answers(self, photos: Sequence[Photo], outputs: Sequence[str]) -> Iterator[Outputs]:
        """Yields one row of each of these outputs of the network a photo, or why there is none; see `infer`."""
        return infer(self.network, self.card.preprocessing, photos, outputs, self._map)


def name_photos(photos: Photos) -> Named:
    """Each photo with the name of its prediction, `#0`, `#1`, ... if it has none; folders are searched.

    Raises:
        DataError: for a path that does not exist, a folder without photos, or something that is no photo.
    """
    if isinstance(photos, Named):
        return photos
    named: list[tuple[str, Photo | PhotoError]] = []
    passed_over: Counter[str] = Counter()
    for number, photo in enumerate(several(photos)):
        source = to_source(photo, number)
        if not isinstance(source, Path):
            named.append((name_of(photo) or f"#{number}", source))
            continue
        for path in _matching(source):
            named += _name_path(path, passed_over)
    return Named(named, dict(sorted(passed_over.items())))


def _matching(path: Path) -> list[Path]:
    """The path as it is typed, or what fits it where it is a pattern and no file's name: not every shell looks."""
    from certero.photos.listing import typed

    found = typed(path)
    if not found.exists() and set(str(path)) & set("*?["):
        return [Path(name) for name in sorted(glob.glob(str(path), recursive=True))] or [path]  # noqa: PTH207
    return [found]


def _name_path(path: Path, passed_over: Counter[str]) -> list[tuple[str, Photo | PhotoError]]:
    """A photo with its name, or those of a folder."""
    from certero.photos.formats import ARCHIVE_SUFFIXES
    from certero.photos.listing import printable

    shown = printable(str(path))
    if path.is_dir():
        return _search(path, passed_over)
    if not path.exists():
        elsewhere = re.match(r"[a-z]{2,}:/", shown, re.IGNORECASE)  # a Path keeps one of an address's slashes
        advice = message("Download it first: certero fetches nothing.") if elsewhere else message("Check the path.")
        raise DataError("IMAGE must exist; %(shown)s does not. %(advice)s", shown=shown, advice=advice)
    if path.suffix.lower() in ARCHIVE_SUFFIXES:
        raise DataError("IMAGE must be photos or folders with photos; %(shown)s is an archive. Unpack it.", shown=shown)
    return [(shown, path)]


def _search(folder: Path, passed_over: Counter[str]) -> list[tuple[str, Photo | PhotoError]]:
    """The photos of a folder, named; counts what is passed over."""
    from certero.photos.listing import check_folders, describe_passed_over, printable, walk_photos, why_foreign

    walk = walk_photos(folder)
    check_folders(walk)
    passed_over.update(walk.passed_over)
    found: dict[str, Photo | PhotoError] = {name: walk.root / name for name in walk.photos}
    found |= {name: PhotoError(why_foreign(name, what)) for name, what in walk.foreign.items()}
    if not found:
        shown, others = printable(str(folder)), describe_passed_over(walk.passed_over)
        if not others:
            raise DataError("IMAGE must be photos or folders with photos; %(folder)s holds none.", folder=shown)
        raise DataError(
            "IMAGE must be photos or folders with photos; %(folder)s holds none (only %(kinds)s).",
            folder=shown,
            kinds=in_a_row(others),
        )
    return [(printable(str(walk.root / name)), found[name]) for name in sorted(found)]
