"""Damage, proved: every kind and place of it is classed as pinned, and the same pixels reach every path."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutations import MUTATIONS, Mutation, encode, turned
from PIL import Image, ImageOps

from certero.data.scan import list_photos, scan
from certero.errors import PhotoError
from certero.photos.fingerprints import fingerprint
from certero.photos.first_look import look_at
from certero.photos.pixels import decode, prepare
from certero.records.preprocessing import Preprocessing

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

# One that a JPEG can be decoded smaller for, and one that it cannot.
INPUTS = (Preprocessing(height=64, width=64), Preprocessing(height=288, width=288, fit="stretch"))
_USED = ("ok", "damaged")


@pytest.fixture(scope="module")
def barn_photos(small_barn: Path) -> list[bytes]:
    """A day and a night frame of the drawn barn."""
    frames = sorted((small_barn / "frames").iterdir())
    return [frames[0].read_bytes(), frames[len(frames) // 3].read_bytes()]


@pytest.fixture(scope="module")
def real_photos(grocery: Path, caetec: Path) -> list[bytes]:
    """Photos of a shop and of a barn."""
    shop = sorted((grocery / "train").rglob("*.jpg"))
    beds = sorted((caetec / "beds" / "lying").iterdir())
    return [path.read_bytes() for path in (shop[10], shop[-10], beds[3])]


def test_the_catalogue_holds_the_promised_hundred() -> None:
    names = [mutation.name for mutation in MUTATIONS]
    assert len(set(names)) == len(names) >= 100
    assert {mutation.expected for mutation in MUTATIONS} == {"ok", "damaged", "unreadable", "any"}


@pytest.mark.slow
@pytest.mark.parametrize("photos", ["barn_photos", "real_photos"])
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_damage_is_classed_as_pinned_on_every_path(
    mutation: Mutation, photos: str, request: pytest.FixtureRequest
) -> None:
    for photo in request.getfixturevalue(photos):
        check(mutation, photo)


def check(mutation: Mutation, photo: bytes) -> None:
    """One class on every path, with a reason where there is something to say, and the pixels of the sound photo."""
    data = mutation.change(photo)
    facts = fingerprint(data)
    if mutation.expected != "any":
        assert facts.status == mutation.expected, facts.problem
    assert (facts.problem is None) == (facts.status == "ok")
    for preprocessing in INPUTS:
        if facts.status == "unreadable":
            with pytest.raises(PhotoError) as caught:
                prepare(data, preprocessing)
            assert str(caught.value) == facts.problem
            continue
        image = prepare(data, preprocessing)
        assert (image == prepare(data, preprocessing)).all()
        if mutation.sound is not None:
            assert (image == prepare(mutation.sound(photo), preprocessing)).all()
    if mutation.sound is not None:
        sound = fingerprint(mutation.sound(photo))
        assert (sound.status, sound.problem) == ("ok", None)
        assert (facts.pixel_hash, facts.descriptor) == (sound.pixel_hash, sound.descriptor)


@pytest.mark.parametrize("encoding", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_what_pillow_shows_upright(encoding: str, orientation: int, barn_photos: list[bytes]) -> None:
    for photo in barn_photos:
        data = turned(photo, encoding, orientation)
        expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))).astype(int)
        upright = decode(data).pixels
        assert upright.shape == expected.shape
        assert np.abs(upright - expected).max() <= (0 if encoding == "png" else 3)


@pytest.mark.parametrize("photos", ["barn_photos", "real_photos"])
def test_a_hole_anywhere_in_a_jpeg_is_seen(photos: str, request: pytest.FixtureRequest) -> None:
    for photo in request.getfixturevalue(photos):
        start = photo.rfind(b"\xff\xda", 0, 2000) + 14
        for at in range(start, len(photo) - 70, len(photo) // 60):
            facts = fingerprint(photo[:at] + bytes(64) + photo[at + 64 :])
            assert facts.status == "unreadable", at


@pytest.mark.slow
@pytest.mark.parametrize("colour", ["black", "white", (90, 90, 90)])
@pytest.mark.parametrize("covered", [0.0, 0.5, 1.0])
def test_flat_and_half_flat_photos_are_sound_in_every_encoding(
    colour: Any, covered: float, barn_photos: list[bytes]
) -> None:
    photo = Image.open(io.BytesIO(barn_photos[0])).convert("RGB").resize((1600, 1000))
    photo.paste(colour, (0, 0, int(photo.width * covered), photo.height))
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=90)
    for encoding in (
        "jpeg",
        *sorted({mutation.name.split(" ")[0] for mutation in MUTATIONS if "as it is" in mutation.name}),
    ):
        facts = fingerprint(encode(buffer.getvalue(), encoding))
        assert (facts.status, facts.problem) == ("ok", None), encoding


def test_a_byte_that_puts_a_jpeg_out_of_step_is_no_surplus(real_photos: list[bytes]) -> None:
    # Bytes that are left over because the data went out of step looked like padding: nothing behind them is true.
    seen = {"used": 0, "surplus": 0, "unreadable": 0}
    for photo in real_photos:
        start = photo.rfind(b"\xff\xda", 0, 2000) + 14
        for at in range(start, len(photo) - 70, len(photo) // 50):
            facts = fingerprint(photo[:at] + b"\x12\x34\x56" + photo[at:])
            kind = "surplus" if "surplus" in (facts.problem or "") else facts.status
            seen["used" if kind in _USED else kind] += 1
    assert seen["unreadable"] > 20
    assert seen["surplus"] <= 0.05 * sum(seen.values())


# ---- through the whole system ---------------------------------------------------------------------------------


def _wrong_name(mutation: Mutation, data: bytes) -> bool:
    named = {".jpg": "jpeg", ".jpeg": "jpeg", ".tif": "tiff"}.get(mutation.suffix.lower(), mutation.suffix[1:])
    found = fingerprint(data).format
    return found is not None and found != named


@pytest.mark.slow
def test_a_scan_lists_every_damage_and_every_wrong_name(barn_photos: list[bytes], tmp_path: Path) -> None:
    expected = {}
    for number, mutation in enumerate(MUTATIONS):
        data = mutation.change(barn_photos[0])
        name = f"cow/{number:03d}{mutation.suffix}"
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
        expected[name] = (mutation, _wrong_name(mutation, data))
    table = scan(list_photos(tmp_path), look=look_at).table
    rows = {row["path"]: row for row in table.iter_rows(named=True)}
    assert rows.keys() == expected.keys()
    for name, (mutation, wrong_name) in expected.items():
        row = rows[name]
        if mutation.expected != "any":
            assert row["status"] == mutation.expected, mutation.name
        assert ("named " in (row["problem"] or "")) == wrong_name, mutation.name
        if row["status"] != "ok":
            assert row["problem"]


def _lay_out(barn: Path, folder: Path) -> tuple[Path, dict[str, str]]:
    """The barn's beds as class folders, two thirds of them changed; the expected class of each by path."""
    expected = {}
    number = 0
    for label in ("empty", "lying", "standing"):
        (folder / label).mkdir(parents=True)
        # Pinned on frames; a bed is so small that a place in the file is often in its header.
        used = [m for m in MUTATIONS if m.expected in _USED and "bomb" not in m.name]
        broken = [m for m in MUTATIONS if m.expected == "unreadable" and "cut" in m.name]
        for position, path in enumerate(sorted((barn / "beds" / label).iterdir())):
            choice = used if position % 9 else broken
            mutation = choice[number % len(choice)] if position % 3 < 2 else used[0]
            number += 1
            if position % 3 < 2:
                name, data, status = (
                    f"{label}/{position:03d}{mutation.suffix}",
                    mutation.change(path.read_bytes()),
                    mutation.expected,
                )
            else:
                name, data, status = f"{label}/{position:03d}.jpg", path.read_bytes(), "ok"
            (folder / name).write_bytes(data)
            expected[name] = status
        # Equal pixels in another format are decoded another way: a JPEG may be decoded smaller.
        for name in [name for name, kind in expected.items() if kind == "ok" and name.startswith(f"{label}/")][:30:3]:
            copy = f"{name}.copy.png"
            Image.fromarray(decode((folder / name).read_bytes()).pixels).save(folder / copy)
            expected[copy] = "ok"
    return folder, expected


