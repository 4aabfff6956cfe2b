"""Options that belong together as one record: a verb is given the record, the command line has each of its options."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from certero.cli.terminal.options import GroupBy, LabelLevel, Lang, Quiet, Times, Workers


@dataclass(frozen=True, slots=True)
class Common:
    """What every verb that works on photos takes."""

    workers: Workers = None
    quiet: Quiet = False
    lang: Lang = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How DATA is read."""

    label_level: LabelLevel = None
    group_by: GroupBy = None
    times: Times = None


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each field, in place of every parameter whose type is a dataclass of options."""
    signature = inspect.signature(command, eval_str=True)
    groups = {each.name: each.annotation for each in signature.parameters.values() if _is_group(each.annotation)}

    @functools.wraps(command)
    def whole(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in dataclasses.fields(group)})
        command(**given)

    flat: list[inspect.Parameter] = []
    for each in signature.parameters.values():
        flat += _options(groups[each.name]) if each.name in groups else [each]
    # Typer asks for both.
    whole.__signature__ = signature.replace(parameters=flat)  # type: ignore[attr-defined]
    whole.__annotations__ = {each.name: each.annotation for each in flat} | {"return": None}
    return whole


def _is_group(annotation: object) -> bool:
    return isinstance(annotation, type) and dataclasses.is_dataclass(annotation)


def _options(group: type) -> list[inspect.Parameter]:
    kinds = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=field.default, annotation=kinds[field.name]
        )
        for field in dataclasses.fields(group)
    ]
