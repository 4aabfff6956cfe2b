"""One step: a batch forwards and backwards, and an update of the weights."""

from __future__ import annotations

import math

import numpy as np
import torch

from certero.config.settings import TrainSettings
from certero.errors import TrainingError
from certero.learn.classifier import Classifier
from certero.learn.computing import autocast
from certero.learn.devices import Trainer
from certero.learn.memory import free_memory, is_out_of_memory
from certero.learn.optimisers import update
from certero.learn.progression import Progression
from certero.sentences import sentence


def take_step(
    network: Classifier,
    optimiser: torch.optim.Optimizer,
    x: torch.Tensor,
    targets: torch.Tensor,
    output_weights: torch.Tensor,
    settings: TrainSettings,
    at: Progression,
    trainer: Trainer,
) -> tuple[float, float]:
    """One update of the weights; returns the weighted sum of the losses and the sum of the weights.

    Where memory runs out, the batch goes through in halves whose gradients add up to the same update. Batch
    normalisation then sees halves, too.

    Args:
        network: changed in place.
        optimiser: of its weights.
        x: levels 0 to 255, float32 [N, 3, H, W].
        targets: share of each output, float32 [N, F].
        output_weights: of the loss, float32 [F].
        settings: seed, batch size and label smoothing.
        at: position, which says what dropout draws; `micro_batch` and `notes` change where memory runs out.
        trainer: device and precision.

    Raises:
        TrainingError: if a single photo does not fit into memory.
    """
    network.train()
    total = (targets @ output_weights).sum()
    while True:
        # What dropout draws follows from the position, not from what was drawn before.
        torch.manual_seed(_position_seed(settings.seed, at))
        optimiser.zero_grad(set_to_none=True)
        try:
            loss = 0.0
            for start in range(0, len(x), at.micro_batch):
                part = slice(start, start + at.micro_batch)
                with autocast(trainer):
                    scores = network.score(x[part].contiguous(memory_format=torch.channels_last))
                losses = torch.nn.functional.cross_entropy(
                    scores.float(),
                    targets[part],
                    output_weights,
                    reduction="sum",
                    label_smoothing=settings.label_smoothing,
                )
                (losses / total).backward()  # type: ignore[no-untyped-call]
                loss += losses.item()
            break
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if at.micro_batch <= 1:
                raise TrainingError(
                    "one photo at least must fit into memory with the network; it does not. Use a "
                    "smaller --image-size, another recipe, or a machine with more memory."
                ) from error
            at.micro_batch = max(1, min(at.micro_batch, len(x)) // 2)
            at.notes.append(
                sentence(
                    "memory ran out in epoch %(epoch)d: %(together)d photos go through at once, and each update still "
                    "rests on %(batch)d",
                    epoch=at.epoch + 1,
                    together=at.micro_batch,
                    batch=settings.batch_size,
                )
            )
            free_memory(trainer.device)
    if math.isfinite(loss):
        # An update by a loss that is not finite would spoil weights that a checkpoint may still keep.
        update(optimiser)
    return loss, float(total)


def _position_seed(seed: int, at: Progression) -> int:
    state = np.random.SeedSequence([seed, at.epoch, at.step, 4]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
