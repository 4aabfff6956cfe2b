"""Speed-ups of training on a CPU, behind one door.

`speed_up` is all that the rest of certero imports. Without it (`--kernels off`), or without this package, networks
learn the same but for rounding, in more time and memory.
"""

from __future__ import annotations

from typing import Any

from certero.learn.kernels.activations import activate_in_place
from certero.learn.kernels.convolutions import speed_up_convolutions
from certero.learn.kernels.dense import speed_up_dense_layers
from certero.learn.kernels.first_block import run_first_block_in_chunks
from certero.learn.kernels.folding import fold_normalisations
from certero.learn.kernels.frozen import run_frozen_stages_apart
from certero.learn.kernels.pooling import join_activations_and_pooling


def speed_up(network: Any, threads: int | None = None) -> None:
    """Gives the layers of a classifier forward and backward passes that are faster on a CPU, in place.

    Outputs and gradients stay the same but for rounding. An exported file holds the layers as they were built, and so
    does `state_dict`; a copy of the network is as fast and computes with its own layers.

    Args:
        network: a `Classifier` of `learn.classifier`, with its first weights.
        threads: of ONNX Runtime, which then runs the frozen stages of a backbone, in float32 on a CPU; None leaves them
            to torch.
    """
    speed_up_convolutions(network)
    bottom = getattr(network, "bottom", None)
    if bottom is not None:
        speed_up_dense_layers(network)
        activate_in_place(network, in_sequence=True)
        join_activations_and_pooling(bottom)
        run_first_block_in_chunks(bottom)
        return
    activate_in_place(network, in_sequence=False)
    if network.keeps_statistics:
        fold_normalisations(network.body)
    if threads is not None:
        run_frozen_stages_apart(network, threads)
