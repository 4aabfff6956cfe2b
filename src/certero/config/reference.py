"""The tables of settings in docs/reference.md; `make reference` writes them anew."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path

from certero.config.kinds import Number, Switch, Text
from certero.config.setting import EVERY, NETWORKS, Setting, settings_of
from certero.config.settings import TrainSettings
from certero.config.toml import to_toml

_USED_BY = {
    EVERY: "",
    NETWORKS: "Networks only.",
    frozenset(("probe",)): "The probe only.",
    frozenset(("probe", "backbone")): "Not for layers from scratch.",
    frozenset(("backbone",)): "Trained backbones only.",
    frozenset(("layers",)): "Layers from scratch only.",
}


def options_table(cls: type = TrainSettings) -> str:
    """A row for each setting that has an option: option, meaning, default."""
    rows = [
        f"| `{each.flag}` | {_meaning(each)} | {_default(each, recipe=False)} |"
        for each in settings_of(cls).values()
        if each.option is not None
    ]
    return "\n".join(["| option | meaning | default |", "| --- | --- | --- |", *rows])


def keys_table(cls: type = TrainSettings) -> str:
    """A row for each setting: key in a recipe, option, meaning where no option says it, default."""
    rows = []
    for each in settings_of(cls).values():
        option = f"`{each.flag}`" if each.option else ""
        rows.append(
            f"| `{each.name}` | {option} | {'' if option else _meaning(each)} | {_default(each, recipe=True)} |"
        )
    return "\n".join(["| key | option | meaning | default |", "| --- | --- | --- | --- |", *rows])


def write_tables(page: Path) -> None:
    """Puts both tables in place of those between the marks of the page."""
    text = page.read_text("utf-8")
    for name, table in (("options", options_table()), ("keys", keys_table())):
        start, end = f"<!-- settings: {name} -->\n", "\n<!-- end -->"
        before, found, rest = text.partition(start)
        assert found, f"{page} has no {start.strip()}"
        text = before + start + table + end + rest.partition(end)[2]
    page.write_text(text, "utf-8")


def _meaning(setting: Setting) -> str:
    kind, text = setting.kind, setting.help
    words = [] if isinstance(kind, Text | Switch) else sorted(kind.choices, key=len, reverse=True)
    if all(re.search(rf"\b{re.escape(word)}\b", text + setting.more) for word in words):
        text = re.sub(rf"(?<![\w`-])({'|'.join(map(re.escape, words))})(?![\w`-])", r"`\1`", text) if words else text
    else:
        text += " One of " + ", ".join(f"`{word}`" for word in kind.choices) + "."
    limits = ""
    if kind.bounds and kind.bounds[1] < 10**6:
        above = "Above" if isinstance(kind, Number) and kind.above else "From"
        limits = f"{above} {kind.bounds[0]:g} to {_number(kind.bounds[1])}."
    return " ".join(part for part in (text, limits, setting.more, _USED_BY[setting.used_by]) if part).replace(
        "|", "\\|"
    )


def _default(setting: Setting, *, recipe: bool) -> str:
    if not recipe:
        return setting.default_shown or ""
    if setting.default is None or setting.default == ():
        return ""
    if isinstance(setting.default, timedelta):
        return setting.default_shown or ""
    return f"`{to_toml(setting.default)}`"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


if __name__ == "__main__":
    write_tables(Path(sys.argv[1]))
