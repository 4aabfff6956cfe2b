"""What more photos of each class bring: probes on random parts of train, judged on the given val split.

Opens no test photo.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from bench import print_machine, print_table

from certero.config.recipes import resolve
from certero.data.labels import encode
from certero.probe import probe
from certero.stages.embedder import embed_photos, loading_embedder
from certero.stages.prepare import prepare
from certero.stages.tools import open_tools
from certero.stats.intervals import proportion

SIZES = (2, 5, 10, 20, 40, 80)
DRAWS = 5
STRENGTH = 0.3


def main(manifest: Path) -> None:
    """Prints the table."""
    settings = resolve("probe")
    with open_tools() as tools, loading_embedder(settings, tools) as finish:
        prepared = prepare(manifest, settings, tools)
        development, classes = prepared.development.table, prepared.classes
        features = embed_photos(prepared.development.paths(), development["content_hash"].to_list(), finish(), tools)
    truth = encode(development["label"], classes)
    is_val = (development["split"] == "val").to_numpy()
    train = np.flatnonzero(~is_val)
    rng = np.random.default_rng(0)
    rows = []
    for size in (*SIZES, None):
        correct, used = [], []
        for _draw in range(DRAWS if size else 1):
            chosen = _at_most(train, truth, size, rng)
            weights = probe.weigh_classes(truth[chosen], classes, "balanced")
            with probe.one_blas_thread():
                head = probe.fit_head(features[chosen], truth[chosen], len(classes), STRENGTH, weights[truth[chosen]])
            correct.append(head.logits(features[is_val]).argmax(axis=1) == truth[is_val])
            used.append(len(chosen))
        shares = [float(draw.mean()) for draw in correct]
        mean = f"{np.mean(shares):.1%}"
        rows.append((size or "all", round(float(np.mean(used))), mean, f"{min(shares):.1%} to {max(shares):.1%}"))
    print_machine()
    print_table(
        ("photos a class, at most", "photos", f"val accuracy, mean of {DRAWS} draws", "worst and best draw"), rows
    )
    intervals = [(n, proportion(np.arange(n) < round(0.9 * n))) for n in (20, 50, 100, 200, 500, 2000)]
    print_table(
        ("independent test photos, 90 % of them right", "95 % interval"),
        [(n, f"{found.low:.1%} to {found.high:.1%}") for n, found in intervals],
    )


def _at_most(rows: np.ndarray, truth: np.ndarray, size: int | None, rng: np.random.Generator) -> np.ndarray:
    if size is None:
        return rows
    parts = [rng.permutation(rows[truth[rows] == label])[:size] for label in np.unique(truth[rows])]
    return np.sort(np.concatenate(parts))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path, help="manifest with given train and val splits")
    main(parser.parse_args().manifest)
