"""Linear algebra on one thread, for work that is dealt to the cores already."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from typing import Any


def one_blas_thread() -> AbstractContextManager[object]:
    """Within it, linear algebra keeps to the calling thread.

    Folds are fitted side by side, one a core: threads inside the small products would wait for each other, for tens of
    times as long when another program is busy. The result then does not depend on the number of cores either.
    """
    import threadpoolctl

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

    return threadpoolctl.ThreadpoolController().select(user_api="blas")
