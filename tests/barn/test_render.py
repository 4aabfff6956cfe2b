"""What the demo barn promises: same bytes for the same seed, true labels and boxes, and the demo's lesson."""

from __future__ import annotations

import csv
import hashlib
import itertools
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from certero.barn.render import LABELS, BarnSummary, render_barn
from certero.errors import ConfigError, OutputError

SMALL = (160, 100)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _pixels(path: Path) -> NDArray[np.float64]:
    with Image.open(path) as image:
        return np.asarray(image, dtype=np.float64)


def _digest(folder: Path) -> str:
    """One hash over the names and bytes of all files."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


@pytest.fixture(scope="module")
def barn(tmp_path_factory: pytest.TempPathFactory) -> BarnSummary:
    """One day, a frame every 10 minutes, at a size where details can be measured."""
    folder = tmp_path_factory.mktemp("synthetic") / "barn"
    return render_barn(folder, days=1, interval_minutes=10, size=(320, 200))


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> BarnSummary:
    """The default schedule, drawn small: the plan does not depend on the size."""
    return render_barn(tmp_path_factory.mktemp("synthetic") / "season", size=SMALL)


def test_manifest_frames_crops_and_folders_agree(barn: BarnSummary) -> None:
    rows = _rows(barn.manifest)
    assert list(rows[0]) == ["path", "label", "group", "captured_at"]
    assert len(rows) == barn.crops == 3 * barn.frames == 3 * 96
    assert {row["group"] for row in rows} == {"bed1", "bed2", "bed3"}
    files = {path.relative_to(barn.folder).as_posix() for path in (barn.folder / "beds").rglob("*.jpg")}
    assert {row["path"] for row in rows} == files
    for row in rows:
        stamp = datetime.fromisoformat(row["captured_at"]).strftime("%Y-%m-%d-%H-%M-%S")
        assert row["path"] == f"beds/{row['label']}/{row['group']}_{stamp}.jpg"
        assert (barn.folder / "frames" / f"{stamp}.jpg").is_file()
    assert barn.labels == {label: sum(row["label"] == label for row in rows) for label in LABELS}


def test_crops_are_the_regions_of_the_frame(barn: BarnSummary) -> None:
    regions = tomllib.loads((barn.folder / "regions.toml").read_text(encoding="utf-8"))["regions"]
    for row in _rows(barn.manifest)[::29]:
        crop = _pixels(barn.folder / row["path"])
        frame = _pixels(barn.folder / "frames" / Path(row["path"]).name.split("_")[1])
        height, width = frame.shape[:2]
        left, top, right, bottom = regions[row["group"]]["box"]
        cut = frame[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
        assert cut.shape == crop.shape
        assert np.abs(cut - crop).mean() < 8  # two JPEGs of the same pixels


def test_every_cow_has_a_box_inside_frame_and_crop(barn: BarnSummary) -> None:
    boxes = _rows(barn.folder / "boxes.csv")
    occupied = [row for row in _rows(barn.manifest) if row["label"] != "empty"]
    assert [(f"{b['bed']}_{b['frame']}", b["label"]) for b in boxes] == [
        (Path(row["path"]).name, row["label"]) for row in occupied
    ]
    for box, row in zip(boxes, occupied, strict=True):
        with (
            Image.open(barn.folder / row["path"]) as crop,
            Image.open(barn.folder / "frames" / box["frame"]) as frame,
        ):
            for prefix, (width, height) in (("", frame.size), ("crop_", crop.size)):
                left, top, right, bottom = (int(box[prefix + side]) for side in ("left", "top", "right", "bottom"))
                assert 0 <= left < right <= width
                assert 0 <= top < bottom <= height
        # A cow is no speck: her box covers a good part of the bed.
        area = (int(box["crop_right"]) - int(box["crop_left"])) * (int(box["crop_bottom"]) - int(box["crop_top"]))
        assert area > 0.12 * crop.size[0] * crop.size[1]


def test_the_box_holds_what_differs_from_the_empty_bed(barn: BarnSummary) -> None:
    """Against the same bed, empty, at most 40 minutes apart by even daylight."""
    empty: dict[str, list[tuple[datetime, Path]]] = {}
    for row in _rows(barn.manifest):
        if row["label"] == "empty":
            time = datetime.fromisoformat(row["captured_at"])
            empty.setdefault(row["group"], []).append((time, barn.folder / row["path"]))
    compared = 0
    for box in _rows(barn.folder / "boxes.csv"):
        time = datetime.strptime(box["frame"], "%Y-%m-%d-%H-%M-%S.jpg")
        near = [path for at, path in empty[box["bed"]] if abs((at - time).total_seconds()) < 2400]
        if not near or not 10 <= time.hour < 17:
            continue
        occupied = _pixels(barn.folder / "beds" / box["label"] / f"{box['bed']}_{box['frame']}")
        changed = np.abs(occupied - _pixels(near[0])).mean(axis=2) > 45
        inside = np.zeros(changed.shape, bool)
        inside[int(box["crop_top"]) : int(box["crop_bottom"]), int(box["crop_left"]) : int(box["crop_right"])] = True
        assert changed[inside].mean() > 0.15
        assert changed[inside].mean() > 3 * changed[~inside].mean()
        compared += 1
    assert compared >= 10


def test_every_class_is_common_enough(season: BarnSummary) -> None:
    assert season.crops == 3 * 16 * 12 * 3
    assert season.labels["standing"] >= 0.12 * season.crops
    assert season.labels["lying"] >= 0.12 * season.crops
    assert season.labels["empty"] < 0.55 * season.crops


def test_neighbouring_photos_mostly_show_the_same(season: BarnSummary) -> None:
    """What makes a random split leak: a stay lasts for many frames."""
    by_bed: dict[str, list[str]] = {}
    for row in sorted(_rows(season.manifest), key=lambda row: row["captured_at"]):
        by_bed.setdefault(row["group"], []).append(row["label"])
    same = [a == b for labels in by_bed.values() for a, b in itertools.pairwise(labels)]
    assert np.mean(same) > 0.85


def test_nights_are_dark_and_the_low_sun_blinds(barn: BarnSummary) -> None:
    def hour(begin: str, end: str) -> list[NDArray[np.float64]]:
        names = sorted((barn.folder / "frames").glob("*.jpg"))
        return [_pixels(path) for path in names if begin <= path.stem[11:16] < end]

    assert max(frame.mean() for frame in hour("05-00", "06-00")) < 50
    assert max(frame.mean() for frame in hour("20-00", "21-00")) < 50
    assert 70 < np.mean([frame.mean() for frame in hour("12-00", "13-00")]) < 160
    saturated = [(frame.min(axis=2) >= 250).mean() for frame in hour("08-10", "08-50")]
    assert min(saturated) > 0.1


def test_same_seed_gives_the_same_bytes_in_any_process_and_on_any_threads(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"days": 2, "interval_minutes": 120, "size": SMALL}
    render_barn(tmp_path / "plain", **settings)
    with ThreadPoolExecutor(4) as pool:
        render_barn(tmp_path / "threads", map=pool.map, **settings)
    code = (
        "import sys; from pathlib import Path; from certero.barn.render import render_barn;"
        f"render_barn(Path(sys.argv[1]), **{settings!r})"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "process")], check=True, env=environment)
    render_barn(tmp_path / "other seed", seed=1, **settings)
    assert _digest(tmp_path / "plain") == _digest(tmp_path / "threads") == _digest(tmp_path / "process")
    frames = {name: _digest(tmp_path / name / "frames") for name in ("plain", "other seed")}
    assert frames["plain"] != frames["other seed"]


def test_a_complete_barn_is_reused_untouched(tmp_path: Path) -> None:
    first = render_barn(tmp_path / "barn", days=1, interval_minutes=120, size=SMALL)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "barn").rglob("*")}
    again = render_barn(tmp_path / "barn", days=1, interval_minutes=120, size=SMALL)
    assert not first.reused
    assert again.reused
    assert (again.frames, again.crops, again.labels) == (first.frames, first.crops, first.labels)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "barn").rglob("*")}


def test_other_files_and_other_or_damaged_barns_are_never_touched(tmp_path: Path) -> None:
    foreign = tmp_path / "holiday"
    foreign.mkdir()
    (foreign / "beach.txt").write_text("mine")
    with pytest.raises(OutputError, match="found other files"):
        render_barn(foreign, days=1, interval_minutes=120, size=SMALL)
    assert [path.name for path in tmp_path.rglob("*")] == ["holiday", "beach.txt"]

    barn = tmp_path / "barn"
    render_barn(barn, days=1, interval_minutes=120, size=SMALL)
    with pytest.raises(OutputError, match="other settings"):
        render_barn(barn, days=1, interval_minutes=120, size=SMALL, seed=5)
    next((barn / "frames").iterdir()).unlink()
    with pytest.raises(OutputError, match="some are gone"):
        render_barn(barn, days=1, interval_minutes=120, size=SMALL)


@pytest.mark.parametrize(
    ("fault", "raised"),
    [(OSError(28, "No space left on device"), OutputError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_broken_run_leaves_nothing_and_the_next_one_succeeds(
    tmp_path: Path, fault: BaseException, raised: type[BaseException]
) -> None:
    def break_off(stage: str, done: int, total: int) -> None:
        assert stage == "render"
        if 2 * done >= total:
            raise fault

    with pytest.raises(raised):
        render_barn(tmp_path / "barn", days=1, interval_minutes=120, size=SMALL, progress=break_off)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "barn").mkdir()  # an empty folder is free
    assert render_barn(tmp_path / "barn", days=1, interval_minutes=120, size=SMALL).frames == 8


def test_progress_ends_at_the_number_of_frames(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []

    def note(stage: str, done: int, total: int) -> None:
        assert stage == "render"
        calls.append((done, total))

    render_barn(tmp_path / "barn", days=1, interval_minutes=120, beds=2, size=SMALL, progress=note)
    assert calls == [(done, 8) for done in range(9)]


def _bad_settings() -> Iterator[dict[str, Any]]:
    yield {"days": 0}
    yield {"interval_minutes": 0}
    yield {"beds": 7}
    yield {"seed": -1}
    yield {"size": (10, 10)}


@pytest.mark.parametrize("bad", list(_bad_settings()))
def test_settings_out_of_range_are_named(tmp_path: Path, bad: dict[str, Any]) -> None:
    name = "width" if "size" in bad else next(iter(bad))
    with pytest.raises(ConfigError, match=name):
        render_barn(tmp_path / "barn", **bad)
    assert list(tmp_path.iterdir()) == []
