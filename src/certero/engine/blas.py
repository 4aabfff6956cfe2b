"""Linear algebra on one thread, for work that is dealt to the cores already."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

_loading: list[threading.Thread] = []


def load_beside(function: Callable[[], object]) -> None:
    """Starts to import what a function imports, on a thread of its own.

    threadpoolctl walks through the loaded libraries with the system's lock on them in hand and asks for Python's,
    while an import has Python's and asks for the system's: both would wait for ever. So none is looked for, here,
    while one is being loaded.
    """

    def load() -> None:
        with contextlib.suppress(ImportError):  # whoever needs it meets the same, and says so
            function()

    thread = threading.Thread(target=load, name="certero loading", daemon=True)
    _loading.append(thread)
    thread.start()


def _wait_for_loading() -> None:
    while _loading:
        _loading.pop().join()


def one_blas_thread() -> AbstractContextManager[object]:
    """Within it, linear algebra keeps to the calling thread.

    Folds are fitted side by side, one a core: threads inside the small products would wait for each other, for tens of
    times as long when another program is busy. The result then does not depend on the number of cores either.
    """
    import threadpoolctl

    _wait_for_loading()
    limits: AbstractContextManager[object] = threadpoolctl.threadpool_limits(1, user_api="blas")
    return limits


def one_numpy_thread() -> AbstractContextManager[object]:
    """The same in a loop, where looking for libraries takes too long, milliseconds: for those loaded at its first use.

    NumPy's is one of them; SciPy's only if SciPy was imported before.
    """
    limits: AbstractContextManager[object] = _loaded().limit(limits=1)
    return limits


@functools.cache
def _loaded() -> Any:
    import threadpoolctl

    _wait_for_loading()
    return threadpoolctl.ThreadpoolController().select(user_api="blas")
