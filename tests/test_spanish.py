"""A Spanish run of every verb shows no English.

Two nets: an English message's own words in what is shown; and a line that reads the same as in the English run.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from places import ROOT
from report_examples import text_of
from tiny_network import TINY

from certero.cli.main import VERBS, main
from certero.language import use_language
from certero.pipelines.train import Run

PO = ROOT / "src" / "certero" / "locale" / "es" / "LC_MESSAGES" / "certero.po"
# Two words in a row: one alone may be a name, an option or a word of both languages.
_WORDS = re.compile(r"[a-z]{2,}[^\W\d_]* [a-z]{2,}", re.IGNORECASE)
# Equal in both languages: a command to type; an option and its choices, which are words to type; a photo, the class
# that somebody named, and its probability.
_TYPED = re.compile(r"certero [a-z]+( .*)?|--[\w-]+ \S+|\S*/\S+ \w+ \d\.\d+")

Said = Callable[..., tuple[str, str]]


@pytest.fixture(autouse=True)
def english_again() -> Iterator[None]:
    yield
    use_language("en")


def english_texts() -> list[str]:
    """What stands between the values of each message whose Spanish is another, where it is two words or more."""
    with PO.open("rb") as stream:
        catalogue = [entry for entry in read_po(stream) if entry.id]
    spanish = "\n".join(form for entry in catalogue for form in _forms(entry.string))
    found = set()
    for entry in catalogue:
        for text in _forms(entry.id):
            for part in re.split(r"%\(\w+\)[.\d]*[a-z]|\{\w+[^}]*\}", text.replace("%%", "%")):
                part = " ".join(part.split()).strip(" .,:;()'\"")
                if _WORDS.search(part) and part not in spanish and len(part) > 7:
                    found.add(part)
    return sorted(found)


def _forms(text: object) -> Sequence[str]:
    return [str(each) for each in text] if isinstance(text, tuple | list) else [str(text)]


ENGLISH = english_texts()


def find_english(shown: str) -> list[str]:
    """Texts of English messages in what is shown, spaces and ends of lines put aside."""
    flat = " ".join(shown.split())
    return [text for text in ENGLISH if re.search(rf"(?<!\w){re.escape(text)}(?!\w)", flat)]


def find_equal(spanish: str, english: str) -> list[str]:
    """Lines with words that both runs show."""
    known = {" ".join(line.split()) for line in english.splitlines()}
    lines = (" ".join(line.split()) for line in spanish.splitlines())
    return [line for line in lines if line in known and _WORDS.search(line) and not _TYPED.fullmatch(line)]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """Runs a command in English and in Spanish, each in a folder of its own; gives what both show."""

    def run(*words: object, code: int = 0) -> tuple[str, str]:
        shown = {}
        for language in ("en", "es"):
            place = tmp_path / language
            place.mkdir(exist_ok=True)
            monkeypatch.chdir(place)
            assert main([*map(str, words), "--lang", language]) == code
            captured = capsys.readouterr()
            shown[language] = captured.out + captured.err
        return shown["es"], shown["en"]

    return run


def check(shown: tuple[str, str]) -> None:
    spanish, english = shown
    assert spanish.strip()
    assert find_english(english), "the English run shows messages: else this test looks at nothing"
    assert find_english(spanish) == []
    assert find_equal(spanish, english) == []


def check_pages(folder: Path) -> None:
    pages = list(folder.rglob("*.html"))
    assert pages
    for page in pages:
        shown = re.sub(r'<(\w+)[^>]*lang="en"[^>]*>.*?</\1>', " ", page.read_text("utf-8"), flags=re.DOTALL)
        assert find_english(text_of(shown)) == [], page


@pytest.fixture(scope="module")
def odd_photos(small_barn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beds, some photos of which are cut short, empty, misnamed, copied, or no photos."""
    folder = tmp_path_factory.mktemp("odd") / "beds"
    shutil.copytree(small_barn / "beds", folder)
    lying, empty = (sorted((folder / name).glob("*.jpg")) for name in ("lying", "empty"))
    lying[0].write_bytes(lying[0].read_bytes()[:-2000])
    lying[1].write_bytes(b"")
    lying[2].write_bytes(b"<html>")
    lying[3].write_bytes(b"%PDF-1.4 and so on")
    lying[4].write_bytes(lying[4].read_bytes()[:-2])
    lying[5].write_bytes(lying[5].read_bytes() + b"more")
    shutil.copy(lying[6], folder / "empty" / "copy.jpg")
    empty[0].rename(empty[0].with_suffix(".png"))
    (folder / "lying" / "notes.txt").write_text("not a photo")
    (folder / "lying" / "raw.dng").write_bytes(b"II*\0")
    (folder / "standing2").mkdir()
    return folder


