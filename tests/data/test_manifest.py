"""Manifests as spreadsheets and tools write them: read, or one sentence that is true, with the line."""

from __future__ import annotations

import unicodedata
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from certero.data.scan import list_photos
from certero.errors import DataError

ROWS = [("img/p0.jpg", "red"), ("img/p1.jpg", "blue"), ("img/p2.jpg", "red")]
PLAIN = "path,label\n" + "".join(f"{path},{label}\n" for path, label in ROWS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "img").mkdir()
    for number in range(4):
        Image.new("RGB", (8, 6), (60 * number, 0, 0)).save(tmp_path / "img" / f"p{number}.jpg")
    return tmp_path


def _listed(folder: Path, data: str | bytes, name: str = "photos.csv") -> list[tuple[str, str]]:
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return list(list_photos(folder / name).table.select("path", "label").iter_rows())


def _refused(folder: Path, data: str | bytes, name: str = "photos.csv") -> str:
    with pytest.raises(DataError) as caught:
        _listed(folder, data, name)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 500
    for word in ("truncate_ragged_lines", "polars", "row_offset", "ignore_errors", "schema", "dtype"):
        assert word not in text.lower()
    return text


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        "sep=,\n" + PLAIN,
        "sep=;\n" + PLAIN.replace(",", ";"),
        '"sep=\t"\r\n' + PLAIN.replace(",", "\t").replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.rstrip(),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", "|"),
        PLAIN + ",,\n,,,\n \t,\n",
        "\n\n" + PLAIN + "\n",
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-16-le"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        PLAIN.encode("utf-32"),
        PLAIN.replace("path,label", " Path , LABEL "),
        PLAIN.replace("path,label", "filename,class"),
        PLAIN.replace("path,label", "Image Path,Category"),
        PLAIN.replace("path,label", "ruta,Etiqueta"),
        PLAIN.replace("path,label", '"path","label"').replace("img/", "img\\"),
        "label;size;path\n" + "".join(f'{label};0,5 "x";{path}\n' for path, label in ROWS),
        "label;size, cm;path\n" + "".join(f"{label};0,5;{path}\n" for path, label in ROWS),
        ",path,label\n" + "".join(f"{row},{path},{label}\n" for row, (path, label) in enumerate(ROWS)),
        "path,label,note\n" + "".join(f'{path},{label},"two\nlines, ""quoted"""\n' for path, label in ROWS),
        "path,label,group\n" + "".join(f"{path},{label}\n" for path, label in ROWS),
    ],
)
def test_what_spreadsheets_write_is_read(folder: Path, data: str | bytes) -> None:
    assert _listed(folder, data) == ROWS


def test_a_quotation_mark_within_a_cell_is_a_sign_like_any_other(folder: Path) -> None:
    assert _listed(folder, 'path,label\nimg/p0.jpg,6" red\nimg/p1.jpg,"7"" red"\n') == [
        *(("img/p0.jpg", '6" red'), ("img/p1.jpg", '7" red'))
    ]


