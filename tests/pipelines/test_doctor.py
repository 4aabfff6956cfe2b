"""The doctor sees what is wrong with an installation; each test makes it wrong, in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import certero
from certero.cli.main import main

_SOURCE = Path(certero.__file__).parents[1]


def _diagnose(*words: str, first: Path | None = None, flags: tuple[str, ...] = (), **environment: str) -> Any:
    """The process and what it found: (exit code, checks by name, everything)."""
    path = os.pathsep.join(str(place) for place in (first, _SOURCE) if place is not None)
    program = "import sys; from certero.cli.main import main; code = main(sys.argv[1:]); "
    program += "print(sorted(sys.modules), file=sys.stderr); sys.exit(code)"
    done = subprocess.run(
        [sys.executable, *flags, "-c", program, "doctor", "--json", "-", *words],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    found["code"], found["stderr"] = done.returncode, done.stderr
    found["by_name"] = {check["name"]: check for check in found["checks"]}
    return found


def _pretend(folder: Path, name: str, version: str, *lines: str) -> Path:
    """Metadata of a package as pip leaves it, in a folder that comes before the real one."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines]))
    return folder


def _closure(package: str) -> set[str]:
    """What `pip install` of the package brings, with what that brings in turn."""
    found: set[str] = set()
    ahead = [package, "packaging"]
    while ahead:
        name = ahead.pop()
        if name in found:
            continue
        found.add(name)
        for requirement in map(Requirement, metadata.requires(name) or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                ahead.append(requirement.name)
    return found


def test_the_doctor_looks_at_everything_and_imports_nothing_heavy() -> None:
    found = _diagnose()
    assert found["code"] == 0
    assert {check["status"] for check in found["checks"]} <= {"ok", "note", "problem"}
    names = {"certero", "runtime", "cores", "instructions", "memory", "device", "weights", "log of openings"}
    names |= {"cache fingerprints", "cache features", "cache networks", "disk here", "disk of the cache", "libraries"}
    assert names <= set(found["by_name"]) | {"memory"}
    assert found["versions"]["numpy"] == metadata.version("numpy")
    modules = set(eval(found["stderr"].splitlines()[-1]))
    assert not {"torch", "polars", "numpy", "onnxruntime", "sklearn"} & modules


def test_whatever_is_wrong_comes_with_what_to_do(tmp_path: Path) -> None:
    found = _diagnose(first=_pretend(tmp_path, "pillow", "10.4.0"))
    assert [check for check in found["checks"] if check["status"] != "ok" and not check["advice"]] == []


def test_a_known_defect_is_a_problem_with_its_source(tmp_path: Path) -> None:
    found = _diagnose("--strict", first=_pretend(tmp_path, "pillow", "12.3.0"))
    check = found["by_name"]["Pillow"]
    assert check["status"] == found["status"] == "problem"
    assert check["found"].startswith("12.3.0: ")
    assert check["source"].startswith("https://pillow.readthedocs.io/")
    assert found["code"] == 2
    assert "--strict needs a machine without problems; found some with Pillow" in found["stderr"]


def test_a_fixed_version_has_no_defect(tmp_path: Path) -> None:
    assert "Pillow" not in _diagnose(first=_pretend(tmp_path, "pillow", "13.0.0"))["by_name"]


def test_a_torchvision_for_another_torch_is_a_problem(tmp_path: Path) -> None:
    _pretend(tmp_path, "torch", "2.14.1")
    _pretend(tmp_path, "torchvision", "0.24.0", "Requires-Dist: torch (==2.9.0)")
    check = _diagnose(first=tmp_path)["by_name"]["torch"]
    assert check["status"] == "problem"
    assert "torchvision 0.24.0 needs torch==2.9.0, torch is 2.14.1" in check["found"]


def test_builds_of_torch_and_torchvision_for_different_devices_are_a_problem(tmp_path: Path) -> None:
    _pretend(tmp_path, "torch", "2.14.1+cpu")
    _pretend(tmp_path, "torchvision", "0.29.1+cu130", "Requires-Dist: torch>=2.14.0")
    assert "different devices" in _diagnose(first=tmp_path)["by_name"]["torch"]["found"]


def test_a_version_below_the_floor_is_a_problem(tmp_path: Path) -> None:
    check = _diagnose(first=_pretend(tmp_path, "numpy", "1.21.0"))["by_name"]["runtime"]
    assert check["status"] == "problem"
    assert "numpy>=1.26 (1.21.0)" in check["found"]


def test_what_only_some_machines_need_is_asked_of_those_alone(tmp_path: Path) -> None:
    markers = {"numpy": "platform_machine == 'none'", "Pillow": f"platform_machine == '{platform.machine()}'"}
    lines = [f"Requires-Dist: {name}>=99; {marker}" for name, marker in markers.items()]
    check = _diagnose(first=_pretend(tmp_path, "certero", "0.1.0", *lines))["by_name"]["runtime"]
    assert check["status"] == "problem"
    assert "Pillow>=99" in check["found"]
    assert "numpy" not in check["found"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_library_that_ends_the_process_does_not_end_the_doctor(tmp_path: Path) -> None:
    (tmp_path / "simplejpeg.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    check = _diagnose(first=tmp_path)["by_name"]["libraries"]
    assert check["status"] == "problem"
    assert "signal 4" in check["found"]


def test_a_library_that_fails_to_load_is_named(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libstdc++.so.6 is too old')\n")
    check = _diagnose(first=tmp_path)["by_name"]["libraries"]
    assert check["status"] == "problem"
    assert "libstdc++.so.6 is too old" in check["found"]


def test_the_runtime_alone_is_enough(tmp_path: Path) -> None:
    linked = tmp_path / "runtime"
    linked.mkdir()
    for name in _closure("certero"):
        for top in {file.parts[0] for file in metadata.files(name) or []} - {"..", "__pycache__"}:
            place = Path(str(metadata.distribution(name).locate_file(top)))
            if place.exists() and not (linked / top).exists():
                (linked / top).symlink_to(place)
    found = _diagnose(first=linked, flags=("-S",))
    assert found["code"] == 0
    assert found["by_name"]["libraries"]["status"] == "ok"
    assert [found["by_name"][name]["found"] for name in ("[report]", "[train]")] == ["not installed"] * 2
    assert "pip install 'certero[train]'" in found["by_name"]["[train]"]["advice"]
    assert found["by_name"]["weights"]["status"] == "note"


def test_a_place_for_the_log_of_openings_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    check = _diagnose(CERTERO_STATE=str(tmp_path / "file" / "state"))["by_name"]["log of openings"]
    assert check["status"] == "problem"
    assert "CERTERO_STATE" in check["advice"]


def test_a_spoiled_cache_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "features.sqlite").write_bytes(b"no database" * 500)
    check = _diagnose(CERTERO_CACHE=str(tmp_path))["by_name"]["cache features"]
    assert check["status"] == "note"
    assert [file.name for file in tmp_path.iterdir()] == ["features.sqlite"]


def test_the_table_fits_a_narrow_terminal_and_ends_with_the_sum(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 70 or "/" in line for line in lines)
    assert lines[-1].endswith(".")
