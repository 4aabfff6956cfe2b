"""`certero predict` and `certero.load`: one pixel path, every format, no torch, and no photo lost."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import certero
from certero.cli.main import main
from certero.errors import DataError, ModelFileError
from certero.runtime.inference import infer
from certero.runtime.model_file import read_model
from certero.runtime.network import Network

if TYPE_CHECKING:
    from certero.pipelines.train import Run
    from certero.runtime.predictor import Predictor

Rows = list[dict[str, Any]]
_HEAVY = ("torch", "torchvision", "timm", "polars", "sklearn", "scipy", "matplotlib", "onnx", "jinja2")


@pytest.fixture(scope="module")
def model(small_run: Run) -> Predictor:
    return certero.load(small_run.path)


@pytest.fixture(scope="module")
def photos(small_barn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven photos with awkward names and formats, one of them broken, and files that are no photos."""
    folder = tmp_path_factory.mktemp("photos")
    source = sorted((small_barn / "beds" / "standing").iterdir())
    (folder / "vacas de mañana").mkdir()
    shutil.copyfile(source[0], folder / "a.jpg")
    shutil.copyfile(source[1], folder / "B.JPG")
    shutil.copyfile(source[2], folder / "vacas de mañana" / '牛 "1", cow\'s.jpeg')
    Image.open(source[3]).save(folder / "c.PNG")
    Image.open(source[4]).save(folder / "d.webp")
    Image.open(source[5]).save(folder / "e.tif")
    (folder / "broken.jpg").write_bytes(source[6].read_bytes()[:700])
    (folder / "notes.txt").write_text("no photo")
    (folder / ".hidden.jpg").write_bytes(b"")
    return folder


def _predict(capsys: pytest.CaptureFixture[str], run: Run, *arguments: str, code: int = 0) -> str:
    assert main(["predict", str(run.path), *arguments, "--quiet"]) == code
    return capsys.readouterr().out


