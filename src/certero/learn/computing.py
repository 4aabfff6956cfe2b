"""How torch computes: on so many threads, in this precision."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from certero.learn.devices import Trainer


@contextlib.contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Within it, torch computes on so many threads, and its random draws leave the caller's random state alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)


def autocast(trainer: Trainer) -> contextlib.AbstractContextManager[Any]:
    """Within it, torch computes in bfloat16 what is safe in it, where the trainer asks for that."""
    return torch.autocast(trainer.device, torch.bfloat16) if trainer.in_bf16 else contextlib.nullcontext()