def test_the_nets_hold() -> None:
    assert len(ENGLISH) > 500
    assert find_english("DataError: DATA debe ser algo; x does not exist. Check the path.") != []
    assert find_equal("a line of words\nuna línea", "a line of words") == ["a line of words"]


@pytest.mark.parametrize("verb", VERBS)
def test_help(verb: str, said: Said) -> None:
    check(said(verb, "--help"))


def test_the_first_help(said: Said) -> None:
    check(said("--help"))


def test_audit(odd_photos: Path, said: Said, tmp_path: Path) -> None:
    check(said("audit", odd_photos, "--no-network", "--report", "audit.html"))
    check_pages(tmp_path / "es")


def test_plan(odd_photos: Path, said: Said) -> None:
    check(said("train", odd_photos, "--dry-run"))


@pytest.mark.slow
def test_train_a_probe(odd_photos: Path, said: Said, tmp_path: Path) -> None:
    check(said("train", odd_photos, "--output", "run", "--random-splits", 1))
    check_pages(tmp_path / "es")


@pytest.mark.slow
@pytest.mark.networks
def test_train_a_network(small_barn: Path, said: Said, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    check(said("train", small_barn / "beds", "--recipe", recipe, "--output", "run"))
    check_pages(tmp_path / "es")


@pytest.mark.slow
def test_evaluate(small_run: Run, odd_photos: Path, said: Said, tmp_path: Path) -> None:
    check(said("evaluate", small_run.path, odd_photos, "--report", "report.html"))
    check_pages(tmp_path / "es")


@pytest.mark.slow
def test_compare(small_run: Run, said: Said, tmp_path: Path) -> None:
    check(said("compare", small_run.path, small_run.path, "--report", "compared.html"))
    check_pages(tmp_path / "es")


def test_value(small_run: Run, said: Said, tmp_path: Path) -> None:
    check(said("value", small_run.path, "--case", "farm", "--report", "value.html"))
    check_pages(tmp_path / "es")


def test_predict(small_run: Run, odd_photos: Path, said: Said) -> None:
    check(said("predict", small_run.path, odd_photos / "lying"))


def test_doctor_and_cache(said: Said) -> None:
    check(said("doctor"))
    check(said("cache", "show"))


@pytest.mark.slow
def test_demo(said: Said, tmp_path: Path) -> None:
    check(said("demo", "--output", "demo", "--no-open"))
    check_pages(tmp_path / "es")


MISTAKES = (
    "nonsense",
    "trian x",
    "train",
    "train x",
    "train x y",
    "train x --nope",
    "train x --epoc 3",
    "train x --epochs three",
    "train x --epochs",
    "train x --strict=3",
    "train x --cv 1",
    "train x --block 1x",
    "train x --recipe none.toml",
    "train x --class-weights a=b",
    "train x --require nonsense",
    "train x --resume y",
    "audit x",
    "evaluate x y",
    "evaluate x",
    "compare x",
    "value x",
    "value --case none.toml",
    "value",
    "predict x y",
    "predict x",
    "cache prune",
    "cache nonsense",
    "demo --seed x",
    "doctor --nope",
)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake(mistake: str, said: Said) -> None:
    check(said(*mistake.split(), code=2))
