"""Settings: what a user writes is read as meant or refused in one line, and what a run writes is read again."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from certero.cli import train
from certero.config.parsing import parse_class_weights, parse_duration, parse_label_level
from certero.config.recipes import resolve
from certero.config.setting import settings_of
from certero.config.settings import TrainSettings
from certero.errors import ConfigError
from certero.machine.folders import cache_folder, state_folder


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("10min", 600), ("1h", 3600), ("1.5h", 5400), ("2d", 172800), (" 1 h ", 3600)],
)
def test_durations_are_read_with_their_unit(text: str, seconds: float) -> None:
    assert parse_duration(text, "--block") == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1 fortnight", "1h30m", "1H", "nanh", "99999999999999d"])
def test_a_duration_without_a_known_unit_is_one_clear_line(text: str) -> None:
    with pytest.raises(ConfigError, match="--gap must be a duration") as raised:
        parse_duration(text, "--gap")
    assert "\n" not in str(raised.value)


def test_class_weights_are_read_by_name_and_a_name_may_hold_an_equals_sign() -> None:
    assert parse_class_weights("none") == "none"
    assert parse_class_weights("balanced") == "balanced"
    assert parse_class_weights("standing=3, lying=0.5") == {"standing": 3.0, "lying": 0.5}
    assert parse_class_weights("a=b=2") == {"a=b": 2.0}


@pytest.mark.parametrize("text", ["", "standing", "=3", "a=0", "a=-1", "a=nan", "a=inf", "a=x", "a=1,,b=2", "Balanced"])
def test_class_weights_that_are_no_positive_numbers_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--class-weights must be none, balanced or CLASS=WEIGHT"):
        parse_class_weights(text)


def test_the_label_level_is_leaf_or_a_folder_from_one_on() -> None:
    assert parse_label_level("leaf") == "leaf"
    assert parse_label_level("2") == 2
    for text in ("0", "-1", "top", "1.5", ""):
        with pytest.raises(ConfigError, match="--label-level must be leaf"):
            parse_label_level(text)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochz": 3}, "settings must be among .*found epochz"),
        ({"image_size": 8}, "--image-size must lie between 32 and 1024; found 8"),
        ({"decide": 1.5}, "--decide must lie above 0"),
        # At 0 every photo would get every label.
        ({"decide": 0.0}, "--decide must lie above 0"),
        ({"decide": float("nan")}, "--decide must lie above 0"),
        ({"cv": 1}, "--cv must lie between 2 and 50; found 1"),
        ({"cv": -1}, "--cv must lie"),
        ({"fit": "crop"}, "--fit must be one of letterbox, stretch; found 'crop'"),
        ({"precision": "fp8"}, "--precision must be one of"),
        ({"device": "tpu"}, "--device must be one of"),
        ({"strengths": ()}, "strengths must be positive numbers"),
        ({"strengths": (0.1, -1)}, "strengths must be positive numbers"),
        ({"strengths": ("weak",)}, "strengths must be positive numbers"),
        ({"seed": -1}, "--seed must lie"),
        ({"workers": 0}, "--workers must lie"),
        ({"label_level": 0}, "--label-level must be leaf"),
        ({"class_weights": {"a": -1}}, "--class-weights must be none"),
        # Words of the wrong kind, as a recipe file may hold them.
        ({"image_size": "224"}, "image_size must be a whole number; found '224'"),
        ({"image_size": True}, "image_size must be a whole number; found True"),
        ({"block": 3600}, "block must be a duration"),
        ({"require": "f1>=0.8"}, "require must be a list of texts"),
        ({"require": [0.8]}, "require must be a list of texts"),
        ({"strengths": 0.1}, "strengths must be a list of numbers"),
        ({"keep_leaks": "no"}, "keep_leaks must be true or false; found 'no'"),
        ({"backbone": 7}, "backbone must be a text; found 7"),
        ({"class_weights": 2}, "class_weights must be none, balanced or a table"),
    ],
)
def test_a_setting_that_cannot_be_is_one_clear_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        resolve("probe", **given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("recipe", "given", "said"),
    [
        ("probe", {"epochs": 10}, "--epochs must stand beside a recipe that trains a network; this one fits a probe"),
        ("probe", {"lr": 0.1, "augment": "strong"}, "--lr, --augment must stand"),
        ("probe", {"label_also": ["fine"]}, "--label-also must stand"),
        ("cnn", {"backbone": "efficientnet_lite2"}, "--backbone must stand beside a recipe without layers"),
        ('layers = [{ layer = "flatten" }]\nmixup = 0.2\n', {}, "layers, mixup must stand beside a recipe that trains"),
        ('fitting = "network"\nnormalise = "imagenet"\n', {}, "normalise must stand beside a recipe with layers"),
        ('fitting = "network"\nstrengths = [0.1]\n', {}, "strengths must stand"),
    ],
)
def test_a_setting_that_nothing_would_look_at_is_one_clear_line(
    recipe: str, given: dict[str, Any], said: str, tmp_path: Path
) -> None:
    """`--epochs 50` beside the probe: the run would not be what its user believes."""
    if "=" in recipe:
        (tmp_path / "mine.toml").write_text(recipe)
        recipe = str(tmp_path / "mine.toml")
    with pytest.raises(ConfigError, match=re.escape(said)) as raised:
        resolve(recipe, **given)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("recipe", ["probe", "finetune", "cnn", "cow-cnn", "grocery-cnn-1", "grocery-cnn-2"])
def test_the_settings_that_a_run_wrote_are_a_recipe(recipe: str, tmp_path: Path) -> None:
    written = resolve(recipe, workers=2)
    file = tmp_path / "config.toml"
    file.write_text(written.to_toml())
    assert dataclasses.replace(resolve(str(file)), recipe=recipe) == written


def test_a_setting_is_named_as_the_command_line_names_it() -> None:
    app = typer.Typer()
    app.command()(train.command)
    options = {option for parameter in get_command(app).params for option in parameter.opts}
    for each in settings_of(TrainSettings).values():
        assert (each.flag in options) == each.flag.startswith("--"), each.flag


def test_the_default_recipe_is_what_the_settings_document() -> None:
    assert resolve("probe") == TrainSettings()


def test_a_given_value_beats_the_recipe_and_the_recipe_beats_the_default(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('block = "2h"\nimage_size = 96\nclass_weights = { standing = 3 }\nrequire = ["f1>=0.8"]\n')
    settings = resolve(str(recipe), image_size=64, gap=None)
    assert settings.image_size == 64
    assert settings.block == timedelta(hours=2)
    assert settings.class_weights == {"standing": 3.0}
    assert settings.require == ("f1>=0.8",)
    assert settings.gap == timedelta(minutes=10)
    assert settings.recipe == str(recipe)


def test_an_unknown_or_broken_recipe_is_one_clear_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("epochs = = 3\n")
    for recipe, said in (
        ("prob", "--recipe must be one of .*, probe or a .toml file"),
        (str(tmp_path / "absent.toml"), "must be a readable TOML file"),
        (str(tmp_path), "--recipe must be one of"),
        (str(broken), "must be valid TOML"),
    ):
        with pytest.raises(ConfigError, match=said) as raised:
            resolve(recipe)
        assert "\n" not in str(raised.value)


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
_NAME = _TEXT.map(str.strip).filter(bool)


@given(
    group_by=_TEXT,
    weights=_TEXT,
    require=st.lists(_TEXT, max_size=3),
    class_weights=st.one_of(
        st.just("none"), st.dictionaries(_NAME, st.floats(1e-9, 1e9), min_size=1, max_size=3), st.just("balanced")
    ),
    block=st.timedeltas(timedelta(seconds=1), timedelta(days=400)),
    strengths=st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=4),
    decide=st.none() | st.floats(1e-9, 1),
    label_level=st.none() | st.just("leaf") | st.integers(1, 9),
)
def test_config_toml_is_read_back_as_the_same_settings(tmp_path_factory: pytest.TempPathFactory, **values: Any) -> None:
    written = resolve("probe", **values)
    file = tmp_path_factory.mktemp("toml") / "config.toml"
    file.write_bytes(written.to_toml().encode())
    assert set(tomllib.loads(file.read_text("utf-8"))) <= {field.name for field in dataclasses.fields(TrainSettings)}
    again = resolve(str(file))
    assert dataclasses.replace(again, recipe="probe") == written


def test_the_folders_follow_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CERTERO_CACHE", str(tmp_path / "c"))
    monkeypatch.setenv("CERTERO_STATE", str(tmp_path / "s"))
    assert cache_folder() == tmp_path / "c"
    assert state_folder() == tmp_path / "s"
    monkeypatch.delenv("CERTERO_CACHE")
    assert cache_folder().name == "certero"
