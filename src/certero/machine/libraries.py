"""Which libraries are installed, without the seconds that loading them takes."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from certero.errors import missing_part


def require_library(name: str, wanted_by: str) -> None:
    """Checks that a library is installed, without the seconds that loading it takes.

    Args:
        name: of its module.
        wanted_by: what needs it, for the message.

    Raises:
        MissingExtra: if it is not.
    """
    if not is_installed(name):
        raise missing_part(name, wanted_by)


def is_installed(name: str) -> bool:
    if name in sys.modules:
        return sys.modules[name] is not None
    try:
        return find_spec(name) is not None
    except ImportError:
        return False
