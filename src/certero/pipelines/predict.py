"""A model file ready to answer on every core; imports no torch."""

from __future__ import annotations

from pathlib import Path

from certero.engine.threads import Threads
from certero.errors import ModelFileError
from certero.runtime.predictor import Predictor


def load(model: str | Path, *, workers: int | None = None) -> Predictor:
    """The predictor of a model file.

    Args:
        model: a `model.onnx`, or the folder of the run that holds one.
        workers: threads; every core by default.

    Raises:
        ModelFileError: if the file is missing, damaged, foreign or made by a newer certero.
    """
    path = Path(model)
    if path.is_dir():
        path = path / "model.onnx"
        if not path.exists():
            raise ModelFileError(
                f"MODEL must be a model.onnx or the folder of a finished run; {path.parent} holds no model.onnx. "
                "Train one with: certero train DATA"
            )
    return Predictor(path, Threads(workers).map)
