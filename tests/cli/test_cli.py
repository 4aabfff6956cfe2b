"""The command line: one clear line for every mistake, the right exit code, and nothing half-written."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("polars", reason="training needs the [train] extra")
pytest.importorskip("onnx", reason="training needs the [train] extra")

from PIL import Image

from certero.cli.main import VERBS, main
from certero.runtime.model_file import read_model, with_card

if TYPE_CHECKING:
    from certero.pipelines.train import Run

Mistake = Callable[..., str]
_SECONDS = 120

# The backbone is exported once a session; afterwards a small training takes a few seconds.
warm = pytest.mark.usefixtures("small_run")


def _photo(path: Path, seed: int, grey: int = 128) -> Path:
    """A photo that is like no other: smooth random blotches."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blotches = np.random.default_rng(seed).integers(0, 80, (6, 6, 3)) + grey - 40
    Image.fromarray(blotches.astype(np.uint8)).resize((64, 64), Image.Resampling.BICUBIC).save(path)
    return path


def _classes(folder: Path, **counts: int) -> Path:
    """One folder a class, each class of its own grey."""
    for order, (label, count) in enumerate(counts.items()):
        for number in range(count):
            _photo(folder / label / f"{number}.png", 1000 * order + number, 70 + 60 * order)
    return folder


def _manifest(folder: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = ("path", "label")) -> Path:
    for number in range(6):
        _photo(folder / "photos" / f"{number}.png", number)
    with (folder / "list.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return folder / "list.csv"


def _run(*arguments: object, cwd: Path, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "certero", *map(str, arguments)],
        cwd=cwd,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


@pytest.fixture
def mistake(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mistake:
    """Runs a command that must be refused: exit 2, one line on standard error, nothing written. Gives the line."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)

    def run(*arguments: object) -> str:
        assert main([*map(str, arguments)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        lines = captured.err.splitlines()
        assert len(lines) == 1, lines
        assert "itself failed" not in lines[0]
        assert list(place.iterdir()) == []
        return lines[0]

    return run


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As few photos as can be trained on in a second."""
    return _classes(tmp_path_factory.mktemp("few") / "few", dark=8, light=8)


# --- Help and words ---


def test_help_and_version_need_no_verb(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"], ["-h"], ["help"]):
        assert main(words) == 0
        text = capsys.readouterr().out
        assert all(verb in text for verb in VERBS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("certero ")


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([verb, "--help"], [verb, "-h"], ["help", verb]):
        assert main(words) == 0
        assert capsys.readouterr().out.startswith(f"Usage: certero {verb} ")


def test_help_imports_no_library(tmp_path: Path) -> None:
    program = "import sys; from certero.cli.main import main; main(['--help']); print(sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert not {"numpy", "typer", "rich", "polars", "torch"} & set(eval(found.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian", "x"], "Did you mean train?"),
        (["--verbose"], "certero --help"),
        (["train"], "Missing argument 'DATA'"),
        (["train", "x", "--nope"], "--nope"),
        (["train", "x", "y"], "unexpected extra argument"),
        (["train", "x", "--cv", "abc"], "--cv"),
        (["train", "x", "--workers", "0"], "--workers"),
        (["predict", "x"], "IMAGE|DIR"),
        (["predict", "x", "y", "--json", "a", "--csv", "a"], "different places"),
        (["evaluate", "x"], "DATA"),
    ],
)
def test_unknown_words_are_answered_in_one_line(mistake: Mistake, words: list[str], says: str) -> None:
    assert says in mistake(*words)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--cv 1", "--cv must lie between 2 and 50; found 1"),
        ("--cv 51", "--cv must lie between 2 and 50"),
        ("--block 1x", "--block must be a duration"),
        ("--block 0h", "longer than --gap"),
        ("--gap foo", "--gap must be a duration"),
        ("--decide 2", "--decide must lie"),
        ("--decide nan", "--decide must lie"),
        ("--class-weights foo", "--class-weights must be none, balanced or CLASS=WEIGHT"),
        ("--class-weights lying=0", "positive weights"),
        ("--class-weights cow=3", "must name classes of the data (empty, lying, standing); found cow"),
        ("--require foo", "--require must look like"),
        ("--require f1>=2", "must lie in 0..1"),
        ("--require f1>=x", "must be a number"),
        ("--label-level 0", "--label-level must be leaf or a folder level"),
        ("--label-level x", "--label-level must be leaf or a folder level"),
        ("--label-level 1", "for folders; beds.csv is a manifest"),
        ("--group-by nope", "--group-by must be a column"),
        ("--group-by [", "must be a valid regular expression"),
        ("--device gpu", "--device must be one of auto, cpu, cuda, mps; found 'gpu'"),
        (
            "--backbone nope",
            "--backbone must be efficientnet_lite0, efficientnet_lite1, efficientnet_lite2 or a timm name",
        ),
        ("--weights nope.pth", "--weights must be a file"),
        ("--recipe nope", "--recipe must be one of"),
        ("--recipe nope.toml", "No such file"),
        ("--image-size 1", "--image-size must lie"),
        ("--fit crop", "--fit must be one of letterbox, stretch"),
        ("--precision fp16", "--precision must be one of"),
        ("--seed -1", "--seed must lie"),
        ("--split-from nope", "--split-from must be the folder of a run"),
        ("--output /proc/certero/run", "--output must be a place that can be written"),
        ("--json /proc/certero/x.json", "--json must be a file that can be written"),
        ("--json missing/x.json", "there is no folder missing"),
    ],
)
def test_bad_values_are_refused_before_anything_is_written(
    mistake: Mistake, small_barn: Path, flags: str, says: str
) -> None:
    flag, value = flags.split(" ", 1)
    assert says in mistake("train", small_barn / "beds.csv", "-q", flag, value)


