"""The report says what was measured, plainly, in one file that needs nothing else."""

from __future__ import annotations

import copy
import html.parser
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_examples import (
    BEDS,
    CONFIG,
    SHOP,
    beds,
    body_of,
    metrics_of,
    nulls,
    pictures,
    quantity,
    shop,
    text_of,
)

from certero.errors import OutputError
from certero.interchange import Json
from certero.records.metrics import Metrics
from certero.records.photo_counts import SeparationFacts
from certero.records.quantity import Quantity
from certero.records.scores import Confusion, Scores
from certero.report import charts, figures, page
from certero.report.page import MOST_ON_PAPER, MOST_PICTURES, write_report
from certero.report.pictures import NO_PICTURES, Gallery, thumbnail
from certero.stats.requirements import judge, parse_requirement
from certero.stats.scores import Resamples, score


def render(metrics: Json, config: Json, gallery: Gallery = NO_PICTURES) -> str:
    """The report on stored metrics."""
    return page.render(Metrics.from_json(metrics), config, gallery)


class Balance(html.parser.HTMLParser):
    """Fails on a tag that is closed wrongly or left open; keeps every address the page names."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        # Places on the page itself are no addresses.
        self.addresses = [address for address in self.addresses if not address.startswith("#")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing at {self.getpos()}"


def parse(page: str) -> Balance:
    parser = Balance()
    parser.feed(page)
    parser.close()
    assert not parser.open
    return parser


@pytest.mark.parametrize("metrics", [shop(), beds()], ids=["shop", "beds"])
def test_the_report_is_one_well_formed_file_that_asks_for_nothing(metrics: Json, tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    write_report(output, metrics=Metrics.from_json(metrics), config=CONFIG, gallery=pictures(BEDS, 30))
    page = output.read_text(encoding="utf-8")
    parsed = parse(page)
    assert "script" not in parsed.seen
    assert "link" not in parsed.seen
    # The first mistakes are shown again on the summary for paper.
    assert len(parsed.addresses) == MOST_PICTURES + MOST_ON_PAPER
    assert all(address.startswith("data:image/jpeg;base64,") for address in parsed.addresses)
    assert "http://" not in page
    assert "https://" not in page
    assert "url(" not in page
    assert "default-src 'none'" in page
    assert output.stat().st_size < 1_500_000
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_answer_comes_first_with_its_interval_and_the_plain_guess() -> None:
    text = text_of(render(beds(), CONFIG))
    assert "Which of empty, lying, standing does a photo show?" in text
    assert (
        "On other hours of these days, about 88 of every 100 photos are named rightly in the long run "
        "(95 % interval 83 to 92)."
    ) in text
    assert "Weakest of 3 classes: standing. Of its 15 photos 33 % were found (no interval)." in text
    assert "Always guessing the most frequent class (empty) gives 67.6 %." in text
    assert text.index("of every 100 photos") < text.index("A random split would claim 97.4 %")
    assert "Which of 36 classes does a photo show?" in text_of(render(shop(), CONFIG))


def test_the_report_answers_in_the_order_a_reader_asks() -> None:
    page = render(beds(), CONFIG, pictures(BEDS, 12))
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == [
        "What people ask",
        "Can this figure be trusted?",
        "Where it fails",
        "What to do next",
        "How it was measured",
    ]
    text = text_of(page)
    order = [
        text.index(words)
        for words in ("of every 100 photos", "Can this figure be trusted", "What it gets wrong", "Class by")
    ]
    assert order == sorted(order)


def test_the_optimism_of_a_random_split_is_said_in_points_and_only_when_clear() -> None:
    flattering = text_of(render(beds(), {}))
    assert "would have claimed 97.4 %, 9.5 points more (difference 5.5 to 13.5 points)" in flattering
    unclear = text_of(render(shop(), {}))
    assert "A random split makes no clear difference." in unclear
    assert "(difference −0.4 to 3.0 points)" in unclear
    assert "too much" not in unclear
    below = metrics_of(beds()["test"], BEDS, optimism_of_random_split=quantity(-0.03, None))
    assert "3.0 points less" in text_of(render(below, {}))
    absent = metrics_of(beds()["test"], BEDS, random_split_accuracy=None, optimism_of_random_split=None)
    assert "random split" not in text_of(render(absent, {}))


def test_the_page_states_its_own_size() -> None:
    for metrics, shown in ((shop(), 24), (beds(), 0)):
        page = render(metrics, CONFIG, pictures(BEDS, shown))
        size = len(page.encode())
        stated = re.search(r"This page is (\d+) kB", text_of(page))
        assert stated is not None
        assert 0 <= 1000 * int(stated[1]) - size < 1000


def test_every_figure_of_a_chart_is_drawn_where_it_lies() -> None:
    body = beds()["test"]
    page = render(metrics_of(body, BEDS, random_split_accuracy=quantity(0.974, 0.01)), {})
    chart = page[page.index('class="dots"') :]
    axis = charts.dots_axis(charts.answer_dots(Scores.from_json(body), Quantity.from_json(quantity(0.974, 0.01))))
    assert axis.marks == (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    places = [float(place) for place in re.findall(r'class="dot" d="M([\d.]+)', chart)[:3]]
    expected = [body["accuracy"]["value"], 0.974, body["majority_class_accuracy"]["value"]]
    assert places == pytest.approx([200 * (share - 0.5) for share in expected], abs=0.01)


def test_the_axis_holds_what_is_drawn_on_it() -> None:
    for lowest in (0.0, 0.3, 0.5, 0.76, 0.9, 0.951, 0.985, 1.0):
        axis = charts.share_axis([lowest, 1.0, None])
        assert axis.low <= lowest
        assert axis.marks[0] == axis.low
        assert axis.marks[-1] == 1.0
        assert 0 <= axis.place(lowest) <= 100
        assert len({words for _place, words in charts.mark_words(axis)}) == len(axis.marks)


def test_the_reliability_diagram_shows_what_the_scorer_measured() -> None:
    random = np.random.default_rng(5)
    probabilities = random.dirichlet([0.4, 0.4, 0.4], 300)
    truth = np.array([random.choice(3, p=row) for row in probabilities])
    body = score(probabilities, truth, BEDS, resamples=Resamples(50))
    assert sum(row.n for row in body.reliability) == sum(row.n for row in body.levels) == 300
    dots = charts.level_dots(body.levels)
    assert [dot.n for dot in dots] == [row.n for row in body.levels]
    assert [dot.stated for dot in dots] == [row.confidence for row in body.levels]
    page = render(metrics_of(body.to_json(), BEDS), {})
    assert page.count('class="stated"') == len(dots)
    assert re.search(r"Where the model says about \d+ %, it is right in \d+ % \(\d+ photos\)", text_of(page))
    assert charts.level_dots([]) == []


def test_what_was_not_calibrated_is_not_said_to_be() -> None:
    metrics = beds()
    metrics["calibration"] = {"reason": "too few photos", "temperature": 1.0}
    assert "What it says was calibrated" not in text_of(render(metrics, {}))


def test_the_fading_of_likeness_is_drawn_where_time_separates() -> None:
    decay = [[5, 0.86], [60, 0.72], [720, 0.54]]
    timed = beds()["separation"] | {"decay": decay}
    page = render(beds() | {"separation": timed}, {})
    assert page.count("<circle") == len(decay)
    assert "one block" in page
    chart = charts.decay_chart(SeparationFacts.from_json(timed))
    assert chart is not None
    assert [x for x, _y in chart.points] == sorted(x for x, _y in chart.points)
    assert (chart.points[0][0], chart.points[-1][0]) == (0, 100)
    assert [words.replace("\u00a0", " ") for _x, words in chart.marks] == ["5 min", "30 min", "4 h", "12 h"]
    assert charts.decay_chart(SeparationFacts.from_json({"decay": decay[:1]})) is None
    assert "how alike they are" not in render(shop(), {})


def test_training_accuracy_is_labelled_and_never_a_headline() -> None:
    text = text_of(render(shop(), {}))
    assert text.count("99.8 %") == 1
    assert "On its own training photos 99.8 %: not a measure" in text
    sealed = text_of(render(metrics_of(None, SHOP), {}))
    assert "The test photos stay sealed: no figure yet." in sealed
    assert "On its own training photos 99.8 %: not a measure" in sealed
    assert "named rightly" not in sealed


def test_earlier_openings_are_shown_beside_the_figure() -> None:
    assert "These test photos had been opened 2 times before." in text_of(render(beds(), {}))
    assert "had been opened" not in text_of(render(beds() | {"openings": 0}, {}))


def test_photos_seen_in_training_never_enter_the_headline() -> None:
    seen = {"exact": 300, "near": None, "reason": "fixed camera", "unseen": shop()["test"]}
    metrics = {"schema": 1, "test": beds()["test"], "seen": seen}
    page = text_of(render(metrics, {}))
    assert "300 of these 429 photos were in the model's training." in page
    assert "about 81 of every 100 photos are named rightly" in page
    assert "With them the accuracy would have looked like 87.9 %." in page

    for nothing in (None, {"n": 0, "accuracy": quantity(None)}):
        metrics["seen"] = seen | {"exact": 429, "unseen": nothing}
        page = text_of(render(metrics, {}, pictures(BEDS, 2)))
        assert "no figure that can be trusted" in page
        assert "87.9" not in page
        assert "named rightly" not in page


def test_odd_class_names_and_paths_are_shown_not_obeyed(tmp_path: Path) -> None:
    odd = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }} 🐄 vaca'echada"]
    metrics = beds()
    metrics["data"]["classes"] = metrics["test"]["confusion"]["classes"] = odd
    metrics["test"]["per_class"] = dict(zip(odd, metrics["test"]["per_class"].values(), strict=True))
    metrics["splits"] = {"train": dict.fromkeys(odd, 1)}
    metrics["notes"] = ["</ul><script>"]
    metrics["listed"]["unreadable"] = [{"path": "odd\udcff<b>.jpg", "problem": "</table>"}]
    output = tmp_path / "report.html"
    write_report(output, metrics=Metrics.from_json(metrics), config={"<i>": "</html>"}, gallery=pictures(odd, 6))
    page = output.read_text(encoding="utf-8")
    parsed = parse(page)
    assert "script" not in parsed.seen
    assert "i" not in parsed.seen
    assert all(address.startswith("data:") for address in parsed.addresses)
    text = text_of(page)
    assert text.count(odd[0]) >= 4
    assert text.count(odd[2]) >= 4
    assert "odd?<b>.jpg" in text


@pytest.mark.parametrize("metrics", [shop(), beds()], ids=["shop", "beds"])
def test_undefined_figures_are_said_in_words(metrics: Json) -> None:
    page = render(nulls(metrics), {})
    parse(page)
    text = text_of(page)
    assert "The accuracy cannot be told from these photos." in text
    assert not re.search(r"\b(None|nan|null|Undefined)\b", text)


def test_any_part_of_the_metrics_may_be_missing() -> None:
    whole = beds()
    for key in whole:
        parse(render({k: v for k, v in whole.items() if k != key}, {}))
        parse(render(whole | {key: None}, {}))
    for key in whole["test"]:
        metrics = copy.deepcopy(whole)
        metrics["test"][key] = None
        parse(render(metrics, {}))
        del metrics["test"][key]
        parse(render(metrics, {}))
    parse(render({"schema": 1, "test": None}, {}))


def test_a_missing_interval_is_explained_in_plain_words() -> None:
    metrics = beds()
    metrics["test"]["accuracy"] = quantity(0.88, None, 429, "too_few_groups")
    text = text_of(render(metrics, {}))
    assert "How far that may be off cannot be said: it takes test photos from at least 3 blocks of time." in text
    assert "33 % too few groups for an interval" in text
    assert "too few separate groups to say honestly" in text
    assert "too_few_groups" not in text


def test_classes_come_worst_first() -> None:
    rows = figures.rank_classes(Scores.from_json(shop()["test"]))
    f1 = [row.f1.value for row in rows if row.f1]
    assert len(f1) == 36
    assert f1 == sorted(f1)
    text = text_of(render(beds(), {}))
    table = text[text.index("Class by class") :]
    assert table.index("standing 15") < table.index("lying 124") < table.index("empty 290")


def test_a_single_class_folder_shows_no_precision() -> None:
    counts = np.array([[0, 0, 0], [2, 7, 1], [0, 0, 0]])
    body = body_of(counts, BEDS, "wilson", 0.1)
    for row in body["per_class"].values():
        row["precision"] = row["f1"] = None
    text = text_of(render({"schema": 1, "test": body}, {}))
    assert "lying 10 70 %" in text
    assert "Right when named" not in text
    assert "F1 is high" not in text


def test_the_confusions_account_for_every_photo() -> None:
    confusion = Confusion(("a", "b"), ((5, 3), (1, 0)), (2, 4))
    top = [(c.label, c.predicted, c.count, c.total) for c in figures.top_confusions(confusion)]
    assert top == [("b", None, 4, 5), ("a", "b", 3, 10), ("a", None, 2, 10), ("b", "a", 1, 5)]
    rows = figures.heat_rows(confusion)
    assert [[count for count, _ in row.cells] for row in rows] == [[5, 3], [1, 0]]
    assert [row.unnamed for row in rows] == [(2, 2), (4, 8)]
    rare = figures.heat_rows(Confusion(("a", "b"), ((9999, 1), (0, 0))))
    assert rare[0].cells == [(9999, 10), (1, 1)], "a single mistake in 10,000 stays visible"
    assert rare[1].cells == [(0, 0), (0, 0)]


def test_many_classes_lead_with_the_top_confusions_and_fold_the_matrix() -> None:
    page = render(shop(), {})
    assert "Product-05" in text_of(page).split("The most frequent mistakes.")[1][:60]
    assert page.index("The whole table, 36 by 36") < page.index('class="matrix scroll large"')
    assert "The most frequent mistakes." not in render(beds(), {})
    classes = [f"c{i}" for i in range(81)]
    large = render(metrics_of(body_of(np.eye(81, dtype=int), classes, "wilson", 0.1), classes), {})
    assert 'class="matrix' not in large
    assert "metrics.json" in large


def test_requirements_show_their_verdict_and_figures() -> None:
    text = text_of(render(beds(), {}))
    assert "accuracy>=0.85 ✓ met accuracy 0.900 (0.870 to 0.930)" in text
    assert "recall[standing]>=0.8 ? cannot tell standing 0.330 (too few groups for an interval)" in text
    assert "f1>=0.8 ✗ not met standing 0.340 (0.140 to 0.540), empty 0.930 (0.910 to 0.950)" in text


@pytest.mark.parametrize("decide", [None, 0.5])
@pytest.mark.parametrize("groups", [None, 6, 40])
def test_what_the_scorer_measures_is_what_the_report_says(decide: float | None, groups: int | None) -> None:
    random = np.random.default_rng(3)
    truth = random.integers(0, 3, 200)
    logits = random.normal(0, 1, (200, 3)) + 2 * np.eye(3)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    units = None if groups is None else np.arange(200) * groups // 200
    body = score(probabilities, truth, BEDS, units, decide=decide, resamples=Resamples(100))
    bars = ("accuracy>=0.5", "f1>=0.99", "recall[lying]>=0.8")
    bars = [judge(parse_requirement(bar), body).to_json() for bar in bars]
    page = render(metrics_of(body.to_json(), BEDS, decide=decide, requirements=bars), {})
    parse(page)
    text = text_of(page)
    names = probabilities > 0.5 if decide else np.eye(3, dtype=bool)[probabilities.argmax(axis=1)]
    right = int((names & np.eye(3, dtype=bool)[truth]).any(axis=1).sum())
    assert f"{right / 2:.1f} %" in text
    assert f"accuracy {right / 200:.3f}" in text
    assert f"gives {np.bincount(truth).max() / 2:.1f} %" in text
    assert ("too few groups for an interval" in text) == (groups == 6)
    assert ("no name" in text) == bool(decide)
    assert not re.search(r"\b(None|nan|null|wilson|[a-z]+_[a-z]+_n|too_few_groups)\b", text)


def test_photos_left_out_are_counted_and_named() -> None:
    text = text_of(render(beds(), {}))
    assert "2 could not be read" in text
    assert "beds/lying/2024-01-12-07-05-04.jpg ends after 1,024 bytes" in text
    assert "14 left out between the splits" in text
    assert "3 .txt, 1 without a suffix" in text
    assert "Nothing was left out: every photo was read and used." in text_of(render(shop(), {}))
    beside = shop()
    beside["counts"]["passed_over"] = {".xyz": 15}
    said = text_of(render(beside, {}))
    assert "Nothing was left out" not in said
    assert "Passed over, and not looked at as photos: 15 .xyz" in said


def of_many(*ends: float | None) -> figures.OfMany | None:
    return figures.of_many(Quantity(*ends, "wilson", 100))


def test_a_share_near_all_or_none_is_never_rounded_to_it() -> None:
    assert figures.percent(1.0, 0) == "100\u00a0%"
    assert figures.percent(0.0, 0) == "0\u00a0%"
    assert figures.percent(0.9996, 0) == "99.96\u00a0%"
    assert figures.percent(0.0004, 1) == "0.04\u00a0%"
    assert of_many(0.998, 0.99, 0.9995) == figures.OfMany(10000, 9980, 9900, 9995)
    assert of_many(1.0, None, None) == figures.OfMany(100, 100, None, None)
    assert of_many(None, None, None) is None
    assert figures.percent(float("nan")) == figures.percent(None) == figures.MISSING


def test_the_most_frequent_class_is_named_only_when_it_is_the_one_counted() -> None:
    def named(body: Json) -> str | None:
        return figures.most_frequent_class(Scores.from_json(body))

    body = beds()["test"]
    assert named(body) == "empty"
    assert named(body | {"majority_class_accuracy": quantity(0.3)}) is None
    tied = {"n": 4, "majority_class_accuracy": quantity(0.5), "per_class": {"a": {"n": 2}, "b": {"n": 2}}}
    assert named(tied) is None


def test_an_unwritable_place_leaves_the_earlier_report_and_no_fragment(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"report\.html must be writable"):
        write_report(tmp_path / "missing" / "report.html", metrics=Metrics.from_json(beds()), config={})
    taken = tmp_path / "report.html"
    taken.mkdir()
    (taken / "kept.txt").write_text("kept")
    with pytest.raises(OutputError):
        write_report(taken, metrics=Metrics.from_json(beds()), config={})
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (taken / "kept.txt").read_text() == "kept"


def test_a_thumbnail_keeps_the_whole_frame_in_few_bytes() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), dtype=np.uint8)
    noise[:, :640] = 0
    encoded = thumbnail(noise)
    with Image.open(io.BytesIO(encoded)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (320, 180))
        small = np.asarray(picture)
    assert small[:, :140].mean() < 8
    assert small[:, 180:].mean() > 100
    assert len(encoded) < 17_000
    with Image.open(io.BytesIO(thumbnail(noise[:20, :30]))) as picture:
        assert picture.size == (30, 20)
    with Image.open(io.BytesIO(thumbnail(noise[:, :2]))) as picture:
        assert picture.size[1] == 320
    for wrong in (noise[:, :, 0], noise.astype(np.float32), noise[:0]):
        with pytest.raises(ValueError, match="uint8"):
            thumbnail(wrong)  # type: ignore[arg-type]


def test_importing_the_report_loads_no_template_engine_and_no_plotting() -> None:
    code = "import sys, certero.report.page; print({'jinja2', 'matplotlib', 'PIL', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_without_the_report_extra_one_line_says_what_to_install(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["jinja2"] = None
from pathlib import Path
from certero.errors import MissingExtra
from certero.records.metrics import Metrics
from certero.report.page import write_report
try:
    write_report(Path(sys.argv[1]), metrics=Metrics.from_json({}), config={})
except MissingExtra as error:
    print(error)
"""
    output = tmp_path / "report.html"
    command = [sys.executable, "-c", code, str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert "pip install 'certero[report]'" in done.stdout
    assert not output.exists()


def test_a_part_of_a_few_photos_is_counted_and_not_drawn() -> None:
    metrics = beds()
    metrics["test"]["slices"] += [
        {"slice": "lighting", "value": "glare", "n": 1, "accuracy": quantity(0.0, None, 1, "too_few_groups")},
        {"slice": "hour", "value": "05:00", "n": 2, "accuracy": quantity(0.5, None, 2, "too_few_groups")},
    ]
    page = render(metrics, {})
    parse(page)
    text = text_of(page)
    assert "Too few photos to say anything: glare (1)." in text
    assert "Too few photos to say anything: 05:00 (2)." in text
    assert "night 96 75 %" in text
    assert "glare 1 0 %" not in text
