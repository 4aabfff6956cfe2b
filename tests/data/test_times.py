"""Capture times: what a name or a cell says, zones, and clocks that were never set."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import certero
from certero.cli.main import main
from certero.data.scan import list_photos
from certero.data.times import Stamp, never_set, shift, stamp_in_cell, stamp_in_name, time_in_name
from certero.errors import ConfigError, DataError

DAY = datetime(2024, 3, 1)


def photo(path: Path, taken: datetime | None = None) -> Path:
    """A photo unlike every other one, with EXIF where it has a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = zlib.crc32(str(path).encode())
    exif = Image.Exif()
    if taken is not None:
        exif.get_ifd(0x8769)[0x9003] = taken.strftime("%Y:%m:%d %H:%M:%S")
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((48, 48)).save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2024-01-12-05-40-04.jpg", (2024, 1, 12, 5, 40, 4)),
        ("20240112_054004.jpg", (2024, 1, 12, 5, 40, 4)),
        ("2024-01-12T05:40:04.jpg", (2024, 1, 12, 5, 40, 4)),
        ("IMG_20240112_054004.jpg", (2024, 1, 12, 5, 40, 4)),
        ("PXL_20240112_054004123.jpg", (2024, 1, 12, 5, 40, 4)),
        ("bed1_2024-01-12-05-40-04.jpg", (2024, 1, 12, 5, 40, 4)),
        ("WhatsApp Image 2024-01-12 at 05.40.04.jpeg", (2024, 1, 12, 5, 40, 4)),
        ("20240112054004.png", (2024, 1, 12, 5, 40, 4)),
        ("2024-01-12.jpg", None),
        ("2024-13-12-05-40-04.jpg", None),
        ("2024-02-30-05-40-04.jpg", None),
        ("2024-01-12-25-40-04.jpg", None),
        ("9920240112054004.jpg", None),
        ("Golden-Delicious_001.jpg", None),
    ],
)
def test_a_time_in_the_name_is_read_and_nothing_else_is(name: str, expected: tuple[int, ...] | None) -> None:
    assert time_in_name(name) == (datetime(*expected) if expected else None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("WhatsApp Image 2024-03-01 at 10.15.32 PM.jpeg", (22, 15, 32)),
        ("WhatsApp Image 2024-03-01 at 10.15.32 AM.jpeg", (10, 15, 32)),
        ("WhatsApp Image 2024-03-01 at 9.15.32 PM (2).jpeg", (21, 15, 32)),
        ("WhatsApp Image 2024-03-01 at 12.15.32 AM.jpeg", (0, 15, 32)),
        ("WhatsApp Image 2024-03-01 at 12.15.32 PM.jpeg", (12, 15, 32)),
        ("WhatsApp Image 2024-03-01 at 9.15.32.jpeg", (9, 15, 32)),
        ("Screenshot 2024-03-01 at 11.59.39\u202fPM.png", (23, 59, 39)),
        ("Captura de pantalla 2024-03-01 a la(s) 11.59.39\u202fp.\u00a0m..png", (23, 59, 39)),
        ("Captura de Pantalla 2024-03-01 a las 9.59.39.png", (9, 59, 39)),
        ("20240301_101532PM.jpg", (22, 15, 32)),
        ("20240301_101532 p.m.jpg", (22, 15, 32)),
        ("20240301-101532-pm.jpg", (22, 15, 32)),
        ("2024-03-01 22.15.32 PM.jpg", (22, 15, 32)),
        ("2024-03-01 10.15.32 amanecer.jpg", (10, 15, 32)),
        # Neither obeyed nor overlooked: no time at all.
        ("2024-03-01 13.15.32 AM.jpg", None),
        ("2024-03-01 00.15.32 PM.jpg", None),
        ("2024-03-01 10.15.32 μ.μ..jpg", None),
        ("2024-03-01 下午10.15.32.jpg", None),
        ("2024-03-01 10.15.32 下午.jpg", None),
        ("20240301_9-15-32.jpg", None),
        ("IMG-20240301-WA0001.jpg", None),
        ("1709331332.jpg", None),
        ("1709331332123.jpg", None),
    ],
)
def test_twelve_hours_are_obeyed_or_there_is_no_time(name: str, expected: tuple[int, int, int] | None) -> None:
    assert time_in_name(name) == (expected and datetime(2024, 3, 1, *expected))