def test_a_recipe_with_unknown_words_is_refused(mistake: Mistake, small_barn: Path) -> None:
    assert "found regions" in mistake("train", small_barn / "beds.csv", "-q", "--recipe", small_barn / "regions.toml")


# --- Data ---


def test_a_path_that_does_not_exist_is_refused(mistake: Mistake, small_run: Run) -> None:
    assert "nope does not exist" in mistake("train", "nope", "-q")
    assert "nope does not exist" in mistake("evaluate", small_run.path, "nope", "-q")
    assert "nope.jpg does not" in mistake("predict", small_run.path, "nope.jpg", "-q")


@pytest.mark.parametrize("verb", ["train", "evaluate", "predict"])
def test_a_folder_without_photos_is_refused(mistake: Mistake, small_run: Run, tmp_path: Path, verb: str) -> None:
    (tmp_path / "data" / "lying").mkdir(parents=True)
    (tmp_path / "data" / "lying" / "notes.txt").write_text("no photo")
    model = [] if verb == "train" else [small_run.path]
    line = mistake(verb, *model, tmp_path / "data", "-q")
    assert "found none" in line or "holds none" in line


def test_photos_without_class_folders_are_refused(mistake: Mistake, tmp_path: Path) -> None:
    _photo(tmp_path / "data" / "a.png", 1)
    assert "one folder a class" in mistake("train", tmp_path / "data", "-q")


def test_one_class_is_refused(mistake: Mistake, tmp_path: Path) -> None:
    assert "at least 2 classes" in mistake("train", _classes(tmp_path / "data", cow=4), "-q")


def test_a_class_with_one_photo_is_refused(mistake: Mistake, tmp_path: Path) -> None:
    line = mistake("train", _classes(tmp_path / "data", cow=4, calf=1), "-q")
    assert "1 class has fewer: calf (1)" in line


def test_photos_that_are_all_broken_are_refused(mistake: Mistake, small_run: Run, tmp_path: Path) -> None:
    folder = _classes(tmp_path / "data", empty=3, lying=3)
    for photo in folder.rglob("*.png"):
        photo.write_bytes(photo.read_bytes()[:60])
    assert "none of 6 can be" in mistake("train", folder, "-q")
    assert "none of 6 can be" in mistake("evaluate", small_run.path, folder, "-q")


_GOOD = [[f"photos/{number}.png", "ab"[number % 2]] for number in range(6)]


