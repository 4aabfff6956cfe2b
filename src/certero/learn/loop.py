"""The training loop: every step in one place, and a way back to any step boundary.

What is drawn at a step (order, augmentation, blending, dropout) follows from the seed, the epoch and the step alone. So
a checkpoint needs weights, the optimiser's state, the moving average and a position, and the resumed run continues to
the same bits on the same machine with the same number of threads. Elsewhere, sums are added in another order: the loss
of the first steps agrees to about 1e-5, and what small differences grow to is what another seed would change.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from certero.config.settings import TrainSettings
from certero.errors import TrainingError
from certero.interchange import Json
from certero.learn.augment import Augmentation, augment, blend, draw
from certero.learn.batches import PhotoStore, Selection, deal, order_photos
from certero.learn.checkpoints import Checkpoints
from certero.learn.kernels.heap import give_back, kept_memory
from certero.learn.optimisers import build_optimiser, rate, update
from certero.records.protocols import Progress, no_progress

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

_EVALUATION_BATCH = 64
# A save may take this share of the time: large networks on slow disks are saved less often.
_SAVING_SHARE = 0.05


class StopRequested(Exception):
    """Somebody asked for the training to end; where it stood is saved."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Photos of one split and what they show.

    Args:
        store: their pixels.
        keys: a number that stands for each photo, uint64 [n].
        outputs: index of what training tells apart, int64 [n].
        truth: class index, int64 [n].
    """

    store: PhotoStore | Selection
    keys: NDArray[np.uint64]
    outputs: NDArray[np.int64]
    truth: NDArray[np.int64]


@dataclass(slots=True)
class Progression:
    """Where training stands; all of it goes into a checkpoint.

    Args:
        epoch: epoch to continue in, from 0.
        step: step to continue with in that epoch, from 0.
        micro_batch: photos that go through the network at once; below the batch size after it ran out of memory.
        loss: sum of weighted losses in this epoch so far.
        weight: sum of the weights behind it.
        seconds: wall time of this epoch so far.
        history: one row a finished epoch.
        best_epoch: the epoch that was best on val, from 1; None before one was judged.
        best: its accuracy and loss.
        best_file: where the weights to ship are: of the best epoch, or of the last if those were asked for.
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
    notes: list[str] = field(default_factory=list)
    finished: bool = False


