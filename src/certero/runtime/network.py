"""One network in ONNX Runtime: the only importer of onnxruntime."""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certero.errors import ModelFileError
from certero.machine import instructions

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Metadata key of a network in 8 bits whose weights were chosen so that no sum of two products overflows 16 bits.
PAIRS_FIT = "certero_pairs_fit_16_bits"


class Network:
    """Runs an ONNX network on one core a call; calls may come from several threads at once.

    Photos are independent, so a core a photo beats all cores on one photo: no thread waits for another inside a layer
    (measured in benchmarks/).

    Args:
        model: bytes of an ONNX file with one input.
        where: what to call it when it cannot be loaded.
        folder: of the files beside it that hold its weights, where it has any.

    Raises:
        ModelFileError: if ONNX Runtime cannot load it.
    """

    def __init__(self, model: bytes, where: str = "the model", folder: Path | None = None) -> None:
        # ONNX Runtime reports usage to its makers since 1.29 unless told not to before it is imported.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if not _adds_bytes_exactly() and PAIRS_FIT.encode() not in model:
            # Without it, networks in 8 bits would give other answers on this processor than where they were measured.
            options.add_session_config_entry("session.x64quantprecision", "1")
        if folder is not None:
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class.
            reason = " ".join(str(error).split())[:200]
            raise ModelFileError(f"MODEL must be a network that ONNX Runtime can run; {where}: {reason}") from error
        self.outputs = tuple(output.name for output in self._session.get_outputs())
        self._input = self._session.get_inputs()[0].name
        #: Of each input: name, type as ONNX Runtime writes it, and shape; a number that may vary is a text or None.
        self.inputs = tuple((each.name, each.type, tuple(each.shape)) for each in self._session.get_inputs())
        # Layers that lead only to outputs that nobody asked for are not computed.
        self._asked_alone = onnxruntime.RunOptions()
        self._asked_alone.only_execute_path_to_fetches = True
        # Photos a call: as many as leave their activations in the cache of one core (benchmarks/results.md).
        self.batch_size = 8 if b"QuantizeLinear" in model else 2

    def run(self, rows: NDArray[Any], outputs: Sequence[str]) -> list[NDArray[Any]]:
        """The named outputs for the network's one input (`image` uint8 [N, H, W, 3]), each with N rows."""
        results: list[NDArray[Any]] = self._session.run(list(outputs), {self._input: rows}, self._asked_alone)
        return results


@functools.cache
def _adds_bytes_exactly() -> bool:
    """Whether this processor sums products of bytes in 32 bits.

    x86 processors before VNNI sum pairs of them in 16 bits, which overflow unless the weights are small enough
    (`PAIRS_FIT`); ONNX Runtime then has an exact way of half the speed. Where nothing is known, exact comes first.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    return bool({"avx512_vnni", "avx_vnni"} & set(instructions() or ()))