def test_absolute_paths_inside_the_folder_are_taken(folder: Path) -> None:
    absolute = "".join(f"{(folder / path).resolve()},{label}\n" for path, label in ROWS)
    assert _listed(folder, "path,label\n" + absolute) == ROWS
    (folder.parent / "linked").unlink(missing_ok=True)
    (folder.parent / "linked").symlink_to(folder)
    assert _listed(folder.parent / "linked", "path,label\n" + absolute) == ROWS
    for outside in ("/etc/hosts", r"C:\photos\a.jpg", "../other/a.jpg", "..\\a.jpg"):
        text = _refused(folder, f"path,label\n{outside},red\n")
        assert f"line 2: {outside}" in text
        assert str(folder) in text


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_are_found_however_they_are_written(folder: Path, form: str) -> None:
    other = "NFD" if form == "NFC" else "NFC"
    name = unicodedata.normalize(form, "mañana.jpg")
    (folder / "img" / "p0.jpg").rename(folder / "img" / name)
    (folder / "m.csv").write_text(f"path,label\nimg/{unicodedata.normalize(other, name)},é\n", "utf-8")
    photos = list_photos(folder / "m.csv")
    assert all(path.exists() for path in photos.paths())
    assert photos.classes() == ["é"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("path,label\nimg/p0.jpg,red,big\nimg/p1.jpg,blue\n", "1 row (first: line 2: 3 cells) with more"),
        ('path,label\nimg/p0.jpg,red\nimg/p1.jpg,"6 red\nimg/p2.jpg,red\n', "line 3: it is not"),
        ('sep=,\npath,label\nimg/p0.jpg,"6" red\n', "line 3: it is not"),
        ('path,label,note\nimg/p0.jpg,red,"a\nb"\nimg/p9.jpg,red,\n', "line 4: img/p9.jpg"),
        ("path,label,Label\nimg/p0.jpg,red,blue\n", "has Label twice"),
        ("path,label,x,x\nimg/p0.jpg,red,1,2\n", "has x twice"),
        ("path,label,captured at,captured_at\nimg/p0.jpg,red,,\n", "captured at, captured_at, which are one"),
        ("image,file,label\nimg/p0.jpg,img/p0.jpg,red\n", "Rename one of image, file to path"),
        ("path,class,category\nimg/p0.jpg,1,red\n", "Rename one of class, category to label"),
        ("picture_id,kind\nimg/p0.jpg,red\n", "lacks path and label (found: picture_id, kind)"),
        ("path,label\nimg/p0,red\n", "line 2: img/p0) without a file in"),
        ("path,label\nimg/p0,red\n", "img/p0.jpg is there: write whole names"),
        ("path,label\nimg,red\n", "line 2: img) without a file in"),
        ("img/p0.jpg,red\nimg/p1.jpg,blue\n", "add a header line path,label"),
        (
            "path,label\nimg/p0.jpg,red|round\nimg/p1.jpg,blue\n",
            "one label a photo; photos.csv has 1 row (first: line 2",
        ),
        ("path,label\nimg/p0.jpg,\"['red', 'round']\"\nimg/p1.jpg,blue\n", "one label a photo"),
        ('path,label\nimg/p0.jpg,"red;round"\nimg/p1.jpg,red\nimg/p2.jpg,"blue;round"\n', "one label a photo"),
        ("sep=;\n", "lacks path"),
        ("\n\n", "is empty"),
        (";;;\n,,\n", "is empty"),
        ("path,label\n,,\n", "has no rows"),
        ("path,label,split\nimg/p0.jpg,red,zeta\n", "line 2: zeta"),
        ("path,label\nimg/p0.jpg,año\n".encode("latin-1"), "line 2 holds the byte 0xf1. Save it as CSV UTF-8"),
        ("path,label\rimg/p0.jpg,red\rimg/p1.jpg,año\r".encode("cp1252"), "line 3 holds the byte 0xf1"),
        (PLAIN.encode("utf-16")[:-1], "begins as UTF-16 and is none"),
        (b"path,label\n" + bytes(300) + PLAIN.encode(), "zero bytes"),
        (b"PK\x03\x04" + bytes(40), "Save as, CSV UTF-8"),
        (b"PAR1" + bytes(40), "cannot be read as one"),
        ("x" * 100_000, "(found: xxxxx"),
    ],
)
def test_what_cannot_be_read_is_one_true_line(folder: Path, data: str | bytes, said: str) -> None:
    assert said in _refused(folder, data)


def test_commas_in_the_names_of_classes_are_no_list(folder: Path) -> None:
    rows = [("img/p0.jpg", "maillot"), ("img/p1.jpg", "maillot, tank suit"), ("img/p2.jpg", "crane, bird")]
    assert _listed(folder, "path;label\n" + "".join(f"{path};{label}\n" for path, label in rows)) == rows


