"""The command in a process of its own: streams, signals, two at once, a full disk, and what nobody foresaw."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import SECONDS, photo_of, run_command

from certero.runtime.model_file import read_model

if TYPE_CHECKING:
    from certero.pipelines.train import Run

pytest.importorskip("polars", reason="training needs the [train] extra")
pytest.importorskip("onnx", reason="training needs the [train] extra")

# The backbone is exported once a session; afterwards a small training takes a few seconds.
warm = pytest.mark.usefixtures("small_run")


@pytest.mark.slow
@warm
def test_json_on_standard_output_is_alone_there_and_progress_goes_to_standard_error(few: Path, tmp_path: Path) -> None:
    done = run_command("train", few, "--cv", "0", "--json", "-", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)
    assert metrics["schema"] == 1
    assert metrics["test"]["n"] > 0
    assert "features" in done.stderr
    assert json.loads((tmp_path / "runs" / "few-1" / "metrics.json").read_text("utf-8")) == metrics
    assert sorted(path.name for path in (tmp_path / "runs" / "few-1").iterdir()) == [
        *("config.toml", "data.parquet", "held_out.csv", "history.csv", "metrics.json"),
        *("model.onnx", "openings.jsonl", "predictions.csv", "report.html"),
    ]


def test_a_mistake_in_the_real_process_exits_with_2_and_one_line(tmp_path: Path) -> None:
    done = run_command("train", "nope", "-q", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "DataError: DATA must be a folder of photos or a manifest; nope does not exist. Check the path.\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@warm
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["certero.pipelines.train", "scan", "features"])
def test_an_interrupted_training_leaves_nothing_and_can_be_run_again(
    few: Path, tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    # The stage's name on standard error, or the import of the pipeline, tells when to strike.
    program = (
        "import sys\n"
        "class Tell:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        print(name, file=sys.stderr, flush=True) if name == 'certero.pipelines.train' else None\n"
        "sys.meta_path.insert(0, Tell())\n"
        "from certero.cli.main import run\n"
        "run()\n"
    )
    command = [sys.executable, "-c", program, "train", str(few), "--cv", "0", "-o", "place/run"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(SECONDS, process.kill)
        watchdog.start()
        assert process.stderr is not None
        assert any(line.startswith(moment) for line in process.stderr)
        process.send_signal(number)
        out, err = process.communicate()
        watchdog.cancel()
    assert process.returncode == 128 + number
    assert err.splitlines()[-1].startswith("Interrupted; ")
    assert "Traceback" not in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@warm
def test_after_an_interruption_the_same_command_works(few: Path, tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "certero", "train", str(few), "--cv", "0"]
    with subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline(), "it is at work"
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 130, error
    assert list(tmp_path.iterdir()) == []
    done = run_command("train", few, "--cv", "0", "-q", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Accuracy for photos like these: " in done.stdout
    assert "Model:   runs/few-1/model.onnx" in done.stdout
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["few-1"]


@pytest.mark.slow
@warm
@pytest.mark.parametrize("named", [True, False], ids=["--output", "default name"])
def test_two_runs_at_once_never_mix(few: Path, tmp_path: Path, named: bool) -> None:
    arguments = [sys.executable, "-m", "certero", "train", str(few), "--cv", "0", "-q", "--seed"]
    place = ["-o", "runs/one"] if named else []
    both = [
        subprocess.Popen(
            [*arguments, seed, *place], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        for seed in ("1", "2")
    ]
    errors = [process.communicate(timeout=SECONDS)[1] for process in both]
    codes = [process.returncode for process in both]
    runs = sorted((tmp_path / "runs").iterdir())
    if named:
        assert sorted(codes) == [0, 2]
        assert [run.name for run in runs] == ["one"]
        assert errors[codes.index(0)] == ""
        assert errors[codes.index(2)].count("\n") == 1
        assert "--output must not exist yet" in errors[codes.index(2)]
        assert f"seed = {codes.index(0) + 1}" in (runs[0] / "config.toml").read_text().replace("split_seed", "")
    else:
        assert (codes, errors) == ([0, 0], ["", ""])
        assert [run.name for run in runs] == ["few-1", "few-2"]
    for run in runs:
        assert read_model(run / "model.onnx")[1].classes == ("dark", "light")
        assert len(list(run.iterdir())) == 9


@pytest.mark.parametrize("flags", [["--jsonl", "-"], ["--csv", "-"], []], ids=str)
def test_a_reader_that_leaves_is_no_failure(small_run: Run, small_barn: Path, tmp_path: Path, flags: list[str]) -> None:
    photos = [str(photo) for photo in sorted((small_barn / "beds" / "lying").iterdir())[:20]]
    command = [sys.executable, "-m", "certero", "predict", str(small_run.model), *photos, "-q", *flags]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        if flags[:1] == ["--jsonl"]:
            assert json.loads(process.stdout.readline())["label"]
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["predict", "--json", "-"], ["predict"], ["--help"]], ids=" ".join)
def test_a_full_disk_behind_standard_output_is_one_clear_line(
    small_run: Run, small_barn: Path, tmp_path: Path, words: list[str]
) -> None:
    photo = next((small_barn / "beds" / "lying").iterdir())
    more = [str(small_run.model), str(photo), "-q"] if words[0] == "predict" else []
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = run_command(*words, *more, cwd=tmp_path, stdout=full)
    finally:
        os.close(full)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "standard output must be writable" in done.stderr


def test_what_nobody_foresaw_is_one_line_with_exit_code_1(small_run: Run, tmp_path: Path) -> None:
    photo_of(tmp_path / "photo.png", 1)
    # What nobody foresaw cannot be brought about from outside: whatever can, is foreseen.
    program = (
        "import sys\n"
        "import certero.photos.pixels\n"
        "certero.photos.pixels.prepare = lambda *_: 1 / 0\n"
        "from certero.cli.main import run\n"
        "run()\n"
    )
    command = [sys.executable, "-c", program, "predict", str(small_run.model), "photo.png", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "certero itself failed: ZeroDivisionError: division by zero" in done.stderr
    assert "CERTERO_TRACEBACK=1" in done.stderr
    told = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, check=False, env={**os.environ, "CERTERO_TRACEBACK": "1"}
    )
    assert "Traceback (most recent call last)" in told.stderr
