"""A setting is written in one place: what is derived from its field follows when one is added."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from certero.cli import train
from certero.cli.terminal.parser import make_command
from certero.cli.terminal.settings import given_settings, with_settings
from certero.config.checks import check_values
from certero.config.kinds import Number, Switch, Text
from certero.config.panels import NETWORK
from certero.config.recipes import resolve
from certero.config.reference import keys_table, options_table
from certero.config.setting import NETWORKS, Between, Option, setting, settings_of
from certero.config.settings import TrainSettings
from certero.config.space import Dimension, search_space
from certero.errors import ConfigError
from certero.probe.backbones import drawn


@dataclass(frozen=True)
class MoreSettings(TrainSettings):
    """The settings and a new one."""

    warmth: float = setting(
        0.5,
        Number(0, 2),
        "How warm the light of the photos is made.",
        used_by=NETWORKS,
        option=Option(NETWORK),
        search=Between(0.1, 2, log=True),
    )


def test_a_new_setting_is_checked() -> None:
    assert check_values({"warmth": 1}, MoreSettings).warmth == 1
    with pytest.raises(ConfigError, match=r"^--warmth must lie between 0 and 2; found 3\.$"):
        check_values({"warmth": 3}, MoreSettings)
    with pytest.raises(ConfigError, match=r"^warmth must be a number; found 'hot'\.$"):
        check_values({"warmth": "hot"}, MoreSettings)


def test_a_new_setting_is_an_option_with_help_and_its_value_arrives(capsys: pytest.CaptureFixture[str]) -> None:
    arrived: dict[str, Any] = {}

    class module:
        ABOUT = ("Trains.",)

        @staticmethod
        @with_settings(MoreSettings)
        def command(**options: Any) -> None:
            arrived.update(given_settings(options, MoreSettings))

    command = make_command("train", module)
    command.main(["--warmth", "1.5", "--no-test"], standalone_mode=False)
    assert arrived["warmth"] == 1.5
    assert arrived["open_test"] is False
    assert arrived["epochs"] is None
    with pytest.raises(SystemExit) as stop:
        command.main(["--help"])
    assert stop.value.code == 0
    network = capsys.readouterr().out.partition("Network:")[2].partition("\n\n")[0]
    assert "--warmth X" in network
    assert "How warm the light of the photos is made. Default: 0.5." in " ".join(network.split())


def test_a_new_setting_is_in_the_tables_and_in_the_search_space_and_in_config_toml() -> None:
    assert (
        "| `--warmth` | How warm the light of the photos is made. From 0 to 2. Networks only. | 0.5 |"
        in options_table(MoreSettings)
    )
    assert "| `warmth` | `--warmth` |" in keys_table(MoreSettings)
    dimension = Dimension("warmth", "number", 0.1, 2, log=True)
    assert dimension in search_space("layers", MoreSettings)
    assert dimension not in search_space("probe", MoreSettings)
    assert "warmth = 0.5\n" in MoreSettings().to_toml()


def test_the_reference_has_the_tables_of_the_settings() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference.md").read_text("utf-8")
    for table in (options_table(), keys_table()):
        assert table in page, "run: make reference"


@pytest.mark.parametrize("fitting", ["probe", "backbone", "layers"])
def test_a_search_stays_within_what_is_allowed(fitting: Any) -> None:
    space = search_space(fitting)
    assert len({dimension.name for dimension in space}) == len(space) >= 3
    for dimension in space:
        assert fitting in settings_of(TrainSettings)[dimension.name].used_by
        ends = dimension.choices or (dimension.low, dimension.high)
        for value in ends:
            assert value is not None
            check_values({dimension.name: int(value) if dimension.kind == "whole" else value}, TrainSettings)
        if dimension.kind != "choice":
            assert dimension.low is not None
            assert dimension.high is not None
            assert 0 <= dimension.low < dimension.high
            assert not dimension.log or dimension.low > 0


def test_every_setting_says_what_it_is_and_its_default_is_allowed() -> None:
    for each in settings_of(TrainSettings).values():
        assert each.help.endswith((".", "..."))
        assert each.used_by
        assert isinstance(each.kind, Switch) or each.option is None or each.metavar
        if each.default is not None:
            each.kind.check(each.name, each.flag, each.kind.read(each.name, each.flag, each.default))


def test_words_that_are_offered_are_those_that_are_known() -> None:
    from certero.learn.augment import PRESETS

    settings = settings_of(TrainSettings)
    assert set(settings["augment"].kind.choices) == set(PRESETS)
    backbone = settings["backbone"].kind
    assert isinstance(backbone, Text)
    assert set(backbone.suggested) <= set(drawn())
    for recipe in settings["recipe"].kind.choices:
        assert resolve(recipe).recipe == recipe


def test_the_command_takes_each_setting_that_has_an_option_and_no_other() -> None:
    app = typer.Typer(add_completion=False)
    app.command()(train.command)
    names = {parameter.name for parameter in get_command(app).params}
    own = {"data", "output", "resume", "strict", "dry_run", "as_json", "quiet", "lang"}
    with_option = {each.name for each in settings_of(TrainSettings).values() if each.option is not None}
    assert names == own | with_option
    assert set(inspect.signature(train.command).parameters) == names