def test_a_column_of_another_name_is_noted_and_one_without_is_too(folder: Path) -> None:
    (folder / "m.csv").write_text("filename,class,,\nimg/p0.jpg,red,x,\nimg/p1.jpg,blue,,\n")
    photos = list_photos(folder / "m.csv")
    assert photos.notes == (
        "column 3 of the manifest has no name and is not used",
        "column filename of the manifest is read as path",
        "column class of the manifest is read as label",
    )
    assert len(photos.table.columns) == 19


def test_columns_called_like_certero_s_own_are_kept_apart(folder: Path) -> None:
    names = ["width", "manifest_width", "status", "row", "used", "named", "copy", "camera"]
    text = (
        f"path,label,{','.join(names)}\nimg/p0.jpg,red,{','.join('abcdefgh')}\nimg/p1.jpg,blue,{','.join('abcdefgh')}\n"
    )
    (folder / "m.csv").write_text(text)
    table = list_photos(folder / "m.csv").table
    further = dict(zip(table.columns[19:], table.row(0)[19:], strict=True))
    assert further == {
        "manifest_manifest_width": "a",
        "manifest_width": "b",
        "manifest_status": "c",
        "manifest_row": "d",
        "manifest_used": "e",
        "manifest_named": "f",
        "manifest_copy": "g",
        "camera": "h",
    }
    import certero

    assert certero.scan(folder / "m.csv").height == 2


def test_parquet_is_read_whatever_its_types_or_refused_in_words(folder: Path) -> None:
    paths = [path for path, _label in ROWS]
    base = pl.DataFrame({"path": paths, "label": pl.Series(["a", "b", "a"], dtype=pl.Categorical)})
    times = pl.Series(
        "captured_at", [datetime(2024, 3, 1, 10), None, datetime(2024, 3, 1, 12)], dtype=pl.Datetime("ms")
    )
    spans = pl.Series("span", [timedelta(1), None, timedelta(2)])
    base.with_columns(times, pl.Series("boxes", [[1], [2], []]), pl.Series("bytes", [b"x"] * 3), spans).write_parquet(
        folder / "m.parquet"
    )
    photos = list_photos(folder / "m.parquet")
    assert photos.classes() == ["a", "b"]
    assert photos.table["captured_at"].to_list() == times.to_list()
    assert photos.table["span"].to_list() == ["1 day, 0:00:00", None, "2 days, 0:00:00"]
    assert [note for note in photos.notes if "not used" in note] == [
        "column boxes of the manifest holds lists and is not used",
        "column bytes of the manifest holds bytes and is not used",
    ]
    base.with_columns(pl.Series("label", [1, 2, 1])).write_parquet(folder / "n.parquet")
    assert list_photos(folder / "n.parquet").classes() == ["1", "2"]
    # Whatever it is called.
    assert _listed(folder, (folder / "n.parquet").read_bytes(), "o.csv")[0] == ("img/p0.jpg", "1")
    base.with_columns(pl.Series("label", [["a", "b"], ["b"], ["a"]])).write_parquet(folder / "p.parquet")
    text = _refused(folder, (folder / "p.parquet").read_bytes(), "p.parquet")
    assert "holds lists. certero knows one label a photo" in text
    base.with_columns(pl.Series("path", [*paths[:2], "img/p9.jpg"])).write_parquet(folder / "q.parquet")
    assert "row 3: img/p9.jpg" in _refused(folder, (folder / "q.parquet").read_bytes(), "q.parquet")
    assert "cannot be read as one" in _refused(folder, (folder / "q.parquet").read_bytes()[:-9], "r.parquet")
    assert "cannot be read as one" in _refused(folder, PLAIN, "s.parquet")


@pytest.mark.parametrize("name", ["photos.xlsx", "photos.XLS", "photos.ods"])
def test_a_spreadsheet_is_told_how_to_become_a_manifest(folder: Path, name: str) -> None:
    assert "Save as, CSV UTF-8" in _refused(folder, b"PK\x03\x04" + bytes(40), name)
