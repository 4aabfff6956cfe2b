"""What certero promises about copies: the same exposure is found again, its look-alikes are not taken for it."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from places import SHARED_DATA
from recognition_examples import known_again

from certero.likeness.copies import find_copies
from certero.likeness.recognition import pairs_within
from certero.photos.fingerprints import fingerprint, hamming
from certero.photos.pixels import decode

# Of 320: a handful, as re-encoded copies differ in.
FEW_BITS = 7


def scene(seed: int, height: int = 240, width: int = 320) -> Image.Image:
    """Large shapes with fine texture, as photos have."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize((width, height))
    fine = Image.fromarray(random.integers(0, 256, (height // 3, width // 3, 3), dtype=np.uint8)).resize(
        (width, height)
    )
    return Image.blend(coarse, fine, 0.3)


def encode(photo: Image.Image, photo_format: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, photo_format, **options)
    return buffer.getvalue()


def variants(data: bytes) -> list[bytes]:
    photo = Image.fromarray(decode(data).pixels)
    smaller = [photo.resize((round(photo.width * f), round(photo.height * f))) for f in (0.5, 0.75)]
    return [encode(photo, quality=40), encode(photo, quality=70), *(encode(s, quality=90) for s in smaller)]


def copies(files: Sequence[bytes], times: Sequence[datetime | None] | None = None) -> list[tuple[int, int]]:
    facts = [fingerprint(data) for data in files]
    return find_copies(
        [f.content_hash for f in facts],
        [f.pixel_hash for f in facts],
        [f.perceptual_hash for f in facts],
        [f.descriptor for f in facts],
        [None if f.height is None or f.width is None else (f.height, f.width) for f in facts],
        times or [None] * len(files),
        lambda i: files[i],
    )


def groups(pairs: list[tuple[int, int]], n: int) -> list[set[int]]:
    clusters = [{i} for i in range(n)]
    for i, j in pairs:
        one = next(c for c in clusters if i in c)
        two = next(c for c in clusters if j in c)
        if one is not two:
            one |= two
            clusters.remove(two)
    return clusters


def real_photos(folder: Path, count: int) -> list[bytes]:
    paths = sorted(folder.rglob("*.jpg"))
    if not paths:
        pytest.skip(f"the real photos ({folder.relative_to(SHARED_DATA.parent)}) are not here")
    return [path.read_bytes() for path in paths[:: max(1, len(paths) // count)]]


def barn_crops() -> tuple[list[bytes], list[datetime]]:
    manifest = SHARED_DATA / "caetec" / "beds.csv"
    if not manifest.exists():
        pytest.skip("the real photos (../shared/data/caetec) are not here")
    rows = [row for row in csv.DictReader(manifest.open(encoding="utf-8")) if row["group"] == "bed1"]
    rows.sort(key=lambda row: row["captured_at"])
    files = [(manifest.parent / row["path"]).read_bytes() for row in rows]
    return files, [datetime.fromisoformat(row["captured_at"]) for row in rows]


def test_equal_bytes_equal_pixels_and_re_encodings_are_copies_and_others_are_not() -> None:
    photo = scene(1)
    files = [encode(photo, quality=95), encode(photo, "PNG"), encode(scene(2)), encode(photo, "BMP")]
    files += [files[0], encode(photo, quality=40), encode(photo.resize((160, 120))), encode(scene(3))]
    assert {frozenset(group) for group in groups(copies(files), len(files))} == {
        frozenset({0, 1, 3, 4, 5, 6}),
        frozenset({2}),
        frozenset({7}),
    }


def test_unreadable_files_are_copies_only_byte_for_byte() -> None:
    assert copies([b"junk", encode(scene(1)), b"junk", b"other", b""]) == [(0, 2)]
    assert copies([]) == []
    assert copies([encode(scene(1))]) == []


def test_photos_taken_at_different_times_are_copies_only_with_equal_pixels() -> None:
    first = datetime(2024, 1, 12, 5, 40, 4)
    files = [encode(scene(1), quality=95), encode(scene(1), quality=60)]
    assert copies(files, [first, first + timedelta(minutes=5)]) == []
    assert copies(files, [first, first]) == [(0, 1)]
    assert copies(files, [first, None]) == [(0, 1)]
    assert copies([files[0], files[0]], [first, first + timedelta(minutes=5)]) == [(0, 1)]


def test_a_stretched_or_changed_photo_is_not_a_copy() -> None:
    photo = scene(1)
    patched = photo.copy()
    patched.paste((0, 0, 0), (140, 100, 180, 140))
    assert copies([encode(photo), encode(photo.resize((320, 200)))]) == []
    assert copies([encode(photo), encode(patched)]) == []
    assert copies([encode(photo), encode(photo.resize((160, 120)))]) == [(0, 1)]


def test_two_dark_frames_are_not_copies() -> None:
    frames = [np.random.default_rng(i).integers(0, 4, (120, 160, 3), dtype=np.uint8) for i in range(2)]
    assert copies([encode(Image.fromarray(frame), "PNG") for frame in frames]) == []


def test_a_file_gone_since_the_scan_is_no_copy_and_no_crash() -> None:
    facts = [fingerprint(encode(scene(1), quality=q)) for q in (95, 60)]

    def load(i: int) -> bytes:
        raise FileNotFoundError(i)

    pairs = find_copies(
        [f.content_hash for f in facts],
        [f.pixel_hash for f in facts],
        [f.perceptual_hash for f in facts],
        [f.descriptor for f in facts],
        [(240, 320)] * 2,
        [None] * 2,
        load,
    )
    assert pairs == []


def test_candidates_stay_linear_for_a_camera_that_sees_the_same_all_day() -> None:
    n = 5000
    random = np.random.default_rng(0)
    scene_bits = random.integers(0, 2, 320)
    noisy = np.packbits(scene_bits ^ (random.random((n, 320)) < 0.03), axis=1)
    start = datetime(2024, 1, 1)
    loaded: list[int] = []

    def load(i: int) -> bytes:
        loaded.append(i)
        return b""

    began = time.process_time()  # of the processor: others may be using the machine
    pairs = find_copies(
        [str(i) for i in range(n)],
        [str(i) for i in range(n)],
        [int.from_bytes(row[:8].tobytes(), "big") for row in noisy],
        [row[8:].tobytes() for row in noisy],
        [(100, 100)] * n,
        [start + timedelta(minutes=5 * i) if i % 2 else None for i in range(n)],
        load,
    )
    assert pairs == []
    assert len(loaded) <= 12 * n
    assert time.process_time() - began < 15


def test_copies_of_real_photos_are_found_and_only_they() -> None:
    originals = real_photos(SHARED_DATA / "grocery" / "val", 40)
    files = list(originals)
    expected = [{i} for i in range(len(originals))]
    for i, data in enumerate(originals):
        for copy in variants(data):
            expected[i].add(len(files))
            files.append(copy)
    assert sorted(map(sorted, groups(copies(files), len(files)))) == sorted(map(sorted, expected))


def test_frames_of_a_fixed_camera_are_not_taken_for_copies() -> None:
    files, times = barn_crops()
    assert copies(files, times) == []
    # Without times a few dark, motionless frames cannot be told from copies: 5 pairs of all 429 crops when measured.
    assert len(copies(files)) <= 0.03 * len(files)


def test_seen_recognises_copies_by_fingerprint_and_no_other_photo() -> None:
    stored = real_photos(SHARED_DATA / "grocery" / "train", 150)
    queries = real_photos(SHARED_DATA / "grocery" / "val", 100)
    assert sum(known_again(queries, stored)) <= 0.01 * len(queries)
    made = [copy for data in stored[::3] for copy in variants(data)]
    assert sum(known_again(made, stored)) >= 0.99 * len(made)


@pytest.mark.parametrize("flips", [0.5, 0.02, 0.0], ids=["like no other", "of one scene", "all equal"])
def test_seen_finds_what_comparing_all_with_all_finds(flips: float) -> None:
    rng = np.random.default_rng(7)
    stored = np.packbits(rng.integers(0, 2, 320) ^ (rng.random((400, 320)) < flips), axis=1)
    asked = np.unpackbits(stored[rng.integers(0, 400, 200)], axis=1)
    for row, count in enumerate(rng.integers(0, 2 * FEW_BITS, 200)):
        asked[row, rng.choice(320, count, replace=False)] ^= 1
    queries = np.packbits(asked, axis=1)
    expected = [bool((hamming(query[None], stored) <= FEW_BITS).any()) for query in queries]
    assert 0 < sum(expected) < 200
    found = {int(row) for rows, _others, _bits in pairs_within(queries, stored, FEW_BITS) for row in rows}
    assert [row in found for row in range(200)] == expected


def test_seen_handles_empty_sides() -> None:
    data = encode(scene(1))
    assert known_again([], [data]).tolist() == []
    assert known_again([data, data], []).tolist() == [False, False]
    assert known_again([encode(scene(3)), data, encode(scene(2))], [data]).tolist() == [False, True, False]
