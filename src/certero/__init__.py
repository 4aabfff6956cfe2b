"""certero: folders of labelled photos into an image classifier whose accuracy can be trusted.

The few public names are imported on first use, so that importing certero imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from certero.pipelines.audit import audit
    from certero.pipelines.compare import compare
    from certero.pipelines.evaluate import evaluate
    from certero.pipelines.plan import plan
    from certero.pipelines.train import train
    from certero.pipelines.value import value
    from certero.runs.model import load
    from certero.stages.look import scan

_HOMES = {
    "audit": "certero.pipelines.audit",
    "compare": "certero.pipelines.compare",
    "evaluate": "certero.pipelines.evaluate",
    "load": "certero.runs.model",
    "plan": "certero.pipelines.plan",
    "scan": "certero.stages.look",
    "train": "certero.pipelines.train",
    "value": "certero.pipelines.value",
}

__all__ = ["audit", "compare", "evaluate", "load", "plan", "scan", "train", "value"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'certero' has no attribute {name!r}")
    from importlib import import_module

    from certero.errors import EXTRAS, missing_part

    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if name not in EXTRAS or (error.name or "certero").startswith("certero"):
            raise
        raise missing_part(error.name or "", f"certero.{name}", name) from error