@pytest.mark.parametrize(
    ("name", "hours"),
    [
        ("20240301T101532Z.jpg", 0),
        ("2024-03-01T10-15-32+02-00.jpg", 2),
        ("20240301T101532.123+0530.jpg", 5.5),
        ("20240301T101532-0600.jpg", -6),
        ("20240301T101532.123-0600.jpg", -6),
        ("2024-03-01 10:15:32 UTC.jpg", 0),
        ("2024-03-01-10-15-32-0600.jpg", None),
        ("20240301_101532_0001.jpg", None),
        ("20240301_101532Zoo.jpg", None),
    ],
)
def test_a_zone_in_a_name_is_read_and_a_number_is_none(name: str, hours: float | None) -> None:
    offset = None if hours is None else timedelta(hours=hours)
    assert stamp_in_name(name) == Stamp(datetime(2024, 3, 1, 10, 15, 32), offset)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2024-03-01T10:15:32", (10, 15, 32)),
        ("2024-03-01 10:15", (10, 15)),
        ("2024-03-01 9:05", (9, 5)),
        ("2024/03/01 10:15:32", (10, 15, 32)),
        ("2024:03:01 10:15:32", (10, 15, 32)),
        ("2024-03-01 10:15:32 PM", (22, 15, 32)),
        ("2024-03-01 9:15:32 a. m.", (9, 15, 32)),
        ("2024-03-01", None),
        ("01/03/2024 10:15", None),
        ("10:15:32", None),
        ("2024-03-01 10:15:32 CET", None),
    ],
)
def test_a_cell_holds_a_date_and_a_time_that_can_be_read_in_one_way(
    cell: str, expected: tuple[int, ...] | None
) -> None:
    stamp = stamp_in_cell(cell)
    assert (stamp and stamp.time) == (expected and datetime(2024, 3, 1, *expected))


def test_zones_are_shifted_to_the_commonest_and_hours_between_stay_right() -> None:
    two, one = timedelta(hours=2), timedelta(hours=1)
    stamps = [Stamp(DAY, one), Stamp(DAY, two), None, Stamp(DAY + one, two)]
    assert shift(stamps) == ([DAY + one, DAY, None, DAY + one], "+02:00")
    assert shift([Stamp(DAY), None]) == ([DAY, None], None)
    assert shift([Stamp(DAY, timedelta(hours=-6, minutes=-30))]) == ([DAY], "-06:30")


def _manifest(folder: Path, cells: Sequence[object], name: str = "photos.csv") -> Path:
    rows = [(photo(folder / f"{row}.png").name, "ab"[row % 2], cell) for row, cell in enumerate(cells)]
    if name.endswith(".parquet"):
        table = pl.DataFrame(rows, schema=["path", "label", "captured_at"], orient="row")
        table.with_columns(pl.col("captured_at").dt.convert_time_zone("Europe/Madrid")).write_parquet(folder / name)
    else:
        lines = [",".join(map(str, row)) for row in rows]
        (folder / name).write_text("\n".join(["path,label,captured_at", *lines]) + "\n")
    return folder / name


def test_the_zone_of_a_manifest_is_never_dropped_in_silence(tmp_path: Path) -> None:
    photos = list_photos(_manifest(tmp_path, ["2024-03-01T10:00:00+01:00", "", "2024-03-01 11:00:00+01:00"]))
    assert photos.table["captured_at"].to_list() == [datetime(2024, 3, 1, 10), None, datetime(2024, 3, 1, 11)]
    assert any("zone +01:00" in note for note in photos.notes)
    photos = list_photos(
        _manifest(tmp_path, ["2024-03-01T10:00:00Z", "2024-03-01T10:00:00-06:00", "2024-03-01T16:00Z"])
    )
    assert [time.hour for time in photos.table["captured_at"]] == [10, 16, 16]
    assert any("2 zones were shifted to +00:00" in note for note in photos.notes)
    with pytest.raises(DataError, match=r"1 without \(first: line 3: 2024-03-01 11:00\) and 1 with \(first: line 2"):
        list_photos(_manifest(tmp_path, ["2024-03-01T10:00:00Z", "2024-03-01 11:00"]))


def test_a_zoned_parquet_is_read_as_one_clock(tmp_path: Path) -> None:
    utc = [datetime(2024, 3, 30, 12), datetime(2024, 3, 31, 12), datetime(2024, 4, 1, 12)]
    zoned = pl.Series(utc, dtype=pl.Datetime("ns", "UTC")).to_list()
    photos = list_photos(_manifest(tmp_path, zoned, "photos.parquet"))
    # Madrid put its clocks forward between the first and the second.
    assert photos.table["captured_at"].to_list() == [time + timedelta(hours=2) for time in utc]
    assert any("2 zones were shifted to +02:00" in note for note in photos.notes)


def _told(times: Sequence[datetime | None], source: str = "exif") -> tuple[int, list[str]]:
    wrong, told = never_set(times, [None if time is None else source for time in times])
    return sum(wrong), [str(note) for note in told]