def test_all_formats_tell_the_same(
    small_run: Run, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {kind: str(tmp_path / f"out.{kind}") for kind in ("json", "jsonl", "csv")}
    _predict(capsys, small_run, str(photos), *(word for kind, name in names.items() for word in (f"--{kind}", name)))
    as_json: Rows = json.loads(Path(names["json"]).read_text("utf-8"))
    as_jsonl: Rows = [json.loads(line) for line in Path(names["jsonl"]).read_text("utf-8").splitlines()]
    as_csv = list(csv.DictReader(io.StringIO(Path(names["csv"]).read_text("utf-8"))))
    assert as_json == as_jsonl
    assert len(as_json) == len(as_csv) == 7
    for row, cells in zip(as_json, as_csv, strict=True):
        assert set(row) == {"path", "label", "probability", "abstained", "probabilities", "error"}
        assert cells["path"] == row["path"]
        assert (cells["label"] or None) == row["label"]
        if row["error"] is None:
            assert row["probability"] == max(row["probabilities"].values())
            assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
            assert {name: float(cells[name]) for name in row["probabilities"]} == row["probabilities"]
        else:
            assert cells["error"] == row["error"]
            assert cells["probability"] == cells["empty"] == ""
    table = _predict(capsys, small_run, str(photos)).splitlines()
    assert len(table) == 1 + 7
    assert all(row["path"] in line for row, line in zip(as_json, table[1:], strict=True))


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv"])
def test_standard_output_holds_the_data_alone(
    small_run: Run, photos: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    text = _predict(capsys, small_run, str(photos), f"--{kind}", "-")
    rows: Rows = (
        json.loads(text)
        if kind == "json"
        else [json.loads(line) for line in text.splitlines()]
        if kind == "jsonl"
        else list(csv.DictReader(io.StringIO(text)))
    )
    assert {Path(row["path"]).name for row in rows} == {
        *("a.jpg", "B.JPG", "c.PNG", "d.webp", "e.tif", "broken.jpg", '牛 "1", cow\'s.jpeg')
    }


def test_a_broken_photo_gets_a_row_with_its_error_and_the_others_their_labels(
    small_run: Run, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: Rows = json.loads(_predict(capsys, small_run, str(photos), "--json", "-"))
    (broken,) = [row for row in rows if row["error"]]
    assert Path(broken["path"]).name == "broken.jpg"
    assert broken["label"] is broken["probability"] is broken["probabilities"] is None
    assert broken["abstained"] is False
    assert all(row["label"] for row in rows if row is not broken)


def test_strict_exits_with_2_and_still_writes_every_row(
    small_run: Run, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.json"
    assert main(["predict", str(small_run.path), str(photos), "-q", "--strict", "--json", str(target)]) == 2
    captured = capsys.readouterr()
    assert [line.partition(":")[0] for line in captured.err.splitlines()] == ["Passed over", "UnreadablePhotos"]
    assert "1 of 7 photos could not be read" in captured.err
    assert "broken.jpg" in captured.err
    assert len(json.loads(target.read_text("utf-8"))) == 7
    assert main(["predict", str(small_run.path), str(photos / "a.jpg"), "-q", "--strict"]) == 0


def test_folders_and_photos_keep_the_order_they_were_named_in(
    small_run: Run, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [photos / "c.PNG", photos / "vacas de mañana", photos / "a.jpg", photos / "a.jpg"]
    rows: Rows = json.loads(_predict(capsys, small_run, *map(str, named), "--json", "-"))
    assert [Path(row["path"]).name for row in rows] == ["c.PNG", '牛 "1", cow\'s.jpeg', "a.jpg", "a.jpg"]


def test_a_name_that_is_no_utf8_is_shown_and_does_not_stop_the_others(
    small_run: Run, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(photos / "a.jpg", tmp_path / "caf\udce9.jpg")
    shutil.copyfile(photos / "a.jpg", tmp_path / "tea.jpg")
    for kind in ("json", "jsonl", "csv"):
        assert r"caf\xe9.jpg" in _predict(capsys, small_run, str(tmp_path), f"--{kind}", "-").replace("\\\\", "\\")
    assert r"caf\xe9.jpg" in _predict(capsys, small_run, str(tmp_path))


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_photo_turned_by_exif_is_answered_as_the_upright_one(
    model: Predictor, photos: Path, tmp_path: Path, orientation: int
) -> None:
    upright = Image.open(photos / "c.PNG").convert("RGB")
    # How a camera held that way would have stored it: the inverse of what a viewer does.
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright.save(tmp_path / "upright.png")
    upright.transpose(stored).save(tmp_path / "turned.png", exif=exif)
    first, second = model.predict_proba([tmp_path / "upright.png", tmp_path / "turned.png"])
    np.testing.assert_allclose(first, second, atol=1e-5)
    upright.transpose(stored).save(tmp_path / "turned.jpg", exif=exif, quality=100, subsampling=0)
    # JPEG itself changes levels by one or two, which 8 bits may carry on; left as it lies, the photo's answer would
    # differ by 0.027 for the orientation that matters least.
    np.testing.assert_allclose(model.predict_proba(tmp_path / "turned.jpg")[0], first, atol=2e-2)


def test_paths_bytes_and_pixels_agree(model: Predictor, photos: Path) -> None:
    path = photos / "c.PNG"
    pixels = np.asarray(Image.open(path).convert("RGB"))
    data = path.read_bytes()
    every = [str(path), path, data, bytearray(data), memoryview(data), pixels, pixels[::-1][::-1]]
    table = model.predict_proba(every)
    assert table.shape == (len(every), len(model.classes))
    np.testing.assert_allclose(table, np.broadcast_to(table[0], table.shape), atol=1e-5)
    for one in every:
        np.testing.assert_allclose(model.predict_proba(one), table[:1], atol=1e-5)
    np.testing.assert_allclose(model.predict_proba(np.stack([pixels, pixels])), table[:2], atol=1e-5)
    np.testing.assert_allclose(model.predict_proba(item for item in every), table, atol=1e-5)
    answers = model.predict([path, data, pixels])
    assert [answer.path for answer in answers] == [str(path), "#1", "#2"]
    assert [answer.probability for answer in answers] == pytest.approx([table[0].max()] * 3, abs=1e-5)


def test_what_is_no_photo_is_told_apart_from_a_photo_that_is_broken(model: Predictor, photos: Path) -> None:
    pixels = np.asarray(Image.open(photos / "c.PNG").convert("RGB"))
    for broken in (b"", b"no photo", pixels[:0], pixels[:, :0]):
        (answer,) = model.predict(broken)
        assert answer.error
        assert answer.label is None
        assert np.isnan(model.predict_proba(broken)).all()
    with pytest.raises(DataError, match="does not"):
        model.predict(photos / "missing.jpg")


def test_a_folder_without_photos_is_refused(model: Predictor, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none here")
    with pytest.raises(DataError, match="holds none"):
        model.predict(tmp_path)


def test_load_takes_the_run_folder_and_the_file(small_run: Run, photos: Path, model: Predictor) -> None:
    from_file = certero.load(str(small_run.model), workers=1)
    assert from_file.classes == model.classes == ("empty", "lying", "standing")
    np.testing.assert_array_equal(from_file.predict_proba(photos / "a.jpg"), model.predict_proba(photos / "a.jpg"))
    with pytest.raises(ModelFileError, match=r"holds no model\.onnx"):
        certero.load(photos)


def test_probabilities_are_those_of_predictions_csv(small_run: Run, small_barn: Path, model: Predictor) -> None:
    from certero.pipelines.train import train

    run = small_run
    if run.metrics["evaluation"] == "cv":  # there each photo was judged by a model that is not the shipped one
        run = train(small_barn / "beds.csv", output=run.path.with_name("held-out"), cv=0)
        model = certero.load(run.path)
    with (run.path / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["split"] for row in rows} == {"train", "val", "test"}
    answers = model.predict([small_barn / row["path"] for row in rows])
    written = np.array([[float(row[name]) for name in model.classes] for row in rows])
    found = np.array([[answer.probabilities[name] for name in model.classes] for answer in answers])  # type: ignore[index]
    np.testing.assert_allclose(found, written, atol=1e-5)
    assert [answer.label for answer in answers] == [row["predicted"] for row in rows]


def test_every_output_is_the_same_in_batches_of_1_3_and_32(small_run: Run, small_barn: Path) -> None:
    from certero.photos import pixels

    data, card = read_model(small_run.model)
    network = Network(data)
    assert set(network.outputs) == {"probabilities", "embedding", "map"}
    files = sorted((small_barn / "beds").rglob("*.jpg"))[:32]
    images = np.stack([pixels.prepare(file.read_bytes(), card.preprocessing) for file in files])
    whole = network.run(images, network.outputs)
    for size in (1, 3):
        parts = [network.run(images[start : start + size], network.outputs) for start in range(0, 32, size)]
        for number, expected in enumerate(whole):
            found = np.concatenate([part[number] for part in parts])
            assert found.shape == expected.shape
            scale = max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)


def test_answers_do_not_depend_on_the_number_of_threads_or_on_the_company(small_run: Run, photos: Path) -> None:
    alone = certero.load(small_run.path, workers=1).predict([photos / "a.jpg"])
    together = certero.load(small_run.path, workers=3).predict([*[photos / "B.JPG"] * 4, photos / "a.jpg"])
    np.testing.assert_allclose(
        list((together[-1].probabilities or {}).values()), list((alone[0].probabilities or {}).values()), atol=1e-5
    )


def test_answers_stream_while_later_photos_wait(model: Predictor, photos: Path) -> None:
    stream = model.stream([photos / "a.jpg"] * 3)
    assert next(stream).label is not None
    stream.close()  # type: ignore[attr-defined]


def test_an_array_of_upright_pixels_skips_decoding_only(model: Predictor, small_barn: Path) -> None:
    from certero.photos import pixels

    data = next((small_barn / "beds" / "lying").iterdir()).read_bytes()
    decoded = pixels.decode(data).pixels
    answers = list(infer(model.network, model.card.preprocessing, [data, decoded], ["probabilities"], map))
    np.testing.assert_allclose(answers[0][0], answers[1][0], atol=1e-5)  # type: ignore[index]


@pytest.mark.parametrize(
    "program",
    [
        "import certero",
        "import certero.cli.main",
        "import certero; certero.load",
        "from certero.cli.main import main; assert main(['predict', *sys.argv[1:], '-q', '--json', '-']) == 0",
        "from certero.cli.main import main; assert main(['predict', *sys.argv[1:], '-q']) == 0",
        "import certero; certero.load(sys.argv[1]).predict(sys.argv[2:])",
    ],
)
def test_the_runtime_imports_nothing_heavy(small_run: Run, photos: Path, program: str) -> None:
    program = f"import sys\n{program}\nprint(sorted(set({_HEAVY}) & set(sys.modules)))"
    command = [sys.executable, "-c", program, str(small_run.model), str(photos / "a.jpg")]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"
