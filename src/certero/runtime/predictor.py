"""A model file ready to answer; needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from certero.errors import PhotoError
from certero.records import Map, Prediction, Progress, no_progress
from certero.runtime.inference import Photo, infer
from certero.runtime.model_file import read_model
from certero.runtime.network import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
        self.network = Network(data, str(path))
        self._map = map

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probability columns."""
        return self.card.classes

    def predict(
        self, photos: str | Path | Photo | Sequence[str | Path | Photo], progress: Progress = no_progress
    ) -> list[Prediction]:
        """One answer a photo, in order; a photo that cannot be read gets an answer with its error.

        Args:
            photos: one or more of: file, folder (searched for photos), file contents, or upright RGB pixels
                uint8 [H, W, 3].
            progress: told how many photos are done.

        Raises:
            DataError: for a path that does not exist, or a folder without photos.
        """
        named = name_photos(photos)
        answers: list[Prediction] = []
        for answer in self.stream([photo for _name, photo in named], [name for name, _photo in named]):
            answers.append(answer)
            progress("predict", len(answers), len(named))
        return answers

    def predict_proba(self, photos: str | Path | Photo | Sequence[str | Path | Photo]) -> NDArray[np.float64]:
        """Calibrated probabilities float64 [n, classes]; a row of NaN for a photo that cannot be read."""
        sources = [photo for _name, photo in name_photos(photos)]
        table = np.full((len(sources), len(self.classes)), np.nan)
        for number, row in enumerate(self.probabilities(sources)):
            if isinstance(row, np.ndarray):
                table[number] = row
        return table

    def stream(self, photos: Sequence[Photo], names: Sequence[str]) -> Iterator[Prediction]:
        """Yields answers in order while later photos are still being worked on."""
        for name, row in zip(names, self.probabilities(photos), strict=True):
            if isinstance(row, PhotoError):
                yield Prediction(name, None, None, False, None, str(row))
                continue
            best = int(row.argmax())
            abstained = self.card.threshold is not None and float(row[best]) < self.card.threshold
            yield Prediction(
                name,
                None if abstained else self.classes[best],
                float(row[best]),
                abstained,
                dict(zip(self.classes, row.tolist(), strict=True)),
                None,
            )

    def probabilities(self, photos: Sequence[Photo]) -> Iterator[NDArray[np.float32] | PhotoError]:
        """Yields one row of calibrated probabilities [classes] a photo, or why there is none."""
        for answer in infer(self.network, self.card.preprocessing, photos, ["probabilities"], self._map):
            yield answer if isinstance(answer, PhotoError) else answer[0]


def name_photos(photos: str | Path | Photo | Sequence[str | Path | Photo]) -> list[tuple[str, Photo]]:
    """Each photo with the name its answer goes by; folders are searched.

    Raises:
        DataError: for a path that does not exist, or a folder without photos.
    """
    from certero.data.files import find_photos
    from certero.errors import DataError

    several = photos if isinstance(photos, list | tuple) else [photos]
    named: list[tuple[str, Photo]] = []
    for number, photo in enumerate(several):
        if isinstance(photo, str | Path):
            path = Path(photo)
            if path.is_dir():
                found = find_photos(path)
                if not found:
                    raise DataError(f"IMAGE must be photos or folders with photos; {path} holds none.")
                named.extend((str(file), file) for file in found)
            elif path.exists():
                named.append((str(path), path))
            else:
                raise DataError(f"IMAGE must exist; {path} does not.")
        else:
            named.append((f"#{number}", photo))
    return named