def test_a_clock_that_was_never_set_is_told_from_bursts_frames_and_old_photos() -> None:
    days = [DAY + timedelta(days=number) for number in range(20)]
    stuck = [datetime(2019, 5, 5, 12)] * 20
    reset = [datetime(2000, 1, 1) + timedelta(minutes=7 * number) for number in range(20)]
    assert _told([*days, *stuck])[0] == 20
    assert _told(stuck)[0] == 20
    assert _told([*stuck[:4], None])[0] == 0
    assert _told(stuck[:4])[0] == 4
    assert _told([*days, *reset])[0] == 20
    assert _told([*days, datetime(1980, 1, 6, 3)]) == (1, ["1 photo states 1980-01-06, " + _BEGINS])
    assert _told([*days, datetime(1970, 1, 1, 3), datetime(1970, 1, 1, 3)])[0] == 2
    # A burst, a frame cut into many, and a camera that ran on from its first day.
    assert _told([*(day for day in days for _photo in range(3)), *[DAY + timedelta(hours=5)] * 12])[0] == 0
    assert _told([day for day in days[:8] for _photo in range(12)])[0] == 0
    assert _told([day for day in days[:3] for _photo in range(12)])[0] == 0
    assert _told([*reset, *(time + timedelta(days=1) for time in reset)])[0] == 0
    # In a table somebody wrote it.
    assert _told([*days, *reset], "manifest")[0] == 1
    assert _told(days) == (0, [])
    assert _told([None, None]) == (0, [])


_BEGINS = "the day on which a clock begins that was never set"


def _reset_folder(folder: Path) -> Path:
    """Half of the photos from a clock that was never set; their names know better."""
    for number in range(24):
        for label in "ab":
            day = datetime(2024, 3, 1 + number // 2, 8, number, ord(label) % 60)
            taken = datetime(2000, 1, 1) if number % 2 else day
            photo(folder / label / f"{day:%Y%m%d_%H%M%S}.jpg", taken)
    return folder


def test_times_are_taken_from_where_the_user_says(tmp_path: Path) -> None:
    data = _reset_folder(tmp_path / "data")
    found = {times: certero.scan(data, times=times) for times in ("auto", "ignore", "name", "exif")}
    assert {times: table["captured_at"].null_count() for times, table in found.items()} == {
        "auto": 24,
        "ignore": 48,
        "name": 0,
        "exif": 0,
    }
    assert {times: set(table["captured_from"]) for times, table in found.items()} == {
        "auto": {"exif", None},
        "ignore": {None},
        "name": {"name"},
        "exif": {"exif"},
    }
    for times, rule in (("auto", "copies"), ("ignore", "copies"), ("name", "time"), ("exif", "time")):
        assert certero.plan(data, times=times).separation["rule"] == rule
    with pytest.raises(DataError, match="--times manifest needs a column captured_at"):
        certero.plan(data, times="manifest")
    with pytest.raises(ConfigError, match="--times must be one of auto, ignore, name, exif, manifest; found 'clock'"):
        certero.plan(data, times="clock")
    for function in (certero.scan, certero.audit):
        with pytest.raises(ConfigError, match="--times must be one of"):
            function(data, times="clock")


def test_a_source_without_times_is_refused(tmp_path: Path) -> None:
    for number in range(4):
        photo(tmp_path / "ab"[number % 2] / f"{number}.png")
    for times, said in (("exif", "none of 4 has one"), ("name", "found none among 4 photos"), ("manifest", "has none")):
        with pytest.raises(DataError, match=said):
            certero.scan(tmp_path, times=times)


@pytest.mark.slow
def test_train_says_that_a_clock_was_never_set_and_every_verb_obeys_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = str(_reset_folder(tmp_path / "data")), str(tmp_path / "run")
    assert main(["train", data, "-q", "--dry-run"]) == 0
    assert "24 of 48 photos state the same second, 2000-01-01 00:00:00" in capsys.readouterr().out
    assert main(["train", data, "-q", "-o", run, "--random-splits", "0", "--times", "name"]) == 0
    assert "never set" not in capsys.readouterr().out
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["data"]["time_source"] == {"name": 48}
    assert 'times = "name"' in (tmp_path / "run" / "config.toml").read_text()
    for words in (
        ["evaluate", run, data, "-q", "--times", "exif"],
        ["compare", run, run, "--data", data, "-q", "--no-speed", "--times", "exif"],
        ["audit", data, "-q", "--no-network", "--times", "exif"],
    ):
        assert main([*words, "--json", "-"]) in (0, 2)
        out = capsys.readouterr().out
        if out:
            assert "used as --times asks" in out, words
    assert main(["compare", run, run, "-q", "--times", "exif"]) == 2
    assert "--times speak of --data" in capsys.readouterr().err


def test_zones_in_names_and_times_of_the_future_are_noted(tmp_path: Path) -> None:
    for name in ("20240301T100000Z", "20240301T120000+0200", "20240301T160000Z", "2024-03-01-18-00-00"):
        photo(tmp_path / "a" / f"{name}.png")
        photo(tmp_path / "b" / f"{name}.png")
    photo(tmp_path / "b" / "2098-01-01-00-00-00.png")
    table = certero.scan(tmp_path)
    assert [time.hour for time in table.filter(pl.col("label") == "a")["captured_at"]] == [18, 10, 10, 16]
    notes = certero.plan(tmp_path, times="name", cv=2).notes
    assert "6 names state a time with a zone: shifted to +00:00" in notes
    assert "3 photos state a time without a zone: taken for times of that zone" in notes
    assert "1 photo states a time in the future (2098-01-01 00:00:00)" in notes
