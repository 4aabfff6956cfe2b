"""What certero promises of photos that are equal in a part: they are found, and others are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from certero.likeness.arrangements import find_arrangements
from certero.likeness.equal_parts import EqualParts, find_equal_parts, lay_finely
from certero.photos.editing import resave
from certero.photos.landmarks import Landmarks, find_landmarks
from certero.photos.pixels import luma

SIDE = 220
Photo = Image.Image


def photo(seed: int) -> Photo:
    """Shapes of every size on a ground of several textures, as a camera would see a heap of things."""
    drawn = np.random.default_rng(seed)
    layers = [
        Image.fromarray(drawn.integers(0, 255, (n, n, 3)).astype(np.uint8)).resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC
        )
        for n in (5, 13)
    ]
    picture = Image.blend(*layers, 0.4)
    draw = ImageDraw.Draw(picture)
    for _number in range(60):
        x, y = drawn.uniform(0, SIDE, 2)
        width, height = drawn.uniform(6, 34, 2)
        shape = draw.ellipse if drawn.random() < 0.5 else draw.rectangle
        shape((x, y, x + width, y + height), fill=tuple(drawn.integers(0, 255, 3).tolist()))
    return picture.filter(ImageFilter.GaussianBlur(0.8))


def pasted(one: Photo, other: Photo, share: float) -> Photo:
    """An ellipse of the other photo on this share of the area."""
    half = SIDE * (share / np.pi) ** 0.5
    mask = Image.new("L", one.size, 0)
    middle = SIDE * 0.5, SIDE * 0.55
    ImageDraw.Draw(mask).ellipse((middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half), fill=255)
    return Image.composite(other, one, mask)


def masked(one: Photo, _other: Photo) -> Photo:
    """A drawn face mask on a fifth of the area."""
    drawn = one.copy()
    corners = [(0.25, 0.5), (0.5, 0.42), (0.75, 0.5), (0.72, 0.75), (0.5, 0.88), (0.28, 0.75)]
    ImageDraw.Draw(drawn).polygon([(x * SIDE, y * SIDE) for x, y in corners], fill=(190, 215, 235))
    return drawn


def other_sky(one: Photo, _other: Photo) -> Photo:
    drawn = one.copy()
    drawn.paste((120, 160, 230), (0, 0, SIDE, int(0.4 * SIDE)))
    return drawn


CHANGES: dict[str, Callable[[Photo, Photo], Photo]] = {
    "object of 10 %": lambda one, other: pasted(one, other, 0.1),
    "object of 30 %": lambda one, other: pasted(one, other, 0.3),
    "object of 50 %": lambda one, other: pasted(one, other, 0.5),
    "mask": masked,
    "sky": other_sky,
    "background": lambda one, other: pasted(other, one, 0.5),
}
AFTERWARDS: dict[str, Callable[[Photo], Photo]] = {
    "nothing": lambda photo: photo,
    "saved again": lambda photo: Image.fromarray(resave(np.asarray(photo), 60)),
    "halved": lambda photo: photo.resize((SIDE // 2, SIDE // 2), Image.Resampling.BILINEAR),
    "mirrored": ImageOps.mirror,
    "cropped": lambda photo: ImageOps.crop(photo, SIDE // 20),
    "brighter": lambda photo: ImageEnhance.Brightness(photo).enhance(1.2),
}


def grey(photo: Photo) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return luma(np.asarray(photo.convert("RGB")))


def find(photos: Sequence[Photo], times: Sequence[str | None] | None = None) -> EqualParts:
    greys = [grey(each) for each in photos]
    widths = np.array([each.shape[1] / max(each.shape) for each in greys])
    found = find_arrangements([find_landmarks(each) for each in greys], widths, np.arange(len(greys)))
    captured = np.array(times if times is not None else ["NaT"] * len(greys), dtype="datetime64[us]")
    return find_equal_parts(
        len(greys),
        found,
        captured,
        lambda chosen: [
            lay_finely(greys[i], greys[j], warp, bool(mirrored))
            for (i, j), warp, mirrored in zip(chosen.pairs.tolist(), chosen.warp, chosen.mirrored, strict=True)
        ],
    )


@pytest.mark.slow
@pytest.mark.parametrize("after", AFTERWARDS)
def test_what_was_pasted_drawn_or_replaced_is_found_and_nothing_else(after: str) -> None:
    count = 8
    plain = [photo(seed) for seed in range(count * len(CHANGES))]
    changed, source = [], []
    for number, change in enumerate(CHANGES.values()):
        for place in range(count):
            own = number * count + place
            changed.append(AFTERWARDS[after](change(plain[own], photo(1000 + own))))
            source.append(own)
    found = find([*plain, *changed])
    pairs = {tuple(pair) for pair in found.pairs.tolist()}
    right = {(own, len(plain) + place) for place, own in enumerate(source)}
    assert pairs <= right
    for number, name in enumerate(CHANGES):
        mine = {(own, len(plain) + own) for own in range(number * count, (number + 1) * count)}
        least = 5 if name == "object of 50 %" and after == "cropped" else 7
        assert len(pairs & mine) >= least, name


def test_the_share_of_the_area_is_that_which_was_left() -> None:
    one, other = photo(1), photo(2)
    for share in (0.1, 0.3, 0.5):
        (measured,) = find([one, pasted(one, other, share)]).share
        assert measured == pytest.approx(1 - share, abs=0.06)


def seen_again(one: Photo, seed: int) -> Photo:
    """The same place half a second later: the hand has moved a little, the light too, and the noise is another."""
    drawn = np.random.default_rng(seed)
    tilt = drawn.uniform(-0.012, 0.012, 8)
    corners = [(x + tilt[2 * n]) * SIDE for n, (x, _y) in enumerate(((0, 0), (0, 1), (1, 1), (1, 0)))]
    downs = [(y + tilt[2 * n + 1]) * SIDE for n, (_x, y) in enumerate(((0, 0), (0, 1), (1, 1), (1, 0)))]
    quad = [value for pair in zip(corners, downs, strict=True) for value in pair]
    moved = one.transform(one.size, Image.Transform.QUAD, quad, Image.Resampling.BICUBIC)
    shade = 1 + 0.08 * np.cos(np.linspace(0, 5, SIDE))[None, :, None] * np.linspace(0, 1, SIDE)[:, None, None]
    levels = np.asarray(moved) * shade + drawn.normal(0, 2, (SIDE, SIDE, 3))
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def test_one_shelf_photographed_twice_is_not_one_photo() -> None:
    shelves = [photo(seed) for seed in range(12)]
    found = find([*shelves, *(pasted(seen_again(each, 50 + n), photo(200 + n), 0.3) for n, each in enumerate(shelves))])
    assert not len(found.pairs)
    assert found.laid >= 6  # they are alike enough to be laid on each other


def test_photos_of_other_times_are_other_exposures_however_much_they_share() -> None:
    one = photo(3)
    both = [one, pasted(one, photo(4), 0.3)]
    assert len(find(both).pairs) == 1
    assert len(find(both, ["2024-01-12T05:40", "2024-01-12T05:40"]).pairs) == 1
    assert not len(find(both, ["2024-01-12T05:40", "2024-01-12T05:45"]).pairs)


def test_photos_of_one_fixed_camera_without_times_are_told_apart_by_nobody() -> None:
    barn = photo(5)
    frames = [pasted(barn, photo(300 + number), 0.2) for number in range(24)]
    found = find([*frames, photo(6), masked(photo(6), barn)])
    assert found.pairs.tolist() == [[24, 25]]
    assert found.one_camera == 24


def test_what_shares_paper_gradients_or_nothing_is_not_equal_in_a_part() -> None:
    drawn = np.random.default_rng(0)
    pages = []
    for _number in range(20):
        page = Image.new("RGB", (SIDE, SIDE), (255, 255, 255))
        draw = ImageDraw.Draw(page)
        for line in range(10, SIDE - 10, 13):
            draw.text((8, line), "".join(chr(97 + letter) for letter in drawn.integers(0, 26, 30)), fill=(0, 0, 0))
        pages.append(page)
    slope = np.linspace(0, 200, SIDE)
    slopes = [
        Image.fromarray(np.clip(np.add.outer(slope * a, slope * b), 0, 255).astype(np.uint8))
        for a, b in drawn.uniform(0, 0.5, (10, 2))
    ]
    plain = [Image.new("L", (SIDE, SIDE), level) for level in (0, 20, 128, 255)]
    assert not len(find([*pages, *slopes, *plain]).pairs)


def test_landmarks_are_the_same_in_the_mirrored_photo() -> None:
    one, other = (find_landmarks(grey(each)) for each in (photo(7), ImageOps.mirror(photo(7))))
    assert {tuple(code) for code in one.codes.tolist()} == {tuple(code[::-1]) for code in other.codes.tolist()}


def test_landmarks_come_back_from_the_cache_as_they_were() -> None:
    one = find_landmarks(grey(photo(8)))
    again = Landmarks.from_blob(one.to_blob())
    assert Landmarks.is_whole(one.to_blob())
    assert not Landmarks.is_whole(one.to_blob()[:-1])
    assert (again.places == one.places).all()
    assert (again.codes == one.codes).all()


def test_tiny_and_narrow_photos_have_no_landmarks_and_break_nothing() -> None:
    assert not len(find_landmarks(np.zeros((1, 1), np.uint8)).places)
    assert not len(find_landmarks(np.full((500, 3), 9, np.uint8)).places)
    assert not len(find([Image.new("L", (1, 1)), Image.new("L", (2000, 2)), photo(9)]).pairs)
