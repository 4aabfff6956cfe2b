"""What computes, chosen at run time. GPUs are claimed at torch's own boundary; what a CPU can show, it shows."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the [networks] extra")

import training_process  # noqa: E402

from certero.errors import ConfigError  # noqa: E402
from certero.learn.augment import Augmentation  # noqa: E402
from certero.learn.checkpoints import Checkpoints  # noqa: E402
from certero.learn.classifier import build_classifier  # noqa: E402
from certero.learn.cnn import plan_cnn  # noqa: E402
from certero.learn.computing import autocast  # noqa: E402
from certero.learn.devices import Trainer, choose_trainer  # noqa: E402
from certero.learn.loop import train_network  # noqa: E402
from certero.learn.memory import is_out_of_memory  # noqa: E402


def _claim(monkeypatch: pytest.MonkeyPatch, *, cuda: bool = False, bf16: bool = False, mps: bool = False) -> None:
    # Elsewhere than on Linux torch is asked whether or not there is a driver.
    monkeypatch.setattr(platform, "system", lambda: "Darwin" if mps else "Windows")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


def test_a_gpu_is_taken_where_there_is_one_and_bf16_where_it_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _claim(monkeypatch, cuda=True, bf16=True)
    assert choose_trainer("auto", "auto") == Trainer("cuda", True)
    assert choose_trainer("auto", "fp32") == Trainer("cuda", False)
    assert str(choose_trainer("cuda", "bf16")) == "cuda bf16"
    _claim(monkeypatch, cuda=True, bf16=False)
    assert choose_trainer("auto", "bf16") == Trainer("cuda", False)


def test_apples_gpu_trains_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    _claim(monkeypatch, mps=True)
    assert choose_trainer("auto", "auto") == choose_trainer("mps", "bf16") == Trainer("mps", False)


@pytest.mark.parametrize("asked", ["cuda", "mps"])
def test_a_gpu_that_is_not_there_is_refused_in_one_line(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _claim(monkeypatch)
    assert choose_trainer("auto", "fp32").device == "cpu"
    with pytest.raises(ConfigError, match=f"--device {asked} must be there; torch finds none. Use --device auto."):
        choose_trainer(asked, "auto")


@pytest.mark.parametrize("limit", ["AVX2", "AVX512_CORE", "avx512_core_vnni"])
@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_a_processor_held_to_instructions_without_bf16_trains_in_fp32(
    name: str, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, limit)
    assert choose_trainer("cpu", "bf16") == choose_trainer("cpu", "auto") == Trainer("cpu", False)


def test_a_processor_without_bf16_trains_in_fp32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from certero.machine import limits as machine

    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "proc").mkdir()
    for flags, in_bf16 in (("fpu avx2 avx512f avx512_vnni", False), ("fpu avx512f avx512_bf16", True)):
        (tmp_path / "proc" / "cpuinfo").write_text(f"flags\t\t: {flags}\n")
        # Another processor than the one that runs the tests: its /proc, read as this one's is.
        monkeypatch.setattr("certero.learn.devices.instructions", lambda: machine.instructions(tmp_path))
        assert choose_trainer("cpu", "bf16") == Trainer("cpu", in_bf16)
        assert choose_trainer("cpu", "fp32") == Trainer("cpu", False)


def test_products_run_in_bf16_and_sums_in_fp32() -> None:
    a = torch.ones(4, 4)
    with autocast(Trainer("cpu", in_bf16=True)):
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16
        assert (a @ a).dtype == torch.bfloat16
        assert a.sum().dtype == torch.float32
    with autocast(Trainer("cpu", in_bf16=False)):
        assert (a @ a).dtype == torch.float32


def test_a_network_is_trained_with_its_channels_last(tmp_path: Path) -> None:
    chosen = training_process.settings(epochs=1, augment="none", mixup=0.0, ema=0.0, checkpoint_seconds=3600.0)
    plan = plan_cnn(training_process.LAYERS, training_process.CLASSES, training_process.SIDE)
    trained = train_network(
        build_classifier(plan, np.arange(training_process.CLASSES), chosen),
        training_process.data(training_process.examples(tmp_path / "photos"), None, [1.0, 1.0, 1.0], Augmentation()),
        chosen,
        training_process.CPU,
        Checkpoints(tmp_path / "checkpoints"),
    )
    weight = trained.network.state_dict()["bottom.0.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()


@pytest.mark.parametrize(
    ("error", "about_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
    ids=str,
)
def test_what_each_device_says_when_memory_runs_out_is_understood(error: Exception, about_memory: bool) -> None:
    assert is_out_of_memory(error) == about_memory
