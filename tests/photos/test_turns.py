"""Large photos go one at a time, and what is computed of them is computed in parts, to the same bits."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from certero.photos import photo, pixels, resizing, turns


@pytest.mark.parametrize("way", ["fast_image_resize", "numpy"])
@pytest.mark.parametrize("size", [(64, 64), (50, 300), (299, 7), (1, 1)])
@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
def test_a_large_photo_is_resized_in_strips_to_the_same_bits(
    size: tuple[int, int], filter: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "fast_image_resize" and resizing.fast is None:
        pytest.skip("there is no cykooz-resizer here")
    monkeypatch.setenv(resizing.VARIABLE, way)
    resizing._uses_fast_image_resize.cache_clear()
    rng = np.random.default_rng(0)
    for shape in ((300, 211, 3), (300, 211)):
        whole = rng.integers(0, 256, shape, dtype=np.uint8)
        expected = resizing.resize(whole, *size, filter)
        with monkeypatch.context() as patch:
            # A photo that is truly large takes seconds and a gigabyte for each of the 24 cases.
            patch.setattr(resizing, "_LARGE_BYTES", 20_000)
            assert np.array_equal(resizing.resize(whole, *size, filter), expected)
    monkeypatch.undo()
    resizing._uses_fast_image_resize.cache_clear()


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "LAB"])
def test_a_large_photo_is_converted_in_bands_to_the_same_bits(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (700, 40, 3), dtype=np.uint8)
    picture = Image.fromarray(colours)
    picture = Image.frombytes("LAB", picture.size, colours.tobytes()) if mode == "LAB" else picture.convert(mode)
    rgb, grey = photo.as_rgb(picture), pixels.luma(colours)
    # Bands of a few rows, for the same reason.
    monkeypatch.setattr(photo, "LARGE_PIXELS", 1000)
    monkeypatch.setattr(pixels, "LARGE_PIXELS", 1000)
    assert np.array_equal(photo.as_rgb(picture), rgb)
    assert np.array_equal(pixels.luma(colours), grey)


_LOOK = """
import resource, sys, threading
from concurrent.futures import ThreadPoolExecutor
from certero.photos.fingerprints import fingerprint
data = open(sys.argv[1], 'rb').read()
small = open(sys.argv[2], 'rb').read()
fingerprint(small)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ThreadPoolExecutor(4) as pool:
    statuses = {facts.status for facts in pool.map(fingerprint, [data] * 4 + [small] * 4)}
print(*statuses, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is counted in kilobytes on Linux alone")
@pytest.mark.parametrize(("suffix", "bytes_a_pixel"), [("jpg", 4.5), ("png", 6)])
def test_threads_look_at_large_photos_in_the_memory_of_one(tmp_path: Path, suffix: str, bytes_a_pixel: float) -> None:
    side = 8050
    large, small = tmp_path / f"large.{suffix}", tmp_path / "small.jpg"
    picture = Image.linear_gradient("L").resize((side, side))
    (picture.convert("RGB") if suffix == "jpg" else picture).save(large, compress_level=1)
    picture.resize((96, 96)).save(small)
    found = subprocess.run([sys.executable, "-c", _LOOK, large, small], capture_output=True, text=True, check=True)
    status, taken = found.stdout.split()
    assert status == "ok"
    assert int(taken) < bytes_a_pixel * side * side


_TAKE = """
import os, sys
from certero.photos.turns import one_at_a_time, take_turn
with one_at_a_time():
    take_turn(1000)
    take_turn(int(sys.argv[1]))
    take_turn(int(sys.argv[1]))
    print('mine', flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="files cannot be locked like this on Windows")
def test_processes_take_turns_too_and_a_killed_one_keeps_nobody_waiting(tmp_path: Path) -> None:
    place = tmp_path / "turns"
    place.touch()

    def start(size: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", _TAKE, str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {turns.VARIABLE: str(place)},
        )

    first = start(100_000_000)
    assert first.stdout is not None
    assert first.stdout.readline() == "mine\n"
    second, small = start(100_000_000), start(2000)
    assert small.stdout is not None
    assert small.stdout.readline() == "mine\n"
    assert second.stdout is not None
    assert select.select([second.stdout], [], [], 1.5)[0] == []
    first.kill()
    assert second.stdout.readline() == "mine\n"
    for process in (first, second, small):
        process.communicate("", timeout=60)
