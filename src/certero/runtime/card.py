"""The card inside a model file: what the model is, how photos reach it, and which photos it has seen."""

from __future__ import annotations

import base64
import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certero.errors import ModelFileError
from certero.records import Json, Preprocessing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Raised when an older certero could not read the card any more: 2 has a threshold a class.
CARD_SCHEMA = 2


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Of the photos that a model was trained on; no photo can be recovered from them.

    Args:
        pixel_hashes: uint8 [n, 16], hash of the decoded pixels.
        perceptual_hashes: uint64 [n].
        descriptors: uint8 [n, 32].
    """

    pixel_hashes: NDArray[np.uint8]
    perceptual_hashes: NDArray[np.uint64]
    descriptors: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.pixel_hashes)

    def to_json(self) -> Json:
        """Arrays as base64, little-endian."""
        return {
            "n": len(self),
            "pixel_hashes": _encode(self.pixel_hashes),
            "perceptual_hashes": _encode(self.perceptual_hashes.astype("<u8")),
            "descriptors": _encode(self.descriptors),
        }

    @classmethod
    def from_json(cls, data: Json) -> Fingerprints:
        """The inverse of `to_json`."""
        import numpy as np

        n = int(data["n"])
        return cls(
            np.frombuffer(base64.b64decode(data["pixel_hashes"]), np.uint8).reshape(n, 16),
            np.frombuffer(base64.b64decode(data["perceptual_hashes"]), "<u8").astype(np.uint64).reshape(n),
            np.frombuffer(base64.b64decode(data["descriptors"]), np.uint8).reshape(n, 32),
        )


@dataclass(frozen=True, slots=True)
class Card:
    """Everything beside the network that a model file carries.

    Args:
        classes: class names in the order of the `probabilities` output.
        preprocessing: how photos become the network's input.
        calibration: `source` (`oof` or `val`), `temperature` and the calibration error before and after.
        threshold: probability below which the model abstains, for all or by predicted class; None never abstains.
        training: recipe, backbone, strength, `shipped` (what the shipped weights were fitted on), settings.
        fingerprints: of the photos the weights were fitted on.
        metrics: the headline figures measured on this file; None before the test set was opened.
        versions: of certero and the libraries that made the file.
        schema: least version of the card that a reader must know.
    """

    classes: tuple[str, ...]
    preprocessing: Preprocessing
    calibration: Json
    training: Json
    fingerprints: Fingerprints
    versions: Json
    threshold: float | dict[str, float] | None = None
    metrics: Json | None = None
    schema: int = 1

    def least_probability(self, label: str) -> float:
        """What the probability of this class must reach, as the likeliest, to be named."""
        if isinstance(self.threshold, dict):
            return self.threshold.get(label, 0.0)
        return self.threshold or 0.0

    def to_text(self) -> str:
        """JSON, keys in a fixed order: the same model gives the same bytes."""
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        # An older certero reads every card but one whose threshold it could not compare.
        data["schema"] = max(self.schema, CARD_SCHEMA if isinstance(self.threshold, dict) else 1)
        data["preprocessing"] = self.preprocessing.to_json()
        data["fingerprints"] = self.fingerprints.to_json()
        return json.dumps(data, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str, where: str) -> Card:
        """Parses a card.

        Raises:
            ModelFileError: if the card is of a newer certero or lacks a part.
        """
        try:
            data = json.loads(text)
            if data["schema"] > CARD_SCHEMA:
                raise ModelFileError(
                    f"{where} must have a card of version {CARD_SCHEMA} or older; found {data['schema']}. "
                    "It was made by a newer certero: upgrade this one."
                )
            data["classes"] = tuple(data["classes"])
            data["preprocessing"] = Preprocessing.from_json(data["preprocessing"])
            data["fingerprints"] = Fingerprints.from_json(data["fingerprints"])
            # A newer certero may add what an older one can do without; what it cannot raises the schema.
            known = {field.name for field in dataclasses.fields(cls)}
            return cls(**{name: value for name, value in data.items() if name in known})
        except (ValueError, KeyError, TypeError) as error:
            raise ModelFileError(f"{where} must carry a whole certero card; its card is damaged ({error}).") from error


def _encode(array: NDArray[np.generic]) -> str:
    import numpy as np

    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
