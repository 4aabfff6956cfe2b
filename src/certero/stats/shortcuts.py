"""Shortcuts: how well something that is not in the picture predicts the class."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from certero.interchange import Json
from certero.records.quantity import Quantity
from certero.stats.intervals import proportion

# Without /dev/shm, scikit-learn warns that it cannot start processes; none are used.
warnings.filterwarnings("ignore", module=r"joblib\.")

_FOLDS = 5
_LEAVES, _PHOTOS_A_LEAF = 32, 5
# More add nothing.
_MOST_PHOTOS = 20_000
_FEWEST_PHOTOS = 40


@dataclass(frozen=True, slots=True)
class Shortcut:
    """How well one property alone predicts the class.

    Args:
        name: of the property.
        accuracy: cross-validated share of photos whose class a small tree predicts from it.
        majority: share of the commonest class, the baseline without any property.
        explained: share of what the baseline gets wrong that the property predicts; 0 to 1.
    """

    name: str
    accuracy: Quantity
    majority: float
    explained: float

    def to_json(self) -> Json:
        """One entry of `shortcuts`."""
        return {
            "from": self.name,
            "accuracy": self.accuracy.to_json(),
            "majority": round(self.majority, 4),
            "explained": round(self.explained, 4),
        }


def find_shortcuts(
    truth: npt.NDArray[np.int64],
    properties: Mapping[str, npt.NDArray[np.float64]],
    groups: Sequence[str | None],
    folds: npt.NDArray[np.int64],
) -> list[Shortcut]:
    """Each property's shortcut, strongest first; properties that are never known or never vary are left out.

    Args:
        truth: class index [n].
        properties: by name, float64 [n, d]; NaN if unknown. Categories are numbers in any order.
        groups: [n], photos of one group depend on each other; for the interval.
        folds: [n], the fold that holds each photo out; copies share one.
    """
    from sklearn.tree import DecisionTreeClassifier

    n = len(truth)
    if n < _FEWEST_PHOTOS or len(np.unique(truth)) < 2:
        return []
    rows = np.sort(np.random.default_rng(0).permutation(n)[:_MOST_PHOTOS])
    truth, folds = truth[rows], folds[rows]
    units = [groups[row] for row in rows.tolist()]
    majority = float(np.bincount(truth).max() / len(truth))
    found: list[Shortcut] = []
    for name, values in properties.items():
        known = np.nan_to_num(values[rows].reshape(len(rows), -1), nan=-1.0)
        if not known.size or (known == known[0]).all() or len(np.unique(folds)) < 2:
            continue
        right = np.zeros(len(rows), bool)
        for fold in np.unique(folds):
            outside = folds == fold
            tree = DecisionTreeClassifier(max_leaf_nodes=_LEAVES, min_samples_leaf=_PHOTOS_A_LEAF, random_state=0).fit(
                known[~outside], truth[~outside]
            )
            right[outside] = tree.predict(known[outside]) == truth[outside]
        accuracy = proportion(right, units if None not in units else None)
        gain = (float(right.mean()) - majority) / max(1e-9, 1 - majority)
        found.append(Shortcut(name, accuracy, majority, max(0.0, gain)))
    return sorted(found, key=lambda shortcut: (-shortcut.explained, shortcut.name))


def load_trees() -> None:
    """Loads what `find_shortcuts` needs, for callers with a core to spare beforehand."""
    import sklearn.tree  # noqa: F401


def categories(values: Sequence[str | None]) -> npt.NDArray[np.float64]:
    """Names as columns of numbers, float64 [n, d]: one column for each of the 32 commonest."""
    names, counts = np.unique([value for value in values if value is not None], return_counts=True)
    common = names[np.argsort(-counts, kind="stable")][:32]
    listed = np.array([value or "" for value in values])
    return np.asarray(listed[:, None] == common[None, :], dtype=np.float64)