def train_network(
    network: torch.nn.Module,
    train: Examples,
    val: Examples | None,
    class_weights: NDArray[np.float64],
    settings: TrainSettings,
    *,
    augmentation: Augmentation,
    side: int,
    device: str,
    in_bf16: bool,
    checkpoints: Checkpoints,
    progress: Progress = no_progress,
    stop_asked: Callable[[], bool] = lambda: False,
) -> tuple[torch.nn.Module, Progression]:
    """Trains a classifier of `learn.classifier`; returns the network to ship, and how it came about.

    Args:
        network: to train, on the CPU.
        train: photos to learn from.
        val: photos that judge each epoch and never update a weight.
        class_weights: of each output of the network in training, float64 [F].
        settings: epochs, batch size, rate, schedule, ...
        augmentation: what happens to the photos of train.
        side: of the network's input, pixels.
        device: `cpu`, `cuda` or `mps`.
        in_bf16: whether convolutions and products run in bfloat16; weights and sums stay in float32.
        checkpoints: where to save, and to continue from if something is there.
        progress: told at each step.
        stop_asked: asked at each step boundary.

    Raises:
        StopRequested: after `stop_asked` said so and the state was saved.
        TrainingError: if the loss is no number any more, or one photo alone does not fit into memory.
        OutputError: if a checkpoint cannot be written.
    """
    import torch

    # One that an earlier training gave does not learn any more.
    network = network.requires_grad_(True).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = build_optimiser(network, settings, device)
    average = copy.deepcopy(network).requires_grad_(False) if settings.ema else None
    learnt = network if average is None else average
    origin = beginning(network) if settings.start_share else None
    judged = learnt if origin is None else copy.deepcopy(network).requires_grad_(False)
    weights = torch.tensor(class_weights, dtype=torch.float32, device=device)
    at = Progression(micro_batch=settings.batch_size)
    if (saved := checkpoints.load()) is not None:
        at = _restore(saved, network, optimiser, average, origin)
        del saved
    steps = len(deal(len(train.truth), settings.batch_size))
    saved_at, saving = time.monotonic(), 0.0

    def save() -> None:
        nonlocal saved_at, saving
        start = time.monotonic()
        # Of a finished training only the shipped weights are needed, and those lie in their own file.
        checkpoints.save({} if at.finished else _state(network, optimiser, average, origin), _to_json(at))
        saved_at = time.monotonic()
        saving = saved_at - start

    with kept_memory(device):
        while not at.finished:
            started = time.monotonic() - at.seconds
            freeze(network, at.epoch < settings.freeze_epochs)
            for images, rows, draws in _epoch_batches(train, settings, at):
                set_rate(optimiser, rate(settings, at.epoch * steps + at.step, settings.epochs * steps))
                x = augment(torch.from_numpy(images).to(device), draws, augmentation, side_of(side, settings, at.epoch))
                targets = torch.nn.functional.one_hot(torch.from_numpy(train.outputs[rows]), len(class_weights))
                x, y = blend(
                    x, targets.float().to(device), settings.mixup, settings.cutmix, settings.seed, at.epoch, at.step
                )
                loss, weight = take_step(network, optimiser, x, y, weights, settings, at, device, in_bf16)
                if not math.isfinite(loss):
                    raise _not_finite(loss, at, settings.lr, in_bf16)
                if average is not None:
                    follow(average, network, settings.ema, at.epoch * steps + at.step)
                at.loss, at.weight = at.loss + loss, at.weight + weight
                at.step += 1
                at.seconds = time.monotonic() - started
                done = at.epoch * steps + at.step
                if done < settings.epochs * steps:
                    progress("train", done, settings.epochs * steps, _words(at, settings, train))
                if stop_asked():
                    save()
                    raise StopRequested
                # Zero saves at every step.
                wait = settings.checkpoint_seconds and max(settings.checkpoint_seconds, saving / _SAVING_SHARE)
                if time.monotonic() - saved_at >= wait:
                    save()
            lr = rate(settings, (at.epoch + 1) * steps - 1, settings.epochs * steps)
            if origin is not None:
                mix(judged, origin, learnt, settings.start_share)
            _finish_epoch(at, judged, val, train, lr, device, in_bf16)
            if at.best_epoch == at.epoch and settings.restore_best:
                at.best_file = checkpoints.save_best(judged.state_dict(), at.epoch)
            at.finished = at.epoch >= settings.epochs or _out_of_patience(at, settings)
            if at.finished and at.best_file is None:
                at.best_file = checkpoints.save_best(judged.state_dict(), at.epoch)
            if at.finished or at.best_epoch == at.epoch:
                # A new best file must have its checkpoint, or a resumed run would look for one that is gone.
                save()
    progress("train", 1, 1, _words(at, settings, train))
    assert at.best_file is not None
    judged.load_state_dict(checkpoints.load_best(at.best_file))
    return judged.eval(), at


def _epoch_batches(
    train: Examples, settings: TrainSettings, at: Progression
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]]:
    """Photos, rows and draws of the steps of this epoch that are still to be taken."""
    order, repeats = order_photos(train.truth, settings.sampling, settings.seed, at.epoch)
    parts = deal(len(order), settings.batch_size)[at.step :]
    epoch = at.epoch
    for part, images in zip(parts, train.store.read([order[part] for part in parts]), strict=True):
        rows = order[part]
        yield images, rows, draw(settings.seed, epoch, train.keys[rows].tolist(), repeats[part].tolist())


def take_step(
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    x: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    settings: TrainSettings,
    at: Progression,
    device: str,
    in_bf16: bool,
) -> tuple[float, float]:
    """One update of the weights; returns the weighted sum of the losses and the sum of the weights.

    Out of memory, the batch goes through in halves whose gradients add up to the same update. Batch normalisation then
    sees halves, too.

    Raises:
        TrainingError: if a single photo does not fit.
    """
    import torch

    network.train()
    total = (targets @ weights).sum()
    while True:
        # Dropout draws from here on: from the position, not from what was drawn before.
        torch.manual_seed(_mixed(settings.seed, at.epoch, at.step))
        optimiser.zero_grad(set_to_none=True)
        try:
            loss = 0.0
            for start in range(0, len(x), at.micro_batch):
                part = slice(start, start + at.micro_batch)
                with autocast(device, in_bf16):
                    scores = network.score(x[part].contiguous(memory_format=torch.channels_last))  # type: ignore[operator]
                losses = torch.nn.functional.cross_entropy(
                    scores.float(), targets[part], weights, reduction="sum", label_smoothing=settings.label_smoothing
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
                f"memory ran out in epoch {at.epoch + 1}: {at.micro_batch} photos go through at once, and each update "
                f"still rests on {settings.batch_size}"
            )
            _free(device)
    if math.isfinite(loss):
        # A step on what is no number would spoil the weights that a checkpoint may still keep.
        update(optimiser)
    return loss, float(total)


