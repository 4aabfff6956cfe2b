"""How exactly the probe must be solved, and who judges it better: folds of train and val, or a given val split.

Opens no test photo: everything is fitted on train and judged on val, or on folds of both.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from bench import print_machine, print_table

from certero.config.recipes import resolve
from certero.data.labels import encode
from certero.data.split import split_units
from certero.probe import probe
from certero.stages.embedder import embed_photos, loading_embedder
from certero.stages.prepare import prepare
from certero.stages.tools import open_tools
from certero.stats.calibration import softmax

STRENGTHS = (0.03, 0.1)
TOLERANCES = (1e-6, 1e-4, 1e-3)


def main(manifest: Path) -> None:
    """Prints both tables."""
    settings = resolve("probe")
    with open_tools() as tools, loading_embedder(settings, tools) as finish:
        prepared = prepare(manifest, settings, tools)
        development, classes = prepared.development.table, prepared.classes
        features = embed_photos(prepared.development.paths(), development["content_hash"].to_list(), finish(), tools)
    truth = encode(development["label"], classes)
    is_val = (development["split"] == "val").to_numpy()
    print_machine()
    print_table(
        ("C", "tolerance", "seconds", "val accuracy", "val log loss", "same labels as 1e-6"),
        list(tolerances(features, truth, classes, is_val)),
    )
    folds = split_units(truth.tolist(), development["unit"].to_list(), 3, 0)
    accuracy = np.mean(
        [
            (
                answer(features, truth, classes, folds != fold, folds == fold, 0.03).argmax(1) == truth[folds == fold]
            ).mean()
            for fold in range(3)
        ]
    )
    val = (answer(features, truth, classes, ~is_val, is_val, 0.03).argmax(1) == truth[is_val]).mean()
    print_table(("judged on", "accuracy"), [("3 folds of train and val", f"{accuracy:.3f}"), ("val", f"{val:.3f}")])


def tolerances(features, truth, classes, is_val):  # type: ignore[no-untyped-def]
    """Rows of the first table."""
    for strength in STRENGTHS:
        exact = None
        for tolerance in TOLERANCES:
            probe._TOLERANCE = tolerance
            start = time.process_time()
            found = answer(features, truth, classes, ~is_val, is_val, strength)
            seconds = time.process_time() - start
            exact = found if exact is None else exact
            labels = found.argmax(axis=1)
            loss = -np.log(found[np.arange(len(labels)), truth[is_val]]).mean()
            same = (labels == exact.argmax(axis=1)).mean()
            accuracy = (labels == truth[is_val]).mean()
            yield f"{strength:g}", f"{tolerance:g}", f"{seconds:.1f}", f"{accuracy:.3f}", f"{loss:.3f}", f"{same:.1%}"
    probe._TOLERANCE = 1e-4


def answer(features, truth, classes, inside, outside, strength):  # type: ignore[no-untyped-def]
    """Probabilities on the outside rows of a head fitted on the inside rows, from nothing."""
    weights = probe.weigh_classes(truth[inside], classes, "balanced")
    with probe.one_blas_thread():
        head = probe.fit_head(features[inside], truth[inside], len(classes), strength, weights[truth[inside]])
    return softmax(head.logits(features[outside]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path, help="manifest with given train and val splits")
    main(parser.parse_args().manifest)