@pytest.mark.slow
def test_the_same_pixels_reach_training_predict_and_evaluate(small_barn: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="training needs the [train] extra")
    import polars as pl

    from certero.pipelines.evaluate import evaluate
    from certero.pipelines.train import train

    folder, expected = _lay_out(small_barn, tmp_path / "photos")
    run = train(folder, output=tmp_path / "run", image_size=32, strengths=(0.03,), cv=0)
    status = dict(pl.read_parquet(run.path / "data.parquet").select("path", "status").iter_rows())
    assert {name: kind for name, kind in status.items() if kind not in ("purged", "leaked")} == expected
    metrics = run.metrics
    for kind in ("unreadable", "damaged"):
        assert {row["path"] for row in metrics["listed"][kind]} == {n for n, found in expected.items() if found == kind}
        assert metrics["counts"][kind] > 0

    with (run.path / "predictions.csv").open(encoding="utf-8") as file:
        trained = {row["path"]: row for row in csv.DictReader(file)}
    assert trained.keys() == {name for name, kind in expected.items() if kind in _USED}
    command = [sys.executable, "-m", "certero", "predict", str(run.path), str(folder), "--json", "-", "--quiet"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode in (0, 2), answer.stderr
    predicted = {Path(row["path"]).relative_to(folder).as_posix(): row for row in json.loads(answer.stdout)}
    assert predicted.keys() == expected.keys()
    for name, row in predicted.items():
        if expected[name] == "unreadable":
            assert row["label"] is None
            assert row["error"]
        else:
            for label, probability in row["probabilities"].items():
                assert probability == pytest.approx(float(trained[name][label]), abs=1e-5), name

    # `evaluate` shows no single photo; asked about one alone, its log loss is that photo's probability.
    for name in [name for name, kind in expected.items() if kind in _USED][::16]:
        label = name.split("/")[0]
        manifest = folder / "one.csv"
        manifest.write_text(f"path,label\n{name},{label}\n", encoding="utf-8")
        loss = evaluate(run.path, manifest)["test"]["log_loss"]["value"]
        assert math.exp(-loss) == pytest.approx(predicted[name]["probabilities"][label], abs=1e-5), name
    everything = evaluate(run.path, folder)
    assert everything["counts"]["unreadable"] == metrics["counts"]["unreadable"]
    assert everything["counts"]["damaged"] == metrics["counts"]["damaged"]
