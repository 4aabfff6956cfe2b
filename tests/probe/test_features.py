"""Features: remembered only for exactly what they were computed from, equal on every backend, of the whole frame."""

from __future__ import annotations

import csv
import dataclasses
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from certero.engine.threads import Threads
from certero.errors import ConfigError, PhotoError
from certero.machine.cache import BlobCache
from certero.photos import pixels
from certero.photos.fingerprints import fingerprint
from certero.pipelines.train import train
from certero.probe import export
from certero.probe.backbones import Backbone, drawn, find_backbone
from certero.probe.backend import Backend
from certero.probe.export import backbone_id, export_backbone
from certero.probe.features import Embedder, RememberedFeatures, embed
from certero.records.preprocessing import Preprocessing
from certero.runs.model import load
from certero.runtime.network import Network
from certero.stages.embedder import choose_backbone
from certero.stages.look import RememberedLook

pytest.importorskip("onnx", reason="features need the [train] extra")

SIDE = 64
EXACT = Backend("cpu", "fp32")


@dataclasses.dataclass
class Bench:
    """The bundled backbone at a small input, and a way to embed photos with it."""

    backbone: Backbone
    preprocessing: Preprocessing
    onnx: bytes
    network_id: str

    def embed(self, photos: list[Path], hashes: list[str], cache: BlobCache, backend: Backend = EXACT) -> np.ndarray:
        """Features of photos."""
        in_torch = None
        if backend.in_torch:
            from certero.learn.embedding import embed_in_torch

            in_torch = partial(embed_in_torch, self.backbone, self.preprocessing, backend)
        embedder = Embedder(self.backbone, self.preprocessing, self.onnx, self.network_id, backend, in_torch)
        return embed(photos, hashes, embedder, cache, Threads(2).map)


@pytest.fixture(scope="module")
def bench() -> Bench:
    backbone = find_backbone("efficientnet_lite0")
    preprocessing = backbone.preprocessing(SIDE, "letterbox")
    cache = BlobCache("networks")
    onnx = export_backbone(backbone, preprocessing, cache)
    cache.close()
    return Bench(backbone, preprocessing, onnx, backbone_id(backbone, preprocessing))


@pytest.fixture(scope="module")
def photos(small_barn: Path) -> list[Path]:
    return sorted(small_barn.glob("beds/*/*.jpg"))[::16]


@pytest.fixture
def cache(tmp_path: Path) -> BlobCache:
    return BlobCache("features", folder=tmp_path / "cache")


def _hashes(photos: list[Path]) -> list[str]:
    return [fingerprint(photo.read_bytes()).content_hash for photo in photos]


def test_a_remembered_feature_is_the_computed_one_bit_for_bit_and_opens_no_photo(
    bench: Bench, photos: list[Path], cache: BlobCache
) -> None:
    hashes = _hashes(photos)
    computed = bench.embed(photos, hashes, cache)
    assert computed.shape == (len(photos), 1280)
    assert computed.dtype == np.float32
    gone = [photo.with_name("gone.jpg") for photo in photos]
    remembered = bench.embed(gone, hashes, cache)
    assert remembered.tobytes() == computed.tobytes()


def test_features_come_in_the_order_of_the_photos_and_repeats_are_computed_once(
    bench: Bench, photos: list[Path], cache: BlobCache
) -> None:
    hashes = _hashes(photos)
    computed = bench.embed(photos, hashes, cache)
    order = [3, 0, 3, 1]
    again = bench.embed([photos[i] for i in order], [hashes[i] for i in order], cache)
    assert np.array_equal(again, computed[order])


def test_features_are_what_the_exported_network_answers_for_the_prepared_pixels(
    bench: Bench, photos: list[Path], cache: BlobCache
) -> None:
    computed = bench.embed(photos, _hashes(photos), cache)
    images = np.stack([pixels.prepare(photo.read_bytes(), bench.preprocessing) for photo in photos])
    (answer,) = Network(bench.onnx).run(images, ["embedding"])
    assert np.abs(computed - answer).max() <= 1e-5 * np.abs(answer).max()


NETWORK_CHANGES: dict[str, dict[str, object]] = {
    "other weights": {"weights_id": "0" * 32},
    "another network": {"name": "other"},
    "another mean": {"mean": (127.0, 127.0, 128.0)},
    "another deviation": {"deviation": (128.0, 128.0, 127.0)},
}
INPUT_CHANGES: dict[str, dict[str, object]] = {
    "height": {"height": 96},
    "width": {"width": 96},
    "fit": {"fit": "stretch"},
    "resampling": {"filter": "bilinear"},
    "bars": {"pad": 0},
}
OTHERS = ("backend", "precision", "version of the export", "version of the pixel path", "photo")


