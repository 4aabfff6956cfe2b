"""`certero compare`: models on the same photos, whole commands on real files."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("polars", reason="comparing needs the [report] extra")

from reference_page import documented_keys, keys_of, methods_of
from report_examples import text_of

import certero
from certero.barn.render import render_barn
from certero.cli.main import main
from certero.engine.threads import Threads
from certero.errors import ConfigError, DataError
from certero.interchange import Json
from certero.language import use_language
from certero.records.preprocessing import Preprocessing
from certero.records.protocols import no_progress
from certero.report.comparison import render_comparison
from certero.runs.model import find_model
from certero.runtime.model_file import _take_apart, read_model, with_card
from certero.stages.contenders import Contender
from certero.stages.time_models import time_contenders

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from certero.pipelines.train import Run

CLASSES = ("empty", "lying", "standing")
OWN_CARD = """
classes = ["empty", "lying", "standing"]
answers = "probabilities"
output = "probabilities"
fit = "letterbox"
filter = "bicubic"
"""


@pytest.fixture(autouse=True)
def english_again() -> Iterator[None]:
    yield
    use_language("en")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of another barn, two days long: neither model has seen them."""
    folder = tmp_path_factory.mktemp("fresh") / "barn"
    render_barn(folder, days=2, interval_minutes=30, seed=7, map=Threads().map)
    return folder / "beds.csv"


