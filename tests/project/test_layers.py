"""What an import costs: nothing heavy until it is needed, and no torch where it is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from certero.pipelines.train import Run

HEAVY = ("torch", "timm", "torchvision", "onnx", "onnxruntime", "polars", "sklearn", "scipy", "numpy", "PIL", "jinja2")


def _imported(code: str, *arguments: str, names: tuple[str, ...] = HEAVY, **environment: str) -> list[str]:
    """Which of the names a fresh interpreter has imported after running the code."""
    probe = f"{code}\nimport sys\nprint(*[name for name in {names!r} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", probe, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()[-1].split()


def test_importing_certero_imports_nothing_heavy() -> None:
    light = "certero.cli.main, certero.config.recipes, certero.config.space, certero.errors, certero.records.photos"
    assert _imported(f"import certero, {light}") == []


def test_the_public_names_are_there_and_no_others() -> None:
    import certero

    assert certero.__all__ == ["audit", "compare", "evaluate", "load", "plan", "scan", "train", "value"]
    assert all(callable(getattr(certero, name)) for name in certero.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        certero.trian  # noqa: B018


def test_predicting_imports_only_what_the_runtime_install_has(small_barn: Path, small_run: Run) -> None:
    photo = next(small_barn.glob("beds/*/*.jpg"))
    code = "import sys, certero\nassert certero.load(sys.argv[1]).predict(sys.argv[2])[0].label"
    names = tuple(name for name in HEAVY if name not in ("numpy", "PIL", "onnxruntime"))
    assert _imported(code, str(small_run.path), str(photo), names=names) == []


@pytest.mark.slow
def test_training_on_a_warm_cache_imports_no_torch(small_barn: Path, small_run: Run, tmp_path: Path) -> None:
    # `small_run` has left the exported network and the features in the cache.
    assert small_run.metrics["counts"]["used"] > 0
    code = (
        "import sys, certero\n"
        "certero.train(sys.argv[1], output=sys.argv[2], cv=0, block='1h', strengths=(0.03,), device='auto')"
    )
    arguments = (str(small_barn / "beds.csv"), str(tmp_path / "run"))
    names = ("torch", "torchvision", "timm", "safetensors")
    assert _imported(code, *arguments, names=names, CERTERO_STATE=str(tmp_path / "state")) == []
    assert (tmp_path / "run" / "model.onnx").is_file()
