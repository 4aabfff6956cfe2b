"""The dry run says what a run would do, and does none of it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("polars", reason="training needs the [train] extra")
pytest.importorskip("onnx", reason="training needs the [train] extra")

import certero
from certero.cli.main import main
from certero.errors import ConfigError
from certero.pipelines.train import Run


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder, and an empty folder to work in."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("CERTERO_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def test_the_plan_is_what_the_run_then_does(small_barn: Path, small_run: Run, state: Path) -> None:
    plan = certero.plan(small_barn / "beds.csv").to_json()
    same = ("evaluation", "cv", "separation", "data", "counts", "listed", "splits", "versions")
    assert {key: plan[key] for key in same} == {key: small_run.metrics[key] for key in same}
    assert plan["model"]["parameters"] == small_run.metrics["parameters"]
    assert plan["model"]["image_size"] == small_run.metrics["model"]["image_size"]
    assert set(plan["seconds"]) - {"start"} == set(small_run.metrics["seconds"]) - {"calibrate"}
    assert not (state / "openings.jsonl").exists()


def test_a_dry_run_opens_no_test_set_and_writes_no_run(
    small_barn: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(small_barn / "beds.csv"), "--dry-run", "-q"]) == 0
    assert list(Path.cwd().iterdir()) == []
    assert not state.exists()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Nothing is trained, no test photo is opened and no run is written."
    starts = ("Photos", "Together", "Judged", "Splits", "Network", "Fits", "Remembered", "Time", "Memory", "Disk")
    assert [start for start in starts if not any(line.startswith(start) for line in lines)] == []


def test_what_keeps_a_run_from_being_written_or_opened_is_known_beforehand(
    small_barn: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(small_barn / "beds.csv"), "-q"]
    Path("file").write_text("")
    state.write_text("a file where a folder should be")
    for more in ([], ["--recipe", "cnn"]):
        for dry in ([], ["--dry-run"]):
            assert main([*words, *more, *dry]) == 2
            assert "Set CERTERO_STATE to a folder that can be written" in capsys.readouterr().err
            assert main([*words, *more, *dry, "-o", "file/run"]) == 2
            assert "--output must be a place that can be written" in capsys.readouterr().err
            assert main([*words, *more, *dry, "-o", "file"]) == 2
            assert "--output must not exist yet" in capsys.readouterr().err
    assert list(Path.cwd().iterdir()) == [Path("file").absolute()]


def test_a_cache_that_cannot_be_written_is_noted(
    small_barn: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    monkeypatch.setenv("CERTERO_CACHE", str(tmp_path / "cache"))
    (note,) = (note for note in certero.plan(small_barn / "beds.csv").notes if "CERTERO_CACHE" in note)
    assert str(tmp_path / "cache") in note
    assert not state.exists()


def test_given_test_photos_are_not_touched_after_the_split(small_barn: Path, state: Path, tmp_path: Path) -> None:
    root = tmp_path / "presplit"
    for number, photo in enumerate(sorted((small_barn / "beds").rglob("*.jpg"))):
        place = root / ("test" if number % 3 == 0 else "train") / photo.parent.name / photo.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, place)
    certero.plan(root)  # every photo is looked at once, and remembered
    sealed = list((root / "test").rglob("*.jpg"))

    def delete_test_photos(stage: str, done: int, _total: int) -> None:
        if stage == "measure" and done == 0:
            for file in sealed:
                file.unlink()

    plan = certero.plan(root, progress=delete_test_photos)
    assert plan.evaluation == "given"
    assert not any(file.exists() for file in sealed)
    assert sum(plan.splits["test"].values()) == len(sealed)
    assert not state.exists()


def test_cross_validation_lists_its_folds(small_barn: Path, state: Path) -> None:
    plan = certero.plan(small_barn / "beds.csv", cv=3)
    assert plan.evaluation == "cv"
    assert plan.folds is not None
    assert len(plan.folds) == 3
    assert sum(sum(fold.values()) for fold in plan.folds) == plan.counts["used"]
    assert plan.fits["models"] == 4
    assert not state.exists()


def test_without_opening_the_test_set_there_is_nothing_to_evaluate(small_barn: Path, state: Path) -> None:
    plan = certero.plan(small_barn / "beds.csv", open_test=False)
    assert not {"evaluate", "score"} & set(plan.seconds)
    assert not state.exists()


@pytest.mark.usefixtures("state")
def test_the_seconds_add_up_and_none_is_negative(small_barn: Path) -> None:
    plan = certero.plan(small_barn / "beds.csv")
    stages = {stage: seconds for stage, seconds in plan.seconds.items() if stage != "total"}
    assert min(stages.values()) >= 0
    assert plan.seconds["total"] == pytest.approx(sum(stages.values()), abs=0.1)
    assert plan.memory_bytes > 100_000_000
    assert plan.disk["run_bytes"] > 3_000_000


@pytest.mark.slow
@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("rule", [{"cv": 0, "block": "1h"}, {"cv": 2}], ids=["held out", "cross-validated"])
def test_the_splits_at_random_that_are_asked_for_are_counted(small_barn: Path, rule: dict[str, Any]) -> None:
    none, five, twenty = (certero.plan(small_barn / "beds.csv", random_splits=n, **rule) for n in (0, 5, 20))
    assert five.fits["total"] == none.fits["total"] + 5
    assert twenty.fits["total"] == none.fits["total"] + 20
    # The machine is measured anew for each plan: seconds are held against others that the same measurement gave.
    score = [plan.seconds["score"] / plan.seconds["fingerprints"] for plan in (none, five, twenty)]
    assert score[0] < score[1] < score[2]
    # Sealed photos are in no random split either, and in neither half of the time: each half is one fit.
    sealed = certero.plan(small_barn / "beds.csv", random_splits=20, open_test=False, **rule)
    assert sealed.fits["models"] == 1
    assert sealed.fits["total"] * none.fits["models"] + 2 == none.fits["total"]
    assert "score" not in sealed.seconds


@pytest.mark.slow
@pytest.mark.networks
@pytest.mark.usefixtures("state")
def test_the_networks_of_random_splits_are_counted(small_barn: Path) -> None:
    pytest.importorskip("torch", reason="training needs the [networks] extra")
    settings = {"recipe": "cnn", "image_size": 32, "epochs": 2, "batch_size": 8, "cv": 0, "block": "1h"}
    none, five = (certero.plan(small_barn / "beds.csv", random_splits=n, **settings) for n in (0, 5))
    assert (none.fits["total"], five.fits["total"]) == (1, 6)
    assert five.seconds["score"] > none.seconds["score"]
    sealed = certero.plan(small_barn / "beds.csv", random_splits=5, open_test=False, **settings)
    assert sealed.fits["total"] == 1
    assert "score" not in sealed.seconds


@pytest.mark.usefixtures("state")
def test_a_dry_run_remembers_what_it_computed(
    small_barn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The exported network is taken over: making it takes long, and is not what is asked here.
    certero.plan(small_barn / "beds.csv")
    cache = tmp_path / "cache"
    cache.mkdir()
    for file in Path(os.environ["CERTERO_CACHE"]).glob("networks.sqlite*"):
        shutil.copy(file, cache)
    monkeypatch.setenv("CERTERO_CACHE", str(cache))
    first, second = certero.plan(small_barn / "beds.csv"), certero.plan(small_barn / "beds.csv")
    assert first.remembered["facts"] == 0
    assert second.remembered["facts"] == second.counts["photos"]
    assert 0 < first.remembered["features"] < second.remembered["features"]
    assert first.disk["cache_bytes"] > second.disk["cache_bytes"] > 0


@pytest.mark.usefixtures("state")
def test_a_plan_does_not_change(small_barn: Path) -> None:
    plan = certero.plan(small_barn / "beds.csv")
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.evaluation = "cv"  # type: ignore[misc]


@pytest.mark.usefixtures("state")
def test_a_mistake_is_the_one_that_training_would_tell(small_barn: Path) -> None:
    for settings in ({"class_weights": "cow=3"}, {"require": ["recall[cow]>=0.8"]}, {"device": "gpu"}):
        with pytest.raises(ConfigError) as planned:
            certero.plan(small_barn / "beds.csv", **settings)
        with pytest.raises(ConfigError) as trained:
            certero.train(small_barn / "beds.csv", **settings)
        assert str(planned.value) == str(trained.value)


def test_json_on_standard_output_is_alone_there(
    small_barn: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(small_barn / "beds.csv"), "--dry-run", "-q", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 1
    assert not state.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("state")
@pytest.mark.networks
def test_the_plan_of_a_network_is_what_its_training_then_does(
    small_barn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from reference_page import documented_keys, keys_of
    from tiny_network import TINY

    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    data = small_barn / "beds.csv"
    assert main(["train", str(data), "--recipe", str(recipe), "--cv", "0", "--dry-run", "-q", "--json", "p.json"]) == 0
    assert [path.name for path in Path.cwd().iterdir()] == ["p.json"]
    assert "epochs" in capsys.readouterr().out
    plan = json.loads(Path("p.json").read_text())
    run = certero.train(data, recipe=str(recipe), cv=0, output=tmp_path / "run")
    same = ("evaluation", "cv", "separation", "data", "counts", "listed", "splits", "versions")
    assert {key: plan[key] for key in same} == {key: run.metrics[key] for key in same}
    assert plan["model"]["parameters"] == run.metrics["parameters"]
    training = run.metrics["training"]
    assert plan["model"]["precision"] == training["precision"]
    for key in ("epochs", "batch_size", "photos_fitted", "photos_judging"):
        assert plan["fits"][key] == training[key]
    assert set(plan["seconds"]) - {"start"} == set(run.metrics["seconds"])
    assert plan["measured"]["photos_per_second"] > 0
    assert plan["memory_bytes"] > 100_000_000
    found = keys_of(plan) - {"folds"}  # null without cross-validation
    assert found - documented_keys("metrics.json") - documented_keys("train --dry-run --json") == set()


@pytest.mark.usefixtures("state")
@pytest.mark.networks
def test_folds_of_a_network_are_counted(small_barn: Path, tmp_path: Path) -> None:
    from tiny_network import TINY

    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    plan = certero.plan(small_barn / "beds.csv", recipe=str(recipe), cv=3, random_splits=2)
    assert (plan.fits["models"], plan.fits["total"]) == (4, 6)
    assert plan.fits["photos_fitted"] + plan.fits["photos_judging"] <= plan.counts["used"]
