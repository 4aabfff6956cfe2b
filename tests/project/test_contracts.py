"""The contracts bite: each kind of forbidden import, planted in a copy, breaks the contract that forbids it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from places import ROOT

pytest.importorskip("importlinter", reason="needs import-linter, of the [dev] extra")

TORCH = "One home: torch, torchvision, timm and onnxscript"
DECODERS = "One home: decoders of photos"
SCIENCE = "One home: scikit-learn and SciPy"
RUNTIME = "Predicting needs the runtime install alone"
LAYERS = "Layers: data flows one way"
VERBS = "Verbs do not import verbs"
KERNELS = "Kernels behind one door"
#: A file of the copy, a line at its end, the contract that must break, and what it must name.
PLANTED = {
    "torch in machine": ("machine/files.py", "import torch", TORCH, "certero.machine.files -> torch"),
    "torch inside a function": (
        "machine/cache.py",
        "def _lazy() -> None:\n    import torch.nn",
        TORCH,
        "certero.machine.cache -> torch",
    ),
    "torch in a root module": ("names.py", "import torch", TORCH, "certero.names -> torch"),
    "torch in the package root": ("__init__.py", "import torch", TORCH, "certero -> torch"),
    "timm in probe": ("probe/logistic.py", "import timm", TORCH, "certero.probe.logistic -> timm"),
    "onnx in runtime": ("runtime/card.py", "import onnx", "One home: onnx", "certero.runtime.card -> onnx"),
    "Pillow in report": ("report/page.py", "from PIL import Image", DECODERS, "certero.report.page -> PIL"),
    "a decoder in data": ("data/scan.py", "import simplejpeg", DECODERS, "certero.data.scan -> simplejpeg"),
    "onnxruntime in config": (
        "config/settings.py",
        "import onnxruntime",
        "One home: onnxruntime",
        "certero.config.settings -> onnxruntime",
    ),
    "SciPy in cli": ("cli/main.py", "from scipy import stats", SCIENCE, "certero.cli.main -> scipy"),
    "scikit-learn in business": ("business/case.py", "import sklearn", SCIENCE, "certero.business.case -> sklearn"),
    "loky in stages": (
        "stages/prepare.py",
        "import loky",
        "One home: processes and BLAS threads",
        "certero.stages.prepare -> loky",
    ),
    "Jinja in stages": (
        "stages/describe.py",
        "import jinja2",
        "One home: templates",
        "certero.stages.describe -> jinja2",
    ),
    "Rich in pipelines": (
        "pipelines/train.py",
        "import rich",
        "One home: the terminal",
        "certero.pipelines.train -> rich",
    ),
    "polars in runtime": (
        "runtime/predictor.py",
        "import polars",
        RUNTIME,
        "certero.runtime is not allowed to import polars",
    ),
    "polars behind a detour": (
        "runtime/predictor.py",
        "from certero.data.table import Photos",
        RUNTIME,
        "certero.runtime is not allowed to import polars",
    ),
    "a verb in a verb": (
        "pipelines/train.py",
        "from certero.pipelines.evaluate import evaluate",
        VERBS,
        "certero.pipelines.train is not allowed to import certero.pipelines.evaluate",
    ),
    "a verb behind a stage": (
        "stages/describe.py",
        "def _later() -> None:\n    from certero.pipelines.audit import audit",
        VERBS,
        "certero.pipelines.train is not allowed to import certero.pipelines.audit",
    ),
    "a cycle between rooms": (
        "photos/listing.py",
        "from certero.data.table import Photos",
        "No cycles",
        "No cycles are allowed in certero.",
    ),
    "a cycle inside a function": (
        "stats/intervals.py",
        "def _later() -> None:\n    from certero.stages.describe import describe",
        "No cycles",
        "No cycles are allowed in certero.",
    ),
    "a cycle within a room": (
        "stats/intervals.py",
        "def _later() -> None:\n    from certero.stats.scores import Scores",
        "No cycles",
        "No cycles are allowed in certero.stats.",
    ),
    "a layer upwards": (
        "machine/limits.py",
        "from certero.photos.listing import list_files",
        LAYERS,
        "certero.machine.limits -> certero.photos.listing",
    ),
    "a room beside": (
        "barn/plan.py",
        "from certero.data.table import Photos",
        LAYERS,
        "certero.barn.plan -> certero.data.table",
    ),
    "a room that no layer lists": ("attic/__init__.py", "", LAYERS, "certero.attic"),
    "a kernel from outside its door": (
        "learn/loop.py",
        "from certero.learn.kernels.winograd import convolve",
        KERNELS,
        "certero.learn.loop -> certero.learn.kernels.winograd",
    ),
    "the package root from inside": (
        "stages/prepare.py",
        "import certero",
        "Nothing inside imports the package root",
        "certero.stages.prepare -> certero",
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source and its contracts, which any test may spoil and must mend."""
    folder = tmp_path_factory.mktemp("contracts")
    leave = shutil.ignore_patterns("__pycache__", "locale", "templates")
    shutil.copytree(ROOT / "src" / "certero", folder / "src" / "certero", ignore=leave)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@contextmanager
def _planted(file: Path, line: str) -> Iterator[None]:
    new = not file.parent.exists()
    if new:
        file.parent.mkdir()
        file.touch()
    before = file.read_text("utf-8")
    file.write_text(f"{before}\n{line}\n", "utf-8")
    try:
        yield
    finally:
        file.write_text(before, "utf-8")
        if new:
            shutil.rmtree(file.parent)


def _lint(copy: Path) -> str:
    """What lint-imports says of the copy, which alone is on the path: its cache makes all but the first run quick."""
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_logo=True))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy / "src"), "COLUMNS": "400", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    assert ("BROKEN" in done.stdout) == (done.returncode == 1), done.stdout + done.stderr
    return done.stdout


def test_an_unspoiled_copy_breaks_no_contract(copy: Path) -> None:
    assert "BROKEN" not in _lint(copy)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_import_breaks_the_contract_that_forbids_it(copy: Path, name: str) -> None:
    file, line, contract, words = PLANTED[name]
    with _planted(copy / "src" / "certero" / file, line):
        said = _lint(copy)
    assert f"{contract} BROKEN" in said
    assert words in said
