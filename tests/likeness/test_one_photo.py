"""What certero promises about what it calls one photo: it was laid on it, and two labels of it are named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import certero
from certero.cli.main import main
from certero.likeness.clusters import join
from certero.likeness.sets import Link, across, gather, kept_together, links_by_row


def photo(seed: int, colour: str) -> Image.Image:
    drawn = np.random.default_rng(seed)
    coarse, fine = (
        Image.fromarray(drawn.integers(0, 255, (n, n, 3)).astype(np.uint8)).resize((96, 96)) for n in (6, 32)
    )
    return Image.blend(Image.blend(coarse, fine, 0.3), Image.new("RGB", (96, 96), colour), 0.3)


def two_classes(root: Path, count: int = 20) -> None:
    for label, shift in (("red", 0), ("blue", 100)):
        (root / label).mkdir(parents=True)
        for number in range(count):
            photo(number + shift, label).save(root / label / f"{number}.jpg", quality=95)


def altered(*pairs: tuple[int, int]) -> list[Link]:
    return [(i, j, "altered", 0.9) for i, j in pairs]


def test_photos_that_are_each_alike_to_the_next_are_no_set() -> None:
    chain = altered(*((i, i + 1) for i in range(40)))
    found = [each.rows for each in gather(41, chain)]
    assert max(map(len, found)) == 3
    assert all(any(set(pair[:2]) <= set(rows) for rows in found) for pair in chain), "no verified pair is lost"


def test_altered_copies_of_one_photo_are_one_set_around_it_with_the_equal_ones() -> None:
    links: list[Link] = [*altered((0, 1), (0, 2), (0, 3)), (1, 4, "same_file", 1.0), (2, 5, "resaved", 1.0)]
    (found,) = gather(6, links)
    assert (found.rows, found.how, found.score) == ([0, 1, 2, 3, 4, 5], "altered", 0.9)


def test_of_a_set_only_what_was_laid_on_another_split_is_called_leaked() -> None:
    links = altered((0, 1), (0, 2))
    (one,) = gather(3, links)
    assert across(one, ["train", "train", "test"], links_by_row(links)) == [0, 2]
    assert across(one, ["test", "train", "train"], links_by_row(links)) == [0, 1, 2]
    assert across(one, ["test", "test", "test"], links_by_row(links)) == []
    equal: list[Link] = [*links, (1, 3, "same_pixels", 1.0)]
    (one,) = gather(4, equal)
    assert across(one, ["train", "train", "train", "test"], links_by_row(equal)) == [0, 1, 3]


def unit_sizes(count: int, links: list[Link]) -> list[int]:
    units = join(count, kept_together(count, links))
    return sorted(np.unique(units, return_counts=True)[1].tolist(), reverse=True)


def test_every_altered_copy_of_one_photo_is_one_unit_however_many_there_are() -> None:
    assert unit_sizes(60, altered(*((0, i) for i in range(1, 60)))) == [60]
    two = altered(*((0, i) for i in range(1, 8)), *((8, i) for i in range(9, 16)), (7, 15))
    assert unit_sizes(16, two) == [16], "a link between two sets of few photos lies in one unit"


def test_a_chain_of_look_alikes_makes_no_unit_of_a_class() -> None:
    chain = altered(*((i, i + 1) for i in range(400)))
    assert max(unit_sizes(401, chain)) <= 20
    resaved: list[Link] = [(i, i + 1, "resaved", 1.0) for i in range(400)]
    assert unit_sizes(401, resaved) == [401], "verified copies are never parted"


@pytest.mark.slow
@pytest.mark.parametrize("quality", [None, 60], ids=["the same files", "saved anew"])
def test_train_names_photos_that_lie_under_two_labels(
    quality: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "photos"
    two_classes(root)
    for number in range(6):
        source = (root / "red" / f"{number}.jpg").read_bytes()
        target = root / "blue" / f"copy{number}.jpg"
        if quality is None:
            target.write_bytes(source)
        else:
            Image.open(root / "red" / f"{number}.jpg").save(target, quality=quality)
    note = "6 photos lie under two labels (first: blue/copy0.jpg, red/0.jpg): see certero audit"
    assert main(["train", str(root), "--dry-run", "--quiet"]) == 0
    assert note in re.sub(r"\s+", " ", capsys.readouterr().out)
    run = ["train", str(root), "--quiet", "--random-splits", "0", "--output", str(tmp_path / "run")]
    assert main(run) == 0
    assert note in re.sub(r"\s+", " ", capsys.readouterr().out)
    assert note in json.loads((tmp_path / "run" / "metrics.json").read_text("utf-8"))["notes"]
    assert note in (tmp_path / "run" / "report.html").read_text("utf-8")


@pytest.mark.slow
def test_one_picture_that_stands_for_missing_photos_is_one_finding_and_one_note(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    two_classes(root)
    for label in ("red", "blue"):
        for number in range(30):
            photo(1000, "grey").save(root / label / f"missing{number}.jpg")
    run = certero.train(root, output=tmp_path / "run", random_splits=0)
    told = "1 photo lies under several labels, in 60 files (first: blue/missing0.jpg, red/missing0.jpg)"
    assert any(note.startswith(told) for note in run.metrics["notes"])
    found = certero.audit(root)["findings"]
    (conflict,) = [finding for finding in found if finding["kind"] == "label_conflict"]
    assert conflict["message"] == "one picture 60 times, as blue, red: does it stand for missing photos?"
    assert conflict["paths"][:2] == ["blue/missing0.jpg", "red/missing0.jpg"]
    doubted = {path for finding in found if finding["kind"] == "suspicious_label" for path in finding["paths"]}
    assert not any("missing" in path for path in doubted), "what lies under both labels is not doubted once more"
