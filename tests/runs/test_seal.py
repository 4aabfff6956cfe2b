"""The sealed test set: nothing that selects, fits or calibrates sees it, and every opening is told."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import onnx
import polars as pl
import pytest
from barns import copy_barn

from certero.config.recipes import resolve
from certero.config.settings import TrainSettings
from certero.engine.threads import Threads
from certero.errors import OutputError
from certero.machine.cache import BlobCache
from certero.pipelines.train import train
from certero.runs.seal import Development
from certero.runtime.model_file import read_model
from certero.stages.embedder import loading_embedder
from certero.stages.fit_probe import ProbeFitter
from certero.stages.fitted import Fitted, Part
from certero.stages.prepare import Prepared, prepare, split_photos
from certero.stages.tools import Tools

pytest.importorskip("onnx", reason="training needs the [train] extra")

# The smallest input and one strength: what is shown here depends on neither.
QUICK = {"image_size": 64, "strengths": (0.03,)}


def _settings(given: bool) -> TrainSettings:
    return resolve("probe", **QUICK, **({} if given else {"cv": 0, "block": "1h"}))


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[Tools]:
    """Tools that remember no feature yet."""
    caches = BlobCache("fingerprints"), BlobCache("features", folder=tmp_path / "cold"), BlobCache("networks")
    yield Tools(Threads(2).map, Threads(2).map, *caches)
    for cache in caches:
        cache.close()


def _fit(prepared: Prepared, settings: TrainSettings, tools: Tools) -> Fitted:
    """What training does between the seal and the opening."""
    gap = prepared.separation.gap
    part = Part(prepared.development, prepared.given_val, gap, shipped="fitted on train and val", name="final")
    with loading_embedder(settings, tools) as finish:
        return ProbeFitter(finish(), settings, tools).fit(part, prepared.classes)


@pytest.mark.slow
@pytest.mark.parametrize("given", [True, False], ids=["given split", "own split"])
@pytest.mark.parametrize("cold", [True, False], ids=["cold features", "warm features"])
def test_a_model_fitted_after_the_test_photos_were_deleted_is_the_same_bit_for_bit(
    small_barn: Path, tmp_path: Path, tools: Tools, given: bool, cold: bool
) -> None:
    manifest = copy_barn(small_barn, tmp_path / "barn", given)
    settings = _settings(given)
    photos = split_photos(manifest, settings, tools).photos
    prepared = prepare(manifest, settings, tools)
    before = _fit(prepared, settings, tools)
    test = photos.used().filter(pl.col("split") == "test")
    assert test.height >= 10
    for photo in photos.paths(test):
        photo.unlink()
    if cold:
        tools.features.close()
        tools.features = BlobCache("features", folder=tmp_path / "colder")
    after = _fit(prepared, settings, tools)
    assert after.model == before.model
    assert after.head_onnx == before.head_onnx
    assert after.embeddings.tobytes() == before.embeddings.tobytes()
    assert after.calibration == before.calibration


@pytest.mark.parametrize("given", [True, False], ids=["given split", "own split"])
def test_no_test_row_is_on_the_development_side_of_the_seal(
    small_barn: Path, tmp_path: Path, tools: Tools, given: bool
) -> None:
    manifest, settings = copy_barn(small_barn, tmp_path / "barn", given), _settings(given)
    prepared = prepare(manifest, settings, tools)
    development, sealed = prepared.development.table, prepared.sealed
    used = split_photos(manifest, settings, tools).photos.used()
    assert set(development["split"]) <= {"train", "val"}
    assert development.height + len(sealed) == used.height
    test = used.filter(pl.col("split") == "test")
    assert len(sealed) == test.height > 0
    assert not set(development["path"]) & set(test["path"])
    assert not set(development["pixel_hash"]) & set(test["pixel_hash"])


_CHEATS = {
    "rows of sealed photos": "def cheat(sealed: SealedTest) -> object:\n    return sealed.table",
    "their number of columns": "def cheat(sealed: SealedTest) -> object:\n    return sealed[0]",
    "sealed photos to fit on": """
def cheat(sealed: SealedTest, gap: timedelta) -> Part:
    return Part(sealed, False, gap, "", "final")""",
    "opened photos to fit on": """
def cheat(opened: Opened, gap: timedelta) -> Part:
    return Part(opened, False, gap, "", "final")""",
    "the table of all photos": "def cheat(prepared: Prepared) -> object:\n    return prepared.photos",
    "rows of the catalogue": "def cheat(prepared: Prepared) -> object:\n    return prepared.catalogue.table",
    "a fit on the whole": """
def cheat(fitter: Fitter, prepared: Prepared) -> Fitted:
    return fitter.fit(prepared.sealed, prepared.classes)""",
    "a check of the whole": """
def cheat(fitter: Fitter, prepared: Prepared) -> None:
    fitter.check(prepared.catalogue, prepared.classes)""",
}
_HONEST = """
def honest(fitter: Fitter, prepared: Prepared, gap: timedelta) -> Fitted:
    return fitter.fit(Part(prepared.development, False, gap, "", "final"), prepared.classes)"""
_IMPORTS = """from datetime import timedelta

