"""Other shares of the classes: what may be asked, and what predict makes of it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from certero.cli.main import main
from certero.config.parsing import parse_shares
from certero.errors import ConfigError, DataError, ModelFileError
from certero.runs.model import load
from certero.runtime.card import Card
from certero.runtime.new_shares import FEWEST_PHOTOS, find_shares, give_shares
from certero.runtime.predictor import Predictor
from certero.stats.shares import reweigh

if TYPE_CHECKING:
    from certero.pipelines.train import Run


@pytest.fixture(scope="module")
def model(small_run: Run) -> Predictor:
    return load(small_run.path)


@pytest.fixture(scope="module")
def photos(small_barn: Path) -> list[Path]:
    return sorted((small_barn / "beds").rglob("*.jpg"))[: FEWEST_PHOTOS + 10]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("adapt", "adapt"),
        ("standing=0.3", {"standing": 0.3}),
        ("standing=30%, lying =.5", {"standing": 0.3, "lying": 0.5}),
        ("Red cow, old=1", None),
        ("vaca de pie=0", {"vaca de pie": 0.0}),
        ("a=b=0.2", {"a=b": 0.2}),
    ],
)
def test_shares_are_read_as_class_weights_are(text: str, found: object) -> None:
    if found is None:
        with pytest.raises(ConfigError, match="--shares must be adapt or CLASS=SHARE"):
            parse_shares(text)
    else:
        assert parse_shares(text) == found


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("standing", "found 'standing'"),
        ("standing=", "found 'standing='"),
        ("standing=1.2", "found 'standing=1.2'"),
        ("standing=-0.1", "found 'standing=-0.1'"),
        ("standing=nan", "found 'standing=nan'"),
        ("=0.2", "found '0.2'"),
        ("a=0.2,a=0.3", "found a twice"),
        ("a=0.7,b=0.5", "must come to 1 at most; found 1.2"),
        ({"a": "x"}, "found 'a=x'"),
        ({}, "must come to 1 at most; found 0"),
    ],
)
def test_shares_that_are_none_are_refused_in_one_line(wrong: Any, said: str) -> None:
    with pytest.raises(ConfigError, match="--shares must") as caught:
        parse_shares(wrong)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_classes_that_are_not_named_divide_the_rest_as_in_training(model: Predictor) -> None:
    shares = give_shares(model.card, {"STANDING": 0.4})
    now = dict(zip(model.classes, shares.now if shares.now is not None else (), strict=True))
    assert now["standing"] == pytest.approx(0.4)
    before = model.card.shares
    assert before is not None
    assert now["empty"] / now["lying"] == pytest.approx(before["empty"] / before["lying"])
    assert sum(now.values()) == pytest.approx(1)


def test_shares_of_all_classes_must_come_to_one(model: Predictor) -> None:
    with pytest.raises(ConfigError, match=r"must come to 1; found 0\.9"):
        give_shares(model.card, dict(zip(model.classes, (0.5, 0.3, 0.1), strict=True)))
    rounded = give_shares(model.card, dict(zip(model.classes, (0.33, 0.33, 0.33), strict=True)))
    assert rounded.now is not None
    assert rounded.now.sum() == pytest.approx(1)
    with pytest.raises(ConfigError, match="found 'calf'"):
        give_shares(model.card, {"calf": 0.1})


def test_the_card_knows_the_shares_of_the_photos_that_calibrated_it(model: Predictor) -> None:
    shares, outcomes = model.card.shares, model.card.outcomes
    assert shares is not None
    assert outcomes is not None
    counts = np.array(outcomes["sureness"]).sum(axis=1)
    assert list(shares.values()) == pytest.approx((counts / counts.sum()).tolist())
    assert Card.from_text(model.card.to_text(), "it").shares == shares


def test_few_photos_are_not_enough_to_find_shares(model: Predictor, photos: list[Path]) -> None:
    with pytest.raises(DataError, match=f"3 of the {FEWEST_PHOTOS} that it takes"):
        model.predict(photos[:3], shares="adapt")


def test_outputs_that_no_shares_explain_are_refused(model: Predictor) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (FEWEST_PHOTOS, 64, 64, 3)).astype(np.uint8)
    unsure = np.full((200, len(model.classes)), 1 / len(model.classes))
    found = find_shares(model.card, unsure)
    assert found.plausible is False
    assert found.now is None
    assert np.array_equal(found.reweigh(unsure), unsure)
    assert len(model.predict(noise)) == FEWEST_PHOTOS, "without --shares any photo is named"


def test_a_file_that_does_not_know_its_shares_is_refused(model: Predictor) -> None:
    old = dataclasses.replace(model.card, shares=None)
    for ask in (lambda: give_shares(old, {"standing": 0.5}), lambda: find_shares(old, np.ones((50, 3)) / 3)):
        with pytest.raises(ModelFileError, match="older certero"):
            ask()


def test_predictions_are_weighed_and_keep_what_they_were(model: Predictor, photos: list[Path]) -> None:
    given = {"standing": 0.9, "lying": 0.1}
    plain, weighed = model.predict(photos), model.predict(photos, shares=given)
    shares = give_shares(model.card, given)
    for before, after in zip(plain, weighed, strict=True):
        assert before.probabilities is not None
        assert after.probabilities is not None
        assert after.as_trained is not None
        assert (after.as_trained.label, after.as_trained.probability) == (before.label, before.probability)
        row = np.array([list(before.probabilities.values())])
        assert shares.now is not None
        assert list(after.probabilities.values()) == pytest.approx(reweigh(row, shares.before, shares.now)[0].tolist())
        assert after.label != "empty", "a share of 0"
    assert before.as_trained is None


def test_found_shares_are_those_of_the_photos(model: Predictor, small_barn: Path) -> None:
    standing = sorted((small_barn / "beds" / "standing").iterdir())
    others = sorted((small_barn / "beds" / "empty").iterdir())[: len(standing) // 2]
    read = model.predict_proba([*standing, *others])
    found = find_shares(model.card, read)
    assert found.now is not None, found.reason
    standing_share = model.classes.index("standing")
    assert found.now[standing_share] > 0.5 > found.before[standing_share] + 0.2


def test_the_command_line_writes_both_and_says_how_many_changed(
    small_run: Run, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.csv"
    names = [str(photo) for photo in photos]
    model = str(small_run.path)
    assert main(["predict", model, *names, "-q", "--shares", "standing=1", "--csv", str(target), "--jsonl", "-"]) == 0
    captured = capsys.readouterr()
    rows = [json.loads(line) for line in captured.out.splitlines()]
    cells = list(csv.DictReader(io.StringIO(target.read_text("utf-8"))))
    assert {row["label"] for row in rows} == {cell["label"] for cell in cells} == {"standing"}
    assert [cell["label_as_trained"] for cell in cells] == [row["as_trained"]["label"] for row in rows]
    changed = sum(row["as_trained"]["label"] != "standing" for row in rows)
    assert f"{changed} of {len(rows)} photos are named otherwise" in captured.err
    assert "in training > here: " in captured.err
    assert "> 100.0%" in captured.err


def test_adapting_to_too_few_photos_ends_with_exit_code_2_and_one_line(
    small_run: Run, photos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(small_run.path), str(photos[0]), "-q", "--shares", "adapt"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "1 of the 30 that it takes" in captured.err