@pytest.mark.parametrize("change", [*NETWORK_CHANGES, *INPUT_CHANGES, *OTHERS])
def test_a_change_of_anything_that_features_rest_on_forgets_them(
    bench: Bench, cache: BlobCache, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    backbone, plain, key = bench.backbone, bench.preprocessing, "a" * 32

    def remembered(
        network: Backbone = backbone, how: Preprocessing = plain, backend: str = "onnxruntime", precision: str = "fp32"
    ) -> RememberedFeatures:
        return RememberedFeatures(cache, backbone_id(network, how, precision), how, backend)  # type: ignore[arg-type]

    kept = remembered()
    kept.put(key, np.ones(4, np.float32))
    kept.save()
    assert set(remembered().get([key])) == {key}
    if change in NETWORK_CHANGES:
        other = remembered(dataclasses.replace(backbone, **NETWORK_CHANGES[change]))  # type: ignore[arg-type]
    elif change in INPUT_CHANGES:
        other = remembered(how=dataclasses.replace(plain, **INPUT_CHANGES[change]))  # type: ignore[arg-type]
    elif change == "backend":
        other = remembered(backend="torch-cpu-bf16")
    elif change == "precision":
        other = remembered(precision="int8")
    elif change == "version of the export":
        # As in a later certero: the version is a constant, and no input changes it.
        monkeypatch.setattr(export, "_EXPORT_VERSION", -1)
        other = remembered()
    elif change == "version of the pixel path":
        # As in a later certero.
        monkeypatch.setattr(pixels, "PATH_VERSION", -1)
        other = remembered()
    else:
        other, key = remembered(), "b" * 32
    assert other.get([key]) == {}


def _edit_pixel(photo: Path) -> None:
    picture = np.asarray(Image.open(photo)).copy()
    picture[5, 5, 1] ^= 1
    Image.fromarray(picture).save(photo)


def _turn_by_exif(photo: Path, orientation: int = 6) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = exif.tobytes()
    data = photo.read_bytes()
    # A segment after the start marker: the coded pixels stay as they are.
    photo.write_bytes(data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:])


def _save_as(photo: Path, picture: Image.Image, **how: object) -> None:
    picture.load()
    picture.save(photo, **how)  # type: ignore[arg-type]


def _rename(photo: Path) -> None:
    photo.rename(photo.with_name("another name.JPEG"))


def _move(photo: Path) -> None:
    photo.parent.rename(photo.parent.with_name("moved"))


PHOTO_CHANGES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "one pixel": ("bmp", _edit_pixel),
    "turned by EXIF alone": ("jpg", _turn_by_exif),
    "encoded again": ("jpg", lambda photo: _save_as(photo, Image.open(photo), quality=60)),
    "enlarged": ("png", lambda photo: _save_as(photo, Image.open(photo).resize((200, 200)))),
    "cropped": ("png", lambda photo: _save_as(photo, Image.open(photo).crop((0, 0, 60, 60)))),
    "in grey": ("png", lambda photo: _save_as(photo, Image.open(photo).convert("L"))),
    "mirrored": ("bmp", lambda photo: _save_as(photo, Image.open(photo).transpose(Image.Transpose.FLIP_LEFT_RIGHT))),
}
PHOTO_KEPT: dict[str, tuple[str, Callable[[Path], None]]] = {
    "touched": ("jpg", Path.touch),
    "renamed": ("jpg", _rename),
    "folder moved": ("jpg", _move),
    "EXIF that turns nothing": ("jpg", lambda photo: _turn_by_exif(photo, 1)),
    "packed otherwise": ("png", lambda photo: _save_as(photo, Image.open(photo), compress_level=1)),
    "another lossless format": ("bmp", lambda photo: _save_as(photo, Image.open(photo), format="PNG")),
}


