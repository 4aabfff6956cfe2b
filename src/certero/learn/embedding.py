"""Embeddings of photos computed by torch: on a GPU, or in bfloat16."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from certero.errors import PhotoError, changed_since
from certero.learn.timm_backbones import FromPixels
from certero.machine.files import read_file
from certero.photos import pixels
from certero.probe.backbones import Backbone
from certero.probe.backend import Backend
from certero.records.preprocessing import Preprocessing
from certero.records.protocols import Map

_BATCH = 32


def embed_in_torch(
    backbone: Backbone, preprocessing: Preprocessing, backend: Backend, files: Sequence[Path], map: Map
) -> Iterator[NDArray[np.float32]]:
    """Embeddings float32 [D] of photos, one after another.

    Args:
        backbone: as found.
        preprocessing: how photos reach it.
        backend: device and precision.
        files: photos.
        map: ordered parallel map, for decoding.

    Raises:
        PhotoError: if a photo that could be read before cannot be read now.
    """
    if not files:
        return
    device, in_bf16 = backend.device, backend.precision == "bf16"
    module = FromPixels.of(backbone).to(device)
    # Channels last: the layout that convolutions on CPUs and tensor cores read without a copy.
    module = module.to(memory_format=torch.channels_last)

    def prepare(file: Path) -> NDArray[np.uint8]:
        try:
            return pixels.prepare(read_file(file), preprocessing)
        except (OSError, PhotoError) as error:
            raise changed_since(file, error) from error

    batch: list[NDArray[np.uint8]] = []
    for number, image in enumerate(map(prepare, files), start=1):
        batch.append(image)
        if len(batch) == _BATCH or number == len(files):
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=in_bf16):
                embedding, _map = module(torch.from_numpy(np.stack(batch)).to(device))
            yield from embedding.float().cpu().numpy()
            batch = []
