"""Files of weights as tensors."""

from __future__ import annotations

from pathlib import Path

import torch

from certero.errors import ConfigError
from certero.machine.files import check_file


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """Tensors by name of a file of weights: safetensors, or a plain state dictionary; never unpickles more.

    Raises:
        ConfigError: if the file is none.
    """
    try:
        check_file(file)
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        state: dict[str, torch.Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds for a bad file.
        raise ConfigError("--weights must be a file of weights; %(file)s cannot be read as one.", file=file) from error
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise ConfigError("--weights must be a plain state dictionary; %(file)s holds something else.", file=file)
    return state
