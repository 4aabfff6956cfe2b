"""What computes: the processor or a GPU, and in which precision. Chosen at run time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from certero.errors import ConfigError
from certero.machine.libraries import is_installed, require_library
from certero.machine.limits import instructions
from certero.probe.backbones import Backbone
from certero.probe.export import ShippedPrecision

Precision = Literal["int8", "fp32", "bf16"]


@dataclass(frozen=True, slots=True)
class Engine:
    """What computes the features that the probe is fitted on.

    Args:
        device: `cpu`, `cuda` or `mps`.
        precision: `int8` and `fp32` on a CPU run in ONNX Runtime, everything else in torch.
    """

    device: str
    precision: Precision

    @property
    def shipped_precision(self) -> ShippedPrecision:
        """Precision of the model file that comes out."""
        return "int8" if self.precision == "int8" else "fp32"

    @property
    def in_torch(self) -> bool:
        """Whether torch computes."""
        return self.device != "cpu" or self.precision == "bf16"

    @property
    def remembered_as(self) -> str:
        """The name that remembered features carry: those of different engines differ in their last digits."""
        return f"torch-{self.device}-{self.precision}" if self.in_torch else "onnxruntime"

    def __str__(self) -> str:
        return f"{self.device} {self.precision}"


def choose_engine(asked: str, precision: str, backbone: Backbone) -> Engine:
    """The device and precision to compute features with.

    `auto` asks torch for a GPU only where a driver is there, so that a run on a CPU need not import torch. The
    precision `auto` is `int8` on a CPU for backbones that have it, else `fp32`.

    Raises:
        ConfigError: if the asked device is not there, or cannot compute in the asked precision.
        MissingExtra: if torch would have to compute and is not installed.
    """
    if precision == "int8" and not backbone.in_int8:
        raise ConfigError(
            "--precision int8 must be for a backbone that has it; %(name)s has not. Use --precision fp32.",
            name=backbone.name,
        )
    if precision == "int8" and asked not in ("auto", "cpu"):
        raise ConfigError("--precision int8 runs on a CPU; found --device %(asked)s. Use --device cpu.", asked=asked)
    if precision == "int8":
        asked = "cpu"
    if asked not in ("auto", "cpu"):
        require_library("torch", f"--device {asked}")
    if precision == "bf16":
        require_library("torch", "--precision bf16")
    if asked == "cpu":
        device = "cpu"
    else:
        found = _find_gpu()
        if asked not in ("auto", found):
            raise ConfigError(
                "--device %(asked)s must be there; this machine offers %(found)s only. Use --device auto.",
                asked=asked,
                found=found or "cpu",
            )
        device = found or "cpu"
    if precision == "auto":
        precision = "int8" if device == "cpu" and backbone.in_int8 else "fp32"
    return Engine(device, precision)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Trainer:
    """What a network is trained on.

    Args:
        device: `cpu`, `cuda` or `mps`.
        in_bf16: whether convolutions and products run in bfloat16.
    """

    device: str
    in_bf16: bool

    def __str__(self) -> str:
        return f"{self.device} {'bf16' if self.in_bf16 else 'fp32'}"


def choose_trainer(asked: str, precision: str) -> Trainer:
    """The device and precision to train on; `auto` takes bfloat16 where the processor or GPU computes in it.

    A CPU without such instructions would imitate them, several times slower than float32: it trains in float32, even
    where `bf16` was asked for.

    Raises:
        ConfigError: if the asked device is not there.
        MissingExtra: if torch is not installed.
    """
    require_library("torch", "a network trained whole")
    import torch

    if asked == "auto":
        asked = _find_gpu() or "cpu"
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[asked]:
        raise ConfigError("--device %(asked)s must be there; torch finds none. Use --device auto.", asked=asked)
    if precision == "fp32" or asked == "mps":
        return Trainer(asked, False)
    in_bf16 = torch.cuda.is_bf16_supported() if asked == "cuda" else _multiplies_bf16()
    return Trainer(asked, bool(in_bf16))


# What oneDNN may be held to, below which it imitates bfloat16: by its own names, old and new.
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_WITHOUT_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")


def _multiplies_bf16() -> bool:
    """Whether this processor has instructions for products in bfloat16, not only oneDNN's imitation of them."""
    if any(os.environ.get(name, "").upper() in _WITHOUT_BF16 for name in _LIMITS):
        return False
    # x86 from Cooper Lake and Zen 4 on; `bf16` is Arm's word for it.
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(instructions() or ())


def _find_gpu() -> Literal["cuda", "mps"] | None:
    import platform

    drivers = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
    if platform.system() == "Linux" and not any(Path(driver).exists() for driver in drivers):
        return None
    if not is_installed("torch"):
        return None
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None