from certero.runs.seal import Opened, SealedTest
from certero.stages.fitted import Fitted, Part
from certero.stages.fitter import Fitter
from certero.stages.prepare import Prepared
"""


def test_whoever_takes_sealed_photos_for_development_photos_is_refused_by_mypy(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api", reason="checking types needs the [dev] extra")
    snippets = {"honest": _HONEST, **_CHEATS}
    files = [tmp_path / f"{name.replace(' ', '_')}.py" for name in snippets]
    for file, snippet in zip(files, snippets.values(), strict=True):
        file.write_text(_IMPORTS + snippet + "\n")
    out, _error, _code = api.run(
        ["--config-file", str(Path(__file__).parents[2] / "pyproject.toml"), *(str(file) for file in files)]
    )
    refused = [file.stem for file in files if f"{file.name}:" in out]
    assert refused == [file.stem for file in files[1:]], out


def test_whoever_takes_sealed_photos_for_development_photos_is_stopped(
    small_barn: Path, tmp_path: Path, tools: Tools
) -> None:
    manifest, settings = copy_barn(small_barn, tmp_path / "barn", given=True), _settings(given=True)
    prepared = prepare(manifest, settings, tools)
    gap, sealed = prepared.separation.gap, prepared.sealed
    with pytest.raises(TypeError, match="a fit is given development photos; found SealedTest"):
        Part(sealed, False, gap, "", "final")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be rows of a table; found SealedTest"):
        Development(sealed, manifest.parent)  # type: ignore[arg-type]
    used = split_photos(manifest, settings, tools).photos.used()
    with pytest.raises(ValueError, match="found rows of test"):
        Development(used, manifest.parent)
    for reach in ("table", "photos", "rows", "_table", "__table"):
        assert not hasattr(sealed, reach)
        assert not hasattr(prepared.catalogue, reach)
    with pytest.raises(TypeError):
        iter(sealed)  # type: ignore[call-overload]
    assert "label" not in repr(sealed)


def _log(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    monkeypatch.setenv("CERTERO_STATE", str(folder))
    return folder / "openings.jsonl"


def _graph(model: Path) -> bytes:
    loaded = onnx.load(model)
    del loaded.metadata_props[:]
    return loaded.SerializeToString(deterministic=True)


@pytest.mark.slow
@pytest.mark.parametrize("evaluation", ["given", "split", "cv"])
def test_a_run_without_test_ships_the_same_network_and_opens_nothing(
    small_barn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluation: str
) -> None:
    manifest = copy_barn(small_barn, tmp_path / "barn", evaluation == "given", step=3)
    rule = {"given": {}, "split": {"cv": 0, "block": "1h"}, "cv": {"cv": 2, "block": "1h"}}[evaluation]
    log = _log(monkeypatch, tmp_path / "state")
    closed = train(manifest, output=tmp_path / "closed", open_test=False, require=["f1>=0.1"], **QUICK, **rule)
    assert closed.metrics["evaluation"] == evaluation
    assert closed.metrics["test"] is None
    assert closed.metrics["random_split_accuracy"] is None
    assert closed.metrics["optimism_of_random_split"] is None
    assert [row["verdict"] for row in closed.metrics["requirements"]] == ["cannot tell"]
    assert closed.metrics["openings"] == 0
    assert not log.exists()
    assert not (closed.path / "openings.jsonl").exists()
    assert read_model(closed.model)[1].metrics is None
    with (closed.path / "predictions.csv").open(encoding="utf-8") as file:
        assert {row["split"] for row in csv.DictReader(file)} <= {"train", "val"}
    assert closed.report.stat().st_size > 0
    opened = train(manifest, output=tmp_path / "opened", **QUICK, **rule)
    assert opened.metrics["test"]["n"] > 0
    assert _graph(opened.model) == _graph(closed.model)


@pytest.mark.slow
def test_openings_of_overlapping_photos_are_counted_and_shown_beside_the_figure(
    small_barn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = _log(monkeypatch, tmp_path / "state")
    manifest = copy_barn(small_barn, tmp_path / "barn", given=True, step=3)
    runs = [train(manifest, output=tmp_path / name, **QUICK) for name in ("first", "second")]
    assert [run.metrics["openings"] for run in runs] == [0, 1]
    assert [json.loads((run.path / "metrics.json").read_text())["openings"] for run in runs] == [0, 1]
    assert [json.loads((run.path / "openings.jsonl").read_text())["earlier"] for run in runs] == [0, 1]
    assert [read_model(run.model)[1].metrics["openings"] for run in runs] == [0, 1]  # type: ignore[index]
    lines = log.read_text("utf-8").splitlines()
    assert lines == [(run.path / "openings.jsonl").read_text().strip() for run in runs]
    record = json.loads(lines[1])
    assert (record["purpose"], record["run"]) == ("train", str(runs[1].path))
    test = pl.read_parquet(runs[1].path / "data.parquet").filter(pl.col("split") == "test")
    assert record["photos"] == sorted({pixel_hash[:16] for pixel_hash in test["pixel_hash"]})
    # A cross-validation on the same photos looks at them too.
    again = train(copy_barn(small_barn, tmp_path / "barn2", False, step=3), output=tmp_path / "cv", cv=2, **QUICK)
    assert again.metrics["openings"] == 2


@pytest.mark.parametrize("rule", [{}, {"cv": 2}], ids=["held out", "cross-validated"])
def test_without_a_writable_log_the_test_set_stays_sealed_and_no_run_appears(
    small_barn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: dict[str, int]
) -> None:
    (tmp_path / "file").write_text("")  # a file where the folder should be stops root too
    monkeypatch.setenv("CERTERO_STATE", str(tmp_path / "file"))
    manifest = copy_barn(small_barn, tmp_path / "barn", given=not rule, step=4)
    (tmp_path / "runs").mkdir()
    with pytest.raises(OutputError, match="or the test set stays sealed"):
        train(manifest, output=tmp_path / "runs" / "run", **QUICK, **rule)
    assert list((tmp_path / "runs").iterdir()) == []
