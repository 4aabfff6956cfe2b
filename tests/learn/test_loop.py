"""The training loop: the update is the same whatever the memory, faults are told, and figures are what they say."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_process
from places import EXAMPLES
from training_process import CLASSES, CPU, LAYERS, SIDE, settings

from certero.errors import ConfigError
from certero.learn.augment import Augmentation
from certero.learn.checkpoints import Checkpoints
from certero.learn.classifier import build_classifier
from certero.learn.cnn import plan_cnn
from certero.learn.devices import Trainer, choose_trainer
from certero.learn.evaluation import evaluate
from certero.learn.loop import train_network
from certero.learn.optimisers import build_optimiser
from certero.learn.progression import Progression
from certero.learn.schedule import rate, side_of, typical_side
from certero.learn.step import take_step
from certero.learn.trial import time_steps
from certero.probe.backbones import find_backbone

torch = pytest.importorskip("torch", reason="training needs the [networks] extra")

WITHOUT_NORMALISATION = tuple(layer for layer in LAYERS if layer["layer"] not in ("batch_norm", "dropout"))


def _network(layers: Any = LAYERS, seed: int = 0) -> Any:
    return build_classifier(plan_cnn(layers, CLASSES, SIDE), np.arange(CLASSES), settings(seed=seed))


def _backbone(**changed: Any) -> Any:
    return build_classifier(find_backbone("efficientnet_lite0"), np.arange(CLASSES), settings(**changed))


def _train(folder: Path, network: Any = None, **changed: Any) -> tuple[Any, Progression]:
    chosen = settings(
        **{"augment": "none", "mixup": 0.0, "ema": 0.0, "start_share": 0.0, "checkpoint_seconds": 3600.0} | changed
    )
    train = training_process.examples(folder / "photos")
    val = training_process.examples(folder / "photos", 12, seed=1)
    trained = train_network(
        _network(seed=chosen.seed) if network is None else network,
        training_process.data(train, val, [1.0] * CLASSES, Augmentation()),
        chosen,
        CPU,
        Checkpoints(folder / "checkpoints"),
    )
    return trained.network, trained.at


def _step(micro_batch: int, weights: list[float], class_order: list[int]) -> tuple[dict[str, Any], float, float]:
    torch.manual_seed(0)
    network = _network(WITHOUT_NORMALISATION)
    chosen = settings(lr=0.1, optimizer="sgd", label_smoothing=0.0)
    x = torch.rand(8, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 255
    targets = torch.eye(CLASSES)[torch.tensor(class_order)]
    at = Progression(micro_batch=micro_batch)
    optimiser = build_optimiser(network, chosen, "cpu")
    loss, weight = take_step(network, optimiser, x, targets, torch.tensor(weights), chosen, at, CPU)
    return network.state_dict(), loss, weight


def test_a_halved_batch_makes_the_same_update() -> None:
    order = [0, 1, 2, 0, 1, 0, 0, 2]
    whole, loss, weight = _step(8, [1.0, 2.0, 3.0], order)
    for micro_batch in (4, 3, 1):
        parts, loss_of_parts, weight_of_parts = _step(micro_batch, [1.0, 2.0, 3.0], order)
        assert (loss_of_parts, weight_of_parts) == (pytest.approx(loss, rel=1e-5), weight)
        for name, tensor in whole.items():
            torch.testing.assert_close(parts[name], tensor, rtol=1e-4, atol=1e-6)


def test_class_weights_change_the_update_as_repeated_photos_would() -> None:
    # Weight 3 on a class is that class's photos three times: the weighted mean is the same.
    weighted, _loss, _weight = _step(8, [1.0, 3.0, 1.0], [0, 1, 2, 0, 2, 0, 2, 0])
    plain, _loss, _weight = _step(8, [1.0, 1.0, 1.0], [0, 1, 2, 0, 2, 0, 2, 0])
    assert not torch.equal(weighted["last.weight"], plain["last.weight"])
    network = _network(WITHOUT_NORMALISATION)
    x = torch.rand(8, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 255
    truth = torch.tensor([0, 1, 2, 0, 2, 0, 2, 0])
    rows = torch.cat([torch.arange(8), torch.tensor([1, 1])])
    loss = torch.nn.functional.cross_entropy(network.score(x[rows]), truth[rows])
    loss.backward()
    wanted = _network(WITHOUT_NORMALISATION).last.weight - 0.1 * 1.9 * network.last.weight.grad  # Nesterov's first step
    torch.testing.assert_close(weighted["last.weight"], wanted.detach(), rtol=1e-3, atol=1e-6)


OUT_OF_MEMORY = """
import resource, sys
import numpy as np, torch
from certero.config.settings import TrainSettings
from certero.learn.classifier import build_classifier
from certero.learn.cnn import plan_cnn
from certero.learn.optimisers import build_optimiser
from certero.learn.progression import Progression
from certero.learn.step import take_step
from certero.learn.devices import Trainer

