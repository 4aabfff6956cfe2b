"""The help of a verb: grouped, readable at 80 columns, in the reader's language."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from babel.messages.pofile import read_po
from places import ROOT

from certero.cli.main import VERBS, main
from certero.config.panels import PANELS
from certero.language import translate, use_language

_LOCALE = ROOT / "src" / "certero" / "locale" / "es" / "LC_MESSAGES" / "certero.po"


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def _help(verb: str, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert main([verb, "--help", *more]) == 0
    return capsys.readouterr().out


@pytest.mark.usefixtures("columns")
@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("verb", VERBS)
def test_the_help_is_grouped_and_fits_in_80_columns(
    verb: str, language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = _help(verb, capsys, "--lang", language)
    assert max(map(len, text.splitlines())) <= 80
    use_language(language)
    headings = [translate(panel) for panel in PANELS]
    found = re.findall(r"^(\S.*):$", text, re.MULTILINE)
    assert found == [heading for heading in headings if heading in found]
    assert found
    # Every option stands under a heading, and with what it means.
    options = re.findall(r"^  -.*(?:\n {26}.*)*", text, re.MULTILINE)
    assert all(len(" ".join(option.split())) > 12 for option in options)


@pytest.mark.usefixtures("columns")
def test_the_panels_of_train_are_those_that_a_reader_looks_for(capsys: pytest.CaptureFixture[str]) -> None:
    text = _help("train", capsys)
    networks = "Recipes that train a network"
    assert re.findall(r"^(\S.*):$", text, re.MULTILINE) == ["Data", "Split", "Network", networks, "Work", "Output"]
    places = [("Data", "--times"), ("Split", "--cv"), ("Network", "--fit"), (networks, "--lr"), ("Output", "--json")]
    for panel, option in places:
        below = text.partition(f"\n{panel}:\n")[2].partition("\n\n")[0]
        assert f"  {option} " in below


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_list_of_verbs_fits_in_80_columns(language: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help", "--lang", language]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize("verb", [*VERBS, ""])
def test_no_english_is_left_in_the_spanish_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    english = " ".join(_help(verb, capsys, "--lang", "en").split()) if verb else ""
    if verb:
        spanish = " ".join(_help(verb, capsys, "--lang", "es").split())
    else:
        assert main(["--help", "--lang", "es"]) == 0
        spanish = " ".join(capsys.readouterr().out.split())
    with _LOCALE.open("rb") as stream:
        messages = [entry for entry in read_po(stream) if entry.id and isinstance(entry.id, str)]
    shown = [entry for entry in messages if len(entry.id) > 12 and entry.id in (english or spanish)]
    assert [entry.id for entry in shown if entry.id in spanish and entry.id != entry.string] == []
    assert not re.search(r"\b(the|Usage|options|Default|Show|Write)\b", spanish)


def test_the_locale_chooses_the_language_of_the_help() -> None:
    command = [sys.executable, "-m", "certero", "audit", "--help"]
    said = {
        locale: subprocess.run(
            command,
            env={"LC_ALL": locale, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for locale in ("es_MX.UTF-8", "C.UTF-8")
    }
    assert said["es_MX.UTF-8"].startswith("Uso: certero audit DATA [opciones]")
    assert said["C.UTF-8"].startswith("Usage: certero audit DATA [options]")
