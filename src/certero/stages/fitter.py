"""What the recipes differ in: how development photos become a model file. All other stages are the same."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from certero.config.settings import TrainSettings
from certero.machine.libraries import require_library
from certero.records.stages import Stage
from certero.sentences import Sentence
from certero.stages.embedder import loading_embedder
from certero.stages.estimate.plan import Estimate
from certero.stages.fit_probe import ProbeFitter, with_views
from certero.stages.fitted import Everything, Fitted, Part
from certero.stages.held_out import HeldOut
from certero.stages.model_outputs import Outputs
from certero.stages.prepare import Prepared
from certero.stages.tools import Tools
from certero.stats.random_split import Claims

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Fitter(Protocol):
    """One way to fit; until the headline is known it is given development photos only."""

    def check(self, columns: Sequence[str], classes: Sequence[str]) -> None:
        """Raises for what the data show to be impossible, before any long work.

        Args:
            columns: of the table of photos.
            classes: names in the order of the outputs.
        """

    def estimate(self, prepared: Prepared) -> Estimate:
        """What a run on these photos would take; some of its work is timed on development photos."""
        ...

    def score(self, part: Part, classes: Sequence[str]) -> HeldOut:
        """Trains on development photos, and gives the outputs on those that were held out; nothing is exported."""
        ...

    def fit(self, part: Part, classes: Sequence[str]) -> Fitted:
        """A model file fitted and calibrated on development photos."""
        ...

    def run(
        self, fitted: Fitted, paths: Sequence[Path], content_hashes: Sequence[str], stage: Stage | Sentence
    ) -> Outputs:
        """The model file's outputs on photos."""
        ...

    def claim_at_random(self, everything: Everything, classes: Sequence[str]) -> Claims:
        """What throw-away models claim on random splits of all photos; called after the headline is known."""
        ...

    def ask_probes(
        self, everything: Everything, classes: Sequence[str], gap: timedelta, parts: Sequence[NDArray[np.bool_]]
    ) -> list[NDArray[np.int64]] | None:
        """What a throw-away probe fitted on each part names every photo; called after the headline is known.

        Args:
            everything: all n photos.
            classes: names in the order of the outputs.
            gap: least time between photos that are fitted on and held out.
            parts: bool [n], photos to fit on.

        Returns:
            Class indices [n] for each part; None where no backbone is at hand.
        """
        ...


def require_torch(settings: TrainSettings) -> None:
    """Raises unless torch is installed, which the modules imported next need.

    Raises:
        MissingExtra: if it is not.
    """
    for name in ("torch",) if settings.layers else ("torch", "timm"):
        require_library(name, f"--recipe {settings.recipe}")


@contextlib.contextmanager
def loading_fitter(
    settings: TrainSettings, tools: Tools, checkpoints: Path, resume_with: str
) -> Iterator[Callable[[int], Fitter]]:
    """Starts what a recipe needs; the yielded function waits for it, given the number of photos of development.

    Args:
        settings: of the run.
        tools: cores, caches, progress.
        checkpoints: folder for what long trainings save.
        resume_with: the command line that goes on with the run, for messages.

    Raises:
        MissingExtra: if torch is needed and not installed.
    """
    if settings.fitting == "network":
        require_torch(settings)
        from certero.stages.fit_network import NetworkFitter

        fitter: Fitter = NetworkFitter(settings, tools, checkpoints, resume_with)
        yield lambda _photos: fitter
        return
    with loading_embedder(settings, tools) as finish:
        yield lambda photos: ProbeFitter(finish(), with_views(settings, photos), tools)