torch.set_num_threads(1)
conv = {"layer": "conv", "filters": 64, "kernel": 3}
layers = [conv, {"layer": "relu"}, conv, {"layer": "global_average_pool"}, {"layer": "dense", "units": "classes"}]
settings = TrainSettings(fitting="network", batch_size=64)
cpu = Trainer("cpu", in_bf16=False)
network = build_classifier(plan_cnn(layers, 2, 128), np.arange(2), settings)
optimiser = build_optimiser(network, settings, "cpu")
x, y = torch.rand(64, 3, 128, 128), torch.eye(2)[torch.arange(64) % 2]
at = Progression(micro_batch=1)
take_step(network, optimiser, x[:2], y[:2], torch.ones(2), settings, at, cpu)  # what libraries set up once
at.micro_batch = 64
in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + int(sys.argv[1]), resource.RLIM_INFINITY))
loss, weight = take_step(network, optimiser, x, y, torch.ones(2), settings, at, cpu)
print(at.micro_batch, weight, loss == loss, at.notes)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space, which only Linux keeps to")
def test_out_of_memory_halves_the_batch_keeps_the_update_and_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY, str(400_000_000)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    micro_batch, weight, *rest = done.stdout.split(maxsplit=3)
    assert 1 <= int(micro_batch) < 64
    assert float(weight) == 64
    assert rest[0] == "True"
    assert "photos go through at once, and each update still rests on 64" in rest[1]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space, which only Linux keeps to")
def test_a_network_that_no_single_photo_fits_with_is_told_of_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY, str(1_000_000)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode != 0
    assert "TrainingError: one photo at least must fit into memory" in done.stderr.splitlines()[-1]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import training_process

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
training_process.train(folder / "photos", folder / "checkpoints", folder / "result", epochs=1)
size = (folder / "checkpoints" / "last.safetensors").stat().st_size
# A disk that takes no file as large as a checkpoint.
resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, resource.RLIM_INFINITY))
training_process.train(folder / "photos", folder / "other", folder / "result", epochs=1)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files, which Windows does not")
def test_a_disk_that_fills_at_a_checkpoint_is_one_clear_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=EXAMPLES,
    )
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert "OutputError: a checkpoint must be written whole; " in last
    assert "File too large" in last
    assert list((tmp_path / "other").iterdir()) == [], "nothing half-written is left"


def test_the_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "kept")
    kept.save({"a": torch.arange(3)}, {"step": 1})
    (tmp_path / "kept" / ".last.safetensors.torn").write_bytes(b"half")
    found = kept.load()
    assert found is not None
    assert (found[0]["a"].tolist(), found[1]) == ([0, 1, 2], {"step": 1})
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["last.safetensors"]


