"""What names may tell, and what they may not: names alone, as programs and people give them."""

from __future__ import annotations

import re
import unicodedata

import pytest

from certero.data.families import in_blocks, natural_key, read_names
from certero.data.patterns import match_all

#: Photos of one family each, as one program or person names them.
VERSIONS = {
    "Roboflow": ["a/cow1_jpg.rf.3f9c0aa1b2c3d4e5.jpg", "a/cow1_jpg.rf.90aa11bb22cc33dd.jpg"],
    "Windows": ["a/IMG_7 - Copy.jpg", "a/IMG_7.jpg", "a/IMG_7 - Copy (2).JPG"],
    "downloads": ["a/leaf.jpg", "a/leaf(1).jpg", "a/leaf (2).jpg"],
    "words": ["a/leaf_3_flip.png", "a/leaf_3.png", "a/leaf_3_rot90.png", "a/leaf_3_flip_bright2.png"],
    "before": ["a/aug_3_leaf.jpg", "a/leaf.jpg", "a/augmented_1_leaf.jpg"],
    "masks": ["with_mask/12-with-mask.jpg", "without_mask/12.jpg"],
    "letters": ["a/0012a.jpg", "a/0012b.jpg", "a/0012c.jpg"],
    "Spanish": ["a/vaca_1 - copia.jpg", "a/vaca_1.jpg"],
    "accents": [f"a/{unicodedata.normalize('NFD', 'maíz')}_flip.jpg", "a/maíz.jpg"],
    "case": ["a/Leaf_FLIP.JPG", "a/Leaf.jpg"],
}


@pytest.mark.parametrize("family", VERSIONS.values(), ids=VERSIONS)
def test_versions_of_one_photo_are_one_family_and_its_group_by_makes_it(family: list[str]) -> None:
    others = ["a/tree.jpg", "a/9981.jpg", "b/photo of a gate.jpg"]
    named = {each.scheme: each for each in read_names([*family, *others])}["versions"]
    assert len(set(named.group[: len(family)])) == 1
    assert named.group[len(family) :] == (None,) * 3
    assert named.group_by is not None
    made = match_all(named.group_by, [*family, *others])
    assert len(set(map(str, made[: len(family)]))) == (2 if "maíz" in made else 1)
    assert None not in made
    assert len(set(made[len(family) :])) == 3, "other photos stay for themselves"


def test_names_of_two_numbers_belong_together_by_the_first_one() -> None:
    keras = [f"a/_{image}_{image * 37 + version}.png" for image in range(5) for version in range(3)]
    film = [f"b/clip{clip}_frame{frame:04d}.jpg" for clip in range(4) for frame in range(6)]
    for paths, families in ((keras, 5), (film, 4)):
        named = {each.scheme: each for each in read_names(paths)}["two_numbers"]
        assert len(set(named.group)) == families
        assert named.group_by is not None
        made = match_all(named.group_by, paths)
        assert len(set(zip(named.group, made, strict=True))) == families == len(set(made))


@pytest.mark.parametrize(
    "paths",
    [
        [f"{label}/{number}.jpg" for label in ("cat", "dog") for number in range(5)],
        [f"a/{word}.jpg" for word in ("rotten", "flipper", "copycat", "version", "v", "lighthouse")],
        ["a/.jpg", "a/x", "b/(1).jpg", "b/_1.jpg", "c/jpg.rf.jpg"],
        [f"Golden-Delicious/Golden-Delicious_{number:03d}.jpg" for number in range(5)],
    ],
    ids=["counters of classes", "words", "odd names", "one row"],
)
def test_what_is_no_family_is_called_none(paths: list[str]) -> None:
    assert all(each.scheme == "sequence" for each in read_names(paths))


def test_numbered_names_are_a_row_in_the_order_of_people() -> None:
    paths = [f"a/IMG_{number}.jpg" for number in (9, 10, 8, 100, 11, 101, 12, 7)]
    (named,) = read_names(paths)
    assert (named.scheme, len(set(named.group))) == ("sequence", 1)
    assert [re.findall(r"\d+", path)[0] for path in sorted(paths, key=natural_key)] == (
        ["7", "8", "9", "10", "11", "12", "100", "101"]
    )


def test_blocks_of_numbers_are_those_of_their_digits() -> None:
    paths = [f"a/IMG_{number}.jpg" for number in (1118, 1119, 1120, 1121, 1218)]
    for pattern in in_blocks(1):
        assert match_all(pattern, paths) == ["a/IMG_111", "a/IMG_111", "a/IMG_112", "a/IMG_112", "a/IMG_121"]
    for pattern in in_blocks(2):
        assert match_all(pattern, paths) == ["a/IMG_11"] * 4 + ["a/IMG_12"]
    plain, whole = in_blocks(2)
    assert match_all(whole, ["5.jpg", "a/leaf.jpg", "a/x_5.jpg", "a/x_15.jpg"]) == [
        "5.jpg",
        "a/leaf.jpg",
        "a/x_",
        "a/x_",
    ]
    assert match_all(plain, ["a/leaf.jpg"]) == [None]
