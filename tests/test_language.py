"""Every word that people read is in each language; what machines read is English in all of them."""

from __future__ import annotations

import contextvars
import gettext
import io
import json
import os
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from places import ROOT
from report_examples import BEDS, CONFIG, SHOP, beds, metrics_of, pictures, shop, text_of

import certero
from certero import language
from certero.cli.main import main
from certero.cli.terminal.summary import summarise
from certero.engine.threads import Threads
from certero.errors import ConfigError, PhotoError
from certero.interchange import Json
from certero.language import LANGUAGES, translate, use_language
from certero.pipelines.train import Run
from certero.records.metrics import Metrics
from certero.records.stages import STAGES, Stage
from certero.report.page import render
from certero.sentences import in_a_row, message, sentence, sentences

LOCALE = ROOT / "src" / "certero" / "locale"
TRANSLATED = [code for code in LANGUAGES if code != "en"]


@pytest.fixture(autouse=True)
def english_again() -> Iterator[None]:
    yield
    use_language("en")


def marked() -> list[str]:
    """What `make catalogue` takes for a mark of a message."""
    found = re.search(r"^MARKS := ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert found is not None
    return found[1].replace("\\\n", " ").split()


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> set[str | tuple[str, ...]]:
    """What is to be translated, as Babel finds it in the code and the templates now."""
    found = tmp_path_factory.mktemp("catalogue") / "certero.pot"
    command = [sys.executable, "-m", "babel.messages.frontend", "--quiet", "extract", "--mapping", "babel.cfg"]
    marks = " ".join(marked())
    subprocess.run([*command, "--keywords", marks, "--output", str(found), "src/certero"], cwd=ROOT, check=True)
    return _ids(_catalogue(found))


@pytest.mark.parametrize("code", TRANSLATED)
def test_no_message_is_missing_from_a_catalogue(code: str, messages: set[str | tuple[str, ...]]) -> None:
    assert len(messages) > 300
    catalogue = _catalogue(_po(code))
    hint = "run make catalogue and translate what is new"
    assert messages - _ids(catalogue) == set(), hint
    assert _ids(catalogue) - messages == set(), hint
    assert _ids(_catalogue(LOCALE / "certero.pot")) == messages, hint


@pytest.mark.parametrize("code", TRANSLATED)
def test_no_message_is_untranslated_or_guessed(code: str) -> None:
    for entry in _catalogue(_po(code)):
        forms = entry.string if isinstance(entry.string, tuple) else (entry.string,)
        assert all(forms), entry.id
        assert not entry.fuzzy or not entry.id, entry.id


@pytest.mark.parametrize("code", TRANSLATED)
def test_translations_keep_the_placeholders(code: str) -> None:
    for entry in _catalogue(_po(code)):
        if not entry.id:
            continue
        ids = entry.id if isinstance(entry.id, tuple) else (entry.id,)
        forms = entry.string if isinstance(entry.string, tuple) else (entry.string,)
        assert len(ids) == len(forms), entry.id
        assert _placeholders(ids[-1]) == _placeholders(forms[-1]), entry.id
        assert _placeholders(forms[0]) <= _placeholders(*ids), entry.id
        for form in forms:  # a lone percent sign would stop the report
            assert re.sub(r"%%|%\(\w+\)(\.\d)?[dfgrs]", "", form).count("%") == 0 or not _placeholders(*ids), form
        assert ids[0][:1].isspace() == forms[0][:1].isspace(), entry.id


@pytest.mark.parametrize("code", TRANSLATED)
def test_the_compiled_catalogue_is_that_of_the_source(code: str) -> None:
    compiled = io.BytesIO()
    write_mo(compiled, _catalogue(_po(code)))
    compiled.seek(0)
    fresh = gettext.GNUTranslations(compiled)
    with _po(code).with_suffix(".mo").open("rb") as stream:
        stored = gettext.GNUTranslations(stream)
    # The header names the version of Babel that wrote it; of the header only the plural forms matter.
    assert stored.info()["plural-forms"] == fresh.info()["plural-forms"]
    messages, wanted = ({**each._catalog} for each in (stored, fresh))  # type: ignore[attr-defined]
    del messages[""], wanted[""]
    assert messages == wanted, "run make catalogue"


class _Brackets(gettext.NullTranslations):
    """A catalogue in which every message says that it was looked up."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"

    def ngettext(self, one: str, many: str, count: int) -> str:
        return f"⟦{one if count == 1 else many}⟧"


def _examples() -> list[Json]:
    seen = {"exact": 300, "near": None, "reason": sentence("near copies"), "unseen": shop()["test"], "paths": []}
    copies = {"rule": "copies", "description": sentence("copies kept together"), "units": 9}
    decay = beds()["separation"] | {
        "rule": "time",
        "description": sentence("as asked"),
        "decay": [[5, 0.9], [60, 0.7], [480, 0.5]],
    }
    quiet = {"notes": [sentence("%(split)s was cut from train", split="val")], "separation": decay}
    return [
        beds() | quiet,
        shop() | {"separation": copies | {"decay": []}, "decide": 0.5, "openings": 1},
        metrics_of(None, SHOP) | {"separation": copies},
        shop() | {"seen": seen, "evaluation": "evaluate", "separation": copies},
        shop() | {"seen": seen | {"exact": 9, "unseen": None}, "evaluation": "evaluate", "separation": copies},
    ]


@pytest.mark.parametrize("example", range(5))
def test_every_word_of_a_report_and_of_the_results_is_looked_up(example: int, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = _examples()[example]
    # A language that nobody speaks shows what was looked up; it has no catalogue on disk.
    monkeypatch.setattr(language, "_read", lambda _code: _Brackets())
    page = render(Metrics.from_json(metrics), {}, pictures(metrics["data"]["classes"], 4))
    for machine in (
        r'<span class="path">.*?</span>',
        r'<td class="path">.*?</td>',
        r'<t(d|able) [^>]*lang="en".*?</t\1>',
    ):
        page = re.sub(machine, "", page, flags=re.DOTALL)
    shown = [
        *re.findall(r'(?:aria-label|data-name)="([^"]*)"', page),
        text_of(page),
        *summarise(Metrics.from_json(metrics)),
    ]
    data = " ".join([*metrics["data"]["classes"], metrics["data"]["name"], json.dumps(metrics["model"])])
    data += json.dumps([metrics["versions"], metrics["requirements"], metrics["test"] and metrics["test"]["slices"]])
    data += " certero EXIF min txt beds metrics json"
    left = re.findall(r"[^\W\d_]{3,}", " ".join(_outside(text) for text in shown))
    assert [word for word in left if word not in data] == []


def _outside(text: str) -> str:
    """What stands in no bracket."""
    depth, kept = 0, []
    for letter in text:
        depth += (letter == "⟦") - (letter == "⟧")
        kept.append(letter if depth == 0 else " ")
    return "".join(kept)


def test_the_spanish_report_says_so_and_speaks_spanish() -> None:
    use_language("es")
    page = render(Metrics.from_json(beds()), CONFIG, pictures(BEDS, 2))
    assert '<html lang="es">' in page
    text = text_of(page)
    assert "¿Qué muestra una foto: empty, lying, standing?" in text
    assert "a la larga se clasifican bien unas 88 de cada 100 fotos (intervalo del 95 %: de 83 a 92)." in text
    for heading in ("¿Se puede confiar en esta cifra?", "Dónde falla", "Qué hacer ahora", "Cómo se midió"):
        assert heading in text
    use_language("en")
    assert "Where it fails" in render(Metrics.from_json(beds()), CONFIG)


def test_every_stage_has_a_name_in_spanish() -> None:
    assert set(STAGES) == set(get_args(Stage))
    use_language("es")
    assert [stage for stage, said in STAGES.items() if translate(said) == stage] == []


def test_a_sentence_is_english_in_json_and_translated_for_people() -> None:
    inner = sentence("as asked")
    whole = sentences(
        "%(count)d photo %(status)s: %(reason)s",
        "%(count)d photos %(status)s: %(reason)s",
        count=2,
        status=sentence("purged"),
        reason=inner,
    )
    assert json.loads(json.dumps([whole])) == ["2 photos purged: as asked"]
    assert str(sentences("%(count)d photo", "%(count)d photos", count=1)) == "1 photo"
    use_language("es")
    for text in (whole, pickle.loads(pickle.dumps(whole))):
        assert translate(text) == "2 fotos excluidas por cercanía: como se pidió"
    assert translate("a text of nobody") == "a text of nobody"
    assert translate("") == ""


def test_what_is_no_message_is_not_translated() -> None:
    """A class may be called as a message is: `train`, `group`, `brightness`."""
    use_language("es")
    for label in ("train", "group", "brightness"):
        assert translate(message(label)) != label
        assert translate(label) == label
        said = sentence(
            "class %(label)s lies in one %(unit)s: never both trained and tested", label=label, unit="group"
        )
        assert f" {label} " in translate(said)
        assert "group" in translate(said)
        assert "grupo" in translate(sentence(said.one, label=label, unit=message("group")))
    assert translate(in_a_row([message("train"), "train"])) == "entrenamiento, train"
    error = ConfigError("--case %(case)s: %(error)s", case="dark", error=PhotoError("the file is empty"))
    assert str(error) == "--case dark: the file is empty"
    assert translate(error) == "--case dark: el archivo está vacío"


def test_each_context_has_a_language_of_its_own() -> None:
    """Two visitors of one server, at once; and the threads of an engine speak as the one that gave them work."""
    met = threading.Barrier(2)

    def visit(code: str) -> list[str]:
        use_language(code)
        met.wait()
        return [
            language.language(),
            translate(sentence("the file is empty")),
            *Threads(2).map(translate, [message("the file is empty")] * 3),
            contextvars.copy_context().run(translate, message("the file is empty")),
        ]

    with ThreadPoolExecutor(2) as pool:
        spanish, english = pool.map(visit, ["es", "en"])
    assert spanish == ["es", *["el archivo está vacío"] * 5]
    assert english == ["en", *["the file is empty"] * 5]
    assert language.language() == "en"


def test_the_locale_chooses_and_the_option_beats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(variable, raising=False)
    assert use_language() == "en"
    monkeypatch.setenv("LANG", "es_MX.UTF-8")
    assert use_language() == "es"
    assert use_language("en") == "en"
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert use_language() == "en"
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert use_language() == "en"
    with pytest.raises(ConfigError, match="en, es; found 'de'"):
        use_language("de")


@pytest.mark.parametrize(("verb", "more"), [("train", []), ("evaluate", ["x"]), ("predict", ["x"]), ("demo", [])])
def test_an_unknown_language_costs_one_line_and_no_work(
    verb: str, more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [verb, *([] if verb == "demo" else ["missing"]), *more, "--lang", "de"]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err == "ConfigError: --lang must be one of en, es; found 'de'.\n"
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_results_speak_the_language_and_json_does_not(small_run: Run, small_barn: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    spanish = certero.evaluate(small_run.path, small_barn / "beds.csv", lang="es", report=report)
    assert any("ADVERTENCIA" in line for line in summarise(Metrics.from_json(spanish)))
    assert '<html lang="es">' in report.read_text("utf-8")
    english = certero.evaluate(small_run.path, small_barn / "beds.csv", lang="en")
    for metrics in (spanish, english):
        del metrics["seconds"], metrics["openings"]
    assert json.dumps(spanish) == json.dumps(english)


def test_a_process_takes_its_language_from_the_locale(small_run: Run, small_barn: Path) -> None:
    photo = next((small_barn / "beds" / "lying").iterdir())
    command = [sys.executable, "-m", "certero", "predict", str(small_run.path), str(photo)]
    heads = {}
    for locale, options in (("es_MX.UTF-8", []), ("C.UTF-8", []), ("C.UTF-8", ["--lang", "es"])):
        done = subprocess.run(
            [*command, *options], env=os.environ | {"LC_ALL": locale}, capture_output=True, text=True, check=True
        )
        heads[locale, *options] = done.stdout.split("\n")[0].split()
    assert heads["es_MX.UTF-8",] == heads["C.UTF-8", "--lang", "es"] == ["foto", "clase", "probabilidad"]
    assert heads["C.UTF-8",] == ["photo", "label", "probability"]


def _po(code: str) -> Path:
    return LOCALE / code / "LC_MESSAGES" / "certero.po"


def _catalogue(file: Path) -> Catalog:
    with file.open("rb") as stream:
        return read_po(stream)


def _ids(catalogue: Catalog) -> set[str | tuple[str, ...]]:
    return {tuple(m.id) if isinstance(m.id, (tuple, list)) else m.id for m in catalogue if m.id}


def _placeholders(*texts: str) -> set[str]:
    return {found for text in texts for found in re.findall(r"%\((\w+)\)", text)}
