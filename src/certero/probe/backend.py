"""What computes the embeddings that a probe is fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["int8", "fp32", "bf16"]
#: Of the inside of a model file; what goes in and comes out is the same.
ShippedPrecision = Literal["fp32", "int8"]


@dataclass(frozen=True, slots=True)
class Backend:
    """A device, and a precision to compute in.

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
        """The name that remembered features carry: those of different backends differ in their last digits."""
        return f"torch-{self.device}-{self.precision}" if self.in_torch else "onnxruntime"

    def __str__(self) -> str:
        return f"{self.device} {self.precision}"
