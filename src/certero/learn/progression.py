"""Where a training stands."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from certero.interchange import Json
from certero.sentences import Sentence, from_json, to_json


@dataclass(slots=True)
class Progression:
    """Where a training stands; all of it goes into a checkpoint.

    Args:
        epoch: epoch to continue in, from 0.
        step: step to continue with in that epoch, from 0.
        micro_batch: photos that go through the network at once; below the batch size once memory ran out.
        loss: sum of the weighted losses of this epoch so far.
        weight: sum of the weights behind it.
        seconds: wall time of this epoch so far.
        history: one row for each finished epoch.
        best_epoch: the epoch that was best on val, from 1; None before one was judged.
        best: its accuracy and loss.
        best_file: file of the weights to ship: of the best epoch, or of the last where those were asked for.
        notes: sentences for the user.
        finished: whether the training is over.
    """

    epoch: int = 0
    step: int = 0
    micro_batch: int = 0
    loss: float = 0.0
    weight: float = 0.0
    seconds: float = 0.0
    history: list[Json] = field(default_factory=list)
    best_epoch: int | None = None
    best: tuple[float, float] = (-1.0, math.inf)
    best_file: str | None = None
    notes: list[Sentence] = field(default_factory=list)
    finished: bool = False

    def to_json(self) -> Json:
        """As a checkpoint keeps it."""
        position = {each.name: getattr(self, each.name) for each in fields(self)}
        return position | {"notes": [to_json(note) for note in self.notes]}

    @classmethod
    def from_json(cls, position: Json) -> Progression:
        """What `to_json` gave."""
        notes = [from_json(note) for note in position["notes"]]
        return cls(**position | {"best": tuple(position["best"]), "notes": notes})
