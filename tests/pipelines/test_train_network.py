"""Networks in the main job: one pipeline, honest figures, and no work lost."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from barns import copy_barn
from reference_page import documented_keys, keys_of
from tiny_network import TINY

from certero.config.recipes import resolve
from certero.engine.threads import Threads
from certero.errors import ConfigError, DataError, OutputError, TrainingError
from certero.learn.devices import choose_trainer
from certero.learn.timm_backbones import build_backbone
from certero.machine.cache import BlobCache
from certero.pipelines.train import Run, train
from certero.probe.backbones import find_backbone
from certero.runtime.model_file import read_model
from certero.runtime.network import Network
from certero.stages.fitted import Fitted, Part
from certero.stages.fitter import loading_fitter
from certero.stages.prepare import prepare, split_photos
from certero.stages.tools import Tools

pytest.importorskip("torch", reason="training needs the [networks] extra")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    file.write_text(TINY)
    return str(file)


@pytest.fixture(scope="module")
def barn(small_barn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_barn(small_barn, tmp_path_factory.mktemp("photos") / "barn", given=True)


@pytest.fixture(scope="module")
def run(barn: Path, recipe: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(barn, recipe=recipe, output=tmp_path_factory.mktemp("runs") / "run", workers=1, random_splits=1)


def _same_model(a: Path, b: Path) -> bool:
    # The card tells of openings, which differ between runs on the same photos; the graph must not.
    import onnx

    graphs = [onnx.load_model_from_string(read_model(file)[0]).graph.SerializeToString() for file in (a, b)]
    return graphs[0] == graphs[1]


def test_figures_are_those_of_the_exported_file(run: Run) -> None:
    model, card = read_model(run.model)
    network = Network(model)
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3)).astype(np.uint8)
    whole = network.run(images, ["probabilities", "embedding", "map"])
    assert [rows.shape[0] for rows in whole] == [32, 32, 32]
    assert whole[2].shape[1:] == (8, 32, 32)
    np.testing.assert_allclose(whole[0].sum(axis=1), 1, atol=1e-5)
    for n in (1, 3):
        np.testing.assert_allclose(network.run(images[:n], ["probabilities"])[0], whole[0][:n], atol=1e-5)
    rows = pl.read_csv(run.path / "predictions.csv").filter(pl.col("split") == "test")
    import certero

    photos = rows["path"].to_list()
    told = certero.load(run.model).predict([Path(os.environ["BARN"]) / photo for photo in photos])
    for row, said in zip(rows.iter_rows(named=True), told, strict=True):
        assert said.probabilities is not None
        for name in card.classes:
            assert said.probabilities[name] == pytest.approx(row[name], abs=1e-5)
    right = (rows["label"] == rows["predicted"]).mean()
    assert run.metrics["test"]["accuracy"]["value"] == pytest.approx(right)


@pytest.fixture(scope="module", autouse=True)
def where(barn: Path) -> Any:
    patch = pytest.MonkeyPatch()
    patch.setenv("BARN", str(barn.parent))
    yield
    patch.undo()


def test_val_photos_update_no_weight_and_calibrate(run: Run) -> None:
    training, splits = run.metrics["training"], run.metrics["splits"]
    # The data give no val: it is cut from train by the rule.
    assert training["photos_fitted"] == sum(splits["train"].values())
    assert training["photos_judging"] == sum(splits["val"].values()) == run.metrics["calibration"]["n"]
    assert run.metrics["calibration"]["source"] == "val"
    assert run.metrics["train_accuracy"]["n"] == training["photos_fitted"]
    units = pl.read_parquet(run.path / "data.parquet").filter(pl.col("status").is_in(["ok", "damaged"]))
    by_split = {name: set(units.filter(pl.col("split") == name)["unit"]) for name in ("train", "val")}
    assert not by_split["train"] & by_split["val"]


def test_every_key_and_file_of_a_trained_network_is_documented(run: Run) -> None:
    found = keys_of(run.metrics)
    assert found - documented_keys("metrics.json") == set()
    documented = {key for key in documented_keys("metrics.json") if key.startswith("training.")}
    lists = {"training.assumed", "training.notes"}
    assert documented - found - lists == set()
    assert {file.name for file in run.path.iterdir()} == documented_keys("Files of a run")


def test_the_history_has_a_row_an_epoch_and_the_report_its_curves_and_photos(run: Run) -> None:
    with (run.path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert all(float(row["photos_per_second"]) > 0 and float(row["val_accuracy"]) >= 0 for row in rows)
    page = run.report.read_text("utf-8")
    assert "How it was trained" in page
    assert page.count("<polyline") >= 2
    assert 'class="sheet" src="data:image/jpeg;base64,' in page


def test_a_random_split_is_measured_by_a_network_of_the_same_recipe(run: Run) -> None:
    claimed = run.metrics["random_split_accuracy"]
    assert claimed["method"] == "grouped_bootstrap"
    assert 0 <= claimed["low"] <= claimed["value"] <= claimed["high"] <= 1
    assert claimed["n"] == run.metrics["test"]["n"]


def test_a_network_trained_after_the_test_photos_were_deleted_is_the_same_bit_for_bit(
    small_barn: Path, recipe: str, tmp_path: Path
) -> None:
    manifest = copy_barn(small_barn, tmp_path / "barn", given=True)
    settings = resolve(recipe, workers=1)
    caches = [BlobCache(name) for name in ("fingerprints", "features", "networks")]
    tools = Tools(Threads(2).map, Threads(2).map, *caches)
    photos = split_photos(manifest, settings, tools).photos
    prepared = prepare(manifest, settings, tools)
    assert len(prepared.sealed) >= 10

    def fit(name: str) -> Fitted:
        part = Part(prepared.development, False, prepared.separation.gap, "fitted on train", "final")
        with loading_fitter(settings, tools, tmp_path / name, "") as finish:
            return finish(0).fit(part, prepared.classes)

    before = fit("before")
    for photo in photos.paths(photos.used().filter(pl.col("split") == "test")):
        photo.unlink()
    after = fit("after")
    assert after.model == before.model
    assert after.calibration == before.calibration
    for cache in caches:
        cache.close()


def test_cross_validation_trains_a_network_a_fold(small_barn: Path, recipe: str, tmp_path: Path) -> None:
    manifest = copy_barn(small_barn, tmp_path / "barn", given=False)
    done = train(manifest, recipe=recipe, output=tmp_path / "run", cv=2, block="1h", epochs=1, workers=1)
    assert done.metrics["evaluation"] == "cv"
    assert done.metrics["test"]["n"] == done.metrics["counts"]["used"]
    assert done.metrics["random_split_accuracy"]["method"] == "not_measured"
    assert sorted(file.name for file in (done.path / "checkpoints").iterdir()) == ["best.safetensors"]


def test_epochs_on_train_and_val_come_after_val_has_judged_and_calibrated(
    barn: Path, recipe: str, tmp_path: Path
) -> None:
    both = tmp_path / "both.toml"
    both.write_text("refit_epochs = 2\n" + TINY)
    asked: dict[str, Any] = {"workers": 1, "epochs": 2}
    without = train(barn, recipe=recipe, output=tmp_path / "without", **asked)
    done = train(barn, recipe=str(both), output=tmp_path / "run", **asked)
    training, splits = done.metrics["training"], done.metrics["splits"]
    # Until val has judged, nothing differs; then the weights do.
    judged = ("loss", "val_loss", "val_accuracy")
    for row, other in zip(training["history"], without.metrics["training"]["history"], strict=True):
        assert [row[key] for key in judged] == [other[key] for key in judged]
    calibrations = [run.metrics["calibration"] for run in (done, without)]
    assert calibrations[0]["temperature"] == pytest.approx(calibrations[1]["temperature"], rel=1e-3)
    assert not _same_model(done.model, without.model)
    assert training["refit_epochs"] == 2
    assert training["photos_fitted"] == sum(splits["train"].values()) + sum(splits["val"].values())
    assert training["photos_judging"] == done.metrics["calibration"]["n"] == sum(splits["val"].values())
    assert done.metrics["train_accuracy"]["n"] == training["photos_fitted"]
    # Answers to choose a threshold on are those of the network that had not learnt the photos.
    held, before = (pl.read_csv(run.path / "held_out.csv") for run in (done, without))
    classes = done.metrics["data"]["classes"]
    assert held["path"].to_list() == before["path"].to_list()
    np.testing.assert_allclose(held.select(classes).to_numpy(), before.select(classes).to_numpy(), atol=1e-3)
    shipped = pl.read_csv(done.path / "predictions.csv").filter(pl.col("split") == "val")
    joined = held.join(shipped, on="path", suffix="_shipped")
    assert joined.height == held.height
    assert np.abs(joined[classes[0]] - joined[f"{classes[0]}_shipped"]).max() > 1e-3
    page = done.report.read_text("utf-8")
    assert "judged before the last epochs" in page
    assert "2 on train and val together, from the weights of epoch" in page
    assert "whose weights are in the model file" not in page


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_run_killed_in_the_epochs_on_train_and_val_gives_the_same_model(barn: Path, tmp_path: Path) -> None:
    both = tmp_path / "both.toml"
    both.write_text("refit_epochs = 2\n" + TINY)
    whole = train(barn, recipe=str(both), output=tmp_path / "whole", workers=1, epochs=1)
    process = _start(barn, "--recipe", str(both), "--epochs", "1", "--output", "run", cwd=tmp_path)
    _wait_for(tmp_path / ".run.unfinished" / "checkpoints" / "final-refit" / "last.safetensors", process)
    process.kill()
    process.communicate()
    done = train(barn, resume=tmp_path / "run", workers=1)
    assert _same_model(done.model, whole.model)
    assert sorted(file.name for file in (done.path / "checkpoints").iterdir()) == ["best.safetensors"]


def test_finer_labels_are_trained_on_and_the_classes_are_judged(barn: Path, recipe: str, tmp_path: Path) -> None:
    manifest = barn.parent / "finer.csv"
    table = pl.read_csv(barn).with_columns(camera=pl.Series(["left", "right"] * 10_000)[: pl.read_csv(barn).height])
    table.write_csv(manifest)
    done = train(manifest, recipe=recipe, output=tmp_path / "run", label_also=("camera",), epochs=1, workers=1)
    manifest.unlink()
    classes = done.metrics["data"]["classes"]
    assert done.metrics["training"]["outputs"] > len(classes)
    assert read_model(done.model)[1].classes == tuple(classes)
    probabilities = pl.read_csv(done.path / "predictions.csv").select(classes).to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"class_weights": "lynig=2"}, "--class-weights must name classes of the data .*; found lynig"),
        ({"augment": "wild"}, "--augment must be one of none, light, standard, strong; found 'wild'"),
        ({"label_also": ("breed",)}, "--label-also must name a column of the manifest; found breed"),
        ({"weights": "absent.safetensors"}, "--weights must be a file"),
        ({"precision": "int8"}, "--precision int8 cannot train a network"),
        ({"epochs": 0}, "--epochs must lie between 1 and"),
        ({"lr": float("nan")}, "--lr must lie between"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_refused_in_one_line_and_leaves_nothing(
    barn: Path, recipe: str, tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        train(barn, recipe=recipe, output=tmp_path / "run", **given)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_network_are_refused_and_its_own_go_on(
    barn: Path, recipe: str, run: Run, tmp_path: Path
) -> None:
    weights = run.path / "checkpoints" / "best.safetensors"
    wider = tmp_path / "wider.toml"
    wider.write_text(TINY.replace("filters = 8", "filters = 9"))
    with pytest.raises(ConfigError, match=r"bottom.0.weight has shape \(9, 3, 3, 3\), .* holds shape \(8, 3, 3, 3\)"):
        train(barn, recipe=str(wider), output=tmp_path / "other", weights=str(weights))
    more = train(barn, recipe=recipe, output=tmp_path / "more", weights=str(weights), epochs=1, workers=1, lr=1e-9)
    best = max(row["val_accuracy"] for row in run.metrics["training"]["history"])
    # One photo may tip over: normalisations go on to move, and bfloat16 rounds.
    one = 1.01 / more.metrics["training"]["photos_judging"]
    assert more.metrics["training"]["history"][0]["val_accuracy"] == pytest.approx(best, abs=one)


def test_a_loss_that_is_no_number_stops_the_training_and_says_what_to_try(barn: Path, tmp_path: Path) -> None:
    # Without normalisation, and with nothing that dies, such steps grow without bounds.
    recipe = tmp_path / "wild.toml"
    recipe.write_text(TINY.replace('  { layer = "batch_norm" },\n  { layer = "relu" },\n', ""))
    wild: dict[str, Any] = {"lr": 100.0, "optimizer": "sgd", "epochs": 30, "ema": 0.0, "workers": 1}
    with pytest.raises(TrainingError, match=r"the loss must stay a number; .* --lr 10") as raised:
        train(barn, recipe=str(recipe), output=tmp_path / "run", **wild)
    assert "\n" not in str(raised.value)
    # Advice that the run has followed already is none.
    assert ("--precision fp32" in str(raised.value)) == choose_trainer("auto", "auto").in_bf16
    from safetensors.torch import load_file

    kept = load_file(tmp_path / ".run.unfinished" / "checkpoints" / "final" / "last.safetensors")
    assert all(bool(tensor.isfinite().all()) for name, tensor in kept.items() if tensor.is_floating_point())


# ---- stopped, killed, resumed ----------------------------------------------------------------------------------


def _start(barn: Path, *words: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "certero", "train", str(barn), "--workers", "1", *words]
    return subprocess.Popen(command, cwd=cwd, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _wait_for(file: Path, process: subprocess.Popen[str], patience_seconds: float = 200) -> None:
    end = time.monotonic() + patience_seconds
    while not file.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"{file} never came"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_saves_and_the_resumed_run_gives_the_same_model(
    barn: Path, recipe: str, tmp_path: Path, run: Run
) -> None:
    words = ("--recipe", recipe, "--output", "run", "--random-splits", "1")
    process = _start(barn, *words, cwd=tmp_path)
    _wait_for(tmp_path / ".run.unfinished" / "checkpoints" / "final" / "last.safetensors", process)
    process.send_signal(signal.SIGINT)
    _out, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    hint = f"certero train {barn} --resume run"
    assert hint in said.splitlines()[-1]
    assert not (tmp_path / "run").exists()
    # What changed is named, all of it; what did not change may be said again.
    changed = _start(barn, "--recipe", recipe, "--resume", "run", "--lr", "0.5", "--seed", "3", cwd=tmp_path)
    _out, said = changed.communicate(timeout=120)
    assert changed.returncode == 2
    assert "lr 0.01 → 0.5" in said
    assert "seed 0 → 3" in said
    again = _start(barn, "--resume", "run", cwd=tmp_path)
    _out, said = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert _same_model(tmp_path / "run" / "model.onnx", run.model)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_second_ctrl_c_quits_at_once() -> None:
    code = (
        "import signal, time\n"
        "from certero.runs.interruption import deferred_signals\n"
        "with deferred_signals() as asked:\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    print(asked(), flush=True)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    print('never')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True"]
    assert "KeyboardInterrupt" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_killed_run_is_resumed_and_opens_its_test_photos_once(
    small_barn: Path, recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CERTERO_STATE", str(tmp_path / "state"))
    barn = copy_barn(small_barn, tmp_path / "barn", given=True)
    process = _start(barn, "--recipe", recipe, "--output", "run", cwd=tmp_path)
    work = tmp_path / ".run.unfinished"
    # In the very opening: the log has it, the run may have it.
    _wait_for(work / "openings.jsonl", process)
    process.kill()
    process.communicate()
    with pytest.raises(OutputError, match=r"place of an unfinished run; .* Go on with --resume"):
        train(barn, recipe=recipe, output=tmp_path / "run")
    photo = barn.parent / pl.read_csv(barn)["path"][0]
    before = photo.read_bytes()
    photo.unlink()  # it is a link to a photo that other tests use
    photo.write_bytes((barn.parent / pl.read_csv(barn)["path"][1]).read_bytes())
    with pytest.raises(DataError, match=r"changed: 1 photos with other content \(.*\.jpg\)"):
        train(barn, resume=tmp_path / "run")
    photo.unlink()
    with pytest.raises(DataError, match=r"changed: |must be|must exist"):
        train(barn, resume=tmp_path / "run")
    photo.write_bytes(before)
    state = json.loads((work / "resume.json").read_text("utf-8"))
    (work / "resume.json").write_text(json.dumps(state | {"certero": "0.0.9"}), "utf-8")
    with pytest.raises(OutputError, match=r"began with, 0\.0\.9; this is .* Install certero==0\.0\.9, or start"):
        train(barn, resume=tmp_path / "run")
    (work / "resume.json").write_text(json.dumps(state), "utf-8")
    done = train(barn, resume=tmp_path / "run", workers=1)
    assert done.metrics["openings"] == 0
    log = (tmp_path / "state" / "openings.jsonl").read_text().splitlines()
    assert len(log) == 1
    assert json.loads(log[0])["run"] == "run"


def test_there_is_nothing_to_resume_where_no_run_was_cut_off(barn: Path, run: Run, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"--resume must name a run that was cut off .*: there is none"):
        train(barn, resume=tmp_path / "absent")
    with pytest.raises(OutputError, match="that run is whole already"):
        train(barn, resume=run.path)


# ---- fine-tuning -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_pretrained_network_is_trained_on_and_looks_at_more_than_it_was_trained_at(
    barn: Path, tmp_path: Path
) -> None:
    done = train(barn, recipe="finetune", output=tmp_path / "run", image_size=64, epochs=1, class_cap=12, workers=2)
    model, card = read_model(done.model)
    assert (card.preprocessing.height, card.preprocessing.width) == (88, 88)
    network = Network(model)
    image = np.random.default_rng(0).integers(0, 256, (2, 88, 88, 3)).astype(np.uint8)
    # Its last map is that of the whole photo at the side that it was trained at.
    assert network.run(image, ["map"])[0].shape[2:] == (2, 2)
    corner = image.copy()
    corner[:, :8, :8] = 0
    seen, without = (network.run(photo, ["probabilities"])[0] for photo in (image, corner))
    assert not np.allclose(seen, without)
    assert done.metrics["model"]["backbone"] == "efficientnet_lite2"
    # What bf16 cost on the way is measured on val, against the file.
    assert done.metrics["export"]["n"] == done.metrics["training"]["photos_judging"]
    assert done.metrics["export"]["probability_difference"] < 0.2


@pytest.mark.slow
def test_fine_tuning_goes_on_from_weights_that_a_run_left_and_refuses_others(
    barn: Path, run: Run, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    small: dict[str, Any] = {"recipe": "finetune", "image_size": 32, "epochs": 1, "class_cap": 4, "workers": 1}
    small |= {"batch_size": 8, "open_test": False}
    first = train(barn, output=tmp_path / "first", **small)
    kept = first.path / "checkpoints" / "best.safetensors"
    second = train(barn, output=tmp_path / "second", weights=str(kept), lr=1e-9, **small)
    before, after = load_file(kept), load_file(second.path / "checkpoints" / "best.safetensors")
    name = "body.blocks.5.0.conv_dw.weight"
    bundled = build_backbone(find_backbone("efficientnet_lite2")).state_dict()[name.removeprefix("body.")]
    assert (before[name] - bundled).abs().max() > 1e-6
    np.testing.assert_allclose(after[name], before[name], atol=1e-6)
    with pytest.raises(ConfigError, match=r"--weights must be of efficientnet_lite2; .* in .*best.safetensors") as no:
        train(barn, output=tmp_path / "third", weights=str(run.path / "checkpoints" / "best.safetensors"), **small)
    assert "\n" not in str(no.value)
    assert not (tmp_path / "third").exists()
    with pytest.raises(ConfigError, match=r"--weights must be of this network: .* \(\d+ of \d+ layers differ\)"):
        train(barn, recipe="cnn", output=tmp_path / "fourth", weights=str(kept), image_size=64)
