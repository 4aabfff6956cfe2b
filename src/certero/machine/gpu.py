"""Whether there may be a GPU, without the seconds that loading torch takes."""

from __future__ import annotations

import platform
from pathlib import Path

# NVIDIA's, AMD's, and what Windows lends to Linux.
_DRIVERS = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def has_driver() -> bool:
    """Whether a GPU driver is there, as Linux shows it; elsewhere False."""
    return any(Path(driver).exists() for driver in _DRIVERS)


def may_have_gpu() -> bool:
    """Whether it is worth asking torch for a GPU: on Linux only if there is a driver."""
    return platform.system() != "Linux" or has_driver()
