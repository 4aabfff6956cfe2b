"""What a model says of one photo."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from certero.interchange import Json
from certero.sentences import Message


@dataclass(frozen=True, slots=True)
class AsTrained:
    """What the model says where the classes have the shares of its training; see `Prediction`."""

    label: str | None
    probability: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The model's answer for one photo.

    Args:
        path: the photo as it was named by the caller.
        label: the class, None when the model abstains or the photo cannot be read.
        probability: calibrated probability of the likeliest class, None with an error.
        abstained: True when no class reached the model's threshold.
        probabilities: calibrated probability by class name, None with an error.
        error: why the photo could not be read, else None.
        as_trained: label and probability without other shares of the classes; None where none were asked for.
    """

    path: str
    label: str | None
    probability: float | None
    abstained: bool
    probabilities: dict[str, float] | None
    error: Message | None
    as_trained: AsTrained | None = None

    def to_json(self) -> Json:
        """One row of `certero predict --json`."""
        row = dataclasses.asdict(self)
        if self.as_trained is None:
            del row["as_trained"]
        return row