def test_training_learns_what_can_be_learnt_and_ships_the_best_epoch(tmp_path: Path) -> None:
    network, at = _train(tmp_path, epochs=8)
    best = max(at.history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert best["val_accuracy"] >= 0.9
    assert at.best_epoch == best["epoch"]
    val = training_process.examples(tmp_path / "photos", 12, seed=1)
    _logits, loss, accuracy = evaluate(network, val, CPU)
    assert (accuracy, loss) == (best["val_accuracy"], pytest.approx(best["val_loss"]))


def test_patience_ends_the_training(tmp_path: Path) -> None:
    _network, at = _train(tmp_path, epochs=50, lr=1e-9, patience=2)
    assert len(at.history) == at.best_epoch + 2 < 50


def test_frozen_epochs_leave_all_but_the_last_layer_alone(tmp_path: Path) -> None:
    before = _network().state_dict()
    after = _train(tmp_path, epochs=2, freeze_epochs=2, optimizer="adamw", weight_decay=0.1)[0].state_dict()
    assert torch.equal(before["bottom.0.weight"], after["bottom.0.weight"].contiguous())
    assert not torch.equal(before["last.weight"], after["last.weight"])


def test_bf16_agrees_with_fp32_where_the_processor_has_it() -> None:
    if not choose_trainer("cpu", "auto").in_bf16:
        pytest.skip("this processor does not multiply in bfloat16")
    assert not choose_trainer("cpu", "fp32").in_bf16
    found = []
    for in_bf16 in (False, True):
        network = _network()
        at = Progression(micro_batch=8)
        chosen = settings(lr=1e-3, optimizer="adam", ema=0.0)
        optimiser = build_optimiser(network, chosen, "cpu")
        x = torch.rand(8, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 255
        targets = torch.eye(CLASSES)[torch.arange(8) % CLASSES]
        trainer = Trainer("cpu", in_bf16)
        found.append(take_step(network, optimiser, x, targets, torch.ones(CLASSES), chosen, at, trainer)[0])
        assert all(tensor.dtype == torch.float32 for tensor in network.parameters())
    assert found[1] == pytest.approx(found[0], rel=0.02)
    assert found[1] != found[0]


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle"])
def test_rates_follow_their_schedule(schedule: str) -> None:
    chosen = settings(schedule=schedule, lr=0.1)
    rates = [rate(chosen, step, 101) for step in range(101)]
    if schedule == "constant":
        assert set(rates) == {0.1}
        return
    assert max(rates) == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(1e-5)
    top = int(np.argmax(rates))
    assert top == (0 if schedule == "cosine" else 25)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if schedule == "one-cycle":
        # torch's own, as an oracle.
        parameter = torch.nn.Parameter(torch.zeros(1))
        theirs = torch.optim.SGD([parameter], lr=0.1)
        cycle = torch.optim.lr_scheduler.OneCycleLR(theirs, 0.1, 101, pct_start=0.26, final_div_factor=400)
        values = []
        for _step in range(101):
            values.append(theirs.param_groups[0]["lr"])
            theirs.step()
            cycle.step() if _step < 100 else None
        assert values[0] == pytest.approx(rates[0])
        assert max(abs(a - b) for a, b in zip(values, rates, strict=True)) < 0.01


def test_a_backbone_learns_slower_the_lower_the_block() -> None:
    network = _backbone()
    chosen = settings(layer_decay=0.5, weight_decay=0.05)
    optimiser = build_optimiser(network, chosen, "cpu")
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    scale = {names[id(p)]: group["lr_scale"] for group in optimiser.param_groups for p in group["params"]}
    assert set(scale) == set(names.values()), "every weight learns, and nothing else does"
    assert scale["last.weight"] == 1.0
    first, middle = scale["body.conv_stem.weight"], scale["body.blocks.3.0.conv_pw.weight"]
    assert 0 < first < middle < 1.0
    decays = {names[id(p)]: group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    assert decays["body.bn1.weight"] == 0
    assert math.isclose(decays["body.conv_stem.weight"], 0.05)


@pytest.mark.slow
def test_an_update_is_torchs_own_and_loads_no_compiler(tmp_path: Path) -> None:
    code = """
import sys
import numpy as np, torch
from certero.config.settings import TrainSettings
from certero.learn.optimisers import build_optimiser, update

torch.manual_seed(0)
first = torch.nn.Linear(7, 5)
second = torch.nn.Linear(7, 5)
second.load_state_dict(first.state_dict())
for kind in ("adam", "adamw", "sgd"):
    settings = TrainSettings(optimizer=kind, lr=0.01, weight_decay=0.1)
    ours = build_optimiser(first, settings, "cpu")
    for _step in range(3):
        ours.zero_grad(set_to_none=True)
        first(torch.ones(2, 7)).square().sum().backward()
        update(ours)
    ours.load_state_dict(ours.state_dict())
assert "torch._dynamo" not in sys.modules, "the compiler was loaded"
for kind in ("adam", "adamw", "sgd"):
    settings = TrainSettings(optimizer=kind, lr=0.01, weight_decay=0.1)
    theirs = build_optimiser(second, settings, "cpu")
    for _step in range(3):
        theirs.zero_grad()
        second(torch.ones(2, 7)).square().sum().backward()
        theirs.step()
for one, other in zip(first.parameters(), second.parameters()):
    assert torch.equal(one, other)
assert "torch._dynamo" in sys.modules, "torch does without it: update and _forgo_compiler can go"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_what_is_shipped_lies_between_the_beginning_and_the_end(tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in _network().state_dict().items()}
    learnt, _at = _train(tmp_path / "all", start_share=0.0, restore_best=False)
    mixed, at = _train(tmp_path / "mixed", start_share=0.25, restore_best=False)
    ends = learnt.state_dict()
    assert any(not torch.allclose(ends[name], tensor) for name, tensor in before.items())
    for name, tensor in mixed.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.25 * before[name] + 0.75 * ends[name])
    # And that network is what each epoch was judged by.
    val = training_process.examples(tmp_path / "mixed" / "photos", 12, seed=1)
    _logits, loss, _accuracy = evaluate(mixed, val, CPU)
    assert at.history[-1]["val_loss"] == pytest.approx(loss)


def test_the_side_of_the_training_photos_grows_evenly() -> None:
    chosen = settings(epochs=5, train_scale=(0.5, 0.75))
    assert [side_of(256, chosen, epoch) for epoch in range(5)] == [128, 144, 160, 176, 192]
    assert side_of(100, settings(epochs=5), 3) == 100
    assert typical_side(256, chosen) == round(math.sqrt(np.mean(np.square([128, 144, 160, 176, 192]))))
    assert typical_side(100, settings(epochs=5)) == 100


@pytest.mark.slow
def test_frozen_stages_stay_as_they_were_pretrained(tmp_path: Path) -> None:
    network = _backbone(frozen_stages=3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trained, _at = _train(tmp_path, network, epochs=1)
    moved = {name for name, tensor in trained.state_dict().items() if not torch.equal(tensor, before[name])}
    # The stem and two groups of blocks, their running means included; all above learns.
    assert not any(
        name.startswith(("body.conv_stem", "body.bn1", "body.blocks.0.", "body.blocks.1.")) for name in moved
    )
    assert {"body.blocks.2.0.conv_pw.weight", "body.blocks.2.0.bn1.running_mean", "last.weight"} <= moved
    # Stem and seven groups of blocks, the last with the head, are eight stages: 0.65 of them are five.
    shared = _backbone(frozen_stages=0.65)
    counted = _backbone(frozen_stages=5)
    assert len(shared.frozen) == len(counted.frozen) > len(network.frozen)
    with pytest.raises(ConfigError, match="frozen_stages of a recipe must leave something to train; found 40"):
        _backbone(frozen_stages=40)


@pytest.mark.slow
def test_steps_are_timed_with_the_stages_frozen_that_training_freezes(tmp_path: Path) -> None:
    network = _backbone(frozen_stages=3)
    photos = training_process.examples(tmp_path / "photos", 4)
    data = training_process.data(photos, photos, [1.0] * CLASSES, Augmentation())
    time_steps(network, data, settings(), CPU)
    reached = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert "body.blocks.2.0.conv_pw.weight" in reached
    assert not any(
        name.startswith(("body.conv_stem", "body.bn1", "body.blocks.0.", "body.blocks.1.")) for name in reached
    )
