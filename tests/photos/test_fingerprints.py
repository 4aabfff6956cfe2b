"""What certero promises about fingerprints: the same photo, the same numbers; a bad photo, a reason."""

from __future__ import annotations

import hashlib
import io
from datetime import datetime

import numpy as np
import pytest
from PIL import Image

from certero.photos import fingerprints
from certero.photos.fingerprints import fingerprint, hamming, hash_pixels, pack_hashes, perceive
from certero.photos.pixels import decode


def scene(seed: int, height: int = 300, width: int = 400) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encode(photo: Image.Image, photo_format: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, photo_format, **options)
    return buffer.getvalue()


def bits_apart(left: bytes, right: bytes) -> int:
    one, two = fingerprint(left), fingerprint(right)
    packed = [pack_hashes([f.perceptual_hash or 0], [f.descriptor or b""]) for f in (one, two)]
    return int(hamming(*packed)[0])


def test_a_sound_photo_gets_every_fact() -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    tags.get_ifd(0x8769)[0x9003] = "2024:01:12 05:40:04"
    data = encode(scene(1), exif=tags)
    facts = fingerprint(data)
    assert (facts.status, facts.problem, facts.format) == ("ok", None, "jpeg")
    assert (facts.width, facts.height) == (300, 400)  # turned by EXIF
    assert facts.content_hash == hashlib.sha256(data).hexdigest()[:32]
    assert facts.captured_at == datetime(2024, 1, 12, 5, 40, 4)
    assert facts.perceptual_hash is not None
    assert 0 <= facts.perceptual_hash < 2**64
    assert facts.descriptor is not None
    assert len(facts.descriptor) == 32


def test_a_bad_photo_is_unreadable_with_its_reason_and_a_damaged_one_is_used() -> None:
    data = encode(scene(1))
    broken = fingerprint(data[: len(data) // 2])
    assert (broken.status, broken.format, broken.pixel_hash) == ("unreadable", "jpeg", None)
    assert broken.problem
    assert fingerprint(b"").problem == "the file is empty"
    assert fingerprint(b"text").format is None
    damaged = fingerprint(data[:-2])
    assert (damaged.status, damaged.problem) == ("damaged", "the end marker is missing")
    assert damaged.pixel_hash == fingerprint(data).pixel_hash


def test_pixel_hash_ignores_the_container_and_sees_shape_and_every_pixel() -> None:
    photo = scene(2)
    assert fingerprint(encode(photo, "PNG")).pixel_hash == fingerprint(encode(photo, "BMP")).pixel_hash
    pixels = np.asarray(photo)
    assert hash_pixels(pixels) != hash_pixels(pixels.reshape(400, 300, 3))
    changed = pixels.copy()
    changed[7, 7, 0] ^= 1
    assert hash_pixels(pixels) != hash_pixels(changed)


def test_brightness_is_the_mean_luma() -> None:
    assert fingerprint(encode(Image.new("RGB", (50, 40), "white"), "PNG")).brightness == 1
    assert fingerprint(encode(Image.new("RGB", (50, 40), "black"), "PNG")).brightness == 0
    data = encode(scene(3), "PNG")
    luma = decode(data).pixels @ np.array([0.299, 0.587, 0.114]) / 255
    assert fingerprint(data).brightness == pytest.approx(luma.mean(), abs=0.01)


def test_hashes_survive_re_encoding_and_resizing_and_tell_photos_apart() -> None:
    photo = scene(4)
    data = encode(photo, quality=95)
    for copy in (
        encode(photo, quality=40),
        encode(photo.resize((200, 150))),
        encode(photo.resize((300, 225))),
    ):
        assert bits_apart(data, copy) <= 24
    assert bits_apart(data, encode(scene(5))) > 100


def test_perceptual_bits_are_signs_of_the_dct() -> None:
    dct = pytest.importorskip("scipy.fft").dctn
    grey = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    coefficients = dct(grey.astype(float))
    by_diagonal = sorted(((r, c) for r in range(64) for c in range(64)), key=lambda rc: (sum(rc), rc))[1:321]
    expected = np.packbits([coefficients[rc] > 0 for rc in by_diagonal]).tobytes()
    perceptual_hash, descriptor = perceive(grey)
    assert perceptual_hash.to_bytes(8, "big") + descriptor == expected


def test_hamming_counts_differing_bits_with_and_without_numpy_2(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    left, right = (random.integers(0, 256, (n, 32), dtype=np.uint8) for n in (5, 7))
    expected = np.unpackbits(left[:, None] ^ right[None], axis=2).sum(axis=2)
    assert (hamming(left[:, None], right[None]) == expected).all()
    # As with NumPy 1, which has no `bitwise_count`.
    monkeypatch.setattr(fingerprints, "popcount", fingerprints._popcount_by_table)
    assert (hamming(left[:, None], right[None]) == expected).all()
