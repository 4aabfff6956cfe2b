"""Training in odd places, killed, and with photos that vanish."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from barns import lay_out, without_times
from trainings import QUICK

from certero.errors import OutputError, UserError
from certero.machine.folders import cache_folder
from certero.pipelines.train import Run, train

pytest.importorskip("onnx", reason="training needs the [train] extra")


def test_an_existing_output_is_refused_before_any_work(given_data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    start = time.process_time()  # of the processor: others may be using the machine
    with pytest.raises(OutputError, match="must not exist yet"):
        train(given_data, output=tmp_path / "run", **QUICK)
    assert time.process_time() - start < 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "two\nlines",
        'quote"\\back',
        "ñandú 牛",
        os.fsdecode(b"caf\xe9"),
    ],
)
def test_data_in_a_folder_with_an_odd_name_give_a_whole_run(given_data: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    rows = list(csv.DictReader(given_data.open(encoding="utf-8")))[104:190]
    manifest = lay_out(given_data.parent, folder, rows, lambda _number, row: row["path"])
    run = train(manifest, output=tmp_path / "run", **QUICK, command=["certero", "train", str(manifest)])
    assert tomllib.loads((run.path / "config.toml").read_text("utf-8"))["recipe"] == "probe"
    assert json.loads((run.path / "metrics.json").read_text("utf-8"))["test"]["n"] > 0
    assert json.loads((run.path / "openings.jsonl").read_text("utf-8"))["n"] > 0
    assert (run.path / "report.html").read_text("utf-8")


def _cache_with_networks_alone(folder: Path) -> str:
    """A cache that remembers the exported backbone, which takes long, but no photo."""
    folder.mkdir()
    source, target = sqlite3.connect(cache_folder() / "networks.sqlite"), sqlite3.connect(folder / "networks.sqlite")
    source.backup(target)
    source.close()
    target.close()
    return str(folder)


@pytest.mark.slow
def test_a_run_killed_at_any_moment_leaves_no_half_run_and_the_next_one_gives_the_same_model(
    small_barn: Path,
    own_split: Run,  # noqa: ARG001, its network is in the cache
    tmp_path: Path,
) -> None:
    manifest = without_times(small_barn, tmp_path / "data", lambda number: ("train", "test")[number % 4 == 0], step=4)
    code = "import certero, sys, json\ncertero.train(sys.argv[1], output=sys.argv[2], **json.loads(sys.argv[3]))"
    caches = {name: _cache_with_networks_alone(tmp_path / f"{name} cache") for name in ("clean", "torn")}

    def start(place: Path, cache: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", code, str(manifest), str(place), json.dumps(QUICK)],
            # A log a run: the number of earlier openings is part of the model file.
            env=os.environ | {"CERTERO_CACHE": caches[cache], "CERTERO_STATE": str(tmp_path / f"state{next(number)}")},
        )

    number = itertools.count()
    reference, place = tmp_path / "reference", tmp_path / "runs" / "run"
    begin = time.perf_counter()
    assert start(reference, "clean").wait(120) == 0
    whole_seconds = time.perf_counter() - begin
    lot = random.Random(11)
    killed = 0
    for sixth in range(6):
        process = start(place, "torn")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(whole_seconds * (sixth + lot.random()) / 6)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if place.exists():
            break  # it was faster than the reference; that it is whole is checked below
        killed += 1
    assert killed >= 3
    if not place.exists():
        assert start(place, "torn").wait(120) == 0
    assert {file.name for file in place.iterdir()} == {file.name for file in reference.iterdir()}
    for name in ("model.onnx", "predictions.csv", "data.parquet"):
        assert (place / name).read_bytes() == (reference / name).read_bytes()


def test_a_photo_that_vanishes_between_scan_and_features_is_one_clear_line_and_leaves_no_run(
    given_data: Path, tmp_path: Path
) -> None:
    rows = list(csv.DictReader(given_data.open(encoding="utf-8")))[104:190]
    manifest = lay_out(given_data.parent, tmp_path / "data", rows, lambda _number, row: row["path"])

    def unlink(stage: str, done: int, _total: int) -> None:
        if stage == "features" and done == 0:
            for photo in (tmp_path / "data" / "photos").iterdir():
                photo.unlink(missing_ok=True)

    (tmp_path / "runs").mkdir()
    # An input that no other test uses: nothing is remembered.
    with pytest.raises(UserError, match="must stay as it was scanned") as raised:
        train(manifest, output=tmp_path / "runs" / "run", fit="stretch", progress=unlink, **QUICK)
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "runs").iterdir()) == []
