"""Outputs of a model file on photos: what is reported is what this very file computes in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from certero.errors import PhotoError
from certero.probe.features import RememberedFeatures
from certero.records.preprocessing import Preprocessing
from certero.records.stages import Stage
from certero.runtime.inference import infer, require_all
from certero.runtime.network import Network
from certero.sentences import Sentence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from certero.stages.tools import Tools

# Remembered embeddings are checked against the file itself on so many photos, and dropped if one differs.
_CHECKED = 32
_TOLERANCE = 1e-5
_HEAD_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Outputs:
    """What one model file computes of n photos.

    Args:
        probabilities: float32 [n, K], calibrated.
        embeddings: float32 [n, D].
    """

    probabilities: NDArray[np.float32]
    embeddings: NDArray[np.float32]


def run_model(
    model: bytes,
    head: bytes,
    network_id: str,
    photos: Sequence[Path],
    content_hashes: Sequence[str],
    preprocessing: Preprocessing,
    tools: Tools,
    stage: Stage | Sentence,
) -> Outputs:
    """Runs a model file on photos, each photo through the whole file unless its embedding is remembered.

    An embedding is remembered by the pixels, the preprocessing and the very graph and runtime that computed it; the
    file's head then runs on it. A sample is always run through the whole file and must agree.

    Args:
        model: the model file.
        head: the model's head as a network of its own.
        network_id: names the model's backbone.
        photos: files [n].
        content_hashes: of the same photos.
        preprocessing: as in the model's card.
        tools: cores, caches and progress.
        stage: name for the progress.

    Raises:
        PhotoError: if a photo that could be scanned cannot be read now.
    """
    network = Network(model)
    remembered = RememberedFeatures(tools.features, network_id, preprocessing)
    rows = _agreed(network, Network(head), remembered.get(content_hashes), photos, content_hashes, preprocessing, tools)
    missing = {key: photo for key, photo in zip(content_hashes, photos, strict=True) if key not in rows}
    files = list(missing.values())
    done = len(photos) - len(files)
    computed = infer(network, preprocessing, files, ["probabilities", "embedding"], tools.map)
    for key, (probabilities, embedding) in zip(missing, require_all(files, computed), strict=True):
        rows[key] = (probabilities, embedding)
        remembered.put(key, embedding)
        done += 1
        tools.progress(stage, done, len(photos))
    remembered.save()
    if done < len(photos) or not files:
        tools.progress(stage, len(photos), len(photos))
    return Outputs(
        np.stack([rows[key][0] for key in content_hashes]),
        np.stack([rows[key][1] for key in content_hashes]),
    )


def run_head(head: Network, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities float32 [n, K] of embeddings [n, D].

    A few thousand at once: inside the network there are several copies of what goes in.
    """
    starts = range(0, len(embeddings), _HEAD_ROWS)
    parts = [head.run(embeddings[start : start + _HEAD_ROWS], ["probabilities"])[0] for start in starts]
    return np.concatenate(parts).astype(np.float32, copy=False)


def _agreed(
    network: Network,
    head: Network,
    embeddings: dict[str, NDArray[np.float32]],
    photos: Sequence[Path],
    content_hashes: Sequence[str],
    preprocessing: Preprocessing,
    tools: Tools,
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Probabilities and embeddings by content hash, or nothing where the file itself computes others."""
    if not embeddings:
        return {}
    keys = list(embeddings)
    probabilities = run_head(head, np.stack([embeddings[key] for key in keys]))
    rows = {key: (row, embeddings[key]) for key, row in zip(keys, probabilities, strict=True)}
    places = dict(zip(content_hashes, photos, strict=True))
    sample = keys[:: max(1, len(keys) // _CHECKED)]
    computed = infer(network, preprocessing, [places[key] for key in sample], ["probabilities"], tools.map)
    for key, row in zip(sample, computed, strict=True):
        if isinstance(row, PhotoError) or np.abs(row[0] - rows[key][0]).max() > _TOLERANCE:
            return {}
    return rows