@pytest.mark.parametrize("change", [*PHOTO_CHANGES, *PHOTO_KEPT])
def test_features_are_forgotten_with_the_pixels_and_with_nothing_else(
    bench: Bench, photos: list[Path], cache: BlobCache, tmp_path: Path, change: str
) -> None:
    suffix, edit = {**PHOTO_CHANGES, **PHOTO_KEPT}[change]
    photo = tmp_path / "place" / f"photo.{suffix}"
    photo.parent.mkdir()
    Image.open(photos[0]).save(photo)
    looks = BlobCache("fingerprints", tmp_path / "cache")

    def hash_pixels(file: Path) -> str:
        look = RememberedLook(looks, map, map)
        (seen,) = look([file])
        look.save()
        assert seen.facts.pixel_hash is not None
        return seen.facts.pixel_hash

    remembered = RememberedFeatures(cache, bench.network_id, bench.preprocessing)
    bench.embed([photo], [hash_pixels(photo)], cache)
    assert remembered.get([hash_pixels(photo)])
    before = photo.stat()
    edit(photo)
    (after,) = (file for file in tmp_path.rglob("*.*") if file.suffix[1:].lower() in ("jpg", "jpeg", "png", "bmp"))
    if change not in ("touched", "renamed", "folder moved"):
        # As an editor or a copy that keeps times leaves it; of a bitmap even the size is the same.
        os.utime(after, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert after.stat().st_mtime_ns == before.st_mtime_ns
        if change in ("one pixel", "mirrored"):
            assert after.stat().st_size == before.st_size
    assert bool(remembered.get([hash_pixels(after)])) == (change in PHOTO_KEPT)


@pytest.mark.parametrize("damage", ["a changed byte", "cut short", "no database", "empty"])
def test_features_in_a_spoiled_cache_are_computed_again(
    bench: Bench, photos: list[Path], tmp_path: Path, damage: str
) -> None:
    hashes = _hashes(photos)
    cache = BlobCache("features", tmp_path)
    before = bench.embed(photos, hashes, cache)
    cache.close()
    content = bytearray(cache.path.read_bytes())
    if damage == "a changed byte":
        place = content.index(before[1].tobytes()[:64])
        content[place + 10] ^= 0x40
    elif damage == "cut short":
        del content[len(content) // 2 :]
    else:
        content = bytearray(b"no database at all" * 500 if damage == "no database" else b"")
    cache.path.write_bytes(content)
    spoiled = BlobCache("features", tmp_path)
    assert bench.embed(photos, hashes, spoiled).tobytes() == before.tobytes()
    spoiled.close()
    again = RememberedFeatures(BlobCache("features", tmp_path), bench.network_id, bench.preprocessing)
    if damage == "cut short":
        # The entries are computed again, and perhaps remembered from the next time on.
        bench.embed(photos, hashes, BlobCache("features", tmp_path))
    assert {key: row.tobytes() for key, row in again.get(hashes).items()} == {
        key: row.tobytes() for key, row in zip(hashes, before, strict=True)
    }


@pytest.mark.parametrize("wrong", [b"", b"{}", b'{"status": "ok"}', bytes(1280 * 4), bytes(1281 * 4)])
def test_bytes_of_any_length_that_are_no_embedding_are_computed_again(
    bench: Bench, photos: list[Path], cache: BlobCache, wrong: bytes
) -> None:
    before = bench.embed(photos, _hashes(photos), cache)
    connection = sqlite3.connect(cache.path)
    keys = [key for (key,) in connection.execute("SELECT key FROM entry")]
    connection.close()
    assert len(keys) == len(photos)
    cache.put_many((key, wrong) for key in keys)
    assert RememberedFeatures(cache, bench.network_id, bench.preprocessing).get(_hashes(photos)) == {}
    assert bench.embed(photos, _hashes(photos), cache).tobytes() == before.tobytes()


def test_an_edited_photo_gets_features_of_its_own(
    bench: Bench, photos: list[Path], cache: BlobCache, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    picture = np.asarray(Image.open(photos[0]))
    Image.fromarray(picture).save(photo)
    before = bench.embed([photo], _hashes([photo]), cache)
    Image.fromarray(255 - picture).save(photo)
    after = bench.embed([photo], _hashes([photo]), cache)
    assert np.abs(after - before).max() > 0.1
    # The same pixels in another file are the same photo.
    Image.fromarray(picture).save(photo, optimize=True)
    assert np.array_equal(bench.embed([photo], _hashes([photo]), cache), before)


@pytest.mark.networks
def test_a_photo_that_vanished_since_the_scan_is_one_clear_line(
    bench: Bench, photos: list[Path], cache: BlobCache, tmp_path: Path
) -> None:
    for backend in (EXACT, Backend("cpu", "bf16")):
        with pytest.raises(PhotoError, match="must stay as it was scanned") as raised:
            bench.embed([*photos[:3], tmp_path / "gone.jpg"], ["1" * 32, "2" * 32, "3" * 32, "4" * 32], cache, backend)
        assert "gone.jpg" in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.networks
def test_torch_in_bf16_agrees_with_the_runtime_as_far_as_bf16_can(
    bench: Bench, photos: list[Path], cache: BlobCache
) -> None:
    hashes = _hashes(photos)
    exact, fast = bench.embed(photos, hashes, cache), bench.embed(photos, hashes, cache, Backend("cpu", "bf16"))
    assert not np.array_equal(exact, fast)  # kept apart in the cache
    # bf16 keeps 8 bits (a relative step of 0.4 %), and some fifty layers add theirs: 6 % here, 8 % at most.
    error = np.linalg.norm(fast - exact, axis=1) / np.linalg.norm(exact, axis=1)
    assert error.max() < 0.15
    # Far less than what tells two photos apart: each is nearest to itself.
    distances = np.linalg.norm(fast[:, None] - exact[None], axis=2)
    assert distances.argmin(axis=1).tolist() == list(range(len(photos)))


@pytest.mark.parametrize("shape", [(60, 180), (180, 60)])
def test_the_whole_frame_reaches_the_network(
    bench: Bench, cache: BlobCache, tmp_path: Path, shape: tuple[int, int]
) -> None:
    # Two photos that differ in a strip at the far ends alone, which a square centre crop would cut off.
    blank = np.full((*shape, 3), 60, np.uint8)
    marked = blank.copy()
    for strip in (np.s_[:, :15], np.s_[:, -15:]) if shape[1] > shape[0] else (np.s_[:15], np.s_[-15:]):
        marked[strip] = (250, 40, 40)
    files = [tmp_path / "blank.png", tmp_path / "marked.png"]
    for file, picture in zip(files, (blank, marked), strict=True):
        Image.fromarray(picture).save(file)
    plain, striped = bench.embed(files, _hashes(files), cache)
    assert np.linalg.norm(striped - plain) > 0.1 * np.linalg.norm(plain)
    prepared = pixels.prepare(files[1].read_bytes(), bench.preprocessing)
    assert prepared.shape == (SIDE, SIDE, 3)
    red = (prepared[..., 0] > 200) & (prepared[..., 1] < 90)
    rows, columns = np.nonzero(red)
    along = columns if shape[1] > shape[0] else rows
    assert (along.min(), along.max()) == (0, SIDE - 1)
    assert red.sum() == pytest.approx(SIDE * SIDE / 3 * 30 / 180, rel=0.2)


def _given_split(small_barn: Path, folder: Path) -> Path:
    """A manifest of the barn whose second day is test."""
    with (small_barn / "beds.csv").open() as file:
        rows = list(csv.DictReader(file))[::3]
    first = rows[0]["captured_at"][:10]
    folder.mkdir()
    for row in rows:
        target = folder / row["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(small_barn / row["path"], target)
    manifest = folder / "beds.csv"
    with manifest.open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        writer.writerows(
            [row["path"], row["label"], "train" if row["captured_at"].startswith(first) else "test"] for row in rows
        )
    return manifest


def test_stale_or_corrupted_remembered_test_features_cannot_change_the_figures(
    bench: Bench, small_barn: Path, tmp_path: Path
) -> None:
    manifest = _given_split(small_barn, tmp_path / "barn")
    settings = {"image_size": SIDE, "strengths": (0.03,), "precision": "fp32"}
    honest = train(manifest, output=tmp_path / "honest", **settings)
    assert honest.metrics["evaluation"] == "given"
    with (honest.path / "predictions.csv").open() as file:
        test = [manifest.parent / row["path"] for row in csv.DictReader(file) if row["split"] == "test"]
    cache = BlobCache("features")
    remembered = RememberedFeatures(cache, bench.network_id, bench.preprocessing)
    hashes = _hashes(test)
    true = remembered.get(hashes)
    assert set(true) == set(hashes), "the test photos' features are remembered, or this test shows nothing"
    rng = np.random.default_rng(0)
    for key in hashes:
        remembered.put(key, rng.permutation(true[key]).astype(np.float32))
    remembered.save()
    again = train(manifest, output=tmp_path / "again", **settings)
    assert again.metrics["test"] == honest.metrics["test"]
    assert (again.path / "predictions.csv").read_bytes() == (honest.path / "predictions.csv").read_bytes()
    # And what was wrong is forgotten.
    mended = RememberedFeatures(cache, bench.network_id, bench.preprocessing).get(hashes)
    assert all(np.allclose(mended[key], true[key], atol=1e-5) for key in hashes)


@pytest.mark.networks
def test_an_unknown_backbone_is_one_clear_line_with_the_known_names() -> None:
    with pytest.raises(ConfigError, match="efficientnet_lite2 or a timm name; found 'resnet_of_dreams'") as raised:
        choose_backbone("resnet_of_dreams")
    assert "\n" not in str(raised.value)
    assert drawn() == ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")


@pytest.mark.networks
def test_weights_that_are_no_weights_or_of_another_network_are_one_clear_line(tmp_path: Path) -> None:
    import timm
    import torch

    from certero.learn.timm_backbones import build_backbone

    (tmp_path / "text.pth").write_text("no weights")
    torch.save(timm.create_model("mobilenetv3_small_050").state_dict(), tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("efficientnet_lite0", "mobilenetv3_large_100"):
        for file in ("absent.pth", "text.pth", "other.pth", "list.pth"):
            with pytest.raises(ConfigError, match="--weights must be") as raised:
                build_backbone(choose_backbone(name, tmp_path / file))
            assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.networks
def test_a_timm_name_without_weights_is_one_clear_line_offline(small_barn: Path, tmp_path: Path) -> None:
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"), "TORCH_HOME": str(tmp_path / "torch")}
    command = [sys.executable, "-c", "from certero.cli.main import run; run()", "train", str(small_barn / "beds.csv")]
    command += ["--backbone", "mobilenetv3_small_050", "--output", str(tmp_path / "run"), "--quiet"]
    run = subprocess.run(
        command,
        env=os.environ | offline,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 2
    (line,) = run.stderr.strip().splitlines()
    assert "--backbone mobilenetv3_small_050 needs its weights at hand" in line
    assert "--weights FILE" in line
    assert sorted(child.name for child in tmp_path.iterdir() if child.name not in ("hf", "torch")) == []


@pytest.mark.networks
def test_any_timm_network_works_with_weights_from_a_file(small_barn: Path, tmp_path: Path) -> None:
    import timm
    import torch

    torch.manual_seed(0)
    torch.save(timm.create_model("mobilenetv3_small_050", pretrained=False).state_dict(), tmp_path / "weights.pth")
    run = train(
        _given_split(small_barn, tmp_path / "barn"),
        output=tmp_path / "run",
        backbone="mobilenetv3_small_050",
        weights=tmp_path / "weights.pth",
        image_size=SIDE,
        strengths=(0.03,),
    )
    assert run.metrics["model"]["backbone"] == "mobilenetv3_small_050"
    with (run.path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    answers = load(run.path).predict_proba([tmp_path / "barn" / row["path"] for row in rows])
    written = np.array([[float(row[name]) for name in run.metrics["data"]["classes"]] for row in rows])
    assert np.abs(answers - written).max() < 1e-5


@pytest.mark.networks
def test_the_fast_precision_ships_a_model_that_is_judged_by_the_runtime(small_barn: Path, tmp_path: Path) -> None:
    manifest = _given_split(small_barn, tmp_path / "barn")
    run = train(manifest, output=tmp_path / "run", precision="bf16", device="cpu", image_size=SIDE, strengths=(0.03,))
    with (run.path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    written = np.array([[float(row[name]) for name in run.metrics["data"]["classes"]] for row in rows])
    answers = load(run.path).predict_proba([manifest.parent / row["path"] for row in rows])
    assert np.abs(answers - written).max() < 1e-5
    assert run.metrics["export"]["features"] == "cpu bf16"
    assert run.metrics["export"]["n"] > 0
    assert 0 < run.metrics["export"]["probability_difference"] < 0.5
    assert run.metrics["export"]["label_agreement"] > 0.9


def test_a_file_in_eight_bits_says_what_that_cost_and_is_what_was_measured(small_barn: Path, tmp_path: Path) -> None:
    manifest = _given_split(small_barn, tmp_path / "barn")
    run = train(manifest, output=tmp_path / "run", device="cpu", image_size=SIDE, strengths=(0.03,))
    cost = run.metrics["export"]
    assert cost["features"] == "cpu int8"
    assert cost["n"] == sum(run.metrics["splits"]["train"].values()) <= 64
    assert 0 < cost["probability_difference"] < 0.5
    assert cost["label_agreement"] > 0.9
    with (run.path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    written = np.array([[float(row[name]) for name in run.metrics["data"]["classes"]] for row in rows])
    answers = load(run.path).predict_proba([manifest.parent / row["path"] for row in rows])
    assert np.abs(answers - written).max() < 1e-5
