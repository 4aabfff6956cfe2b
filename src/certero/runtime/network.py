"""One network in ONNX Runtime: the only importer of onnxruntime."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certero.errors import ModelFileError
from certero.machine.limits import instructions, memory_free
from certero.runtime.deadline import CALL_SECONDS, PHOTO_SECONDS, ended_after
from certero.sentences import Message, in_a_row, message, sentence

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Metadata key of a network in 8 bits whose weights were chosen so that no sum of two products overflows 16 bits.
PAIRS_FIT = "certero_pairs_fit_16_bits"

# Memory of all networks that are not trusted: large ones take some hundreds of megabytes, with weights and activations.
_LEAST_BYTES, _MOST_BYTES = 2**30, 2**33
_one_pool = threading.Lock()


class Network:
    """Runs an ONNX network, one core per call; calls may come from several threads at once.

    Photos are independent, so a core a photo beats all cores on one photo: no thread waits for another inside a layer
    (measured in benchmarks/).

    Args:
        model: bytes of an ONNX file with one input.
        where: what to call it when it cannot be loaded.
        folder: of the files beside it that hold its weights, where it has any.
        trusted: whether this process made it. Others may loop or allocate without end: their calls get a limit of time
            and of memory.

    Raises:
        ModelFileError: if ONNX Runtime cannot load it.
    """

    def __init__(
        self, model: bytes, where: str = "the model", folder: Path | None = None, *, trusted: bool = True
    ) -> None:
        # ONNX Runtime reports usage to its makers since 1.29 unless told not to before it is imported.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if not _adds_bytes_exactly() and PAIRS_FIT.encode() not in model:
            # Without it, 8-bit networks would give other outputs on this processor than where they were measured.
            options.add_session_config_entry("session.x64quantprecision", "1")
        if folder is not None:
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
        if not trusted:
            with _one_pool:
                _limit_memory()
            options.add_session_config_entry("session.use_env_allocators", "1")
        # What depends on no photo is computed while loading, which may take for ever, too.
        watched = contextlib.nullcontext() if trusted else ended_after(CALL_SECONDS, onnxruntime.RunOptions(), where)
        try:
            with watched:
                self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class.
            raise ModelFileError(
                "MODEL must be a network that ONNX Runtime can run; %(where)s: %(reason)s",
                where=where,
                reason=_reason(error),
            ) from error
        self.outputs = tuple(output.name for output in self._session.get_outputs())
        self._input = self._session.get_inputs()[0].name
        #: Of each input: name, type as ONNX Runtime writes it, and shape; a number that may vary is a text or None.
        self.inputs = tuple((each.name, each.type, tuple(each.shape)) for each in self._session.get_inputs())
        self._new_options = onnxruntime.RunOptions
        self._asked_alone = self._ask_alone()
        self._where, self._trusted = where, trusted
        # Photos per call: as many as keep their activations in one core's cache (benchmarks/results.md).
        self.batch_size = 8 if b"QuantizeLinear" in model else 2

    def run(self, rows: NDArray[Any], outputs: Sequence[str], advice: Message | None = None) -> list[NDArray[Any]]:
        """The named outputs for the network's one input (`image` uint8 [N, H, W, 3]), each with N rows.

        Args:
            rows: what the network takes.
            outputs: names of outputs.
            advice: what to look at where it could not answer.

        Raises:
            ModelFileError: if a network that is not trusted took too long, or could not answer.
        """
        if self._trusted:
            results: list[NDArray[Any]] = self._session.run(list(outputs), {self._input: rows}, self._asked_alone)
            return results
        options, seconds = self._ask_alone(), CALL_SECONDS + PHOTO_SECONDS * len(rows)
        with ended_after(seconds, options, self._where) as was_ended:
            try:
                found: list[NDArray[Any]] = self._session.run(list(outputs), {self._input: rows}, options)
                return found
            except Exception as error:  # onnxruntime's exceptions share no base class.
                if was_ended():
                    raise ModelFileError(
                        "MODEL must answer within %(seconds).0f seconds; %(where)s did not come "
                        "back. Its network repeats itself, or is too large for this machine.",
                        seconds=seconds,
                        where=self._where,
                    ) from error
                told = sentence(
                    "MODEL must answer photos; %(where)s failed: %(reason)s", where=self._where, reason=_reason(error)
                )
                raise ModelFileError(in_a_row([told, advice], ". ") if advice else told) from error

    def _ask_alone(self) -> Any:
        """Options of a call: layers that lead only to outputs that nobody asked for are not computed."""
        options = self._new_options()
        options.only_execute_path_to_fetches = True
        return options


@functools.cache
def _limit_memory() -> None:
    """Networks that are not trusted share one pool of memory with a limit, instead of taking what they ask for."""
    import onnxruntime

    free = memory_free()
    limit = _MOST_BYTES if free is None else max(_LEAST_BYTES, min(_MOST_BYTES, free // 2))
    info = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    # -1: as ONNX Runtime does it without a limit.
    pool = {
        "max_mem": limit,
        "arena_extend_strategy": -1,
        "initial_chunk_size_bytes": -1,
        "max_dead_bytes_per_chunk": -1,
    }
    onnxruntime.create_and_register_allocator(info, onnxruntime.OrtArenaCfg(pool))


def _reason(error: Exception) -> str:
    """What ONNX Runtime says, without the places in its own source."""
    words = " ".join(str(error).split())
    if "bfc_arena" in words or isinstance(error, MemoryError) or "bad_alloc" in words:
        return message("it asks for more memory than a network for photos needs, or than there is")
    return words[:200]


@functools.cache
def _adds_bytes_exactly() -> bool:
    """Whether this processor sums products of bytes in 32 bits.

    x86 processors before VNNI sum pairs of them in 16 bits, which overflow unless the weights are small enough
    (`PAIRS_FIT`); ONNX Runtime then has an exact way of half the speed. Where nothing is known, exact comes first.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    return bool({"avx512_vnni", "avx_vnni"} & set(instructions() or ()))