@pytest.mark.parametrize(
    ("rows", "header", "says"),
    [
        (_GOOD, ("place", "kind"), "lacks path and label"),
        (_GOOD, ("path", "kind"), "lacks label"),
        ([], ("path", "label"), "has no rows"),
        ([*_GOOD, ["photos/9.png", "a"]], ("path", "label"), "1 path (first: line 8: photos/9.png) without a file"),
        ([*_GOOD, ["../x.png", "a"]], ("path", "label"), "must lie in the folder of the manifest"),
        ([*_GOOD, _GOOD[0]], ("path", "label"), "1 photo (first: line 8: photos/0.png) again"),
        (
            [*_GOOD, ["photos/0.png", "b"]],
            ("path", "label"),
            "gives two to 1 photo (first: line 8: photos/0.png: a, b)",
        ),
        ([*_GOOD[1:], ["photos/0.png", ""]], ("path", "label"), "needs a label"),
        ([[*row, "tset"] for row in _GOOD], ("path", "label", "split"), "6 other words (first: line 2: tset)"),
        ([[*row, "noon"] for row in _GOOD], ("path", "label", "captured_at"), "captured_at must be a date and a time"),
    ],
)
@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_a_manifest_that_does_not_hold_together_is_refused(
    mistake: Mistake,
    small_run: Run,
    tmp_path: Path,
    verb: str,
    rows: list[list[str]],
    header: tuple[str, ...],
    says: str,
) -> None:
    manifest = _manifest(tmp_path / "data", rows, header)
    assert says in mistake(verb, *([] if verb == "train" else [small_run.path]), manifest, "-q")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01", b"path,label\n\x00,a\n", b'path,label\n"a.png,b\n'])
