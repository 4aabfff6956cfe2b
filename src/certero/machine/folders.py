"""The folders that certero keeps its cache and its log of openings in."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where features and fingerprints are remembered: `CERTERO_CACHE`, else the user's cache folder."""
    return _folder("CERTERO_CACHE", "user_cache_path")


def state_folder() -> Path:
    """Where openings of test sets are logged: `CERTERO_STATE`, else the user's state folder."""
    return _folder("CERTERO_STATE", "user_state_path")


def _folder(variable: str, method: str) -> Path:
    if os.environ.get(variable):
        return Path(os.environ[variable])
    import platformdirs

    path: Path = getattr(platformdirs, method)("certero", appauthor=False)
    return path
