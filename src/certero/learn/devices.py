"""What torch computes on: the processor or a GPU, and whether in bfloat16."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import torch

from certero.errors import ConfigError
from certero.machine.gpu import may_have_gpu
from certero.machine.limits import instructions

# What oneDNN may be held to, below which it imitates bfloat16: by its own names, old and new.
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_WITHOUT_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")


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
    """
    if asked == "auto":
        asked = (find_gpu() if may_have_gpu() else None) or "cpu"
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[asked]:
        raise ConfigError("--device %(asked)s must be there; torch finds none. Use --device auto.", asked=asked)
    if precision == "fp32" or asked == "mps":
        return Trainer(asked, False)
    in_bf16 = torch.cuda.is_bf16_supported() if asked == "cuda" else _multiplies_bf16()
    return Trainer(asked, bool(in_bf16))


def find_gpu() -> Literal["cuda", "mps"] | None:
    """The GPU that torch can use; None where it finds none."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None


def _multiplies_bf16() -> bool:
    """Whether this processor has instructions for products in bfloat16, not only oneDNN's imitation of them."""
    if any(os.environ.get(name, "").upper() in _WITHOUT_BF16 for name in _LIMITS):
        return False
    # x86 from Cooper Lake and Zen 4 on; `bf16` is Arm's word for it.
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(instructions() or ())