@contextlib.contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Within it, torch computes on so many threads, and what it draws leaves the caller's random state alone."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory is what an error is about: torch has a class for it on a GPU only."""
    import torch

    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        "out of memory" in text or "can't allocate memory" in text or "could not create a primitive" in text
    )


def _free(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
    else:
        give_back()


def autocast(device: str, in_bf16: bool) -> contextlib.AbstractContextManager[Any]:
    """bfloat16 where it is safe, chosen by torch operation by operation."""
    import torch

    return torch.autocast(device, torch.bfloat16) if in_bf16 else contextlib.nullcontext()


def judge(
    network: torch.nn.Module, examples: Examples, device: str, in_bf16: bool
) -> tuple[NDArray[np.float64], float, float]:
    """Logits [n, K] of the classes, mean log loss and accuracy."""
    import torch

    network.eval()
    rows = [np.arange(part.start, part.stop) for part in deal(len(examples.truth), _EVALUATION_BATCH)]
    parts = []
    with torch.inference_mode():
        for images in examples.store.read(rows):
            with autocast(device, in_bf16):
                logits, _embedding, _map = network(torch.from_numpy(images).to(device))
            parts.append(logits.float().cpu())
        logits = torch.cat(parts).double()
        truth = torch.from_numpy(examples.truth)
        loss = float(torch.nn.functional.cross_entropy(logits, truth))
        accuracy = float((logits.argmax(dim=1) == truth).double().mean())
    return logits.numpy(), loss, accuracy


def _finish_epoch(
    at: Progression,
    judged: torch.nn.Module,
    val: Examples | None,
    train: Examples,
    lr: float,
    device: str,
    in_bf16: bool,
) -> None:
    """Judges the epoch on val, and moves to the next one."""
    start = time.monotonic()
    row: Json = {"epoch": at.epoch + 1, "loss": at.loss / max(at.weight, 1e-12), "val_loss": None, "val_accuracy": None}
    at.epoch += 1
    if val is not None:
        _logits, loss, accuracy = judge(judged, val, device, in_bf16)
        row |= {"val_loss": loss, "val_accuracy": accuracy}
        # Of equal accuracies the surer one; a loss that is no number never wins.
        if accuracy > at.best[0] or (accuracy == at.best[0] and loss < at.best[1]):
            at.best, at.best_epoch = (accuracy, loss), at.epoch
    row |= {
        "lr": lr,
        "seconds": round(at.seconds, 3),
        "val_seconds": round(time.monotonic() - start, 3),
        "photos_per_second": round(len(train.truth) / max(at.seconds, 1e-9), 2),
    }
    at.history.append(row)
    at.step, at.loss, at.weight, at.seconds = 0, 0.0, 0.0, 0.0


def _out_of_patience(at: Progression, settings: TrainSettings) -> bool:
    return settings.patience is not None and at.best_epoch is not None and at.epoch - at.best_epoch >= settings.patience


def side_of(side: int, settings: TrainSettings, epoch: int) -> int:
    """Side of the training photos in an epoch, pixels: it moves evenly from the first share to the last one.

    Photos cut out and enlarged by a zoom show things larger than whole photos do, so a network judged at a larger side
    than it was trained at sees them at the size it knows; and small photos make the first epochs cheap.
    Source: Touvron et al., "Fixing the train-test resolution discrepancy", NeurIPS 2019; Tan & Le, "EfficientNetV2",
    ICML 2021 (progressive size).
    """
    first, last = settings.train_scale
    scale = first + (last - first) * (epoch / max(1, settings.epochs - 1))
    # A backbone halves its map five times; a network from scratch can have its own size only.
    return side if scale == 1 else max(32, round(side * scale / 16) * 16)


def typical_side(side: int, settings: TrainSettings) -> int:
    """Side at which an epoch takes the mean time of all epochs, pixels: the time grows with the area."""
    areas = [side_of(side, settings, epoch) ** 2 for epoch in range(settings.epochs)]
    return round(math.sqrt(sum(areas) / len(areas)))


def freeze(network: torch.nn.Module, only_last: bool) -> None:
    """Lets only the last layer learn, or all of them; the running figures of a frozen normalisation still move.

    What a classifier has frozen for good stays so.
    """
    kept = _frozen(network)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(id(parameter) not in kept and (not only_last or name.startswith("last.")))


def _frozen(network: torch.nn.Module) -> set[int]:
    """Which tensors, by identity, a classifier has frozen for good."""
    modules = getattr(network, "frozen", ())
    return {id(tensor) for module in modules for tensor in module.state_dict(keep_vars=True).values()}


def set_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Sets the learning rate, times the share of each group of parameters."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


def beginning(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of what training can change, by name: stages that are frozen for good stay where they begin."""
    kept = _frozen(network)
    named = network.state_dict(keep_vars=True).items()
    return {name: tensor.detach().clone() for name, tensor in named if id(tensor) not in kept}


def mix(judged: torch.nn.Module, origin: dict[str, torch.Tensor], learnt: torch.nn.Module, share: float) -> None:
    """Sets a network to the mean of where training began and where it is; `share` is the weight of the beginning.

    What was learnt fits these photos, what it began from fits others, and on the line between them lie networks that
    do both.
    Source: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
    """
    import torch

    judged.load_state_dict(learnt.state_dict())
    ours = judged.state_dict()
    with torch.no_grad():
        for name, first in origin.items():
            if first.is_floating_point():
                ours[name].lerp_(first, share)


def follow(average: torch.nn.Module, network: torch.nn.Module, decay: float, step: int) -> None:
    """Moves the average towards the network: faster in the first steps, when its start is worth nothing."""
    import torch

    share = 1 - min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        ours, theirs = average.state_dict(), network.state_dict()
        floats = [name for name, tensor in ours.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([ours[name] for name in floats], [theirs[name] for name in floats], share)
        for name in ours.keys() - set(floats):
            ours[name].copy_(theirs[name])


def _not_finite(loss: float, at: Progression, lr: float, in_bf16: bool) -> TrainingError:
    best = (
        f"the weights of epoch {at.best_epoch} are kept"
        if at.best_file
        else "the last checkpoint is kept, if there is one"
    )
    precision = ", --precision fp32" if in_bf16 else ""
    return TrainingError(
        "the loss must stay a number; it became %(loss)s in epoch %(epoch)s, step %(step)s "
        "(%(best)s). Start anew with a smaller rate, --lr %(lr)g%(precision)s, or look at the "
        "photos.",
        loss=loss,
        epoch=at.epoch + 1,
        step=at.step + 1,
        best=best,
        lr=lr / 10,
        precision=precision,
    )


def _words(at: Progression, settings: TrainSettings, train: Examples) -> str:
    """What the user sees beside the bar."""
    words = [f"epoch {min(at.epoch + 1, settings.epochs)}/{settings.epochs}"]
    if at.weight:
        words.append(f"loss {at.loss / at.weight:.3f}")
    if at.history and at.history[-1]["val_accuracy"] is not None:
        words.append(f"val {at.history[-1]['val_accuracy']:.1%}")
    if at.seconds > 0 and at.step:
        shown = min(at.step * settings.batch_size, len(train.truth))
        words.append(f"{shown / at.seconds:.1f} photos/s")
    return ", ".join(words)


def _mixed(seed: int, epoch: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, step, 4]).generate_state(1, np.uint64)[0] >> np.uint64(1))


# ---- state ----------------------------------------------------------------------------------------------------


def _state(
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    average: torch.nn.Module | None,
    origin: dict[str, torch.Tensor] | None,
) -> dict[str, torch.Tensor]:
    """Every tensor that the next step depends on, by name. The random state follows from the position."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for number, values in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in values.items() if tensor is not None}
    followed = {} if average is None else average.state_dict()
    for kind, named in (("average", followed), ("origin", origin or {})):
        tensors |= {f"{kind}.{name}": tensor for name, tensor in named.items()}
    return tensors


def _to_json(at: Progression) -> Json:
    return {name: getattr(at, name) for name in Progression.__dataclass_fields__}


def _restore(
    saved: tuple[dict[str, torch.Tensor], Json],
    network: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    average: torch.nn.Module | None,
    origin: dict[str, torch.Tensor] | None,
) -> Progression:
    tensors, position = saved
    at = Progression(**position | {"best": tuple(position["best"])})
    if at.finished:
        return at
    network.load_state_dict(_below(tensors, "network."))
    if average is not None:
        average.load_state_dict(_below(tensors, "average."))
    if origin is not None:
        for name, tensor in _below(tensors, "origin.").items():
            origin[name].copy_(tensor)
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in _below(tensors, "optimiser.").items():
        number, _dot, key = name.partition(".")
        state.setdefault(int(number), {})[key] = tensor
    import torch

    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    for parameter, values in optimiser.state.items():
        for key, tensor in values.items():
            if torch.is_tensor(tensor) and tensor.shape == parameter.shape:
                # The fused update walks both in memory order: another layout would pair wrong numbers, silently.
                values[key] = torch.empty_like(parameter, requires_grad=False).copy_(tensor)
    return at


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