def test_a_file_that_is_no_manifest_is_refused(mistake: Mistake, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    mistake("train", tmp_path / "list.csv", "-q")
    (tmp_path / "list.parquet").write_bytes(content)
    mistake("train", tmp_path / "list.parquet", "-q")
    (tmp_path / "photo.jpg").write_bytes(content)
    assert "folder of photos or a" in mistake("train", tmp_path / "photo.jpg", "-q")


# --- Output ---


def test_an_existing_output_is_never_overwritten(few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in (tmp_path / "folder", tmp_path / "file"):
        if place.name == "folder":
            place.mkdir()
            (place / "precious").write_text("1")
        else:
            place.write_text("1")
        assert main(["train", str(few), "-q", "-o", str(place)]) == 2
        assert "--output must not exist yet" in capsys.readouterr().err
    assert (tmp_path / "folder" / "precious").read_text() == (tmp_path / "file").read_text() == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_an_output_below_a_file_is_refused(few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("1")
    assert main(["train", str(few), "-q", "-o", str(tmp_path / "file" / "run")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("flag", ["--json", "--jsonl", "--csv"])
def test_predict_refuses_an_unwritable_target_before_it_works(
    mistake: Mistake, small_run: Run, small_barn: Path, flag: str, tmp_path: Path
) -> None:
    photos = small_barn / "beds" / "lying"
    assert "there is no folder" in mistake("predict", small_run.path, photos, "-q", flag, "missing/out")
    assert "it is a folder" in mistake("predict", small_run.path, photos, "-q", flag, tmp_path)


# --- Model files ---


def _spoiled(data: bytes, kind: str, path: Path, small_run: Run) -> bytes:
    if kind == "empty":
        return b""
    if kind == "truncated":
        return data[: len(data) // 2]
    if kind == "one bit":
        spoiled = bytearray(data)
        spoiled[len(data) // 2] ^= 1
        return bytes(spoiled)
    if kind == "a photo":
        return _photo(path.with_suffix(".png"), 3).read_bytes()
    if kind == "text":
        return b"certero\n" * 100
    card = read_model(small_run.model)[1]
    if kind == "newer":
        return with_card(data, dataclasses.replace(card, schema=99))
    assert kind == "foreign"
    import onnx

    network = onnx.load_from_string(data)
    del network.metadata_props[:]
    return bytes(network.SerializeToString())


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("empty", "holds no network"),
        ("truncated", "damaged"),
        ("one bit", "does not match its own checksum"),
        ("a photo", "damaged or something else"),
        ("text", "MODEL must be a whole ONNX file"),
        ("foreign", "carries no certero card"),
        ("newer", "made by a newer certero: upgrade this one"),
    ],
)
@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_a_model_file_that_is_not_whole_or_not_ours_is_refused(
    mistake: Mistake, small_run: Run, small_barn: Path, tmp_path: Path, verb: str, kind: str, says: str
) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(_spoiled(small_run.model.read_bytes(), kind, model, small_run))
    line = mistake(verb, model, small_barn / "beds" / "lying", "-q")
    assert says in line
    assert "ModelFileError: " in line


def test_a_model_that_is_a_folder_without_one_or_missing_is_refused(
    mistake: Mistake, small_barn: Path, tmp_path: Path
) -> None:
    assert "holds no model.onnx" in mistake("predict", small_barn, small_barn / "beds", "-q")
    assert "No such file" in mistake("predict", tmp_path / "nope.onnx", small_barn / "beds", "-q")


# --- The real process ---


@warm
def test_json_on_standard_output_is_alone_there_and_progress_goes_to_standard_error(few: Path, tmp_path: Path) -> None:
    done = _run("train", few, "--cv", "0", "--json", "-", cwd=tmp_path)
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
    done = _run("train", "nope", "-q", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "DataError: DATA must be a folder of photos or a manifest; nope does not exist. Check the path.\n"
    )
    assert list(tmp_path.iterdir()) == []


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
        watchdog = threading.Timer(_SECONDS, process.kill)
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


@warm
def test_after_an_interruption_the_same_command_works(few: Path, tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "certero", "train", str(few), "--cv", "0", "-q"]
    with subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=_SECONDS)[1].decode()
    assert process.returncode == 130, error
    assert list(tmp_path.iterdir()) == []
    done = _run("train", few, "--cv", "0", "-q", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Accuracy: " in done.stdout
    assert "Model:   runs/few-1/model.onnx" in done.stdout
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["few-1"]


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
    errors = [process.communicate(timeout=_SECONDS)[1] for process in both]
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
        done = _run(*words, *more, cwd=tmp_path, stdout=full)
    finally:
        os.close(full)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "standard output must be writable" in done.stderr


def test_what_nobody_foresaw_is_one_line_with_exit_code_1(small_run: Run, tmp_path: Path) -> None:
    _photo(tmp_path / "photo.png", 1)
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


def test_a_log_of_openings_that_cannot_be_written_keeps_the_test_set_sealed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], few: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CERTERO_STATE", str(tmp_path / "file"))
    assert main(["train", str(few), "-q", "--cv", "0", "-o", str(tmp_path / "run")]) == 2
    assert "stays sealed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_cache_that_cannot_be_written_costs_time_only(
    monkeypatch: pytest.MonkeyPatch, small_run: Run, small_barn: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CERTERO_CACHE", str(tmp_path / "file"))
    assert main(["evaluate", str(small_run.path), str(small_barn / "beds" / "lying"), "-q"]) == 0


@warm
def test_the_main_job_on_real_photos(
    grocery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Train, predict and evaluate: one answer each for the same photo, and the model knows what it has seen."""
    with (grocery / "grocery36.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for split in ("train", "test"):
        for label in ("Apple", "Milk"):
            chosen = [row["path"] for row in rows if (row["label"], row["split"]) == (label, split)][:30:2]
            (tmp_path / split / label).mkdir(parents=True)
            (tmp_path / f"{split} again" / label).mkdir(parents=True)
            for number, path in enumerate(chosen):
                photo = Image.open(grocery / path)
                photo.save(tmp_path / split / label / f"{number}.JPG", quality=92)
                photo.resize((300, 300)).save(tmp_path / f"{split} again" / label / f"x{number}.jpg", quality=80)
    monkeypatch.chdir(tmp_path)

    def answer_of(*words: str) -> Any:
        assert main([*words, "-q", "--json", "-"]) == 0
        return json.loads(capsys.readouterr().out)

    trained = answer_of("train", "train", "--cv", "0", "-o", "run")["splits"]
    answers = answer_of("predict", "run", "train")
    with (tmp_path / "run" / "predictions.csv").open(encoding="utf-8") as file:
        reported = {f"train/{row['path']}": float(row["Apple"]) for row in csv.DictReader(file)}
    assert len(answers) == 30
    for answer in answers:
        assert answer["probabilities"]["Apple"] == pytest.approx(reported[answer["path"]], abs=1e-5)
    known = sum(trained["train"].values()) + sum(trained["val"].values())
    for folder, seen in (("train", known), ("train again", known), ("test", 0), ("test again", 0)):
        metrics = answer_of("evaluate", "run", folder)
        assert metrics["test"]["n"] == 30
        assert metrics["seen"]["exact"] == seen, folder
