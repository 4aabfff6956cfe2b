"""Odd files get the status and the pixels that they must get; never a wrong picture with status ok."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from odd_files.collection import every_file
from odd_files.heifs import HEIC
from odd_files.picture import Odd

from certero.errors import PhotoError
from certero.photos import heif
from certero.photos.fingerprints import fingerprint
from certero.photos.pixels import decode

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
FILES = list(every_file())


def test_the_collection_holds_the_promised_files() -> None:
    names = [odd.name for odd in FILES]
    assert len(set(names)) == len(names) >= 250
    assert {odd.status for odd in FILES} == {"ok", "damaged", "unreadable"}


@pytest.mark.parametrize("odd", FILES, ids=lambda odd: odd.name)
def test_an_odd_file_is_read_rightly_or_refused(odd: Odd) -> None:
    facts = fingerprint(odd.data)
    assert facts.status == odd.status, facts.problem
    assert odd.words in (facts.problem or "")
    if odd.status == "unreadable":
        with pytest.raises(PhotoError, match=r"^[^\n]{10,200}$"):
            decode(odd.data)
        return
    assert odd.pixels is not None
    pixels = decode(odd.data).pixels
    assert pixels.dtype == np.uint8
    assert pixels.shape == odd.pixels.shape
    difference = np.abs(pixels.astype(int) - odd.pixels)
    assert difference.max() <= odd.most
    assert difference.mean() <= odd.mean


def test_without_its_decoder_a_heic_photo_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)  # as if it could not be imported
    heif._load_decoder.cache_clear()
    try:
        with pytest.raises(PhotoError, match="needs the package pi-heif, which is not installed: convert it to JPEG"):
            decode((HEIC / "plain.heic").read_bytes())
    finally:
        heif._load_decoder.cache_clear()


def test_heic_tells_when_and_with_what_it_was_taken() -> None:
    photo = decode((HEIC / "turned.heic").read_bytes())
    assert (photo.format, photo.captured_at, photo.camera) == ("heic", datetime(2024, 1, 12, 5, 40, 4), "Vaca Uno")


@pytest.mark.parametrize("name", ["heic", "jpeg grey"])
def test_only_a_heic_photo_loads_its_decoder(name: str, tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(next(odd.data for odd in FILES if odd.name == name))
    program = "import sys; from certero.photos.pixels import decode; decode(open(sys.argv[1], 'rb').read()); "
    program += "print('pi_heif' in sys.modules)"
    command = [sys.executable, "-c", program, str(tmp_path / "photo")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(name == "heic")


def test_mutated_heic_avif_and_tiff_files_decode_or_give_one_line_reasons() -> None:
    rng = random.Random(4)
    sources = [odd.data for odd in FILES if odd.status == "ok" and odd.name.startswith(("heic", "avif", "jp2", "tiff"))]
    for _ in range(400):
        data = bytearray(rng.choice(sources))
        for _ in range(rng.choice((1, 3, 9))):
            at = rng.randrange(min(len(data), rng.choice((64, 400, 10**6))))
            data[at : at + rng.choice((0, 1, 4))] = rng.randbytes(rng.choice((0, 1, 4)))
        try:
            outcome = str(decode(bytes(data)).damage)
        except PhotoError as error:
            outcome = str(error)
        assert 0 < len(outcome) < 200
        assert outcome.isprintable()
