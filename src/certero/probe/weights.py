"""Files of weights as NumPy arrays, read without torch: safetensors, and both formats of `torch.save`."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

import numpy as np

from certero.errors import ConfigError
from certero.machine.files import check_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What a file that `torch.save` wrote before torch 1.6 begins with, and the version behind it: torch/serialization.py.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_BEGINNING = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_DTYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "BoolStorage": np.dtype("?"),
}


def read_arrays(file: Path) -> dict[str, NDArray[Any]]:
    """Arrays by name, in the file's order: safetensors, or a plain state dictionary; never unpickles more.

    Raises:
        ConfigError: if the file is none.
    """
    try:
        check_file(file)
        if file.suffix == ".safetensors":
            from safetensors.numpy import load_file

            return load_file(file)
        with file.open("rb") as stream:
            is_old = stream.read(len(_BEGINNING)) == _BEGINNING
            stream.seek(0)
            return _read_old(stream) if is_old else _read_zipped(stream)
    except Exception as error:  # unpickling, zip files and safetensors raise many kinds for a bad file.
        raise ConfigError("--weights must be a file of weights; %(file)s cannot be read as one.", file=file) from error


def _read_zipped(stream: BinaryIO) -> dict[str, NDArray[Any]]:
    """A zip file of one folder: the pickled dictionary in `data.pkl`, and the bytes of each storage in `data/KEY`."""
    with zipfile.ZipFile(stream) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("another order of bytes")
        with archive.open(pickled) as opened:
            reader = _StateReader(opened)
            state = reader.load()
        stored = {
            key: np.frombuffer(archive.read(f"{folder}data/{key}"), dtype, size)
            for key, (dtype, size) in reader.storages.items()
        }
    return _arrays(state, stored)


def _read_old(stream: BinaryIO) -> dict[str, NDArray[Any]]:
    """Five pickles, then each storage's length and bytes, in the order that the last pickle gives."""
    if pickle_alone(stream) != _MAGIC or pickle_alone(stream) != _PROTOCOL:
        raise ValueError("another version of the format")
    if not pickle_alone(stream)["little_endian"]:
        raise ValueError("another order of bytes")
    reader = _StateReader(stream)
    state = reader.load()
    stored: dict[str, NDArray[Any]] = {}
    for key in pickle_alone(stream):
        dtype, size = reader.storages[key]
        if int.from_bytes(stream.read(8), "little") != size:
            raise ValueError("a storage of another length")
        stored[key] = np.frombuffer(stream.read(size * dtype.itemsize), dtype, size)
    return _arrays(state, stored)


def _arrays(state: Any, stored: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    if not isinstance(state, dict) or not all(isinstance(view, _View) for view in state.values()):
        raise ValueError("no plain state dictionary")
    return {str(name): view.of(stored[view.storage]) for name, view in state.items()}


def pickle_alone(stream: BinaryIO) -> Any:
    """The next pickle of a stream, of numbers, text, lists and dictionaries alone."""
    return _PlainReader(stream).load()


class _PlainReader(pickle.Unpickler):
    """Knows no name of any module: nothing but plain values can come out, and nothing can be run."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuses."""
        raise pickle.UnpicklingError(f"{module}.{name} is no weight")


class _StateReader(pickle.Unpickler):
    """Knows the names that a state dictionary needs.

    Args:
        stream: at the pickle of the dictionary.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream)
        #: Type and length of each storage by key.
        self.storages: dict[str, tuple[np.dtype[Any], int]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in for what torch would give; refuses any other name."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _View
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _tensor_of
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is no weight")

    def persistent_load(self, pid: Any) -> str:
        """The key of a storage; its bytes come later in the file."""
        kind, dtype, key, _device, size, *view = pid  # the newer format ends here, the older one with a None
        if kind != "storage" or view not in ([], [None]) or dtype not in _DTYPES.values():
            raise pickle.UnpicklingError("no whole storage")
        self.storages[str(key)] = dtype, int(size)
        return str(key)


class _View:
    """Where in a storage a tensor lies; the arguments are those that torch rebuilds one from."""

    def __init__(self, storage: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_rest: Any):
        self.storage, self._offset, self._shape, self._strides = storage, offset, shape, strides

    def of(self, storage: NDArray[Any]) -> NDArray[Any]:
        """A copy of the tensor."""
        places = np.full((1,) * len(self._shape), self._offset)
        for axis, (size, stride) in enumerate(zip(self._shape, self._strides, strict=True)):
            steps = np.arange(size) * stride
            places = places + steps.reshape([-1 if other == axis else 1 for other in range(len(self._shape))])
        tensor: NDArray[Any] = storage[places].reshape(self._shape)  # NumPy itself checks the bounds
        return tensor


def _tensor_of(tensor: _View, *_rest: Any) -> _View:
    """The tensor of a parameter."""
    return tensor
