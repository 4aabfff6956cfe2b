"""The network of a model file, whose outputs are checked before they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from certero.errors import ModelFileError
from certero.runtime.card import Card
from certero.runtime.network import Network
from certero.sentences import Message, message, sentence

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: How far probabilities may be from a sum of 1, and below 0; rounding errors are much smaller.
ROUNDING = 1e-3

_PROBABILITIES = "probabilities"


class CheckedNetwork:
    """A network that matches its card and whose outputs are plausible for their names.

    Args:
        model: bytes of the model file.
        card: of the same file.
        where: what to call it in messages.

    Raises:
        ModelFileError: if ONNX Runtime cannot load it, or its input or output are not those of the card.
    """

    def __init__(self, model: bytes, card: Card, where: str) -> None:
        self._network = Network(model, where, trusted=False)
        self._where, self._count = where, len(card.classes)
        self.outputs, self.batch_size = self._network.outputs, self._network.batch_size
        size = (card.preprocessing.height, card.preprocessing.width, 3)
        inputs = self._network.inputs
        kind, shape = (inputs[0][1], inputs[0][2]) if len(inputs) == 1 else ("", ())
        fits = all(
            not isinstance(found, int) or found == wanted for found, wanted in zip(shape[1:], size, strict=False)
        )
        if kind != "tensor(uint8)" or len(shape) != 4 or isinstance(shape[0], int) or not fits:
            must = sentence(
                "take photos as its card says, uint8 [N, %(height)d, %(width)d, 3]", height=size[0], width=size[1]
            )
            self._refuse(must, self._describe_inputs())
        if _PROBABILITIES not in self.outputs:
            self._refuse_outputs(_PROBABILITIES)

    def run(self, rows: NDArray[Any], outputs: Sequence[str], /) -> list[NDArray[Any]]:
        """The named outputs for uint8 [N, H, W, 3], each with N rows of finite numbers.

        Raises:
            ModelFileError: if an output is not what its name and the card say, or the network failed.
        """
        if missing := [name for name in outputs if name not in self.outputs]:
            self._refuse_outputs(missing[0])
        found = self._network.run(rows, outputs)
        for name, values in zip(outputs, found, strict=True):
            self._check(name, values, len(rows))
        return found

    def _check(self, name: str, answer: Any, photos: int) -> None:
        shape: tuple[int, ...] = getattr(answer, "shape", ())
        wanted = [photos, self._count] if name == _PROBABILITIES else [photos, "..."]
        good = len(shape) >= 2 and shape[0] == photos and (name != _PROBABILITIES or list(shape) == wanted)
        if not good or answer.dtype.kind != "f":
            found = f"{getattr(answer, 'dtype', type(answer).__name__)} {list(shape)}"
            shape_wanted = f"[{', '.join(map(str, wanted))}]"
            self._refuse(sentence("give %(name)s as numbers %(shape)s", name=name, shape=shape_wanted), found)
        if not np.isfinite(answer).all():
            self._refuse(sentence("give numbers as %(name)s", name=name), message("NaN or infinity"))
        if name == _PROBABILITIES:
            sums = answer.sum(axis=1, dtype=np.float64)
            worst = float(sums[np.abs(sums - 1).argmax()])
            if abs(worst - 1) > ROUNDING or float(answer.min()) < -ROUNDING:
                least = float(answer.min())
                self._refuse(
                    message("give probabilities that sum to 1"),
                    sentence("a sum of %(total).4g", total=worst)
                    if abs(worst - 1) > ROUNDING
                    else sentence("a probability of %(least).4g", least=least),
                )

    def _describe_inputs(self) -> str:
        listed = [f"{kind} {list(shape)}" for _name, kind, shape in self._network.inputs]
        return ", ".join(listed)[:200] or message("no input")

    def _refuse_outputs(self, name: str) -> None:
        found = sentence("the outputs %(outputs)s", outputs=", ".join(self.outputs)[:188])
        self._refuse(sentence("have an output %(name)s", name=name), found)

    def _refuse(self, must: Message, found: str) -> None:
        raise ModelFileError(
            "MODEL must %(must)s; %(where)s has %(found)s. It was damaged or edited: copy it again "
            "from where it was made.",
            must=must,
            where=self._where,
            found=found,
        )
