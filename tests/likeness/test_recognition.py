"""What a model knows again: its own photos and copies of them, near copies where they can be told, and no others."""

from __future__ import annotations

import io
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("polars", reason="recognising photos needs the [report] extra")

from PIL import Image
from recognition_examples import known_again

from certero.engine.threads import Threads
from certero.likeness.recognition import (
    COPY_BITS,
    NO_MINUTE,
    Prints,
    choose_distance,
    distances,
    find_copies_seen,
    find_near,
    mark_minutes,
    nearest_elsewhere,
    pairs_within,
    sketch,
)
from certero.photos.fingerprints import SIDE, hamming, mirror, pack_hashes, perceive, strengths
from certero.photos.pixels import decode


def _saved_again(data: bytes, scale: float = 1.0, quality: int = 70) -> bytes:
    photo = Image.fromarray(decode(data).pixels)
    buffer = io.BytesIO()
    photo.resize((round(photo.width * scale), round(photo.height * scale))).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def test_copies_of_real_photos_are_known_again_and_other_photos_are_not(grocery: Path) -> None:
    stored = [path.read_bytes() for path in sorted((grocery / "train").rglob("*.jpg"))[::40]]
    others = [path.read_bytes() for path in sorted((grocery / "test").rglob("*.jpg"))[::60]]
    assert not known_again(others, stored).any()
    for scale, quality in ((1.0, 70), (1.0, 40), (0.5, 60)):
        assert known_again([_saved_again(data, scale, quality) for data in stored], stored).all(), (scale, quality)


def test_small_smooth_crops_of_a_fixed_camera_are_known_again_and_its_afternoon_is_not(caetec: Path) -> None:
    files = {
        path.stem[5:].split("_")[-1][11:]: path.read_bytes() for path in sorted((caetec / "beds").rglob("bed1*.jpg"))
    }
    morning = [data for clock, data in files.items() if clock < "12"]
    afternoon = [data for clock, data in files.items() if clock > "13"]
    assert len(morning) > 50 < len(afternoon)
    assert known_again([_saved_again(data, 0.5, 60) for data in morning], morning).mean() >= 0.99
    assert not known_again(afternoon, morning).any()


def test_frames_taken_at_other_times_are_no_copies_however_alike(caetec: Path) -> None:
    paths = sorted((caetec / "beds").rglob("bed2*.jpg"), key=lambda path: path.stem)
    files = [path.read_bytes() for path in paths]
    marks = mark_minutes([datetime.strptime(path.stem[5:], "%Y-%m-%d-%H-%M-%S") for path in paths])
    even, odd = slice(0, None, 2), slice(1, None, 2)
    unknown = np.full(len(files), NO_MINUTE, np.uint8)
    assert not known_again(files[odd], files[even], (marks[odd], marks[even])).any()
    # Without a time the same frames are judged by their looks, and a photo of another name has none.
    copies = [_saved_again(data) for data in files[even]]
    assert known_again(copies, files[even], (unknown[even], marks[even])).mean() >= 0.99


def test_a_time_zone_or_a_cut_of_the_seconds_does_not_make_a_copy_another_exposure() -> None:
    written = [datetime(2024, 1, 12, 5, 44, 59), datetime(2024, 1, 12, 11, 14), datetime(2024, 1, 12, 5, 49), None]
    marks = mark_minutes(written).tolist()
    assert marks == [14, 14, 4, NO_MINUTE]


@pytest.mark.parametrize("flips", [0.5, 0.03, 0.0], ids=["like no other", "of one scene", "all equal"])
def test_every_pair_within_the_bits_is_found(flips: float) -> None:
    rng = np.random.default_rng(7)
    right = np.packbits(rng.integers(0, 2, 320) ^ (rng.random((300, 320)) < flips), axis=1)
    asked = np.unpackbits(right[rng.integers(0, 300, 100)], axis=1)
    for row, count in enumerate(rng.integers(0, 2 * COPY_BITS, 100)):
        asked[row, rng.choice(320, count, replace=False)] ^= 1
    left = np.packbits(asked, axis=1)
    wanted = rng.random(100) < 0.8
    apart = hamming(left[:, None], right[None])
    expected = {(int(i), int(j)) for i, j in zip(*np.nonzero((apart <= COPY_BITS) & wanted[:, None]), strict=True)}
    assert expected
    found = {
        (int(i), int(j))
        for rows, others, _bits in pairs_within(left, right, COPY_BITS, wanted)
        for i, j in zip(rows, others, strict=True)
    }
    assert found == expected


