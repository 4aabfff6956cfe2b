"""Settings as options: a setting that says it has an option gets one, with what else its field says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from certero.cli.terminal.options import option
from certero.config.kinds import Switch
from certero.config.setting import Setting, settings_of
from certero.config.settings import TrainSettings


def with_settings(cls: type = TrainSettings) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that puts the option of each setting in place of a verb's `**settings`.

    Args:
        cls: a dataclass of settings.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        options = [_parameter(each) for each in settings_of(cls).values() if each.option is not None]
        whole = signature.replace(parameters=[*own, *options])
        # Typer asks for both.
        command.__signature__ = whole  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in whole.parameters.values()} | {"return": None}
        return command

    return decorate


def given_settings(options: Mapping[str, Any], cls: type = TrainSettings) -> dict[str, Any]:
    """The options of `with_settings` as settings; None for those that were not given.

    Args:
        options: by the name of the setting.
        cls: the dataclass of settings.
    """
    settings = settings_of(cls)
    return {name: _given(settings[name], value) for name, value in options.items()}


def _given(setting: Setting, value: Any) -> Any:
    if isinstance(setting.kind, Switch):
        return not setting.default if value else None
    if isinstance(value, list | tuple):
        return tuple(value) or None
    return value


def _parameter(setting: Setting) -> inspect.Parameter:
    about = option(
        setting.flag,
        help=setting.help,
        panel=setting.option.panel if setting.option else "",
        metavar=setting.metavar or None,
        default=setting.default_shown,
        choices=lambda: [str(each) for each in setting.kind.choices],
    )
    switch = isinstance(setting.kind, Switch)
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=False if switch else None,
        annotation=Annotated[bool if switch else setting.kind.typed | None, about],
    )
