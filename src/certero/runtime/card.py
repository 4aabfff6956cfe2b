"""The card inside a model file: what the model is, how photos reach it, and which photos it has seen."""

from __future__ import annotations

import base64
import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from certero.errors import ModelFileError
from certero.interchange import Json, json_text
from certero.records.preprocessing import Preprocessing
from certero.runtime.card_check import CardFault, check_card
from certero.sentences import message, sentence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Raised whenever an older certero can no longer read the card: 2 has one threshold per class.
CARD_SCHEMA = 2


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Fingerprints of the photos that a model was trained on; no photo can be recovered from them.

    Args:
        pixel_hashes: uint8 [n, 16], hash of the decoded pixels.
        perceptual_hashes: uint64 [n].
        descriptors: uint8 [n, 32].
        minutes: uint8 [n], see `likeness.recognition.mark_minutes`; None in files of older versions, as what follows.
        sketches: uint8 [n, 16], see `likeness.recognition.sketch`.
        centre: float32 [D], about which sketches are made: the mean embedding.
        near: how near copies are told: `distance` (None where no distance does), `falsely` (share of held-out photos
            within it), `recognised` (share of changed copies within it), `n` (held-out photos) and `reason` (why
            there is no distance, in English).
    """

    pixel_hashes: NDArray[np.uint8]
    perceptual_hashes: NDArray[np.uint64]
    descriptors: NDArray[np.uint8]
    minutes: NDArray[np.uint8] | None = None
    sketches: NDArray[np.uint8] | None = None
    centre: NDArray[np.float32] | None = None
    near: Json | None = None

    def __len__(self) -> int:
        return len(self.pixel_hashes)

    @classmethod
    def none(cls) -> Fingerprints:
        """Of no photo."""
        import numpy as np

        return cls(np.zeros((0, 16), np.uint8), np.zeros(0, np.uint64), np.zeros((0, 32), np.uint8))

    def to_json(self) -> Json:
        """Arrays as base64, little-endian."""
        newer = {"minutes": self.minutes, "sketches": self.sketches}
        data: Json = {name: _encode(array) for name, array in newer.items() if array is not None}
        if self.centre is not None:
            data["centre"] = _encode(self.centre.astype("<f4"))
        if self.near is not None:
            data["near"] = self.near
        return data | {
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

        def read(name: str, kind: str = "|u1") -> NDArray[Any]:
            return np.frombuffer(base64.b64decode(data[name], validate=True), kind)

        newer = {"minutes": "|u1", "sketches": "|u1", "centre": "<f4"}
        minutes, sketches, centre = (read(name, kind) if name in data else None for name, kind in newer.items())
        return cls(
            read("pixel_hashes").reshape(n, 16),
            read("perceptual_hashes", "<u8").astype(np.uint64).reshape(n),
            read("descriptors").reshape(n, 32),
            None if minutes is None else minutes.reshape(n),
            None if sketches is None else sketches.reshape(n, 16),
            None if centre is None else centre.astype(np.float32),
            data.get("near"),
        )


@dataclass(frozen=True, slots=True)
class Card:
    """Everything that a model file carries beside the network.

    Args:
        classes: class names in the order of the `probabilities` output.
        preprocessing: how photos become the network's input.
        calibration: `source` (`oof` or `val`), `temperature`, `offsets` and the calibration error before and after.
        threshold: probability below which the model abstains, for all or by predicted class; None never abstains.
        training: recipe, backbone, strength, `shipped` (what the shipped weights were fitted on), settings.
        fingerprints: of the photos the weights were fitted on.
        metrics: the headline figures measured on this file; None before the test set was opened.
        shares: of the classes, by name, that the calibrated probabilities stand for; None in files of older versions.
        outcomes: what was said of held-out photos of each class, see `stats.label_shift.Outcomes`; None likewise.
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
    shares: dict[str, float] | None = None
    outcomes: Json | None = None
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
        return json_text(data, sort_keys=True)

    @classmethod
    def from_text(cls, text: str, where: str) -> Card:
        """Parses a card.

        Raises:
            ModelFileError: if the card is of a newer certero or lacks a part.
        """
        try:
            data = json.loads(text, parse_constant=_refuse_constant)
            schema = data.get("schema") if isinstance(data, dict) else None
            if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
                raise CardFault(message("schema must be a whole number from 1"))
            if schema > CARD_SCHEMA:
                raise ModelFileError(
                    "%(where)s must have a card of version %(card_schema)s or older; found "
                    "%(schema)s. It was made by a newer certero: upgrade this one.",
                    where=where,
                    card_schema=CARD_SCHEMA,
                    schema=str(schema)[:20],
                )
            check_card(data)
            data["classes"] = tuple(data["classes"])
            data["preprocessing"] = Preprocessing.from_json(data["preprocessing"])
            data["fingerprints"] = Fingerprints.from_json(data["fingerprints"])
            # A newer certero may add what an older one can do without; what it cannot raises the schema.
            known = {field.name for field in dataclasses.fields(cls)}
            return cls(**{name: value for name, value in data.items() if name in known})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reason = error.said if isinstance(error, CardFault) else " ".join(str(error).split())[:200]
            raise ModelFileError(
                "%(where)s must carry a whole certero card; its card is damaged (%(reason)s). Copy "
                "it again from where it was made.",
                where=where,
                reason=reason,
            ) from error


def _refuse_constant(name: str) -> float:
    raise CardFault(sentence("a number must be finite; found %(name)s", name=name))


def _encode(array: NDArray[np.generic]) -> str:
    import numpy as np

    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
