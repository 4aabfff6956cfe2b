"""What a long stage is given: someone to tell how far it is, and an ordered parallel map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from certero.records.stages import Stage
from certero.sentences import Sentence

T = TypeVar("T")
R = TypeVar("R")


class Progress(Protocol):
    """Told how far a stage is; `done == total` ends the stage. Never called from two threads at once."""

    def __call__(self, stage: Stage | Sentence, done: int, total: int, detail: Sentence | None = None, /) -> None:
        """Takes the stage (or which part of it), what is done, how much there is, and words about it."""


class Map(Protocol):
    """An ordered parallel map; engines provide it, the layers below receive it."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
        """Yields `function(item)` in the order of items, of which a few are taken ahead."""
        ...


def no_progress(stage: Stage | Sentence, done: int, total: int, detail: Sentence | None = None, /) -> None:
    """Report nothing."""
