"""Where training stood, in files that are whole or not there: safetensors for numbers, JSON in them for the rest.

No pickle: a checkpoint from somebody else can hold wrong numbers, but runs no code. `last.safetensors` holds everything
that the next step depends on; the weights of the best epoch lie in a file of their own, named by `last.safetensors`, so
that a crash between the two never pairs one with the wrong other.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from certero.errors import OutputError
from certero.interchange import Json
from certero.machine.files import sync
from certero.sentences import Message, in_a_row, sentence

_LAST = "last.safetensors"
_SCHEMA = 1


class Checkpoints:
    """The checkpoints of one training, in one folder.

    Args:
        folder: made when the first one is saved.
        hint: what to do when a checkpoint cannot be written, as a sentence.
    """

    def __init__(self, folder: Path, hint: Message | None = None) -> None:
        self._folder = folder
        self._hint = hint

    def save(self, tensors: dict[str, torch.Tensor], position: Json) -> None:
        """Replaces the last checkpoint; a power cut leaves the old one or the new one.

        Args:
            tensors: by name.
            position: what JSON can hold.

        Raises:
            OutputError: if it cannot be written; the one before stays.
        """
        self._write(_LAST, tensors, position)
        for file in self._folder.glob("best-*.safetensors"):
            if file.name != position.get("best_file"):
                file.unlink(missing_ok=True)

    def exist(self) -> bool:
        """Whether something was saved to go on from."""
        return (self._folder / _LAST).is_file()

    def load(self) -> tuple[dict[str, torch.Tensor], Json] | None:
        """What was saved last; None before the first time.

        Raises:
            OutputError: if the file is damaged.
        """
        # What a killed run was writing: as large as a checkpoint, and of no use.
        for torn in self._folder.glob(".*.safetensors.*"):
            torn.unlink(missing_ok=True)
        file = self._folder / _LAST
        if not file.is_file():
            return None
        try:
            with safe_open(file, framework="pt") as opened:
                position: Json = json.loads((opened.metadata() or {})["position"])
                return {name: opened.get_tensor(name) for name in opened.keys()}, position  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise OutputError(
                "a checkpoint must be whole; %(file)s is damaged (%(error)s). Delete its folder and train again.",
                file=file,
                error=error,
            ) from error

    def save_best(self, tensors: dict[str, torch.Tensor], epoch: int) -> str:
        """Keeps the weights of an epoch beside those of the one that was best before; returns the file's name."""
        name = f"best-{epoch}.safetensors"
        self._write(name, tensors, {"epoch": epoch})
        return name

    def load_best(self, name: str) -> dict[str, torch.Tensor]:
        """Weights that `save_best` kept."""
        return load_file(self._folder / name)

    def _write(self, name: str, tensors: dict[str, torch.Tensor], position: Json) -> None:
        temporary: Path | None = None
        path = self._folder / name
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor, beside = tempfile.mkstemp(prefix=f".{name}.", dir=self._folder)
            os.close(descriptor)
            temporary = Path(beside)
            metadata = {"schema": str(_SCHEMA), "position": json.dumps(position)}
            save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, temporary, metadata)
            temporary.chmod(0o644)
            sync(temporary)
            temporary.replace(path)
            sync(self._folder)
        except (SafetensorError, OSError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or str(error).rpartition("I/O error: ")[2]
            told = sentence(
                "a checkpoint must be written whole; %(path)s: %(reason)s.", path=path, reason=Message(reason)
            )
            raise OutputError(in_a_row([told, self._hint], " ") if self._hint else told) from error
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