def test_the_hash_of_a_mirrored_photo_follows_from_its_own() -> None:
    grey = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    one, two = (pack_hashes([h], [d]) for h, d in (perceive(grey), perceive(np.ascontiguousarray(grey[:, ::-1]))))
    # A float32 sum in another order may turn the sign of what is nearly nothing.
    assert hamming(mirror(one), two)[0] <= 1


def test_what_the_signs_weigh_never_exceeds_what_the_pictures_differ_by() -> None:
    rng = np.random.default_rng(5)
    one = rng.integers(0, 200, (SIDE, SIDE)).astype(np.uint8)
    for noise in (1, 5, 50):
        two = (one + rng.integers(0, noise + 1, one.shape)).astype(np.uint8)
        signs = [np.unpackbits(pack_hashes([h], [d]))[:320] for h, d in (perceive(one), perceive(two))]
        least = np.sqrt((np.square(strengths(one)) * (signs[0] != signs[1])).sum())
        assert least <= np.sqrt(np.square(one.astype(float) - two).mean()) + 1e-4


def _randomprints(n: int, rng: np.random.Generator) -> Prints:
    return Prints(
        *(rng.integers(0, 256, (n, width), dtype=np.uint8) for width in (16, 40)),
        None,
        rng.integers(0, 256, (n, 16), dtype=np.uint8),
    )


def test_near_copies_are_those_that_comparing_all_with_all_finds() -> None:
    rng = np.random.default_rng(11)
    stored, asked = _randomprints(700, rng), _randomprints(600, rng)
    apart = distances(asked, stored).min(axis=1)
    limit = int(np.median(apart))
    assert find_near(asked, stored, limit, Threads(2).map).tolist() == (apart <= limit).tolist()
    assert distances(stored, stored).diagonal().max() == 0


def test_nothing_is_near_where_no_photo_is_left_to_ask_about_or_none_is_remembered() -> None:
    rng = np.random.default_rng(12)
    some, none = _randomprints(5, rng), _randomprints(0, rng)
    # All photos exact copies: none is left for the second question.
    assert find_near(none, some, 200, Threads(2).map).tolist() == []
    assert find_near(some, none, 200, Threads(2).map).tolist() == [False] * 5


def test_the_distance_lets_one_held_out_photo_in_a_hundred_pass() -> None:
    rng = np.random.default_rng(2)
    prints = _randomprints(400, rng)
    unit = np.arange(400) // 4
    held_out = nearest_elsewhere(prints, np.arange(400), lambda row: unit != unit[row])
    everything = distances(prints, prints).astype(float)
    everything[unit[:, None] == unit[None]] = np.inf
    assert held_out.tolist() == everything.min(axis=1).tolist()
    assert (held_out <= choose_distance(held_out)).mean() <= 0.01
    assert (held_out <= choose_distance(held_out) + 1).mean() > 0.01 or len(set(held_out.tolist())) < 400


def test_a_sketch_differs_in_as_many_bits_as_its_angle_says() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(300, 200))
    turned = one + rng.normal(size=one.shape)  # 45 degrees, a quarter of 180
    bits = hamming(sketch(one, np.zeros(200)), sketch(turned, np.zeros(200)))
    assert bits.mean() == pytest.approx(128 / 4, abs=1.5)


def test_a_hundred_thousand_remembered_photos_are_asked_in_seconds() -> None:
    rng = np.random.default_rng(1)
    stored, asked = _randomprints(100_000, rng), _randomprints(1_000, rng)
    start = time.process_time()
    assert not find_near(asked, stored, 200, Threads(2).map).any()
    assert not find_copies_seen(asked, stored, lambda _row: None, Threads(2).map).any()
    assert time.process_time() - start < 20
