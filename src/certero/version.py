"""Which certero this is."""

from __future__ import annotations

from functools import cache


@cache
def version() -> str:
    """certero's own version."""
    from importlib.metadata import version as installed

    return installed("certero")
