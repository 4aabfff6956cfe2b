"""A model file, ready to predict on every core; imports no torch."""

from __future__ import annotations

from pathlib import Path

from certero.engine.threads import Threads
from certero.errors import ModelFileError
from certero.photos.listing import typed
from certero.runtime.model_file import read_model
from certero.runtime.predictor import Predictor


def load(model: str | Path, *, workers: int | None = None) -> Predictor:
    """The predictor of a model file.

    Args:
        model: a `model.onnx`, or the folder of the run that holds one.
        workers: threads; every core by default.

    Raises:
        ModelFileError: if the file is missing, damaged, not certero's, or made by a newer certero.
    """
    return Predictor(find_model(model), Threads(workers).map)


def classes_of(model: str | Path) -> tuple[str, ...]:
    """The classes of a model file or of the one in a run's folder, without loading the network.

    Raises:
        ModelFileError: as `load`.
    """
    return read_model(find_model(model))[1].classes


def find_model(model: str | Path) -> Path:
    """The model file itself, given the file or the folder of its run.

    Raises:
        ModelFileError: if a folder holds none.
    """
    path = typed(model)
    if not path.is_dir():
        return path
    if not (path / "model.onnx").exists():
        raise ModelFileError(
            "MODEL must be a model.onnx or the folder of a finished run; %(path)s holds no "
            "model.onnx. Train one with: certero train DATA",
            path=path,
        )
    return path / "model.onnx"
