"""What certero promises about photos that show nothing: no stage fails on them, and nothing is said that is not so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from certero.engine.threads import Threads
from certero.likeness.alignment import align
from certero.likeness.recognition import Prints, find_copies_seen

SIDE = (96, 96)
RAMP = np.tile(np.arange(96, dtype=np.uint8) * 2, (96, 1))


def photo(seed: int, colour: str = "red") -> Image.Image:
    """Large shapes with texture, in the colour of its class."""
    drawn = np.random.default_rng(seed)
    coarse, fine = (Image.fromarray(drawn.integers(0, 255, (n, n, 3)).astype(np.uint8)).resize(SIDE) for n in (6, 32))
    return Image.blend(Image.blend(coarse, fine, 0.25), Image.new("RGB", SIDE, colour), 0.4)


def drawn(*shape: int, most: int = 255) -> Image.Image:
    return Image.fromarray(np.random.default_rng(sum(shape)).integers(0, most, shape).astype(np.uint8))


def dot() -> Image.Image:
    picture = Image.new("L", SIDE)
    picture.putpixel((40, 50), 255)
    return picture


def half_transparent() -> Image.Image:
    picture = photo(5).convert("RGBA")
    picture.putalpha(Image.fromarray(RAMP))
    return picture


ODD: dict[str, Callable[[], Image.Image]] = {
    "black.png": lambda: Image.new("RGB", SIDE),
    "black.jpg": lambda: Image.new("RGB", (90, 90)),
    "white.png": lambda: Image.new("RGB", SIDE, "white"),
    "grey.jpg": lambda: Image.new("L", (97, 96), 128),
    "ramp.png": lambda: Image.fromarray(RAMP),
    "ramp_down.png": lambda: Image.fromarray(RAMP.T.copy()),
    "dot.png": dot,
    "one.png": lambda: Image.new("RGB", (1, 1), "red"),
    "two.png": lambda: drawn(2, 2, 3),
    "flat_line.png": lambda: Image.new("RGB", (5000, 1), "blue"),
    "line.png": lambda: drawn(1, 5000, 3),
    "column.png": lambda: drawn(5000, 1, 3),
    "transparent.png": lambda: Image.new("RGBA", SIDE, (0, 0, 0, 0)),
    "half_transparent.png": half_transparent,
    "sixteen.png": lambda: Image.fromarray(RAMP.astype(np.uint16) * 300),
    "sixteen_flat.png": lambda: Image.fromarray(np.full(SIDE, 30_000, np.uint16)),
    "twelve.tif": lambda: Image.fromarray(RAMP.astype(np.uint16) * 20),
    "palette.png": lambda: photo(6).quantize(8),
    "palette_flat.gif": lambda: Image.new("P", SIDE),
    "bilevel.png": lambda: Image.new("1", SIDE, 1),
    "cmyk.jpg": lambda: photo(7).convert("CMYK"),
    "cmyk_flat.tif": lambda: Image.new("CMYK", SIDE, (10, 20, 30, 40)),
    "lab.tif": lambda: Image.new("LAB", SIDE, (120, 128, 128)),
    "white_is_zero.tif": lambda: photo(8).convert("L"),
}


def save(picture: Image.Image, path: Path, **how: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **how)


def all_kinds(root: Path) -> None:
    """Each odd picture under both labels, and 28 usual photos."""
    for name, make in ODD.items():
        how: dict[str, Any] = {"tiffinfo": {262: 0}} if name == "white_is_zero.tif" else {}
        for label in ("a", "b"):
            save(make(), root / label / name, **how)
    for number in range(14):
        for label, colour in (("a", "red"), ("b", "blue")):
            save(photo(number + 100 * (label == "b"), colour), root / label / f"{number}.jpg")


def a_dead_class(root: Path) -> None:
    """Of the second class nothing but black, some of them equal."""
    for number in range(60):
        black = Image.new("RGB", SIDE, (number % 7, 0, 0))
        save(black if number % 2 else photo(number), root / "ab"[number % 2] / f"{number}.png")


def a_dead_camera(root: Path) -> None:
    """Nothing but frames of the noise of a covered camera, all different."""
    for number in range(40):
        noise = np.random.default_rng(number).integers(0, 3, (96, 96, 3)).astype(np.uint8)
        save(Image.fromarray(noise), root / "ab"[number % 2] / f"{number}.png")


def certero_command(*arguments: str | Path, folder: Path) -> tuple[int, str]:
    """Exit code and what the terminal shows."""
    done = subprocess.run(
        [sys.executable, "-m", "certero", *arguments, "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "CERTERO_STATE": str(folder / "state")},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("make", [all_kinds, a_dead_class, a_dead_camera])
def test_no_verb_fails_or_warns_on_photos_that_show_nothing(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "photos")
    verbs: list[list[str]] = [
        ["audit", "photos", "--json", "audit.json", "--report", "audit.html", "--fix", "clean.csv"],
        ["train", "photos", "--dry-run"],
        ["train", "photos", "--random-splits", "1", "--output", "run"],
        ["evaluate", "run/model.onnx", "photos", "--json", "evaluate.json"],
        ["predict", "run/model.onnx", "photos", "--csv", "predictions.csv"],
    ]
    if make is all_kinds:
        verbs.append(["compare", "run/model.onnx", "run/model.onnx", "--data", "photos"])
    for verb in verbs:
        code, told = certero_command(*verb, folder=tmp_path)
        refused = verb[0] == "compare" and "must hold photos that no model was trained on" in told
        assert code == 0 or refused, (verb, told)
        for word in ("RuntimeWarning", "Traceback", "itself failed", "nan"):
            assert word not in told.split(), (verb, told)
            assert f"{word}:" not in told, (verb, told)
    found = json.loads((tmp_path / "audit.json").read_text("utf-8"))
    if make is a_dead_camera:
        assert "40 photos show nothing" in found["notes"][0]
        kinds = {finding["kind"] for finding in found["findings"]}
        assert not kinds & {"exact_duplicate", "near_duplicate", "label_conflict", "suspicious_label"}
    if make is a_dead_class:
        doubted = {p for f in found["findings"] if f["kind"] == "suspicious_label" for p in f["paths"]}
        assert not any(path.startswith("b/") for path in doubted)
        equal = [finding for finding in found["findings"] if finding["kind"] == "exact_duplicate"]
        assert sum(len(finding["paths"]) for finding in equal) == 30
        assert not [finding for finding in found["findings"] if finding["kind"] == "near_duplicate"]


def test_a_black_view_lies_on_nothing_and_hinders_no_other() -> None:
    views = np.stack(
        [
            np.zeros((64, 64), np.uint8),
            np.full((64, 64), 200, np.uint8),
            np.asarray(photo(1).convert("L").resize((64, 64))),
        ]
    )
    left, right = (np.array(rows) for rows in ([0, 0, 1, 2, 0, 2], [0, 1, 2, 2, 2, 0]))
    found = align(views[left], views[right])
    assert found.score[3] > 0.99
    assert (np.delete(found.score, 3) == 0).all()


def test_a_flat_photo_is_seen_again_only_with_equal_pixels() -> None:
    signs = np.zeros((2, 40), np.uint8)
    stored = Prints(np.zeros((1, 16), np.uint8), signs[:1])
    asked = Prints(np.array([[0] * 16, [1] * 16], np.uint8), signs)
    found = find_copies_seen(asked, stored, lambda _row: np.zeros(320, np.float32), Threads(1).map)
    assert found.tolist() == [True, False]
