"""No work is lost: whatever kills a training, it continues to the same bits."""

from __future__ import annotations

import multiprocessing
import random
import signal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs the [networks] extra")

import training_process

# Children of a server that has torch imported already: a start costs milliseconds, not seconds.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["training_process", "certero.learn.loop", "torch", "safetensors.torch"])


def _run(*arguments: Any, **changed: Any) -> int:
    process = SERVER.Process(target=training_process.train, args=arguments, kwargs=changed)
    process.start()
    process.join(240)
    assert process.exitcode is not None, "the training hangs"
    return process.exitcode


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    training_process.examples(folder)
    training_process.examples(folder, 12, seed=1)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    assert _run(photos, folder / "checkpoints", folder / "result") == 0
    return (folder / "result").read_bytes()


@pytest.mark.slow
def test_a_training_killed_at_20_random_points_ends_in_the_same_bits(
    photos: Path, uninterrupted: bytes, tmp_path: Path
) -> None:
    # 20 steps, each saved by two syncs: the file before its rename, its folder after it.
    chance = random.Random(0)
    points = [("sync", 1 + chance.randrange(44)) for _ in range(14)] + [
        ("step", 1 + chance.randrange(19)) for _ in range(6)
    ]
    for number, kill in enumerate(points):
        checkpoints, result = tmp_path / str(number), tmp_path / f"{number}.safetensors"
        assert _run(photos, checkpoints, result, kill) == -signal.SIGKILL, kill
        assert not result.exists()
        assert _run(photos, checkpoints, result) == 0
        assert result.read_bytes() == uninterrupted, kill
        assert not list(checkpoints.glob(".*")), "what the killed run was writing is cleared away"


def test_a_training_killed_again_and_again_ends_in_the_same_bits(
    photos: Path, uninterrupted: bytes, tmp_path: Path
) -> None:
    chance = random.Random(1)
    kills = 0
    while _run(photos, tmp_path / "checkpoints", tmp_path / "result", ("sync", 2 + chance.randrange(9))) != 0:
        kills += 1
        assert kills < 60
    assert kills >= 4
    assert (tmp_path / "result").read_bytes() == uninterrupted


def test_another_seed_gives_another_network(photos: Path, uninterrupted: bytes, tmp_path: Path) -> None:
    assert _run(photos, tmp_path / "checkpoints", tmp_path / "result", seed=1) == 0
    assert (tmp_path / "result").read_bytes() != uninterrupted


def test_how_often_it_is_saved_changes_no_bit(photos: Path, uninterrupted: bytes, tmp_path: Path) -> None:
    assert _run(photos, tmp_path / "checkpoints", tmp_path / "result", checkpoint_seconds=3600.0) == 0
    assert (tmp_path / "result").read_bytes() == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed", [{"optimizer": "sgd", "ema": 0.0}, {"sampling": "balanced", "cutmix": 1.0}], ids=str
)
def test_every_optimiser_and_sampling_continues_to_the_same_bits(
    photos: Path, tmp_path: Path, changed: dict[str, Any]
) -> None:
    assert _run(photos, tmp_path / "whole", tmp_path / "whole.result", **changed) == 0
    assert _run(photos, tmp_path / "cut", tmp_path / "cut.result", ("step", 7), **changed) == -signal.SIGKILL
    assert _run(photos, tmp_path / "cut", tmp_path / "cut.result", **changed) == 0
    assert (tmp_path / "cut.result").read_bytes() == (tmp_path / "whole.result").read_bytes()