@pytest.fixture(scope="module")
def network_run(small_barn: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small network that was trained for two epochs on the same barn: worse than the probe."""
    pytest.importorskip("torch", reason="training it needs the [networks] extra")
    return certero.train(
        small_barn / "beds.csv",
        recipe="cnn",
        epochs=2,
        image_size=32,
        cv=0,
        random_splits=0,
        output=tmp_path_factory.mktemp("network") / "run",
    )


@pytest.fixture(scope="module")
def foreign(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network of `small_run` as others would hand it on: without certero's card, described by one of theirs."""
    place = tmp_path_factory.mktemp("foreign") / "theirs.onnx"
    model = small_run.path / "model.onnx"
    preprocessing = read_model(model)[1].preprocessing
    assert (preprocessing.fit, preprocessing.filter, preprocessing.pad) == ("letterbox", "bicubic", 127)
    place.write_bytes(_take_apart(model.read_bytes(), "the run")[0])
    place.with_suffix(".toml").write_text(OWN_CARD, "utf-8")
    return place


@pytest.fixture(scope="module")
def on_fresh(small_run: Run, network_run: Run, foreign: Path, fresh: Path) -> Json:
    return certero.compare(network_run.path, small_run.path, foreign, data=fresh)


@pytest.fixture(scope="module")
def stored(small_run: Run, network_run: Run) -> Json:
    return certero.compare(small_run.path, network_run.path)


def test_the_better_model_is_told_and_each_figure_is_that_of_evaluate(
    on_fresh: Json, small_run: Run, network_run: Run, fresh: Path
) -> None:
    assert on_fresh["best"]["letter"] in "BC"
    pair = on_fresh["pairs"][0]
    assert (pair["first"], pair["second"], pair["verdict"]) == ("A", "B", "better")
    assert re.fullmatch(r"B is better than A by \d+\.\d points \(\d+\.\d to \d+\.\d\)", pair["says"])
    assert pair["test"] == "group_signs"
    for row, run in zip(on_fresh["models"], (network_run, small_run), strict=False):
        alone = certero.evaluate(run.path, fresh)["test"]
        assert row["n"] == alone["n"] == on_fresh["n"]
        assert row["accuracy"] == alone["accuracy"]
        assert row["macro_f1"]["value"] == pytest.approx(alone["macro_f1"]["value"])
        assert row["slices"] == alone["slices"]
    difference = on_fresh["models"][1]["accuracy"]["value"] - on_fresh["models"][0]["accuracy"]["value"]
    assert pair["accuracy"]["value"] == pytest.approx(difference)
    assert pair["only_second"] - pair["only_first"] == pytest.approx(difference * on_fresh["n"])


def test_a_foreign_copy_of_a_model_answers_as_the_model_does(on_fresh: Json) -> None:
    pair = on_fresh["pairs"][2]
    assert (pair["first"], pair["second"], pair["verdict"]) == ("B", "C", "alike")
    assert pair["disagree"] == 0
    assert on_fresh["models"][1]["accuracy"] == on_fresh["models"][2]["accuracy"]
    assert on_fresh["models"][2]["kind"] == "foreign"
    assert on_fresh["models"][2]["seen"] is None
    assert any(note.startswith("C carries no fingerprints") for note in on_fresh["notes"])


def test_speed_size_and_epochs_stand_beside_the_accuracy(on_fresh: Json, small_run: Run, network_run: Run) -> None:
    network, probe, foreign = on_fresh["models"]
    for row in on_fresh["models"]:
        for name in ("latency_ms", "photos_per_second"):
            assert 0 < row[name]["low"] <= row[name]["value"] <= row[name]["high"]
    assert on_fresh["speed_on"] == "photos"
    assert network["latency_ms"]["value"] < probe["latency_ms"]["value"], "32 pixels against 224"
    assert probe["parameters"] == small_run.metrics["parameters"]
    assert probe["file_bytes"] == (small_run.path / "model.onnx").stat().st_size
    assert probe["epochs"] is None
    assert foreign["epochs"] is None
    history = network_run.metrics["training"]["history"]
    epochs = network["epochs"]
    assert epochs["count"] == 2
    assert epochs["final_accuracy"]["value"] == pytest.approx(history[-1]["val_accuracy"])
    assert epochs["mean_accuracy"]["value"] == pytest.approx(sum(row["val_accuracy"] for row in history) / 2)
    assert epochs["seconds"]["low"] == pytest.approx(min(row["seconds"] for row in history))


class _Waiting:
    """A network that waits for the processor instead of computing, as on a busy machine."""

    batch_size = 2

    def run(self, rows: np.ndarray, _outputs: Sequence[str], /) -> list[np.ndarray]:
        time.sleep(0.02 * len(rows))
        return [np.zeros((len(rows), 2), np.float32)]


def test_speed_is_the_models_own_and_a_busy_machine_is_noticed(tmp_path: Path) -> None:
    waiting = Contender(
        "A", "a", tmp_path, None, ("x", "y"), _Waiting(), (), Preprocessing(8, 8), None, {}, None
    )  # fmt: skip
    photos = [np.zeros((16, 16, 3), np.uint8)]
    ((latency, rate),), busy = time_contenders([waiting], photos, Threads(2).map, no_progress)
    assert latency.value is not None
    assert rate.value is not None
    assert latency.value >= 20
    assert rate.value <= 2 / 0.02
    assert busy > 5


def test_runs_are_compared_by_their_stored_answers_on_the_test_photos_they_share(
    stored: Json, small_run: Run, network_run: Run
) -> None:
    assert stored["evaluation"] == "stored"
    assert stored["n"] == network_run.metrics["test"]["n"] < small_run.metrics["test"]["n"]
    assert stored["models"][1]["accuracy"]["value"] == pytest.approx(network_run.metrics["test"]["accuracy"]["value"])
    assert any("photos that all models were judged on" in note for note in stored["notes"])
    assert any(note.startswith("A was cross-validated") for note in stored["notes"])
    assert stored["openings"] is None
    assert stored["speed_on"] == "noise"
    # The few test photos of one split come from a few hours.
    assert stored["pairs"][0]["reason"] == "too_few_groups"
    assert stored["pairs"][0]["verdict"] == "cannot tell"


def test_copies_of_one_run_are_never_called_different(small_run: Run, tmp_path: Path) -> None:
    shutil.copytree(small_run.path, tmp_path / "copy")
    answer = certero.compare(small_run.path, tmp_path / "copy", small_run.path, speed=False)
    assert [pair["verdict"] for pair in answer["pairs"]] == ["alike"] * 3
    assert answer["n"] == small_run.metrics["test"]["n"]
    assert answer["best"]["better_than"] == []


def test_runs_without_common_test_photos_get_the_table_alone(
    small_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import polars as pl

    shutil.copytree(small_run.path, tmp_path / "elsewhere")
    file = tmp_path / "elsewhere" / "data.parquet"
    pl.read_parquet(file).with_columns(("0" + pl.col("pixel_hash").str.slice(1)).alias("pixel_hash")).with_columns(
        pl.col("pixel_hash").str.reverse()
    ).write_parquet(file)
    assert main(["compare", str(small_run.path), str(tmp_path / "elsewhere"), "-q", "--no-speed"]) == 0
    said = capsys.readouterr().out
    assert "the runs share no test photos" in said
    assert "Nothing tells which model is better" in said
    assert f"{small_run.metrics['test']['accuracy']['value']:.1%}" in said


@pytest.mark.slow
def test_photos_that_a_model_was_trained_on_are_left_out(
    small_run: Run, foreign: Path, small_barn: Path, fresh: Path, tmp_path: Path
) -> None:
    shutil.copytree(fresh.parent / "beds", tmp_path / "photos")
    new = sum(1 for _file in (tmp_path / "photos").rglob("*.jpg"))
    for number, photo in enumerate(sorted((small_barn / "beds" / "lying").iterdir())[:7]):
        shutil.copyfile(photo, tmp_path / "photos" / "lying" / f"old-{number}.jpg")
    answer = certero.compare(small_run.path, foreign, data=tmp_path / "photos", speed=False)
    assert answer["models"][0]["seen"] == 7
    assert answer["n"] == new
    assert "7 photos that a model was trained on were left out" in answer["notes"]
    with pytest.raises(DataError, match="--data must hold photos that no model was trained on; all"):
        certero.compare(small_run.path, foreign, data=small_barn / "beds.csv")


@pytest.mark.slow
def test_near_copies_of_training_photos_are_left_out_where_they_can_be_told(
    small_run: Run, foreign: Path, small_barn: Path, fresh: Path, tmp_path: Path
) -> None:
    # A fixed camera cannot tell near copies, so this file only says that it can.
    data, card = read_model(find_model(small_run.path))
    near = {"distance": 200, "falsely": 0.0, "recognised": 1.0, "n": 100, "reason": None}
    fingerprints = dataclasses.replace(card.fingerprints, near=near)
    model = tmp_path / "model.onnx"
    model.write_bytes(with_card(data, dataclasses.replace(card, fingerprints=fingerprints)))
    folder = tmp_path / "photos"
    shutil.copytree(fresh.parent / "beds", folder)
    for number, photo in enumerate(sorted((small_barn / "beds" / "lying").iterdir())[:7]):
        with Image.open(photo) as image:
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "lying" / f"old-{number}.png")
    asked = certero.evaluate(model, folder)
    seen = asked["seen"]
    assert seen["near"] > 0
    answer = certero.compare(model, foreign, data=folder, speed=False)
    assert answer["models"][0]["seen"] == seen["exact"] + seen["near"]
    assert answer["n"] == asked["test"]["n"] - answer["models"][0]["seen"]


@pytest.mark.slow
def test_classes_are_mapped_by_name_and_differing_ones_are_said(small_run: Run, foreign: Path, fresh: Path) -> None:
    card = foreign.parent / "other.toml"
    card.write_text(OWN_CARD.replace('"standing"', '"upright"'), "utf-8")
    bare = foreign.parent / "bare"
    bare.mkdir()
    shutil.copyfile(foreign, bare / "theirs.onnx")
    answer = certero.compare(small_run.path, bare / "theirs.onnx", data=fresh, card=[card], speed=False)
    assert answer["classes"] == ["empty", "lying"]
    assert any("only photos of empty, lying are judged" in note for note in answer["notes"])
    assert any("photos of class standing" in note for note in answer["notes"])
    # Both name a standing cow where there is none: another word for it is as wrong.
    assert answer["pairs"][0]["verdict"] == "alike"
    card.write_text(OWN_CARD.replace('"empty", "lying", "standing"', '"lying", "empty", "standing"'), "utf-8")
    swapped = certero.compare(small_run.path, bare / "theirs.onnx", data=fresh, card=[card], speed=False)
    assert swapped["models"][1]["accuracy"]["value"] < swapped["models"][0]["accuracy"]["value"]
    assert any(note.startswith("B is right less often than always naming the commonest") for note in swapped["notes"])
    card.write_text(OWN_CARD.replace('"empty", "lying", "standing"', '"a", "b", "c"'), "utf-8")
    with pytest.raises(ConfigError, match=r"knows empty, lying, standing, .* a, b, c: none in common"):
        certero.compare(small_run.path, bare / "theirs.onnx", data=fresh, card=[card])


def test_a_photo_that_cannot_be_read_is_counted_and_listed(
    small_run: Run, foreign: Path, fresh: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(fresh.parent / "beds", tmp_path / "photos")
    (tmp_path / "photos" / "lying" / "cut.jpg").write_bytes(b"\xff\xd8\xff nothing")
    page = tmp_path / "page.html"
    arguments = [str(small_run.path), str(foreign), "--data", str(tmp_path / "photos"), "--no-speed", "-q"]
    assert main(["compare", *arguments, "--report", str(page)]) == 0
    assert "Photos that could not be read and were not judged: 1." in capsys.readouterr().out
    assert "lying/cut.jpg" in page.read_text("utf-8")


@pytest.mark.slow
def test_an_opening_is_logged_and_counted(small_run: Run, foreign: Path, fresh: Path) -> None:
    from certero.machine.folders import state_folder

    first = certero.compare(small_run.path, foreign, data=fresh, speed=False)
    second = certero.compare(small_run.path, foreign, data=fresh, speed=False)
    assert second["openings"] == first["openings"] + 1
    line = json.loads((state_folder() / "openings.jsonl").read_text().splitlines()[-1])
    assert line["purpose"] == "compare"
    assert line["run"] == f"{small_run.path} {foreign}"


@pytest.mark.slow
def test_the_whole_command_prints_table_and_verdict_and_imports_no_torch(
    network_run: Run, small_run: Run, fresh: Path, tmp_path: Path
) -> None:
    program = (
        "import sys\nfrom certero.cli.main import main\ncode = main(sys.argv[1:])\n"
        "print(code, sorted({'torch', 'torchvision', 'timm', 'onnx', 'onnxscript', 'safetensors'} & set(sys.modules)))"
    )
    arguments = ["compare", network_run.path, small_run.path, "--data", fresh, "-q", "--json", tmp_path / "out.json"]
    command = [sys.executable, "-c", program, *map(str, arguments)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[-1] == "0 []"
    assert lines[0] == f"A: {network_run.path}"
    assert any(line.startswith("seconds an epoch") and line.endswith("–") for line in lines)
    assert any(line.startswith("B is better than A by ") for line in lines)
    answer = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert answer["schema"] == 1
    assert answer["pairs"][0]["verdict"] == "better"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RUN"], "a comparison needs at least 2 models; found 1"),
        (["RUN", "FOREIGN"], "without --data every MODEL must be a run with stored answers"),
        (["RUN", "BARE", "--data", "DATA"], "a foreign MODEL needs a card"),
        (["RUN", "BARE", "--data", "DATA", "--card", "missing.toml"], "needs a readable card; missing.toml"),
        (["RUN", "RUN", "--card", "x.toml"], "--card is for foreign models without a card beside them"),
        (["RUN", "RUN", "--split", "test"], "speak of --data"),
        (["RUN", "RUN", "--data", "DATA", "--split", "tests"], "--split must be one of train, val, test"),
        (["RUN", "nowhere"], "MODEL must be a readable model file; nowhere"),
        (["RUN", "RUN", "--data", "nowhere"], "nowhere"),
        (["RUN", "RUN", "--report", "nowhere/page.html"], "--report must be a file that can be written"),
        (["RUN", "RUN", "--lang", "de"], "--lang must be one of"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    words: list[str],
    message: str,
    small_run: Run,
    foreign: Path,
    fresh: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(foreign, tmp_path / "bare.onnx")
    places = {"RUN": small_run.path, "FOREIGN": foreign, "BARE": "bare.onnx", "DATA": fresh}
    assert main(["compare", *(str(places.get(word, word)) for word in words), "-q"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_every_key_is_documented_and_no_other(on_fresh: Json, stored: Json) -> None:
    found: set[str] = set()
    for answer in (on_fresh, stored):
        assert set(methods_of(answer)) <= documented_keys("Quantities and intervals")
        keys = keys_of(
            {key: value for key, value in answer.items() if key not in ("data", "counts", "listed", "splits")}
        )
        found |= {re.sub(r"per_class\.\w+", "per_class.CLASS", key) for key in keys}
    found |= {"data", "counts", "listed", "splits"}
    found -= {"separation", "models[].slices[]", "pairs[].slices[]"}
    assert found == documented_keys("compare --json")


def test_the_card_of_a_foreign_model_is_documented() -> None:
    from certero.runtime.foreign import KEYS

    assert documented_keys("The card of a foreign model") == set(KEYS)


def test_json_is_english_and_the_same_in_spanish(small_run: Run, network_run: Run) -> None:
    answers = [certero.compare(small_run.path, network_run.path, speed=False, lang=lang) for lang in ("es", "en")]
    for answer in answers:
        del answer["seconds"]
    assert json.dumps(answers[0]) == json.dumps(answers[1])


def test_few_groups_are_said_beside_the_verdict(on_fresh: Json) -> None:
    caution = str(on_fresh["pairs"][0]["caution"])
    assert "from 10 separate groups or times: a model that fails in one group of ten" in caution
    assert text_of(render_comparison(on_fresh)).count("a model that fails in one group of ten") == 1
    assert on_fresh["pairs"][0]["groups"] == on_fresh["groups"] == 10


def test_the_page_speaks_both_languages_and_is_small(on_fresh: Json) -> None:
    english = render_comparison(on_fresh)
    assert "Which model is better?" in text_of(english)
    use_language("es")
    spanish = render_comparison(on_fresh)
    assert '<html lang="es">' in spanish
    text = text_of(spanish)
    assert "¿Qué modelo es mejor?" in text
    for word in (" the ", "better", "photos", "groups", "points"):
        assert word not in text.replace(str(on_fresh["models"][0]["name"]), ""), word
    assert len(spanish.encode()) < 200_000


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_asks_for_nothing_and_fits_the_screen(
    browser: Browser, on_fresh: Json, tmp_path: Path, width: int
) -> None:
    file = tmp_path / "page.html"
    file.write_text(render_comparison(on_fresh, "certero compare a b"), "utf-8")
    context = browser.new_context(java_script_enabled=False, viewport={"width": width, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(file.as_uri(), wait_until="networkidle")
    assert [url for url in asked if url != file.as_uri()] == []
    assert complaints == []
    context.close()
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("svg.dot-plot").count() > 6
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_can_be_read_in_light_and_dark_and_printed(
    browser: Browser, on_fresh: Json, tmp_path: Path, scheme: Any
) -> None:
    from pages import PAPER_PX, WEAK_CONTRAST

    file = tmp_path / "page.html"
    file.write_text(render_comparison(on_fresh), "utf-8")
    page = browser.new_page(viewport={"width": 1000, "height": 900}, color_scheme=scheme)
    page.goto(file.as_uri())
    assert page.evaluate(WEAK_CONTRAST) == []
    page.emulate_media(media="print", color_scheme=scheme)
    page.set_viewport_size({"width": PAPER_PX, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER_PX
    page.close()
