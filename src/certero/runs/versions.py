"""The versions of what a run was made with."""

from __future__ import annotations

import importlib.metadata
import sys

from certero.interchange import Json
from certero.version import version


def versions() -> Json:
    """Versions of certero, Python and the libraries that affect a model."""
    names = ("numpy", "onnxruntime", "scikit-learn", "torch", "timm", "Pillow", "simplejpeg", "pi-heif", "polars")
    found: Json = {"certero": version(), "python": ".".join(str(part) for part in sys.version_info[:3])}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
